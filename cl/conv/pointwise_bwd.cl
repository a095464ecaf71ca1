/*
 * 1x1 convolution on CPUs, backward data and weights in one pass over memory: g, z and the pixels of x that were read
 * forward are read once, dx is written once. A work-item takes one slice of the output's pixels in chunks; weight
 * gradients of a slice stay in private memory and are added up afterwards (weight_reduce.cl).
 *
 * Build options: those of pointwise.clh and pointwise_block.clh; SOURCES are of x and dx, TARGETS of dz, of which SIDE
 * and BLOCK_TARGETS are divisors.
 */
#include "common.clh"
#include "conv/pointwise.clh"
#include "fetch.clh"
#include "conv/load.clh"
#include "conv/pointwise_block.clh"

#define STEP (SOURCES * V) /* of weight gradients, from target block to target block */

/* Pixel of x under pixel p of the output. */
INLINE size_t input_pixel(int p)
{
#if STRIDE == 1
    return p;
#else
    const int row = p / OUT_W;
    return ((size_t)(row / OUT_H) * IN_H + row % OUT_H * STRIDE) * IN_W + p % OUT_W * STRIDE;
#endif
}

/* Brings the pixels of x or dx, one block of channels, under the register block of output pixels from p on closer. */
INLINE void prefetch_input(__global const vfloat *x, int p)
{
#if STRIDE == 1
    prefetch_lines((size_t)(x + p), BLOCK_LINES);
#else
    for (int i = 0; i < BLOCK; i++)
        PREFETCH(x + input_pixel(p + i), 0);
#endif
}

/* The calls of sweep() for a chunk, and the lines of each tensor of dz that every one of them fetches. */
#define SWEEPS (TARGETS / BLOCK_TARGETS * SOURCES * (V / BLOCK_VALUES))
#define CHUNK_LINES (PIXELS * V * 4 / LINE_BYTES) /* of a block */
#define SWEEP_LINES ((TARGETS * CHUNK_LINES + SWEEPS - 1) / SWEEPS)

/* Brings a chunk's part of dz that falls to one call of sweep() closer; g, z: their first block from the chunk on. */
INLINE void prefetch_gradient(__global const vfloat *g, __global const vfloat *z, int pixels, int call)
{
    const int first = call * SWEEP_LINES, t = first / CHUNK_LINES;
    const size_t at = (size_t)t * pixels * sizeof(vfloat) + first % CHUNK_LINES * LINE_BYTES;
    if (t < TARGETS) {
        prefetch_lines((size_t)g + at, SWEEP_LINES);
        prefetch_lines((size_t)z + at, SWEEP_LINES);
    }
}

/* to [count] = the prologue of the pixels of x, one block of channels, under the output's pixels from p on. */
INLINE void load_pixels(vfloat *to, __global const vfloat *x, int p, int count, struct prologue how)
{
#if STRIDE == 1
    load_input(to, x + p, 1, count, how);
#else
    for (int i = 0; i < count; i++)
        load_input(to + i, x + input_pixel(p + i), 1, 1, how);
#endif
}

/* Bits of the argument store. */
#define STORE_ADD 1  /* dx += */
#define STORE_MASK 2 /* dx, all added up, where x (after its prologue) is positive, else 0 */
#define STORE_SUMS 4 /* and the sums of it and of its products with x before the prologue */
#define STORE_SPACED 8 /* dx between the pixels that products reach: to add to, counts as 0; else stays unwritten */

/* The sums of one source block: dx, dx * (x - mean). */
struct state {
    vfloat mean, sum, product;
};

/*
 * Stores acc [pixels], a constant, to dx under the output's pixels from first on. dx and raw from the block of channels
 * on, x from the chunk's pixel on.
 */
INLINE void store_pixels(const int pixels, const vfloat *acc, __global vfloat *dx, int first, int store,
                         const vfloat *x, __global const vfloat *raw, struct state *state)
{
    const vfloat mean = state->mean;
    vfloat sum = state->sum, product = state->product;
    UNROLL for (int p = 0; p < pixels; p++) {
        const size_t at = input_pixel(first + p);
        const vfloat all = store & STORE_ADD ? dx[at] + acc[p] : acc[p];
        const vfloat kept = store & STORE_MASK ? DD_KEEP_POSITIVE(all, x[p]) : all;
        if (store & STORE_SUMS) {
            sum += kept;
            product = fma(kept, raw[at] - mean, product);
        }
        dx[at] = kept;
    }
    state->sum = sum;
    state->product = product;
}

/* The first `count` of a register block's, for the kinds of store that there are, the frequent ones as constants. */
INLINE void store_block(const vfloat *acc, __global vfloat *dx, int first, int count, int store, const vfloat *x,
                        __global const vfloat *raw, struct state *state)
{
    if (count < BLOCK) {
        vfloat rest[BLOCK];
        set_aside(rest, acc);
        NO_UNROLL for (int p = 0; p < count; p++)
            store_pixels(1, rest + p, dx, first + p, store, x + p, raw, state);
    } else if (store == 0) {
        store_pixels(BLOCK, acc, dx, first, 0, x, raw, state);
    } else if (store == STORE_MASK) {
        store_pixels(BLOCK, acc, dx, first, STORE_MASK, x, raw, state);
    } else if (store == (STORE_MASK | STORE_SUMS)) {
        store_pixels(BLOCK, acc, dx, first, STORE_MASK | STORE_SUMS, x, raw, state);
    } else {
        store_pixels(BLOCK, acc, dx, first, store, x, raw, state);
    }
}

/*
 * dx of SIDE source blocks, step apart in dx and raw, under `count` of the output's pixels from first on; dz
 * [TARGETS][PIXELS] and x [SIDE][PIXELS] from there on, raw: x before its prologue.
 */
INLINE void multiply(__global vfloat *dx, size_t step, int first, int count, int store, __global const vfloat *wt,
                     const vfloat *dz, const vfloat *x, __global const vfloat *raw, struct state *states)
{
    vfloat acc[SIDE][BLOCK];
    multiply_block(acc, TARGETS, wt, dz);
    UNROLL for (int s = 0; s < SIDE; s++)
        store_block(acc[s], dx + s * step, first, count, store, x + s * PIXELS, raw + s * step, &states[s]);
}

/* The pixels of dx that no product reaches, beside and below the ones under count output pixels; raw, how: x there. */
INLINE void store_between(__global vfloat *dx, int first, int count, int store, __global const vfloat *raw,
                          struct prologue how, struct state *state)
{
#if STRIDE > 1
    if (store & STORE_SPACED && !(store & STORE_ADD))
        return;
    if (store & STORE_SPACED) /* there is nothing to add to */
        store = 0;
    for (int p = first; p < first + count; p++) {
        const int rows = min(STRIDE, IN_H - p / OUT_W % OUT_H * STRIDE);
        const int columns = min(STRIDE, IN_W - p % OUT_W * STRIDE);
        for (int y = 0; y < rows; y++)
            for (int x = y == 0; x < columns; x++) {
                const size_t at = input_pixel(p) + y * IN_W + x;
                vfloat kept = store & STORE_ADD ? dx[at] : DD_SPLAT(0.0f);
                if ((store & STORE_ADD) && (store & STORE_MASK)) {
                    vfloat value;
                    load_input(&value, raw + at, 1, 1, how);
                    kept = DD_KEEP_POSITIVE(kept, value);
                    state->sum += kept;
                    state->product = fma(kept, raw[at] - state->mean, state->product);
                }
                dx[at] = kept;
            }
    }
#endif
}

/*
 * x, dx [SOURCES][in_pixels][V]; g, z [TARGETS][pixels][V]; wt [SOURCES][TARGETS][V target][V source], the transposed weights;
 * part [slices][TARGETS][SOURCES][V source][V target], written whole. With as many blocks and stride 1, dx may be g.
 * store: bits above; mean [SOURCES][V], sums_out [slices][2][SOURCES][V] for STORE_SUMS.
 * Work-item i: pixels [pixels * i / slices, pixels * (i + 1) / slices). Global size: slices.
 */
__kernel DD_SINGLE void pointwise_backward(
    __global const vfloat *restrict x, int prologue, __global const vfloat *scale, __global const vfloat *shift,
    __global const vfloat *g, __global const vfloat *restrict z, int gradient_kind, __global const vfloat *k1,
    __global const vfloat *k2, __global const vfloat *k3, __global const vfloat *relu_scale,
    __global const vfloat *relu_shift, __global const vfloat *restrict wt, __global vfloat *dx, int store,
    __global const vfloat *mean, __global vfloat *restrict sums_out, __global vfloat *restrict workspace, int first,
    int pixels, int in_pixels)
{
    const struct gradient how_dz = {k1, k2, k3, relu_scale, relu_shift, gradient_kind};
    __global const vfloat *second = gradient_kind == GRADIENT_PLAIN ? g : z; /* only to be fetched */
    const int slice = get_global_id(0), slices = get_global_size(0);
    const int begin = (int)((long)pixels * slice / slices), end = (int)((long)pixels * (slice + 1) / slices);
    vfloat sums[TARGETS * STEP], xs[SOURCES * PIXELS], dz[TARGETS * PIXELS];
    struct state states[SOURCES];

    for (int s = 0; s < SOURCES; s++) {
        states[s].mean = store & STORE_SUMS ? mean[s] : DD_SPLAT(0.0f);
        states[s].sum = states[s].product = DD_SPLAT(0.0f);
    }
    for (int i = 0; i < TARGETS * STEP; i++)
        sums[i] = DD_SPLAT(0.0f);
    for (int p0 = begin; p0 < end; p0 += PIXELS) {
        const int count = min(PIXELS, end - p0);
        for (int t = 0; t < TARGETS; t++) {
            load_gradient(dz + t * PIXELS, g + (size_t)t * pixels + p0, z + (size_t)t * pixels + p0, count, &how_dz, t);
            pad_chunk(dz + t * PIXELS, count);
        }
        for (int s = 0; s < SOURCES; s++) {
            const struct prologue how = load_prologue(prologue, scale, shift, s);
            load_pixels(xs + s * PIXELS, x + (size_t)s * in_pixels, p0, count, how);
            pad_chunk(xs + s * PIXELS, count);
        }
        for (int s = 0; s < SOURCES; s += SIDE) {
            __global const vfloat *raw = x + (size_t)s * in_pixels;
            __global vfloat *to = dx + (size_t)s * in_pixels;
            for (int p = 0; p < count; p += BLOCK) {
                for (int i = 0; i < SIDE; i++) { /* meanwhile x of the next chunk comes in, below dz */
                    prefetch_input(raw + (size_t)i * in_pixels, p0 + PIXELS + p);
                    if (STRIDE > 1) /* else dx is g in most uses */
                        prefetch_input(to + (size_t)i * in_pixels, p0 + PIXELS + p);
                }
                multiply(to, in_pixels, p0 + p, count - p, store, wt + s * TARGETS * V, dz + p, xs + s * PIXELS + p,
                         raw, &states[s]);
            }
            for (int i = 0; i < SIDE; i++)
                store_between(to + (size_t)i * in_pixels, p0, count, store, raw + (size_t)i * in_pixels,
                              load_prologue(prologue, scale, shift, s + i), &states[s + i]);
        }
        int call = 0;
        for (int t = 0; t < TARGETS; t += BLOCK_TARGETS)
            for (int s = 0; s < SOURCES; s++)
                for (int v = 0; v < V; v += BLOCK_VALUES) {
                    /* late in this chunk and needed early in one: the next is too near */
                    prefetch_gradient(g + p0 + 2 * PIXELS, second + p0 + 2 * PIXELS, pixels, call++);
                    sweep(sums + t * STEP + s * V + v, STEP, (const float *)(xs + s * PIXELS) + v, dz + t * PIXELS);
                }
    }
    for (int s = 0; store & STORE_SUMS && s < SOURCES; s++) {
        sums_out[((size_t)slice * 2) * SOURCES + s] = states[s].sum;
        sums_out[((size_t)slice * 2 + 1) * SOURCES + s] = states[s].product;
    }
    for (int i = 0; i < TARGETS * STEP; i++)
        workspace[first + (size_t)slice * TARGETS * STEP + i] = sums[i];
}
