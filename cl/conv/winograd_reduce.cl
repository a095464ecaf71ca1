/*
 * Winograd: the sum of the weight gradients of slices. No sizes are build constants, so one program serves every
 * convolution of a network. Build option: V.
 */
#include "common.clh"
#define UNROLL _Pragma("unroll")

/*
 * dw = the sum of partials[slices][vectors] in the order of the slices, V vectors a work-item, from vector `first` of
 * the workspace on. Work: vectors / V.
 */
__kernel DD_SINGLE void winograd_reduce(__global const vfloat *restrict workspace, int first,
                                        __global vfloat *restrict dw, int slices)
{
    const size_t at = get_global_id(0) * V, vectors = get_global_size(0) * V;
    __global const vfloat *partials = workspace + first;
    vfloat sum[V];
    UNROLL for (int i = 0; i < V; i++)
        sum[i] = partials[at + i];
    for (int s = 1; s < slices; s++)
        UNROLL for (int i = 0; i < V; i++)
            sum[i] += partials[s * vectors + at + i];
    UNROLL for (int i = 0; i < V; i++)
        dw[at + i] = sum[i];
}
