/*
 * 1x1 convolution with stride 1 on CPUs, forward, with the statistics of its output: x is read once, y written once. A
 * work-item takes one slice of the pixels in chunks, which are also the slices of the statistics.
 *
 * Build options: those of pointwise.clh; SOURCES are of x, TARGETS of y.
 */
#include "common.clh"
#include "conv/pointwise.clh"
#include "conv/direct.clh"

/* The statistics of one target block around a value near its mean. */
struct moments {
    vfloat around, sum, squares; /* sums of y - around and of its square */
};

/*
 * to [count] = y of one block of pixels and one target block, counted into moments; first: around is not known yet. x
 * [SOURCES][PIXELS] from the block's first pixel on, w [SOURCES][V source][V target]. Accumulators are only indexed by
 * constants.
 */
INLINE void multiply(__global vfloat *to, int count, __global const vfloat *w, const vfloat *x, int first,
                     struct moments *moments)
{
    vfloat acc[BLOCK];
    UNROLL for (int p = 0; p < BLOCK; p++)
        acc[p] = DD_SPLAT(0.0f);
    for (int s = 0; s < SOURCES; s++) {
        const float *factor = (const float *)(x + s * PIXELS);
        UNROLL_BY(4) for (int i = 0; i < V; i++) {
            const vfloat weight = w[s * V + i];
            UNROLL for (int p = 0; p < BLOCK; p++)
                acc[p] = fma(weight, DD_SPLAT(factor[p * V + i]), acc[p]);
        }
    }
    if (first)
        moments->around = acc[0];
    vfloat sum = moments->sum, squares = moments->squares;
    const vfloat around = moments->around;
    if (count >= BLOCK) {
        UNROLL for (int p = 0; p < BLOCK; p++) {
            const vfloat away = acc[p] - around;
            to[p] = acc[p];
            sum += away;
            squares = fma(away, away, squares);
        }
    } else {
        UNROLL for (int p = 0; p < BLOCK; p++) {
            if (p < count) {
                const vfloat away = acc[p] - around;
                to[p] = acc[p];
                sum += away;
                squares = fma(away, away, squares);
            }
        }
    }
    moments->sum = sum;
    moments->squares = squares;
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
        for (int t = 0; t < TARGETS; t++)
            for (int p = 0; p < count; p += BLOCK) {
                const size_t next = p0 + PIXELS + p; /* meanwhile the next chunk comes in, a register block at a time */
                for (int s = t; s < SOURCES; s += TARGETS)
                    prefetch_lines((size_t)(x + (size_t)s * pixels + next), BLOCK_LINES);
                multiply(y + (size_t)t * pixels + p0 + p, count - p, w + t * SOURCES * V, xs + p, p0 + p == begin,
                         &moments[t]);
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
