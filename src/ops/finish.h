/*
 * What large launches leave in partial sums, merged: statistics and reductions of batch norms, weight gradients in
 * slices. A launch that waits for the one before costs as much as these sums, so those that fall due together share
 * one.
 */
#ifndef DD_OPS_FINISH_H
#define DD_OPS_FINISH_H

#include "ops/batchnorm.h"
#include "ops/conv.h"

enum { DD_FINISH_MOST = 2 }; /* layers, and weight gradients, of a launch */
enum { DD_FINISH_GATE = 0 }; /* index of the gate among the arguments of both kernels */

/** The merge of one layer's forward partials. */
struct dd_forward_layer {
    struct dd_shape shape; /* of the tensor that is normalised */
    struct dd_partials partials;
    struct dd_bn_vectors vectors;
    float keep, gain; /* running = keep * running + gain * the batch's (variance unbiased). Training: 0.9, 0.1 */
};

/**
 * mean and invstd of the batch, scale = gate * gamma * invstd, shift = gate * (beta - mean * gamma * invstd) and the
 * running statistics of layers [count], at most DD_FINISH_MOST. gate, of the first alone, is 1; the masked reference
 * step sets it to 0 (argument DD_FINISH_GATE of the launch). Padding channels get scale = shift = 0.
 */
dd_status dd_finish_forward(dd_device *device, const struct dd_forward_layer *layers, int count, float gate,
                            struct dd_launches *list);

/**
 * The merge of one layer's backward partials: dbeta = gate * sum g, dgamma = gate * invstd * sum g (z - mean), and the
 * vectors of dd_gradient for P pixels a channel, all times gate: k1 = gamma * invstd, k2 = -k1 * invstd * dgamma / P,
 * k3 = -k1 * dbeta / P - k2 * mean.
 */
struct dd_backward_layer {
    struct dd_shape shape; /* of z */
    struct dd_partials partials;
    cl_mem gamma, mean, invstd; /* [C padded] each, as all these vectors */
    cl_mem dgamma, dbeta, k1, k2, k3;
};

/** dw = the sum of slices of the weight gradient of conv, each in dw's order, from vector `first` of the workspace on.
 */
struct dd_weight_sum {
    struct dd_conv conv;
    cl_mem workspace, dw;
    size_t first;
    int slices;
};

/** All that falls due together; the weights' x have blocks of the same size. */
struct dd_backward_finish {
    struct dd_backward_layer layers[DD_FINISH_MOST];
    struct dd_weight_sum sums[DD_FINISH_MOST];
    int layer_count, sum_count;
};

/** One launch, or none if there is nothing to do; gate as above. */
dd_status dd_finish_backward(dd_device *device, const struct dd_backward_finish *finish, float gate,
                             struct dd_launches *list);

#endif
