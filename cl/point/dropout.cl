/*
 * Width dropout (ops/dropout.h): an element is dropped or scaled. The mask is never stored: forward and backward draw
 * the same random words again.
 *
 * Element e, counted in N, C, H, W order over the real channels whatever the layout, has word e % 4 of counter
 * (iteration, unit, 4, e / 4). Where a channel's plane is a multiple of 4, all channels of a block are at the same
 * word, and four neighbouring pixels share a draw.
 *
 * A work-item handles `run` neighbouring vectors; dimension 1 is the channel block. In place is allowed.
 *
 * Build options: V as in common.clh; GROUP, work-items of a group (1 on CPUs); AFFINE 1: the values are behind a batch
 * norm and a ReLU that are applied here, 0: they are taken as they are.
 */
#include "common.clh"
#include "random.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif
#ifndef AFFINE
#define AFFINE 1
#endif
#define STREAM 4u

/* value where the word is not below threshold, else 0 */
static inline vfloat keep(vfloat value, vuint word, uint threshold)
{
#if V == 1
    return word < threshold ? 0.0f : value;
#else
    return select(value, (vfloat)(0.0f), word < (vuint)(threshold));
#endif
}

/* The word of the elements of counter e / 4. */
static inline vuint pick(const vuint words[4], vuint e)
{
    const vuint at = e & (vuint)(3u);
#if V == 1
    return words[at];
#else
    const vuint low = select(words[0], words[1], at == (vuint)(1u));
    const vuint high = select(words[2], words[3], at == (vuint)(3u));
    return select(low, high, at >= (vuint)(2u));
#endif
}

/* The elements of vector p of a block, counted in N, C, H, W order. */
static inline vuint element(int p, int block, int plane, int channels)
{
    return (vuint)((uint)(p / plane * channels + block * V) * (uint)plane + (uint)(p % plane)) +
           DD_CHANNELS * (vuint)((uint)plane);
}

/* x, y [C/V][N][plane][V]: y = x, or ReLU(scale * x + shift), times factor, or 0. */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void dropout_forward(uint iteration, uint seed_low, uint seed_high, uint unit, uint threshold, float factor,
                            int pixels, int run, int plane, int channels, global const vfloat *x,
                            global const vfloat *scale, global const vfloat *shift, global vfloat *y)
{
    const int block = get_global_id(1);
    const int begin = min((int)get_global_id(0) * run, pixels), end = min(begin + run, pixels);
    const size_t base = (size_t)block * pixels;
    vuint words[4];
#if AFFINE
    const vfloat a = scale[block], b = shift[block];
#endif
    for (int p = begin; p < end; ++p) {
        const vuint e = element(p, block, plane, channels);
        if (p == begin || p % 4 == 0 || plane % 4 != 0)
            dd_philox(seed_low, seed_high, iteration, unit, STREAM, e >> (vuint)(2u), words);
        vfloat value = x[base + p];
#if AFFINE
        value = DD_RELU(fma(a, value, b));
#endif
        y[base + p] = keep(value * factor, pick(words, e), threshold);
    }
}

/* g [C/V][N][plane][V], in place: the gradient by y becomes that by what dropout_forward was given, behind the ReLU's
 * mask, which x decides. */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void dropout_backward(uint iteration, uint seed_low, uint seed_high, uint unit, uint threshold, float factor,
                             int pixels, int run, int plane, int channels, global const vfloat *x,
                             global const vfloat *scale, global const vfloat *shift, global vfloat *g)
{
    const int block = get_global_id(1);
    const int begin = min((int)get_global_id(0) * run, pixels), end = min(begin + run, pixels);
    const size_t base = (size_t)block * pixels;
    vuint words[4];
#if AFFINE
    const vfloat a = scale[block], b = shift[block];
#endif
    for (int p = begin; p < end; ++p) {
        const vuint e = element(p, block, plane, channels);
        if (p == begin || p % 4 == 0 || plane % 4 != 0)
            dd_philox(seed_low, seed_high, iteration, unit, STREAM, e >> (vuint)(2u), words);
        vfloat value = keep(g[base + p] * factor, pick(words, e), threshold);
#if AFFINE
        value = DD_KEEP_POSITIVE(value, fma(a, x[base + p], b));
#endif
        g[base + p] = value;
    }
}
