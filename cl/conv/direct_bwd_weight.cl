/*
 * Direct convolution, backward weights: dw = sum over pixels of prologue(x) * dz, with both formed on load.
 * A work-item sums one slice of the batch (a run of bands: ROWS output rows of IMAGES images) for GROUP_SOURCES x
 * GROUP_TARGETS channel blocks, where its sums stay from band to band; slices are added up afterwards
 * (weight_reduce.cl). Reads each of its blocks of x and dz once a band. Build options: direct.clh and
 *   IMAGES                         images in a band; more than 1 only if ROWS is TARGET_H
 *   GROUP_SOURCES, GROUP_TARGETS   channel blocks of a work-item; the last group may have fewer
 *   BLOCK_TAPS                     KERNEL: the register block has a row of taps, so that a value is loaded once for all
 *                                  that it meets (stride 1, SV > 1, rows of that many pixels and more); or 1
 *   BLOCK_VALUES, BLOCK_TARGETS    register block: values of x (channels, dividing SV; if SV is 1 taps, a row of them
 *                                  or all) x target blocks (dividing GROUP_TARGETS and TARGET_BLOCKS; 1 beside taps)
 */
#include "common.clh"
#include "fetch.clh"
#include "conv/load.clh"

#define BAND_OF_INPUT
#define BANDS ((TARGET_H + ROWS - 1) / ROWS)
#define VALUES (TAPS * SV) /* of one source block that meet one pixel of dz */
#define OUTPUT_PIXELS (ROWS * TARGET_W) /* of dz in one image of a band */

/* While a band is computed, the next one's new rows of x, g and z come in, a share for each row of a sweep. */
#define SWEEPS_PER_BAND (GROUP_TARGETS / BLOCK_TARGETS * GROUP_SOURCES * (VALUES / BLOCK_VALUES / BLOCK_TAPS))
#define X_LINES (IMAGES * ROWS * STRIDE * SOURCE_W * SV * 4 / LINE_BYTES) /* of a block */
#define DZ_LINES (IMAGES * ROWS * TARGET_W * V * 4 / LINE_BYTES)
#define ROWS_SWEPT (SWEEPS_PER_BAND * IMAGES * ROWS)
#define SHARE ((GROUP_SOURCES * X_LINES + 2 * GROUP_TARGETS * DZ_LINES + ROWS_SWEPT - 1) / ROWS_SWEPT)
#include "conv/direct.clh"

/* Where value v of a pixel lies in the band, in floats from the pixel's first tap and channel. */
#define VALUE_AT(v) (((v) / SV / KERNEL * BAND_COLS + (v) / SV % KERNEL) * SV + (v) % SV)

/*
 * A register block of sums has BLOCK_VALUES values of x beside each other for each of SIDE taps of a row, or of SIDE
 * target blocks.
 */
#if BLOCK_TAPS > 1
#define SIDE BLOCK_TAPS

/* acc[k][v] += x[v] * dz[-k] for taps first to last - 1, constants: what column j of x adds, dz being at pixel j. */
INLINE void add_column(vfloat acc[SIDE][BLOCK_VALUES], const float *x, const vfloat *dz, const int first,
                       const int last)
{
    UNROLL for (int v = 0; v < BLOCK_VALUES; v++) {
        const vfloat factor = DD_SPLAT(x[v]);
        UNROLL for (int k = 0; k < SIDE; k++)
            if (k >= first && k < last)
                acc[k][v] = fma(dz[-k], factor, acc[k][v]);
    }
}

/* Adds the products of one row; x at the block's first value under the row's first pixel, dz at that pixel. */
INLINE void add_row(vfloat acc[SIDE][BLOCK_VALUES], const float *x, const vfloat *dz)
{
    UNROLL for (int j = 0; j < SIDE - 1; j++)
        add_column(acc, x + j * SV, dz + j, 0, j + 1);
    UNROLL_BY(4) for (size_t j = SIDE - 1; j < TARGET_W; j++)
        add_column(acc, x + j * SV, dz + j, 0, SIDE);
    UNROLL for (int j = 0; j < SIDE - 1; j++)
        add_column(acc, x + (TARGET_W + j) * SV, dz + TARGET_W + j, j + 1, SIDE);
}
#else
#define SIDE BLOCK_TARGETS

/* The same; dz [SIDE][IMAGES][OUTPUT_PIXELS]. */
INLINE void add_row(vfloat acc[SIDE][BLOCK_VALUES], const float *x, const vfloat *dz)
{
    UNROLL_BY(2) for (int i = 0; i < TARGET_W; i++) {
        vfloat gradients[SIDE];
        UNROLL for (int t = 0; t < SIDE; t++)
            gradients[t] = dz[t * IMAGES * OUTPUT_PIXELS + i];
        UNROLL for (int v = 0; v < BLOCK_VALUES; v++) {
            const vfloat factor = DD_SPLAT(x[i * PIXEL_STEP * SV + VALUE_AT(v)]);
            UNROLL for (int t = 0; t < SIDE; t++)
                acc[t][v] = fma(gradients[t], factor, acc[t][v]);
        }
    }
}
#endif

/*
 * Stages the band of output rows from y0 on; x is one block of one image. follows: it holds the one before of that
 * image, whose last rows are its first ones.
 */
INLINE void stage(sfloat *band, __global const sfloat *restrict x, int y0, bool follows, struct prologue how)
{
    int staged = 0;
    if (follows)
        for (; staged < BAND_ROWS - ROWS * PIXEL_STEP; staged++)
            for (int i = staged * BAND_COLS; i < (staged + 1) * BAND_COLS; i++)
                band[i] = band[ROWS * PIXEL_STEP * BAND_COLS + i];
    for (; staged < BAND_ROWS; staged++)
        stage_row(band, x, y0, staged, how);
}

/*
 * Adds one band's products to a register block of sums, or begins with them: SIDE runs of BLOCK_VALUES, step apart. x
 * at the block's first value, dz [IMAGES][OUTPUT_PIXELS] of its first target block.
 */
INLINE void sweep(__global vfloat *restrict sums, const int step, bool first, const float *x, const vfloat *dz,
                  int images, int rows, struct ahead *ahead)
{
    vfloat acc[SIDE][BLOCK_VALUES];
    UNROLL for (int i = 0; i < SIDE; i++)
        UNROLL for (int v = 0; v < BLOCK_VALUES; v++)
            acc[i][v] = first ? DD_SPLAT(0.0f) : sums[i * step + v];
    for (int m = 0; m < images; m++)
        for (int r = 0; r < rows; r++) {
            prefetch_share(ahead);
            add_row(acc, x + (m * BAND_PIXELS + r * PIXEL_STEP * BAND_COLS) * SV,
                    dz + m * OUTPUT_PIXELS + r * TARGET_W);
        }
    UNROLL for (int i = 0; i < SIDE; i++)
        UNROLL for (int v = 0; v < BLOCK_VALUES; v++)
            sums[i * step + v] = acc[i][v];
}

/*
 * x [SOURCE_BLOCKS][n][SOURCE_H][SOURCE_W][SV], scale and shift [SOURCE_BLOCKS][SV];
 * g, z [TARGET_BLOCKS][n][TARGET_H][TARGET_W][V];
 * k1, k2, k3, relu_scale, relu_shift [TARGET_BLOCKS][V] as gradient_kind needs them;
 * part [slices][TARGET_BLOCKS][SOURCE_BLOCKS][TAPS][SV][V], written whole.
 * Work-item (i, s, t): bands i * bands_per_slice and on, source group s, target group t.
 * Global size: slices x source groups x target groups.
 */
__kernel DD_SINGLE void direct_backward_weights(
    __global const sfloat *restrict x, int prologue, __global const sfloat *scale, __global const sfloat *shift,
    __global const vfloat *restrict g, __global const vfloat *restrict z, int gradient_kind, __global const vfloat *k1,
    __global const vfloat *k2, __global const vfloat *k3, __global const vfloat *relu_scale,
    __global const vfloat *relu_shift, __global vfloat *restrict part, int n, int bands_per_slice)
{
    const struct gradient how_dz = {k1, k2, k3, relu_scale, relu_shift, gradient_kind};
    const int bands = (n + IMAGES - 1) / IMAGES * BANDS;
    const int begin = get_global_id(0) * bands_per_slice, end = min(begin + bands_per_slice, bands);
    const int s0 = get_global_id(1) * GROUP_SOURCES, sources = min(GROUP_SOURCES, SOURCE_BLOCKS - s0);
    const int t0 = get_global_id(2) * GROUP_TARGETS, targets = min(GROUP_TARGETS, TARGET_BLOCKS - t0);
    const size_t x_step = (size_t)n * SOURCE_H * SOURCE_W, dz_step = (size_t)n * TARGET_H * TARGET_W;
    __global vfloat *sums = part + (((size_t)get_global_id(0) * TARGET_BLOCKS + t0) * SOURCE_BLOCKS + s0) * VALUES;
    const int step = SOURCE_BLOCKS * VALUES; /* of sums, from target block to target block */
    sfloat band[GROUP_SOURCES * IMAGES * BAND_PIXELS];
    vfloat dz[GROUP_TARGETS * IMAGES * OUTPUT_PIXELS];
    struct prologue how_x[GROUP_SOURCES];

    for (int s = 0; s < sources; s++)
        how_x[s] = load_prologue(prologue, scale, shift, s0 + s);
    for (int b = begin; b < end; b++) {
        const int image = b / BANDS * IMAGES, images = min(IMAGES, n - image);
        const int y0 = b % BANDS * ROWS, rows = min(ROWS, TARGET_H - y0);
        for (int s = 0; s < sources; s++)
            for (int m = 0; m < images; m++)
                stage(band + (s * IMAGES + m) * BAND_PIXELS,
                      x + (s0 + s) * x_step + (size_t)(image + m) * SOURCE_H * SOURCE_W, y0, b > begin && y0 > 0,
                      how_x[s]);
        for (int t = 0; t < targets; t++)
            for (int m = 0; m < images; m++) {
                const size_t at = (t0 + t) * dz_step + ((size_t)(image + m) * TARGET_H + y0) * TARGET_W;
                load_gradient(dz + (t * IMAGES + m) * OUTPUT_PIXELS, g + at, z + at, rows * TARGET_W, &how_dz, t0 + t);
            }
        const size_t last = image + IMAGES - 1;
        const size_t next_x = s0 * x_step + (last * SOURCE_H + (y0 + ROWS) * STRIDE + PAD) * SOURCE_W;
        const size_t next_dz = t0 * dz_step + (last * TARGET_H + y0 + ROWS) * TARGET_W;
        const size_t x_bytes = x_step * sizeof(sfloat), dz_bytes = dz_step * sizeof(vfloat);
        struct ahead ahead = {{{(size_t)(x + next_x), x_bytes, X_LINES, sources},
                               {(size_t)(g + next_dz), dz_bytes, DZ_LINES, targets},
                               {(size_t)(z + next_dz), dz_bytes, DZ_LINES, targets}},
                              gradient_kind == GRADIENT_PLAIN ? 2 : 3,
                              0,
                              0};
        for (int t = 0; t < targets; t += BLOCK_TARGETS)
            for (int s = 0; s < sources; s++)
                for (int i = 0; i < VALUES / BLOCK_TAPS; i += BLOCK_VALUES) {
                    const int v = i / SV * BLOCK_TAPS * SV + i % SV; /* the block's first value */
                    sweep(sums + t * step + s * VALUES + v, BLOCK_TAPS > 1 ? SV : step, b == begin,
                          (const float *)(band + s * IMAGES * BAND_PIXELS) + VALUE_AT(v),
                          dz + t * IMAGES * OUTPUT_PIXELS, images, rows, &ahead);
                }
    }
}
