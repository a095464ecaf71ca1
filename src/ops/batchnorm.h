/* Batch normalisation over N, H, W; epsilon 1e-5 (DD_BN_EPSILON); running variance from the unbiased estimate. */
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

/**
 * Merges the partials of a layer with `channels` channels into mean and invstd, scale = gate * gamma * invstd,
 * shift = gate * (beta - mean * gamma * invstd), and moves the running statistics:
 * running = keep * running + gain * batch value (variance unbiased). Training: keep 0.9, gain 0.1.
 * gate is 1; the masked reference step sets it to 0 (argument DD_BN_GATE_ARG of the launch).
 * Padding channels get scale = shift = 0.
 */
dd_status dd_bn_finish(dd_device *device, int channels, int padded, struct dd_partials partials,
                       const struct dd_bn_vectors *bn, float keep, float gain, float gate, struct dd_launches *list);
enum { DD_BN_GATE_ARG = 0 }; /* index of the gate among the arguments of both finish kernels */

/** scale and shift from the running statistics, for count channels at once (all layers lie side by side; padding: gamma
 * 0, beta 0). */
dd_status dd_bn_inference(dd_device *device, int count, const struct dd_bn_vectors *bn, struct dd_launches *list);

/** partials (backward form): sum g', sum g' * (z - mean), g' = gradient->g masked by gradient->relu if that is set. */
dd_status dd_bn_backward_partials(dd_device *device, struct dd_shape shape, const struct dd_gradient *gradient,
                                  cl_mem mean, struct dd_partials partials, struct dd_launches *list);

/**
 * Merges backward partials: dbeta = gate * sum g, dgamma = gate * invstd * sum g (z - mean), and the three vectors of
 * dd_gradient for `pixels` pixels a channel (all times gate): k1 = gamma * invstd, k2 = -k1 * invstd * dgamma / pixels,
 * k3 = -k1 * dbeta / pixels - k2 * mean.
 */
dd_status dd_bn_backward_finish(dd_device *device, int channels, int padded, size_t pixels, struct dd_partials partials,
                                const struct dd_bn_vectors *bn, float gate, cl_mem dgamma, cl_mem dbeta, cl_mem k1,
                                cl_mem k2, cl_mem k3, struct dd_launches *list);

#endif
