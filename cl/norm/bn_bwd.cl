/*
 * Batch normalisation, backward: its two reductions, which finish/backward.cl merges.
 *
 * bn_backward_partials  reads g and z [C/V][N*H*W][V] once, contiguously; one work-group of GROUP work-items per
 *                       (block, slice).
 *
 * Build options: V as in common.clh; GROUP as in norm/bn_fwd.cl; MASK 1: g counts only where
 * mask_scale * z + mask_shift > 0.
 * No atomics and a fixed order of sums: the same bits in every run.
 */
#include "common.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif
#ifndef MASK
#define MASK 0
#endif
#define CHUNK 256 /* elements of a work-item summed plainly before they join the total */
#define CHAINS 4  /* independent accumulators */

/* One element's share of both sums. */
static void add_element(vfloat g, vfloat z, vfloat mean, vfloat mask_scale, vfloat mask_shift, vfloat *sum_g,
                        vfloat *sum_gz)
{
#if MASK
    g = DD_KEEP_POSITIVE(g, fma(mask_scale, z, mask_shift));
#endif
    *sum_g += g;
    *sum_gz = fma(g, z - mean, *sum_gz);
}

/* total_g += sum of g, total_gz += sum of g * (z - mean), over `size` elements GROUP apart. */
static void add_chunk(global const vfloat *g, global const vfloat *z, int size, vfloat mean, vfloat mask_scale,
                      vfloat mask_shift, vfloat *total_g, vfloat *total_gz)
{
    vfloat sum_g[CHAINS], sum_gz[CHAINS];
    int at = 0;
#pragma unroll
    for (int k = 0; k < CHAINS; ++k)
        sum_g[k] = sum_gz[k] = DD_SPLAT(0.0f);
    for (; at + CHAINS <= size; at += CHAINS) {
#pragma unroll
        for (int k = 0; k < CHAINS; ++k) {
            size_t i = (size_t)(at + k) * GROUP;
            add_element(g[i], z[i], mean, mask_scale, mask_shift, &sum_g[k], &sum_gz[k]);
        }
    }
    for (; at < size; ++at) {
        size_t i = (size_t)at * GROUP;
        add_element(g[i], z[i], mean, mask_scale, mask_shift, &sum_g[0], &sum_gz[0]);
    }
#pragma unroll
    for (int k = 1; k < CHAINS; ++k) {
        sum_g[0] += sum_g[k];
        sum_gz[0] += sum_gz[k];
    }
    *total_g += sum_g[0];
    *total_gz += sum_gz[0];
}

/* sums [slices][2][C padded] of pixels [pixels * slice / slices, pixels * (slice + 1) / slices). */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void bn_backward_partials(global const vfloat *restrict g, global const vfloat *restrict z,
                                 global const vfloat *restrict mean, global const vfloat *restrict mask_scale,
                                 global const vfloat *restrict mask_shift, int pixels, int slices,
                                 global vfloat *restrict sums)
{
    const int lane = get_local_id(0), block = get_group_id(1), slice = get_group_id(2);
    const int blocks = get_num_groups(1);
    const int begin = (int)((long)pixels * slice / slices), end = (int)((long)pixels * (slice + 1) / slices);
    const int count = (end - begin - lane + GROUP - 1) / GROUP;
    const size_t first = (size_t)block * pixels + begin + lane;
#if MASK
    const vfloat a = mask_scale[block], b = mask_shift[block];
#else
    const vfloat a = DD_SPLAT(0.0f), b = DD_SPLAT(0.0f);
#endif
    vfloat total_g = DD_SPLAT(0.0f), total_gz = DD_SPLAT(0.0f);
    for (int at = 0; at < count; at += CHUNK) {
        size_t from = first + (size_t)at * GROUP;
        add_chunk(g + from, z + from, min(CHUNK, count - at), mean[block], a, b, &total_g, &total_gz);
    }
#if GROUP > 1
    local vfloat all_g[GROUP], all_gz[GROUP];
    all_g[lane] = total_g;
    all_gz[lane] = total_gz;
    for (int half_group = GROUP / 2; half_group > 0; half_group /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_group) {
            all_g[lane] = total_g += all_g[lane + half_group];
            all_gz[lane] = total_gz += all_gz[lane + half_group];
        }
    }
#endif
    if (lane == 0) {
        global vfloat *out = sums + (size_t)slice * 2 * blocks + block;
        out[0] = total_g;
        out[blocks] = total_gz;
    }
}
