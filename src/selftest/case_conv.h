/* The case of a convolution: one algorithm, shape, direction and variant against the double reference, see case.h. */
#ifndef DD_SELFTEST_CASE_CONV_H
#define DD_SELFTEST_CASE_CONV_H

#include <stdint.h>

#include "ops/conv.h"
#include "selftest/case.h"

/**
 * Variants of a direction, 0 .. dd_case_conv_variants - 1; 0 is the plain one. Norm: dz by k1, k2, k3; relu: and
 * through a ReLU; add: to dx; keep, mask, spaced: of dd_conv_backward_data_args, mask with its sums unless it says
 * bare.
 */
enum dd_case_forward { DD_CASE_PLAIN, DD_CASE_AFFINE, DD_CASE_RELU_STATISTICS, DD_CASE_STATISTICS };
enum dd_case_data {
    DD_CASE_NORM = 1,
    DD_CASE_NORM_ADD,
    DD_CASE_RELU_ADD,
    DD_CASE_NORM_MASK,
    DD_CASE_RELU_BARE_MASK,
    DD_CASE_NORM_ADD_KEEP,
    DD_CASE_NORM_ADD_MASK,
    DD_CASE_RELU_KEEP,
    DD_CASE_NORM_SPACED,
    DD_CASE_NORM_ADD_KEEP_SPACED,
    DD_CASE_NORM_ADD_MASK_SPACED
};
enum dd_case_weights { DD_CASE_WEIGHTS_RELU_NORM = 1, DD_CASE_WEIGHTS_AFFINE, DD_CASE_WEIGHTS_RELU_RELU };
int dd_case_conv_variants(enum dd_conv_direction direction);

/**
 * The relative tolerance of a direction's main output (y, dx or dw): by how much, as a multiple of the largest sum of
 * its products' magnitudes, it may differ from the reference.
 */
double dd_case_conv_bound(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                          enum dd_conv_direction direction);

/**
 * Runs the case. *error_over_tolerance: the largest error as a multiple of its tolerance, at most 1 passes; failure
 * (size bytes) then is empty, otherwise it says which output is wrong. A driver's failure is the status. The algorithm
 * must support conv.
 */
dd_status dd_case_conv(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                       enum dd_conv_direction direction, unsigned variant, uint64_t seed, double *error_over_tolerance,
                       char *failure, size_t size);

/** algorithm->backward (not NULL): variant of backward data, with the weights' gradient by a prologue with ReLU if the
 * variant is odd. */
dd_status dd_case_conv_both(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                            unsigned variant, uint64_t seed, double *error_over_tolerance, char *failure, size_t size);

/**
 * algorithm->forward_with, or backward_with if not forward, where it takes the 1x1 convolution beside conv along,
 * against the two apart; normed: x behind batch norm and ReLU. result as in case.h.
 */
dd_status dd_case_conv_beside(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                              bool forward, bool normed, uint64_t seed, struct dd_case_result *result);

#endif
