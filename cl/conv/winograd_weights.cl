/*
 * Winograd: U = G w G^T of 3 x 3 weights, and the sum of the weight gradients of slices. No sizes are build constants,
 * so one program serves every convolution of a network. Build options: V, TM (outputs of a tile along each axis, 2 or
 * 4).
 */
#include "common.clh"
#ifndef TM
#define TM 4
#endif
#define TA (TM + 2)
#define UNROLL _Pragma("unroll")

/* r = G g */
static inline void weight_line(vfloat g0, vfloat g1, vfloat g2, vfloat *r)
{
    const vfloat ends = g0 + g2;
#if TM == 4
    const vfloat quad = fma(DD_SPLAT(4.0f), g2, g0);
    r[0] = DD_SPLAT(0.25f) * g0;
    r[1] = DD_SPLAT(-1.0f / 6.0f) * (ends + g1);
    r[2] = DD_SPLAT(-1.0f / 6.0f) * (ends - g1);
    r[3] = DD_SPLAT(1.0f / 24.0f) * fma(DD_SPLAT(2.0f), g1, quad);
    r[4] = DD_SPLAT(1.0f / 24.0f) * fma(DD_SPLAT(-2.0f), g1, quad);
    r[5] = g2;
#else
    r[0] = g0;
    r[1] = DD_SPLAT(0.5f) * (ends + g1);
    r[2] = DD_SPLAT(0.5f) * (ends - g1);
    r[3] = g2;
#endif
}

/*
 * The nine weights of reduced channel k and the channels of produced block o. w: [O/V][I/V][9][V][V]. Forward: k is an
 * input channel. Transposed (backward data): k is an output channel, o an input block, taps in reverse order.
 */
static inline void load_taps(__global const float *w, int k, int o, int reduced_blocks, int produced_blocks,
                             int transposed, vfloat *taps)
{
    if (!transposed) {
        __global const vfloat *from = (__global const vfloat *)w + ((size_t)o * reduced_blocks + k / V) * 9 * V + k % V;
        for (int tap = 0; tap < 9; tap++)
            taps[tap] = from[tap * V];
    } else {
        __global const float *from = w + ((size_t)(k / V) * produced_blocks + o) * 9 * V * V + k % V;
        for (int tap = 0; tap < 9; tap++) {
            float lanes[V];
            for (int i = 0; i < V; i++)
                lanes[i] = from[((8 - tap) * V + i) * V];
            taps[tap] = DD_CAT(vload, V)(0, lanes);
        }
    }
}

/*
 * U[frequency][O'/(V unit)][K'][unit][V] for channel k of K' and block o of O', the reduced and the produced channels.
 * Takes pointers and sizes only, so that a kernel can walk a table of convolutions as well.
 */
static inline void transform_weights(__global const float *w, __global vfloat *u, int k, int o, int reduced_blocks,
                                     int produced_blocks, int unit, int transposed)
{
    vfloat taps[9], rows[TA][3];
    load_taps(w, k, o, reduced_blocks, produced_blocks, transposed, taps);
    UNROLL for (int c = 0; c < 3; c++) {
        vfloat r[TA];
        weight_line(taps[c], taps[3 + c], taps[6 + c], r);
        UNROLL for (int i = 0; i < TA; i++)
            rows[i][c] = r[i];
    }
    __global vfloat *to = u + ((size_t)(o / unit) * reduced_blocks * V + k) * unit + o % unit;
    const size_t pitch = (size_t)produced_blocks * reduced_blocks * V;
    UNROLL for (int i = 0; i < TA; i++) {
        vfloat r[TA];
        weight_line(rows[i][0], rows[i][1], rows[i][2], r);
        UNROLL for (int j = 0; j < TA; j++)
            to[(i * TA + j) * pitch] = r[j];
    }
}

/* U of one convolution. Work: (reduced channels, produced blocks). */
__kernel DD_SINGLE void winograd_weights(__global const float *restrict w, __global vfloat *restrict u,
                                         int reduced_blocks, int produced_blocks, int unit, int transposed)
{
    transform_weights(w, u, get_global_id(0), get_global_id(1), reduced_blocks, produced_blocks, unit, transposed);
}

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
