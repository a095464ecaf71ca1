/*
 * SGD with momentum and weight decay over all parameters: m = momentum * m + (g + decay * w); w = w - rate * m.
 *
 * A work-item handles `run` neighbouring vectors of V floats; reads w, m and (where the owner's gate is on) g once,
 * writes w and m once. Every operation is an explicit fma, so that the bits do not depend on what a compiler contracts.
 *
 * Build options: V as in common.clh; GROUP, work-items of a group (1 on CPUs).
 */
#include "common.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif

/*
 * owner [granules], per_granule vectors each: index into active, or -1: always on. g is not read where active is 0.
 */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void sgd_update(float rate, float momentum, float decay, int vectors, int per_granule, int run,
                       global const int *restrict owner, global const int *restrict active,
                       global const vfloat *restrict g, global vfloat *restrict m, global vfloat *restrict w)
{
    const int begin = min((int)get_global_id(0) * run, vectors), end = min(begin + run, vectors);
    for (int i = begin; i < end;) {
        const int granule = i / per_granule, stop = min((granule + 1) * per_granule, end);
        const int unit = owner[granule];
        const int on = unit < 0 || active[unit] != 0;
        for (; i < stop; ++i) {
            /* + 0: a gradient of -0, as a masked path leaves it, acts as the +0 of a skipped one */
            vfloat gradient = on ? g[i] + DD_SPLAT(0.0f) : DD_SPLAT(0.0f);
            vfloat weight = w[i];
            vfloat moved = fma(DD_SPLAT(momentum), m[i], fma(DD_SPLAT(decay), weight, gradient));
            m[i] = moved;
            w[i] = fma(DD_SPLAT(-rate), moved, weight);
        }
    }
}
