/*
 * The companion of the backward-weights kernels: the sum of their slices. Extents are arguments, so that one program
 * serves every convolution of a network. Build options: V as in common.clh; SV, channels in a block of x: V (the
 * default), or 1 for images.
 */
#include "common.clh"

#ifndef SV
#define SV V
#endif

/*
 * dw [targets][sources][taps][SV][V] = sum over slices, in order, of part [slices][targets][sources][taps][SV][V],
 * which begins at vector `first` of the workspace; channels from source_c and target_c on are padding and become 0.
 * Global size: taps x sources x targets. Reads part once.
 */
__kernel DD_SINGLE void weight_reduce(__global const vfloat *restrict workspace, int first,
                                      __global vfloat *restrict dw, int slices, int source_c, int target_c)
{
    __global const vfloat *part = workspace + first;
    const int tap = get_global_id(0), taps = get_global_size(0);
    const int s = get_global_id(1), sources = get_global_size(1), t = get_global_id(2), targets = get_global_size(2);
    const size_t at = (((size_t)t * sources + s) * taps + tap) * SV;
    const size_t step = (size_t)targets * sources * taps * SV;
    vfloat sums[SV];
    for (int i = 0; i < SV; i++)
        sums[i] = DD_SPLAT(0.0f);
    for (int slice = 0; slice < slices; slice++)
        for (int i = 0; i < SV; i++)
            sums[i] += part[slice * step + at + i];

    /* 1 in lanes of channels that exist */
    float lanes[V];
    for (int o = 0; o < V; o++)
        lanes[o] = t * V + o < target_c ? 1.0f : 0.0f;
    for (int i = 0; i < SV; i++) {
        const vfloat exists = s * SV + i < source_c ? DD_CAT(vload, V)(0, lanes) : DD_SPLAT(0.0f);
        dw[at + i] = DD_KEEP_POSITIVE(sums[i], exists);
    }
}
