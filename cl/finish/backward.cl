/*
 * What backward launches leave behind: merges the reductions of up to two batch norms into their gradients and the
 * vectors of dz = k1 * g + k2 * z + k3 (ops/op.h), and adds up the slices of up to two weight gradients. Slices are
 * taken in order, so that the bits are the same in every run, whatever shares the launch.
 *
 * Build options: V as in common.clh; LAYERS, batch norms, and SUMS, weight gradients, 0 to 2 each; SV, channels in a
 * block of the weight gradients' x: V (default), or 1 for images; GROUP, work-items of a group (1 on CPUs).
 */
#include "common.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef LAYERS
#define LAYERS 1
#endif
#ifndef SUMS
#define SUMS 0
#endif
#ifndef SV
#define SV V
#endif
#ifndef GROUP
#define GROUP 1
#endif

/* sums [slices][2][blocks][V]; vectors [blocks][V]; pixels: of a channel. gate 0: its gradients vanish. */
INLINE void finish_layer(int block, float gate, global const vfloat *sums, int slices, int channels, int blocks,
                         float pixels, global const vfloat *gamma, global const vfloat *mean,
                         global const vfloat *invstd, global vfloat *dgamma, global vfloat *dbeta, global vfloat *k1,
                         global vfloat *k2, global vfloat *k3)
{
    vfloat sum_g = DD_SPLAT(0.0f), sum_gz = DD_SPLAT(0.0f);
    for (int slice = 0; slice < slices; ++slice) {
        global const vfloat *in = sums + (size_t)slice * 2 * blocks + block;
        sum_g += in[0];
        sum_gz += in[blocks];
    }
    const vfloat a = gamma[block] * invstd[block], by_gamma = invstd[block] * sum_gz;
    const vfloat by_z = -a * invstd[block] * by_gamma / pixels;
    dgamma[block] = clear_padding(gate * by_gamma, channels, block);
    dbeta[block] = clear_padding(gate * sum_g, channels, block);
    k1[block] = clear_padding(gate * a, channels, block);
    k2[block] = clear_padding(gate * by_z, channels, block);
    k3[block] = clear_padding(gate * fma(-by_z, mean[block], -a * sum_g / pixels), channels, block);
}

/*
 * Tap and pair of channel blocks number `item` of dw [targets][sources][taps][SV][V] = sum over slices of part
 * [slices][targets][sources][taps][SV][V], which begins at vector `first` of the workspace; channels from source_c and
 * target_c on are padding and become 0.
 */
INLINE void add_slices(int item, global const vfloat *workspace, int first, int slices, int taps, int source_c,
                       int target_c, int sources, int targets, global vfloat *dw)
{
    global const vfloat *part = workspace + first;
    const int s = item / taps % sources, t = item / taps / sources;
    const size_t at = (size_t)item * SV, step = (size_t)targets * sources * taps * SV;
    vfloat sums[SV];
    for (int i = 0; i < SV; i++)
        sums[i] = DD_SPLAT(0.0f);
    for (int slice = 0; slice < slices; slice++)
        for (int i = 0; i < SV; i++)
            sums[i] += part[slice * step + at + i];
    for (int i = 0; i < SV; i++)
        dw[at + i] = s * SV + i < source_c ? clear_padding(sums[i], target_c, t) : DD_SPLAT(0.0f);
}

#define LAYER(i)                                                                                                       \
    , global const vfloat *restrict sums##i, int slices##i, int channels##i, int blocks##i, float pixels##i,           \
        global const vfloat *restrict gamma##i, global const vfloat *restrict mean##i,                                 \
        global const vfloat *restrict invstd##i, global vfloat *restrict dgamma##i, global vfloat *restrict dbeta##i,  \
        global vfloat *restrict k1##i, global vfloat *restrict k2##i, global vfloat *restrict k3##i
#define LAYER_VALUES(i)                                                                                                \
    sums##i, slices##i, channels##i, blocks##i, pixels##i, gamma##i, mean##i, invstd##i, dgamma##i, dbeta##i, k1##i,   \
        k2##i, k3##i
#define SUM(i)                                                                                                         \
    , global const vfloat *restrict workspace##i, int first##i, int part_slices##i, int taps##i, int source_c##i,      \
        int target_c##i, int sources##i, int targets##i, global vfloat *restrict dw##i
#define SUM_VALUES(i)                                                                                                  \
    workspace##i, first##i, part_slices##i, taps##i, source_c##i, target_c##i, sources##i, targets##i, dw##i

/* The item's turn among `count` items, as statement, where earlier ones are taken off. */
#define TURN(count, statement)                                                                                         \
    if (item < (count)) {                                                                                              \
        statement;                                                                                                     \
        return;                                                                                                        \
    }                                                                                                                  \
    item -= (count);

/* gate: of the first layer; the second has none. Global size: items of all sums and blocks of all layers, or more. */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void finish_backward(float gate
#if LAYERS > 0
                            LAYER(0)
#endif
#if LAYERS > 1
                            LAYER(1)
#endif
#if SUMS > 0
                            SUM(0)
#endif
#if SUMS > 1
                            SUM(1)
#endif
)
{
    int item = get_global_id(0);
#if SUMS > 0
    TURN(taps0 * sources0 * targets0, add_slices(item, SUM_VALUES(0)))
#endif
#if SUMS > 1
    TURN(taps1 * sources1 * targets1, add_slices(item, SUM_VALUES(1)))
#endif
#if LAYERS > 0
    TURN(blocks0, finish_layer(item, gate, LAYER_VALUES(0)))
#endif
#if LAYERS > 1
    TURN(blocks1, finish_layer(item, 1.0f, LAYER_VALUES(1)))
#endif
}
