/* 1x1 convolutions on CPUs, forward (stride 1) and both gradients in one pass: a part of the `direct` algorithm. */
#ifndef DD_OPS_CONV_POINTWISE_H
#define DD_OPS_CONV_POINTWISE_H

#include "ops/conv.h"

/** Whether the forward pass, or for the other directions that of both gradients, serves this convolution. */
bool dd_pointwise_supports(const struct dd_device_info *info, const struct dd_conv *conv,
                           enum dd_conv_direction direction);

/** Slices: of the forward statistics, of backward's sums, and of the weight gradient (pure). */
int dd_pointwise_slices(const struct dd_device_info *info, const struct dd_conv *conv);

/** The build options of cl/conv/pointwise_block.clh for this convolution's forward pass, or for that of both gradients,
 * with a space before each. The length, as snprintf. */
int dd_pointwise_block_options(char *options, size_t size, const struct dd_conv *conv,
                               enum dd_conv_direction direction);

dd_status dd_pointwise_forward(dd_device *device, const struct dd_conv *conv, const struct dd_conv_forward_args *args,
                               struct dd_launches *list);

/** wt: the form of the weights that the direct backward data reads; in the workspace, slices begin behind it. */
dd_status dd_pointwise_backward(dd_device *device, const struct dd_conv *conv, cl_mem wt,
                                const struct dd_conv_backward_data_args *data,
                                const struct dd_conv_backward_weights_args *weights, struct dd_launches *list);

#endif
