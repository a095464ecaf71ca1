/* Batch normalisation over N, H, W; epsilon 1e-5 (DD_BN_EPSILON); running variance from the unbiased estimate. Partial
 * sums are merged by ops/finish.h. */
#ifndef DD_OPS_BATCHNORM_H
#define DD_OPS_BATCHNORM_H

#include "ops/op.h"

#define DD_BN_EPSILON 1e-5

/** Slices that dd_bn_partials and dd_bn_backward_partials write for shape (pure). */
int dd_bn_slices(const struct dd_device_info *info, struct dd_shape shape);

/** partials (forward form of dd_partials) of z. */
dd_status dd_bn_partials(dd_device *device, struct dd_shape shape, cl_mem z, struct dd_partials partials,
                         struct dd_launches *list);

/** One layer's vectors, each [C padded]. */
struct dd_bn_vectors {
    cl_mem gamma, beta;
    cl_mem running_mean, running_var;
    cl_mem mean, invstd; /* of the batch */
    cl_mem scale, shift; /* y = scale * z + shift */
};

/** scale and shift from the running statistics, for count channels at once (all layers lie side by side; padding: gamma
 * 0, beta 0). */
dd_status dd_bn_inference(dd_device *device, int count, const struct dd_bn_vectors *bn, struct dd_launches *list);

/** partials (backward form): sum g', sum g' * (z - mean), g' = gradient->g masked by gradient->relu if that is set. */
dd_status dd_bn_backward_partials(dd_device *device, struct dd_shape shape, const struct dd_gradient *gradient,
                                  cl_mem mean, struct dd_partials partials, struct dd_launches *list);

#endif
