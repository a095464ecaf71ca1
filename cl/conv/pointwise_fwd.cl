/*
 * 1x1 convolution with stride 1 on CPUs, forward, with the statistics of its output: x is read once, y written once. A
 * work-item takes one slice of the pixels in chunks, which are also the slices of the statistics.
 *
 * Build options: those of pointwise.clh; SOURCES are of x, TARGETS of y; SIDE, target blocks of a register block
 * (dividing TARGETS).
 */
#include "common.clh"
#include "conv/pointwise.clh"
#include "conv/direct.clh"

/* The statistics of one target block around a value near its mean. */
struct moments {
    vfloat around, sum, squares; /* sums of y - around and of its square */
};

/* Stores the first `count` of a register block of one target block and counts them; whole, a constant: all of it. */
INLINE void store_block(const int whole, const vfloat *acc, __global vfloat *to, int count, struct moments *moments)
{
    vfloat sum = moments->sum, squares = moments->squares;
    const vfloat around = moments->around;
    UNROLL for (int p = 0; p < BLOCK; p++) {
        if (whole || p < count) {
            const vfloat away = acc[p] - around;
            to[p] = acc[p];
            sum += away;
            squares = fma(away, away, squares);
        }
    }
    moments->sum = sum;
    moments->squares = squares;
}

/*
 * to [SIDE] at a distance of step, [count] each = y of one block of pixels and SIDE target blocks, counted into moments
 * [SIDE]; first: around is not known yet. x [SOURCES][PIXELS] from the block's first pixel on, w
 * [SIDE][SOURCES][V source][V target]. Accumulators are only indexed by constants.
 */
INLINE void multiply(__global vfloat *to, size_t step, int count, __global const vfloat *w, const vfloat *x, int first,
                     struct moments *moments)
{
    vfloat acc[SIDE][BLOCK];
    UNROLL for (int t = 0; t < SIDE; t++)
        UNROLL for (int p = 0; p < BLOCK; p++)
            acc[t][p] = DD_SPLAT(0.0f);
    for (int s = 0; s < SOURCES; s++) {
        const float *factor = (const float *)(x + s * PIXELS);
        UNROLL_BY(4) for (int i = 0; i < V; i++) {
            vfloat weight[SIDE];
            UNROLL for (int t = 0; t < SIDE; t++)
                weight[t] = w[(t * SOURCES + s) * V + i];
            UNROLL for (int p = 0; p < BLOCK; p++) {
                const vfloat value = DD_SPLAT(factor[p * V + i]);
                UNROLL for (int t = 0; t < SIDE; t++)
                    acc[t][p] = fma(weight[t], value, acc[t][p]);
            }
        }
    }
    UNROLL for (int t = 0; t < SIDE; t++) {
        if (first)
            moments[t].around = acc[t][0];
        if (count >= BLOCK)
            store_block(1, acc[t], to + t * step, BLOCK, &moments[t]);
        else
            store_block(0, acc[t], to + t * step, count, &moments[t]);
    }
}

/*
 * x [SOURCES][pixels][V]; w [TARGETS][SOURCES][V source][V target]; y [TARGETS][pixels][V];
 * stats [slices][3][TARGETS][V] count, mean, M2 of each slice if wanted.
 * Work-item i: pixels [pixels * i / slices, pixels * (i + 1) / slices). Global size: slices.
 */
__kernel DD_SINGLE void pointwise_forward(__global const vfloat *restrict x, int prologue, __global const vfloat *scale,
                                          __global const vfloat *shift, __global const vfloat *restrict w,
                                          __global vfloat *restrict y, __global vfloat *restrict stats, int wanted,
                                          int pixels)
{
    const int slice = get_global_id(0), slices = get_global_size(0);
    const int begin = (int)((long)pixels * slice / slices), end = (int)((long)pixels * (slice + 1) / slices);
    vfloat xs[SOURCES * PIXELS];
    struct moments moments[TARGETS];

    for (int t = 0; t < TARGETS; t++)
        moments[t].around = moments[t].sum = moments[t].squares = DD_SPLAT(0.0f);
    for (int p0 = begin; p0 < end; p0 += PIXELS) {
        const int count = min(PIXELS, end - p0);
        for (int s = 0; s < SOURCES; s++) {
            const struct prologue how = load_prologue(prologue, scale, shift, s);
            load_input(xs + s * PIXELS, x + (size_t)s * pixels + p0, count, how);
            for (int p = count; p < PIXELS; p++) /* the tail's blocks compute what nobody stores */
                xs[s * PIXELS + p] = DD_SPLAT(0.0f);
        }
        for (int t = 0; t < TARGETS; t += SIDE)
            for (int p = 0; p < count; p += BLOCK) {
                const size_t next = p0 + PIXELS + p; /* meanwhile the next chunk comes in, a register block at a time */
                for (int s = t / SIDE; s < SOURCES; s += TARGETS / SIDE)
                    prefetch_lines((size_t)(x + (size_t)s * pixels + next), BLOCK_LINES);
                multiply(y + (size_t)t * pixels + p0 + p, pixels, count - p, w + t * SOURCES * V, xs + p,
                         p0 + p == begin, &moments[t]);
            }
    }
    const float n = end - begin;
    for (int t = 0; wanted && t < TARGETS; t++) {
        __global vfloat *out = stats + (size_t)slice * 3 * TARGETS + t;
        const vfloat mean = moments[t].sum / n;
        out[0] = DD_SPLAT(n);
        out[TARGETS] = moments[t].around + mean;
        out[2 * TARGETS] = fma(-mean, moments[t].sum, moments[t].squares);
    }
}
