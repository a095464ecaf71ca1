/*
 * Width dropout (Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov 2014): each element is set to 0 with
 * probability ratio, else multiplied by 1 / (1 - ratio). The mask is a pure function of seed, iteration, unit and the
 * element's place in N, C, H, W order, so it is not stored, and is the same on every device and in every layout:
 * element e is dropped iff w * 2^-32 < ratio, w = word e % 4 of Philox counter (iteration, unit, 4, e / 4).
 */
#ifndef DD_OPS_DROPOUT_H
#define DD_OPS_DROPOUT_H

#include "ops/op.h"

struct dd_dropout {
    struct dd_shape shape; /* less than 2^32 elements */
    uint64_t seed;
    int unit;                /* of the counter */
    double ratio;            /* in [0, 1) */
    struct dd_affine affine; /* batch norm and ReLU before it, by x; scale NULL: neither */
};
enum { DD_DROPOUT_ITERATION_ARG = 0 }; /* index of the iteration, 0 at first, among the arguments of both kernels */

/** y = dropout(ReLU(affine(x))), or dropout(x); y may be x. DD_ERROR_USAGE if the tensor is too large. */
dd_status dd_dropout_forward(dd_device *device, const struct dd_dropout *dropout, cl_mem x, cl_mem y,
                             struct dd_launches *list);

/** In place, g by y -> g behind the batch norm, masked by its ReLU; without affine, g by x (x is then not read). */
dd_status dd_dropout_backward(dd_device *device, const struct dd_dropout *dropout, cl_mem x, cl_mem g,
                              struct dd_launches *list);

#endif
