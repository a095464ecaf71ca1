/*
 * Direct convolution, forward: y = w * prologue(x), with the statistics of y per slice.
 * A slice is a run of bands (ROWS output rows of one image); a work-item does all channels of one slice.
 * Reads each x once a band (plus halo), w once per register block from the cache; writes y once.
 * Build options: direct.clh and
 *   BLOCK_TARGETS, BLOCK_PIXELS, TAP_GROUP, CHANNEL_UNROLL   register block
 */
#include "common.clh"
#include "fetch.clh"
#include "conv/load.clh"

#define BAND_OF_INPUT
#define ROW_PIXELS TARGET_W
/* Lines of the next band that come in with each row of taps. */
#define BAND_LINES (ROWS * STRIDE * SOURCE_W * SV * 4 / LINE_BYTES) /* of a block */
#define TAP_ROWS (TARGET_BLOCKS / BLOCK_TARGETS * ROWS * BLOCKS_PER_ROW * KERNEL) /* in a band and source block */
#define SHARE ((BAND_LINES + TAP_ROWS - 1) / TAP_ROWS)
#include "conv/direct.clh"
#include "conv/moments.clh"

#define BANDS ((TARGET_H + ROWS - 1) / ROWS)

/* One register block: products, store at y, statistics if wanted. first: its first values are counted around. */
INLINE void convolve(const int pixels, const float *band, __global const vfloat *restrict w,
                     __global vfloat *restrict y, size_t y_step, struct moments *moments, bool wanted, bool first,
                     struct ahead *ahead)
{
    const struct taps taps = {KERNEL, BAND_COLS * SV, KERNEL * SV, SV};
    vfloat acc[BLOCK_TARGETS][BLOCK_PIXELS];
    for (int t = 0; t < BLOCK_TARGETS; t++)
        prefetch_lines((size_t)(y + t * y_step), (pixels * V * 4 + LINE_BYTES - 1) / LINE_BYTES);
    multiply(acc, pixels, KERNEL, band, w, taps, ahead);
    UNROLL for (int t = 0; t < BLOCK_TARGETS; t++) {
        if (first)
            moments[t].around = acc[t][0];
        if (wanted)
            count_values(&moments[t], acc[t], pixels);
        UNROLL for (int p = 0; p < pixels; p++)
            y[t * y_step + p] = acc[t][p];
    }
}

/*
 * x [SOURCE_BLOCKS][n][SOURCE_H][SOURCE_W][SV], scale and shift [SOURCE_BLOCKS][SV];
 * w [TARGET_BLOCKS][SOURCE_BLOCKS][TAPS][SV][V]; y [TARGET_BLOCKS][n][TARGET_H][TARGET_W][V];
 * partials [slices][3][TARGET_BLOCKS][V]: count, mean, sum of squared deviations, if wanted.
 * Work-item i: bands i * bands_per_slice and on. Global size: slices.
 */
__kernel DD_SINGLE void direct_forward(__global const sfloat *restrict x, int prologue, __global const sfloat *scale,
                                       __global const sfloat *shift, __global const vfloat *restrict w,
                                       __global vfloat *restrict y, __global vfloat *partials, int wanted, int n,
                                       int bands_per_slice)
{
    const int slice = get_global_id(0);
    const int begin = slice * bands_per_slice, end = min(begin + bands_per_slice, n * BANDS);
    const size_t x_step = (size_t)n * SOURCE_H * SOURCE_W;
    const size_t y_step = (size_t)n * TARGET_H * TARGET_W;
    sfloat band[SOURCE_BLOCKS * BAND_PIXELS];
    struct moments moments[TARGET_BLOCKS];
    struct prologue how[SOURCE_BLOCKS];
    int count = 0;

    for (int s = 0; s < SOURCE_BLOCKS; s++)
        how[s] = load_prologue(prologue, scale, shift, s);
    clear_moments(moments, TARGET_BLOCKS);
    for (int b = begin; b < end; b++) {
        const int image = b / BANDS, y0 = b % BANDS * ROWS, rows = min(ROWS, TARGET_H - y0);
        int staged = 0; /* rows of the band, each shortly before its first use */
        const size_t next = (size_t)(x + ((size_t)image * SOURCE_H + (y0 + ROWS) * STRIDE + PAD) * SOURCE_W);
        struct ahead ahead = {{{next, x_step * sizeof(sfloat), BAND_LINES, SOURCE_BLOCKS}}, 1, 0, 0};
        for (int t = 0; t < TARGET_BLOCKS; t += BLOCK_TARGETS) {
            struct moments sums[BLOCK_TARGETS];
            for (int i = 0; i < BLOCK_TARGETS; i++)
                sums[i] = moments[t + i];
            for (int r = 0; r < rows; r++) {
                for (; staged < r * PIXEL_STEP + KERNEL; staged++)
                    for (int s = 0; s < SOURCE_BLOCKS; s++)
                        stage_row(band + s * BAND_PIXELS, x + s * x_step + (size_t)image * SOURCE_H * SOURCE_W, y0,
                                  staged, how[s]);
                const float *from = (const float *)(band + r * PIXEL_STEP * BAND_COLS);
                __global vfloat *to = y + t * y_step + ((size_t)image * TARGET_H + y0 + r) * TARGET_W;
                for (int i = 0; i < BLOCKS_PER_ROW; i++) {
                    const bool first = b == begin && r == 0 && i == 0;
                    const int pixels = i < wide_blocks(TARGET_W) ? BLOCK_PIXELS : BLOCK_PIXELS - 1;
                    if (pixels == BLOCK_PIXELS)
                        convolve(BLOCK_PIXELS, from, w + t * WEIGHTS_PER_TARGET, to, y_step, sums, wanted, first,
                                 &ahead);
                    else
                        convolve(BLOCK_PIXELS - 1, from, w + t * WEIGHTS_PER_TARGET, to, y_step, sums, wanted, first,
                                 &ahead);
                    from += pixels * PIXEL_STEP * SV;
                    to += pixels;
                }
            }
            for (int i = 0; i < BLOCK_TARGETS; i++)
                moments[t + i] = sums[i];
        }
        count += rows * TARGET_W;
    }
    if (wanted)
        write_moments(partials + (size_t)slice * 3 * TARGET_BLOCKS, TARGET_BLOCKS, count, moments);
}
