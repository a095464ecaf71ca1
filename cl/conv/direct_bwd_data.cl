/*
 * Direct convolution, backward data: dx = w^T * dz, with dz formed on load, dx masked by the previous ReLU and reduced
 * for the previous batch norm on store.
 * Row y of dx gets row a - t of dz through row p + STRIDE t of w, where y + PAD = STRIDE a + p, 0 <= p < STRIDE;
 * columns alike. So each of the STRIDE^2 phases p of dx is a convolution of step 1 with every STRIDE-th tap: no product
 * with a zero is made.
 * A slice is a run of bands (ROWS rows of dx of one image); a work-item does all channels of one slice.
 * Reads each of dz's tensors once a band (plus halo), w once per register block from the cache; writes dx once.
 * Build options: direct.clh and
 *   BLOCK_TARGETS, BLOCK_PIXELS, TAP_GROUP, CHANNEL_UNROLL   register block
 */
#include "common.clh"
#include "fetch.clh"
#include "conv/load.clh"

#define PIXEL_STEP 1
#define PHASE_TAPS ((KERNEL + STRIDE - 1) / STRIDE) /* most taps of a phase along one axis */
#define BAND_ROWS ((ROWS + STRIDE - 2) / STRIDE + PHASE_TAPS)
#define BAND_COLS ((TARGET_W - 1 + PAD) / STRIDE - PAD / STRIDE + PHASE_TAPS)
#define ROW_PIXELS ((TARGET_W + STRIDE - 1) / STRIDE)
/* Lines of the next band of g and z that come in with each row of taps. */
#define BAND_LINES (ROWS * SOURCE_W * V * 4 / (STRIDE * LINE_BYTES)) /* of a block */
#define TAP_ROWS (TARGET_BLOCKS / BLOCK_TARGETS * ROWS * BLOCKS_PER_ROW * KERNEL) /* in a band and source block */
#define SHARE ((2 * BAND_LINES + TAP_ROWS - 1) / TAP_ROWS)
#include "conv/direct.clh"

#define BANDS ((TARGET_H + ROWS - 1) / ROWS)

/* Column of dz at column 0 of a band; row of dz at row 0 of the band of dx rows from y0 on. */
#define LEFT (PAD / STRIDE - PHASE_TAPS + 1)
#define TOP(y0) (((y0) + PAD) / STRIDE - PHASE_TAPS + 1)
/* The last row of that band that row y of dx gets products from. */
#define BAND_ROW(y0, y) (((y) + PAD) / STRIDE - TOP(y0))
/* Columns [FIRST_COLUMN, LAST_COLUMN) of a band lie in dz. */
#define FIRST_COLUMN max(-LEFT, 0)
#define LAST_COLUMN clamp(SOURCE_W - LEFT, FIRST_COLUMN, BAND_COLS)

/* Stages row r of the band of dx rows from y0 on; g and z are block s of one image. */
INLINE void stage_row(vfloat *band, __global const vfloat *g, __global const vfloat *restrict z, int y0, int r,
                      const struct gradient *how, int s)
{
    const int row = TOP(y0) + r, from = row * SOURCE_W + LEFT + FIRST_COLUMN;
    band += r * BAND_COLS;
    if (row < 0 || row >= SOURCE_H) {
        clear_row(band, BAND_COLS);
        return;
    }
    clear_row(band, FIRST_COLUMN);
    load_gradient(band + FIRST_COLUMN, g + from, z + from, LAST_COLUMN - FIRST_COLUMN, how, s);
    clear_row(band + LAST_COLUMN, BAND_COLS - LAST_COLUMN);
}

/* What happens to a product on its way to dx: the values of a run-time argument; bits. */
#define STORE_PLAIN 0
#define STORE_ADD 1      /* dx += */
#define STORE_MASK 2     /* times [scale * z + shift > 0], and summed against z */
#define STORE_ADD_MASK 3 /* dx + it, likewise */

struct store {
    __global vfloat *dx;
    __global const vfloat *z;
    size_t step; /* from block to block */
    int kind;
    int spaced; /* only pixels whose row and column are multiples of STRIDE are added to */
};

/* Pixels that the phase has in a cache line. */
#if STRIDE == 1
#define LINE_PIXELS LINE_VECTORS
#else
#define LINE_PIXELS 1
#endif

/* What the store of a register block at pixel offset will read or write. */
INLINE void prefetch_store(const int pixels, const struct store *store, size_t offset)
{
    __global const vfloat *from = store->kind >= STORE_MASK ? store->z : store->dx;
    for (int t = 0; t < BLOCK_TARGETS; t++)
        for (int p = 0; p < pixels; p += LINE_PIXELS)
            PREFETCH(from + t * store->step + offset + p * STRIDE, 0);
}

/* Per target block of the register block: constants of the mask, running sums of dx and dx * (z - mean). */
struct reduction {
    vfloat scale, shift, mean, sum, product;
};

/* One register block of a phase, as multiply() has it: products, then the store at pixel offset of dx. */
INLINE void convolve(const int pixels, const int columns, const float *band, __global const vfloat *restrict w,
                     struct taps taps, const struct store *store, size_t offset, struct reduction *sums,
                     struct ahead *ahead)
{
    vfloat acc[BLOCK_TARGETS][BLOCK_PIXELS];
    prefetch_store(pixels, store, offset);
    multiply(acc, pixels, columns, band, w, taps, ahead);
    UNROLL for (int t = 0; t < BLOCK_TARGETS; t++) {
        __global vfloat *dx = store->dx + t * store->step + offset;
        if (store->kind == STORE_PLAIN) {
            UNROLL for (int p = 0; p < pixels; p++)
                dx[p * STRIDE] = acc[t][p];
        } else if (store->kind == STORE_ADD) {
            UNROLL for (int p = 0; p < pixels; p++)
                dx[p * STRIDE] += acc[t][p];
        } else {
            __global const vfloat *z = store->z + t * store->step + offset;
            UNROLL for (int p = 0; p < pixels; p++) {
                const vfloat value = z[p * STRIDE];
                const vfloat sum = store->kind == STORE_ADD_MASK ? dx[p * STRIDE] + acc[t][p] : acc[t][p];
                const vfloat masked = DD_KEEP_POSITIVE(sum, fma(sums[t].scale, value, sums[t].shift));
                sums[t].sum += masked;
                sums[t].product = fma(masked, value - sums[t].mean, sums[t].product);
                dx[p * STRIDE] = masked;
            }
        }
    }
}

/* All pixels of row y of dx, phase after phase, for the target blocks at w, offset and sums. */
INLINE void convolve_row(const vfloat *band, int y0, int y, __global const vfloat *restrict w, struct store store,
                         size_t offset, struct reduction *sums, struct ahead *ahead)
{
    const int kind = store.kind;
    const int phase_y = (y + PAD) % STRIDE;
    UNROLL for (int phase_x = 0; phase_x < STRIDE; phase_x++) {
        const int x0 = (phase_x + STRIDE * PAD - PAD) % STRIDE; /* first column of the phase */
        const int width = (TARGET_W - x0 + STRIDE - 1) / STRIDE;
        store.kind = store.spaced && (y % STRIDE != 0 || x0 != 0) ? kind & ~STORE_ADD : kind;
        const struct taps taps = {(KERNEL - phase_y + STRIDE - 1) / STRIDE, -BAND_COLS * V, STRIDE * KERNEL * V,
                                  -STRIDE * V};
        const int columns = (KERNEL - phase_x + STRIDE - 1) / STRIDE;
        const int left = (x0 + PAD) / STRIDE - LEFT - (columns - 1); /* the band's column at the leftmost tap */
        const float *from = (const float *)(band + BAND_ROW(y0, y) * BAND_COLS + left);
        __global const vfloat *leftmost = w + (phase_y * KERNEL + phase_x + (columns - 1) * STRIDE) * V;
        size_t to = offset + x0;
        for (int i = 0; i < BLOCKS_PER_ROW; i++) {
            const int pixels = i < wide_blocks(width) ? BLOCK_PIXELS : BLOCK_PIXELS - 1;
            if (pixels == BLOCK_PIXELS)
                convolve(BLOCK_PIXELS, columns, from, leftmost, taps, &store, to, sums, ahead);
            else
                convolve(BLOCK_PIXELS - 1, columns, from, leftmost, taps, &store, to, sums, ahead);
            from += pixels * V;
            to += pixels * STRIDE;
        }
    }
}

/*
 * g, z [SOURCE_BLOCKS][n][SOURCE_H][SOURCE_W][V]; k1, k2, k3, relu_scale, relu_shift [SOURCE_BLOCKS][V] as
 * gradient_kind needs them; wt [TARGET_BLOCKS][SOURCE_BLOCKS][TAPS][V source][V target];
 * dx, mask_z [TARGET_BLOCKS][n][TARGET_H][TARGET_W][V]; dx may be g for 1x1 with stride 1 and as many blocks;
 * mask_scale, mask_shift (identity unless mask_affine), mean [TARGET_BLOCKS][V];
 * partials [slices][2][TARGET_BLOCKS][V]: sums of dx, of dx * (mask_z - mean), if want_partials.
 * Work-item i: bands i * bands_per_slice and on. Global size: slices.
 */
__kernel DD_SINGLE void direct_backward_data(
    __global const vfloat *g, __global const vfloat *restrict z, int gradient_kind, __global const vfloat *k1,
    __global const vfloat *k2, __global const vfloat *k3, __global const vfloat *relu_scale,
    __global const vfloat *relu_shift, __global const vfloat *restrict wt, __global vfloat *dx, int store_kind,
    __global const vfloat *restrict mask_z, int mask_affine, __global const vfloat *mask_scale,
    __global const vfloat *mask_shift, __global const vfloat *mean, __global vfloat *partials, int want_partials,
    int spaced, int n, int bands_per_slice)
{
    const struct gradient how = {k1, k2, k3, relu_scale, relu_shift, gradient_kind};
    const struct store store = {dx, mask_z, (size_t)n * TARGET_H * TARGET_W, store_kind, spaced};
    const int slice = get_global_id(0);
    const int begin = slice * bands_per_slice, end = min(begin + bands_per_slice, n * BANDS);
    vfloat band[SOURCE_BLOCKS * BAND_PIXELS];
    struct reduction sums[TARGET_BLOCKS];

    for (int t = 0; t < TARGET_BLOCKS; t++) {
        sums[t].scale = mask_affine ? mask_scale[t] : DD_SPLAT(1.0f);
        sums[t].shift = mask_affine ? mask_shift[t] : DD_SPLAT(0.0f);
        sums[t].mean = want_partials ? mean[t] : DD_SPLAT(0.0f);
        sums[t].sum = sums[t].product = DD_SPLAT(0.0f);
    }
    for (int b = begin; b < end; b++) {
        const int image = b / BANDS, y0 = b % BANDS * ROWS, rows = min(ROWS, TARGET_H - y0);
        int staged = 0; /* rows of the band, each shortly before its first use */
        const size_t next = ((size_t)image * SOURCE_H + TOP(y0) + BAND_ROWS) * SOURCE_W;
        const size_t bytes = (size_t)n * SOURCE_H * SOURCE_W * sizeof(vfloat);
        struct ahead ahead = {{{(size_t)(g + next), bytes, BAND_LINES, SOURCE_BLOCKS},
                               {(size_t)(z + next), bytes, BAND_LINES, SOURCE_BLOCKS}},
                              gradient_kind == GRADIENT_PLAIN ? 1 : 2,
                              0,
                              0};
        for (int t = 0; t < TARGET_BLOCKS; t += BLOCK_TARGETS) {
            struct reduction block[BLOCK_TARGETS];
            for (int i = 0; i < BLOCK_TARGETS; i++)
                block[i] = sums[t + i];
            for (int r = 0; r < rows; r++) {
                for (; staged <= BAND_ROW(y0, y0 + r); staged++)
                    for (int s = 0; s < SOURCE_BLOCKS; s++) {
                        const size_t at = ((size_t)s * n + image) * SOURCE_H * SOURCE_W;
                        stage_row(band + s * BAND_PIXELS, g + at, z + at, y0, staged, &how, s);
                    }
                convolve_row(band, y0, y0 + r, wt + t * WEIGHTS_PER_TARGET, store,
                             t * store.step + ((size_t)image * TARGET_H + y0 + r) * TARGET_W, block, &ahead);
            }
            for (int i = 0; i < BLOCK_TARGETS; i++)
                sums[t + i] = block[i];
        }
    }
    if (!want_partials)
        return;
    partials += (size_t)slice * 2 * TARGET_BLOCKS;
    for (int t = 0; t < TARGET_BLOCKS; t++) {
        partials[t] = sums[t].sum;
        partials[TARGET_BLOCKS + t] = sums[t].product;
    }
}
