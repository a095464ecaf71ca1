/*
 * What forward launches leave behind: merges the statistics of one or two batch norms' inputs (Chan, Golub, LeVeque
 * 1979) and makes scale and shift of them. One work-item for each block of channels walks the slices in order, so that
 * the bits are the same in every run, alone or with another layer.
 *
 * Build options: V as in common.clh; LAYERS 1 or 2; GROUP, work-items of a group (1 on CPUs).
 */
#include "common.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef LAYERS
#define LAYERS 1
#endif
#ifndef GROUP
#define GROUP 1
#endif

/*
 * sums [slices][3][blocks][V]: count, mean, M2; vectors [blocks][V]. The variance that normalises is the biased one,
 * the running variance takes the unbiased one. gate 0: the layer's output vanishes.
 */
INLINE void finish_layer(int block, float gate, float epsilon, global const vfloat *sums, int slices, int channels,
                         int blocks, float keep, float gain, global const vfloat *gamma, global const vfloat *beta,
                         global vfloat *running_mean, global vfloat *running_var, global vfloat *batch_mean,
                         global vfloat *batch_invstd, global vfloat *scale, global vfloat *shift)
{
    /* relative to a value near the mean: that of the first slice */
    const vfloat base = ((global const float *)sums)[0] > 0.0f ? sums[blocks + block] : DD_SPLAT(0.0f);
    float n = 0.0f;
    vfloat mean = DD_SPLAT(0.0f), m2 = DD_SPLAT(0.0f);
    for (int slice = 0; slice < slices; ++slice) {
        global const vfloat *in = sums + (size_t)slice * 3 * blocks + block;
        const float other_n = ((global const float *)in)[0], both = n + other_n; /* the same for all channels */
        if (other_n > 0.0f) {
            const vfloat delta = in[blocks] - base - mean;
            const float share = other_n / both;
            mean = fma(delta, DD_SPLAT(share), mean);
            m2 = fma(delta * delta, DD_SPLAT(n * share), m2 + in[2 * blocks]);
            n = both;
        }
    }
    mean += base;
    const vfloat invstd = DD_SPLAT(1.0f) / sqrt(m2 / max(n, 1.0f) + epsilon), a = gamma[block] * invstd;
    batch_mean[block] = mean;
    batch_invstd[block] = invstd;
    scale[block] = clear_padding(gate * a, channels, block);
    shift[block] = clear_padding(gate * fma(-mean, a, beta[block]), channels, block);
    running_mean[block] = fma(DD_SPLAT(gain), mean, keep * running_mean[block]);
    running_var[block] = fma(DD_SPLAT(gain), m2 / max(n - 1.0f, 1.0f), keep * running_var[block]);
}

#define LAYER(i)                                                                                                       \
    global const vfloat *restrict sums##i, int slices##i, int channels##i, int blocks##i, float keep##i, float gain##i,\
        global const vfloat *restrict gamma##i, global const vfloat *restrict beta##i,                                 \
        global vfloat *restrict running_mean##i, global vfloat *restrict running_var##i,                               \
        global vfloat *restrict batch_mean##i, global vfloat *restrict batch_invstd##i,                                \
        global vfloat *restrict scale##i, global vfloat *restrict shift##i
#define LAYER_VALUES(i)                                                                                                \
    sums##i, slices##i, channels##i, blocks##i, keep##i, gain##i, gamma##i, beta##i, running_mean##i, running_var##i,  \
        batch_mean##i, batch_invstd##i, scale##i, shift##i

/* gate: of the first layer; the second has none. Global size: blocks of channels of all layers, or more. */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void finish_forward(float gate, float epsilon, LAYER(0)
#if LAYERS > 1
                           , LAYER(1)
#endif
)
{
    const int item = get_global_id(0);
    if (item < blocks0)
        finish_layer(item, gate, epsilon, LAYER_VALUES(0));
#if LAYERS > 1
    else if (item - blocks0 < blocks1)
        finish_layer(item - blocks0, 1.0f, epsilon, LAYER_VALUES(1));
#endif
}
