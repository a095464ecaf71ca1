/*
 * What all operators share. An operator's setup function appends ready launches to a list (rt/launch.h); running is
 * enqueueing the list, which allocates nothing. Buffers are the caller's. Every tensor is in the blocked layout of
 * tensor/shape.h, per-channel vectors are [C padded to V]. Channel padding of every tensor that an operator writes is
 * 0.
 */
#ifndef DD_OPS_OP_H
#define DD_OPS_OP_H

#include <stdbool.h>

#include "rt/buffer.h"
#include "rt/launch.h"
#include "tensor/shape.h"

/** Per-channel y = scale * x + shift, then max(y, 0) if relu. scale NULL: y = x (and no relu). */
struct dd_affine {
    cl_mem scale, shift; /* [C] */
    bool relu;
};

/**
 * The gradient at a convolution's raw output z, as batch norm's backward leaves it (Ioffe & Szegedy 2015, 3):
 * dz = k1 * g' + k2 * z + k3 per channel, g' = g, or g * [relu.scale * z + relu.shift > 0] if relu.scale is not NULL
 * (a shortcut whose ReLU stands between its BN and the sum).
 */
struct dd_gradient {
    cl_mem g, z;       /* [C/V][N][H][W][V]; */
    cl_mem k1, k2, k3; /* [C]; all NULL: dz = g, z unused */
    struct dd_affine relu;
};

/** How kernels are told of the two: prologue none, affine, with ReLU; gradient plain, through batch norm, and ReLU. */
static inline int dd_affine_kind(const struct dd_affine *affine) {
    return affine->scale == NULL ? 0 : affine->relu ? 2 : 1;
}
static inline int dd_gradient_kind(const struct dd_gradient *gradient) {
    return gradient->k1 == NULL ? 0 : gradient->relu.scale == NULL ? 1 : 2;
}

/** Their per-channel vectors among a kernel's arguments, in the order that kernels take them. */
#define DD_AFFINE_ARGS(affine) DD_MEM((affine)->scale), DD_MEM((affine)->shift)
#define DD_GRADIENT_ARGS(gradient)                                                                                     \
    DD_MEM((gradient)->k1), DD_MEM((gradient)->k2), DD_MEM((gradient)->k3), DD_AFFINE_ARGS(&(gradient)->relu)

/**
 * Partial sums over slices of the pixels, merged later in slice order.
 * Forward statistics: [slices][3][C padded]: count, mean, M2 = sum (z - mean)^2 of the slice.
 * Backward: [slices][2][C padded]: sum g, sum g * (z - mean).
 */
struct dd_partials {
    cl_mem sums; /* NULL: not wanted */
    int slices;
};

#endif
