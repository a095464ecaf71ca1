/*
 * Backward of a unit's join: for the primary path's last batch norm (MAIN) and the shortcut's (SIDE) the partial sums of
 * g' and g' * (z - mean), g' = g, the gradient behind the join's ReLU, or g masked by the shortcut's own ReLU (SIDE 2).
 *
 * One work-group of GROUP work-items per (block, slice), like norm/bn_bwd.cl; tensors are [C/V][pixels][V].
 *
 * Build options: V as in common.clh; GROUP, work-items of a group (1 on CPUs); MAIN 0 or 1; SIDE 0 none, 1 affine, 2
 * affine with ReLU. No atomics and a fixed order of sums: the same bits in every run, whatever the other path does.
 */
#include "common.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif
#include "point/ahead.clh"
#ifndef MAIN
#define MAIN 1
#endif
#ifndef SIDE
#define SIDE 0
#endif
#define CHUNK 256 /* elements of a work-item summed plainly before they join the total */
#define CHAINS 2  /* independent accumulators */

/* What is summed: for the primary path g' and g' * (z - mean), then the same for the shortcut. */
#define FIRST_SUM (MAIN ? 0 : 2)
#define SUMS_END (SIDE ? 4 : 2)

/* sums [slices][2][C padded]: one path's totals of the group's block and slice. */
static void store_sums(vfloat total_g, vfloat total_gz, global vfloat *sums)
{
    const int block = get_group_id(1), slice = get_group_id(2), blocks = get_num_groups(1);
    global vfloat *out = sums + (size_t)slice * 2 * blocks + block;
    out[0] = total_g;
    out[blocks] = total_gz;
}

__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void join_backward(global const vfloat *restrict g, global const vfloat *restrict main_z,
                          global const vfloat *restrict main_mean, global vfloat *restrict main_sums,
                          global const vfloat *restrict side_z, global const vfloat *restrict side_mean,
                          global const vfloat *restrict side_scale, global const vfloat *restrict side_shift,
                          global vfloat *restrict side_sums, int pixels, int slices)
{
    const int lane = get_local_id(0), block = get_group_id(1), slice = get_group_id(2);
    const int begin = (int)((long)pixels * slice / slices), end = (int)((long)pixels * (slice + 1) / slices);
    const int count = (end - begin - lane + GROUP - 1) / GROUP;
    const size_t first = (size_t)block * pixels + begin + lane;
    vfloat total[4] = {DD_SPLAT(0.0f), DD_SPLAT(0.0f), DD_SPLAT(0.0f), DD_SPLAT(0.0f)};
#if MAIN
    const vfloat mean = main_mean[block];
#endif
#if SIDE
    const vfloat other_mean = side_mean[block];
#endif
#if SIDE == 2
    const vfloat c = side_scale[block], d = side_shift[block];
#endif
    for (int at = 0; at < count;) {
        const int stop = min(at + CHUNK, count);
        vfloat sum[4][CHAINS];
#pragma unroll
        for (int s = 0; s < 4; ++s)
#pragma unroll
            for (int k = 0; k < CHAINS; ++k)
                sum[s][k] = DD_SPLAT(0.0f);
#define DD_ELEMENT(k, element)                                                                                         \
    {                                                                                                                  \
        const size_t i = first + (size_t)(element) * GROUP;                                                            \
        FETCH_AHEAD(g + i, 0);                                                                                         \
        vfloat value = g[i];                                                                                           \
        DD_MAIN(k, i)                                                                                                  \
        DD_SIDE(k, i)                                                                                                  \
    }
#if MAIN
#define DD_MAIN(k, i)                                                                                                  \
    FETCH_AHEAD(main_z + i, 0);                                                                                        \
    sum[0][k] += value;                                                                                                \
    sum[1][k] = fma(value, main_z[i] - mean, sum[1][k]);
#else
#define DD_MAIN(k, i)
#endif
#if SIDE == 2
#define DD_SIDE_MASK(z) value = DD_KEEP_POSITIVE(value, fma(c, z, d));
#else
#define DD_SIDE_MASK(z)
#endif
#if SIDE
#define DD_SIDE(k, i)                                                                                                  \
    {                                                                                                                  \
        FETCH_AHEAD(side_z + i, 0);                                                                                    \
        const vfloat z = side_z[i];                                                                                    \
        DD_SIDE_MASK(z)                                                                                                \
        sum[2][k] += value;                                                                                            \
        sum[3][k] = fma(value, z - other_mean, sum[3][k]);                                                             \
    }
#else
#define DD_SIDE(k, i)
#endif
        for (; at + CHAINS <= stop; at += CHAINS) {
#pragma unroll
            for (int k = 0; k < CHAINS; ++k)
                DD_ELEMENT(k, at + k)
        }
        for (; at < stop; ++at)
            DD_ELEMENT(0, at)
#pragma unroll
        for (int s = 0; s < 4; ++s)
#pragma unroll
            for (int k = 0; k < CHAINS; ++k)
                total[s] += sum[s][k];
    }
#if GROUP > 1
    /* A tree over the work-items. In a function with two callers, PoCL 3.1 would share the arrays among its threads. */
    local vfloat all[SUMS_END - FIRST_SUM][GROUP];
#pragma unroll
    for (int s = FIRST_SUM; s < SUMS_END; ++s)
        all[s - FIRST_SUM][lane] = total[s];
    for (int half_group = GROUP / 2; half_group > 0; half_group /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_group) {
#pragma unroll
            for (int s = FIRST_SUM; s < SUMS_END; ++s)
                all[s - FIRST_SUM][lane] = total[s] += all[s - FIRST_SUM][lane + half_group];
        }
    }
    if (lane != 0)
        return;
#endif
#if MAIN
    store_sums(total[0], total[1], main_sums);
#endif
#if SIDE
    store_sums(total[2], total[3], side_sums);
#endif
}
