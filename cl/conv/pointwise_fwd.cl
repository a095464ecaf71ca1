/*
 * 1x1 convolution with stride 1 on CPUs, forward, with the statistics of its output: x is read once, y written once. A
 * work-item takes one slice of the pixels in chunks, which are also the slices of the statistics.
 *
 * Build options: those of pointwise.clh and pointwise_block.clh; SOURCES are of x, TARGETS of y, of which SIDE is a
 * divisor.
 */
#include "common.clh"
#include "conv/pointwise.clh"
#include "fetch.clh"
#include "conv/load.clh"
#include "conv/pointwise_block.clh"

/*
 * x [SOURCES][pixels][V]; w [TARGETS][SOURCES][V source][V target]; y [TARGETS][pixels][V];
 * stats [slices][3][TARGETS][V] count, mean, M2 of each slice if wanted.
 * Work-item i: slice i as struct dd_conv_cut (ops/conv.h) cuts it, not empty if statistics are wanted. Global size:
 * slices.
 */
__kernel DD_SINGLE void pointwise_forward(__global const vfloat *restrict x, int prologue, __global const vfloat *scale,
                                          __global const vfloat *shift, __global const vfloat *restrict w,
                                          __global vfloat *restrict y, __global vfloat *restrict stats, int wanted,
                                          int pixels, int bands, int groups, int group_pixels, int band_pixels)
{
    const int slice = get_global_id(0), first = slice * bands, last = first + bands;
    const int begin = min(first / groups * group_pixels + first % groups * band_pixels, pixels);
    const int end = min(last / groups * group_pixels + last % groups * band_pixels, pixels);
    vfloat xs[SOURCES * PIXELS];
    struct moments moments[TARGETS];

    clear_moments(moments, TARGETS);
    for (int p0 = begin; p0 < end; p0 += PIXELS) {
        const int count = min(PIXELS, end - p0);
        for (int s = 0; s < SOURCES; s++) {
            const struct prologue how = load_prologue(prologue, scale, shift, s);
            load_input(xs + s * PIXELS, x + (size_t)s * pixels + p0, 1, count, how);
            pad_chunk(xs + s * PIXELS, count);
        }
        for (int t = 0; t < TARGETS; t += SIDE)
            for (int p = 0; p < count; p += BLOCK) {
                /* meanwhile the next but one comes in, a block at a time, and later ones of y, to be written */
                const size_t next = p0 + 2 * PIXELS + p, later = p0 + 4 * PIXELS + p;
                for (int s = t / SIDE; s < SOURCES; s += TARGETS / SIDE)
                    prefetch_lines((size_t)(x + (size_t)s * pixels + next), BLOCK_LINES);
                for (int i = 0; i < SIDE; i++)
                    prefetch_lines((size_t)(y + (size_t)(t + i) * pixels + later), BLOCK_LINES);
                convolve_block(y + (size_t)t * pixels + p0 + p, pixels, count - p, SOURCES, w + t * SOURCES * V, xs + p,
                               p0 + p == begin, &moments[t]);
            }
    }
    if (wanted)
        write_moments(stats + (size_t)slice * 3 * TARGETS, TARGETS, end - begin, moments);
}
