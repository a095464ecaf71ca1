/*
 * What the device can do at best: multiply-adds from registers, and a stream through memory.
 * Build options: V, the vector of one work-item; ACCUMULATORS, the independent chains of multiply-adds, enough to
 * cover their latency on every port and few enough to stay in 16 registers; SINGLE for devices whose work-items fill
 * a core by themselves (bench/peak.c).
 */
#include "common.clh"

#ifndef ACCUMULATORS
#define ACCUMULATORS 12
#endif

#ifdef SINGLE
#define GROUP DD_SINGLE
#else
#define GROUP
#endif

/*
 * repeats * ACCUMULATORS multiply-adds of V elements in every work-item. out [work-items] keeps them alive. Each chain
 * runs towards offset / (1 - factor) and stays there: no element becomes denormal or infinite.
 */
kernel GROUP void peak_fma(global vfloat *out, float factor, float offset, int repeats)
{
    const vfloat f = DD_SPLAT(factor), o = DD_SPLAT(offset);
    vfloat acc[ACCUMULATORS], sum = DD_SPLAT(0.0f);
#pragma unroll
    for (int i = 0; i < ACCUMULATORS; i++)
        acc[i] = DD_SPLAT((float)i);
    for (int r = 0; r < repeats; r++) {
#pragma unroll
        for (int i = 0; i < ACCUMULATORS; i++)
            acc[i] = fma(acc[i], f, o);
    }
#pragma unroll
    for (int i = 0; i < ACCUMULATORS; i++)
        sum += acc[i];
    out[get_global_id(0)] = sum;
}

/*
 * y = factor * x, count elements of V floats for each work-item: item i starts at i * chunk and goes on by step. CPUs
 * get a run of their own (chunk = count, step = 1), GPUs neighbouring elements (chunk = 1, step = work-items).
 */
kernel GROUP void peak_stream(global const vfloat *x, global vfloat *y, float factor, int count, int chunk, int step)
{
    const vfloat f = DD_SPLAT(factor);
    const size_t start = get_global_id(0) * (size_t)chunk;
    for (int k = 0; k < count; k++) {
        const size_t i = start + (size_t)k * step;
        y[i] = f * x[i];
    }
}
