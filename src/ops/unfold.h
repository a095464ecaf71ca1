/*
 * Launches of cl/conv/im2col.cl: what a convolution by matrix products needs around them, for a part of the batch.
 * Matrices lie in a buffer at an offset (in floats); P = count * Ho * Wo counts the output pixels of the part, K = I *
 * kernel * kernel the taps.
 */
#ifndef DD_OPS_UNFOLD_H
#define DD_OPS_UNFOLD_H

#include "ops/conv.h"

/** Images first .. first + count - 1 of a convolution's batch. */
struct dd_part {
    const struct dd_conv *conv;
    int first, count;
};

/** A matrix in memory; rows and columns may exceed P, K, O: the rest is then written as 0 (only the transposed forms do
 * so). */
struct dd_matrix {
    cl_mem buffer;
    size_t offset;
    int rows, columns;
};

/** x -> [K][P], and its transpose [rows >= P][columns >= K]. */
dd_status dd_unfold(dd_device *device, const struct dd_part *part, cl_mem x, const struct dd_affine *prologue,
                    struct dd_matrix to, struct dd_launches *list);
dd_status dd_unfold_transposed(dd_device *device, const struct dd_part *part, cl_mem x,
                               const struct dd_affine *prologue, struct dd_matrix to, struct dd_launches *list);

/** dz -> [O][P], and its transpose [rows >= P][columns >= O]. */
dd_status dd_gradient_matrix(dd_device *device, const struct dd_part *part, const struct dd_gradient *gradient,
                             struct dd_matrix to, struct dd_launches *list);
dd_status dd_gradient_transposed(dd_device *device, const struct dd_part *part, const struct dd_gradient *gradient,
                                 struct dd_matrix to, struct dd_launches *list);

/** [K][P] -> the part's images of args->dx, by args' accumulate and mask. */
dd_status dd_fold(dd_device *device, const struct dd_part *part, struct dd_matrix from,
                  const struct dd_conv_backward_data_args *args, struct dd_launches *list);

/** [O][P] -> the part's images of y. */
dd_status dd_matrix_to_tensor(dd_device *device, const struct dd_part *part, struct dd_matrix from, cl_mem y,
                              struct dd_launches *list);

/** Weights in device order -> [O][K]. */
dd_status dd_weights_to_matrix(dd_device *device, const struct dd_conv *conv, cl_mem w, struct dd_matrix to,
                               struct dd_launches *list);

/** Sum of splits matrices [rows >= O][columns >= K], one behind the other, in order -> dw in device order. */
dd_status dd_sum_weights(dd_device *device, const struct dd_conv *conv, struct dd_matrix parts, int splits, cl_mem dw,
                         struct dd_launches *list);

#endif
