/*
 * Batch normalisation, forward: statistics of slices, which finish/forward.cl merges; scale and shift for inference.
 *
 * bn_partials   reads z [C/V][N*H*W][V] once, contiguously; one work-group of GROUP work-items per (block, slice).
 * bn_inference  one work-item per channel.
 *
 * Build options: V as in common.clh; GROUP, work-items of a group: a power of two, 1 on CPUs (no local memory then).
 * No atomics and a fixed order of sums: the same bits in every run.
 */
#include "common.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif
#define CHUNK 256 /* elements of a work-item between two merges: bounds the rounding of plain sums */
#if V >= 8
#define CHAINS 4  /* independent accumulators: hide the latency of an addition without spilling registers */
#else
#define CHAINS 8
#endif

/* (n, mean, m2) becomes the moments of both sets; either may be empty. */
static void merge_moments(float *n, vfloat *mean, vfloat *m2, float other_n, vfloat other_mean, vfloat other_m2)
{
    float both = *n + other_n;
    float share = both > 0.0f ? other_n / both : 0.0f;
    vfloat delta = other_mean - *mean;
    *mean = fma(delta, DD_SPLAT(share), *mean);
    *m2 = fma(delta * delta, DD_SPLAT(*n * share), *m2 + other_m2);
    *n = both;
}

/*
 * Moments of `size` elements of z, GROUP apart, the mean relative to base. They are summed around shift: any value near
 * the mean keeps the sums small.
 */
static void chunk_moments(global const vfloat *z, int size, vfloat base, vfloat shift, vfloat *mean, vfloat *m2)
{
    vfloat sum[CHAINS], square[CHAINS];
    int at = 0;
#pragma unroll
    for (int k = 0; k < CHAINS; ++k)
        sum[k] = square[k] = DD_SPLAT(0.0f);
    for (; at + CHAINS <= size; at += CHAINS) {
#pragma unroll
        for (int k = 0; k < CHAINS; ++k) {
            vfloat d = z[(size_t)(at + k) * GROUP] - shift;
            sum[k] += d;
            square[k] = fma(d, d, square[k]);
        }
    }
    for (; at < size; ++at) {
        vfloat d = z[(size_t)at * GROUP] - shift;
        sum[0] += d;
        square[0] = fma(d, d, square[0]);
    }
#pragma unroll
    for (int k = 1; k < CHAINS; ++k) {
        sum[0] += sum[k];
        square[0] += square[k];
    }
    vfloat offset = sum[0] / (float)size;
    *mean = (shift - base) + offset;
    *m2 = DD_RELU(square[0] - sum[0] * offset); /* rounding alone could make it negative */
}

/* sums [slices][3][C padded]: count, mean, M2 of pixels [pixels * slice / slices, pixels * (slice + 1) / slices). */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void bn_partials(global const vfloat *restrict z, int pixels, int slices, global vfloat *restrict sums)
{
    const int lane = get_local_id(0), block = get_group_id(1), slice = get_group_id(2);
    const int blocks = get_num_groups(1);
    const int begin = (int)((long)pixels * slice / slices), end = (int)((long)pixels * (slice + 1) / slices);
    const int count = (end - begin - lane + GROUP - 1) / GROUP; /* at most 0 for the work-items behind the end */
    global const vfloat *first = z + (size_t)block * pixels + begin + lane;
    /* means stay relative to the slice's first value: their differences do not lose what a large mean rounds away */
    const vfloat base = begin < end ? z[(size_t)block * pixels + begin] : DD_SPLAT(0.0f);

    float n = 0.0f;
    vfloat mean = DD_SPLAT(0.0f), m2 = DD_SPLAT(0.0f);
    for (int at = 0; at < count; at += CHUNK) {
        int size = min(CHUNK, count - at);
        vfloat chunk_mean, chunk_m2;
        chunk_moments(first + (size_t)at * GROUP, size, base, at == 0 ? first[0] : base + mean, &chunk_mean, &chunk_m2);
        merge_moments(&n, &mean, &m2, (float)size, chunk_mean, chunk_m2);
    }
#if GROUP > 1
    local float all_n[GROUP];
    local vfloat all_mean[GROUP], all_m2[GROUP];
    all_n[lane] = n;
    all_mean[lane] = mean;
    all_m2[lane] = m2;
    for (int half_group = GROUP / 2; half_group > 0; half_group /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_group) {
            int other = lane + half_group;
            merge_moments(&n, &mean, &m2, all_n[other], all_mean[other], all_m2[other]);
            all_n[lane] = n;
            all_mean[lane] = mean;
            all_m2[lane] = m2;
        }
    }
#endif
    if (lane == 0) {
        global vfloat *out = sums + (size_t)slice * 3 * blocks + block;
        out[0] = DD_SPLAT(n);
        out[blocks] = base + mean;
        out[2 * blocks] = m2;
    }
}

kernel void bn_inference(int count, global const float *restrict gamma, global const float *restrict beta,
                         global const float *restrict running_mean, global const float *restrict running_var,
                         global float *restrict scale, global float *restrict shift, float epsilon)
{
    const int c = get_global_id(0);
    if (c >= count)
        return;
    float a = gamma[c] * (1.0f / sqrt(running_var[c] + epsilon));
    scale[c] = a;
    shift[c] = fma(-running_mean[c], a, beta[c]);
}
