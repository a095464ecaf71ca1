/* Launches of cl/conv/im2col.cl, see unfold.h. */
#include "ops/unfold.h"

#include <stdio.h>

#include "ops/spread.h"

static const char SOURCE[] = "conv/im2col.cl";

enum { OPTIONS_SIZE = 128 };

/* Options of the kernels that know the window. */
static void window_options(char options[OPTIONS_SIZE], const struct dd_conv *conv) {
    snprintf(options, OPTIONS_SIZE, "-DV=%d -DKERNEL=%d -DSTRIDE=%d -DPAD=%d", conv->in.v, conv->kernel, conv->stride,
             conv->pad);
}

static int part_pixels(const struct dd_part *part) {
    return part->count * part->conv->out.h * part->conv->out.w;
}

/* A launch over (length / run, rows). */
static struct dd_kernel_spec spread_spec(const char *kernel, const char *options, struct dd_spread spread,
                                         size_t length, int rows) {
    struct dd_kernel_spec spec = dd_spread_spec(spread, length, rows);
    spec.source = SOURCE;
    spec.kernel = spec.label = kernel;
    spec.options = options;
    return spec;
}

dd_status dd_unfold(dd_device *device, const struct dd_part *part, cl_mem x, const struct dd_affine *prologue,
                    struct dd_matrix to, struct dd_launches *list) {
    const struct dd_conv *conv = part->conv;
    const int taps = conv->in.c * conv->kernel * conv->kernel, pixels = part_pixels(part);
    const struct dd_spread spread = dd_spread_over(&device->info, (size_t)pixels, taps, 1);
    char options[OPTIONS_SIZE];
    window_options(options, conv);
    const struct dd_kernel_spec spec = spread_spec("unfold", options, spread, (size_t)pixels, taps);
    return DD_ADD(list, device, &spec, DD_MEM(x), DD_AFFINE_ARGS(prologue), DD_MEM(to.buffer), DD_INT(to.offset),
                  DD_INT(conv->in.h), DD_INT(conv->in.w), DD_INT(conv->out.h), DD_INT(conv->out.w), DD_INT(conv->in.n),
                  DD_INT(part->first), DD_INT(part->count), DD_INT(spread.run), DD_INT(dd_affine_kind(prologue)));
}

dd_status dd_unfold_transposed(dd_device *device, const struct dd_part *part, cl_mem x,
                               const struct dd_affine *prologue, struct dd_matrix to, struct dd_launches *list) {
    const struct dd_conv *conv = part->conv;
    /* a CPU's item writes whole rows of the matrix, elsewhere items share them */
    const int each = device->info.type == DD_DEVICE_CPU ? conv->in.c : 1, groups = dd_div_up(conv->in.c, each);
    const struct dd_spread spread = dd_spread_over(&device->info, (size_t)to.rows, groups, 1);
    char options[OPTIONS_SIZE];
    window_options(options, conv);
    const struct dd_kernel_spec spec = spread_spec("unfold_transposed", options, spread, (size_t)to.rows, groups);
    return DD_ADD(list, device, &spec, DD_MEM(x), DD_AFFINE_ARGS(prologue), DD_MEM(to.buffer), DD_INT(to.offset),
                  DD_INT(conv->in.c), DD_INT(each), DD_INT(to.columns), DD_INT(to.rows), DD_INT(conv->in.h),
                  DD_INT(conv->in.w), DD_INT(conv->out.h), DD_INT(conv->out.w), DD_INT(conv->in.n), DD_INT(part->first),
                  DD_INT(part->count), DD_INT(spread.run), DD_INT(dd_affine_kind(prologue)));
}

dd_status dd_gradient_matrix(dd_device *device, const struct dd_part *part, const struct dd_gradient *gradient,
                             struct dd_matrix to, struct dd_launches *list) {
    const struct dd_shape out = part->conv->out;
    const int pixels = part_pixels(part);
    const struct dd_spread spread = dd_spread_over(&device->info, (size_t)pixels, out.c, 1);
    char options[OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DV=%d", out.v);
    const struct dd_kernel_spec spec = spread_spec("gradient_matrix", options, spread, (size_t)pixels, out.c);
    return DD_ADD(list, device, &spec, DD_MEM(gradient->g), DD_MEM(gradient->z), DD_GRADIENT_ARGS(gradient),
                  DD_MEM(to.buffer), DD_INT(to.offset), DD_INT(out.h * out.w), DD_INT(out.n), DD_INT(part->first),
                  DD_INT(part->count), DD_INT(spread.run), DD_INT(dd_gradient_kind(gradient)));
}

dd_status dd_gradient_transposed(dd_device *device, const struct dd_part *part, const struct dd_gradient *gradient,
                                 struct dd_matrix to, struct dd_launches *list) {
    const struct dd_shape out = part->conv->out;
    const struct dd_spread spread = dd_spread_over(&device->info, (size_t)to.rows, 1, 1);
    char options[OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DV=%d", out.v);
    const struct dd_kernel_spec spec = spread_spec("gradient_transposed", options, spread, (size_t)to.rows, 1);
    return DD_ADD(list, device, &spec, DD_MEM(gradient->g), DD_MEM(gradient->z), DD_GRADIENT_ARGS(gradient),
                  DD_MEM(to.buffer), DD_INT(to.offset), DD_INT(out.c), DD_INT(to.columns), DD_INT(to.rows),
                  DD_INT(out.h * out.w), DD_INT(out.n), DD_INT(part->first), DD_INT(part->count), DD_INT(spread.run),
                  DD_INT(dd_gradient_kind(gradient)));
}

enum { FOLD_ADD = 1, FOLD_MASK = 2, FOLD_KEEP = 4 }; /* as in im2col.cl */

dd_status dd_fold(dd_device *device, const struct dd_part *part, struct dd_matrix from,
                  const struct dd_conv_backward_data_args *args, struct dd_launches *list) {
    const struct dd_conv *conv = part->conv;
    const int mode = (args->accumulate ? FOLD_ADD : 0) | (args->mask_z ? FOLD_MASK : 0) | (args->keep ? FOLD_KEEP : 0);
    const int channels = dd_shape_padded_c(conv->in);
    const size_t pixels = (size_t)part->count * conv->in.h * conv->in.w;
    const struct dd_spread spread = dd_spread_over(&device->info, pixels, channels, 1);
    char options[OPTIONS_SIZE];
    window_options(options, conv);
    const struct dd_kernel_spec spec = spread_spec("fold", options, spread, pixels, channels);
    return DD_ADD(list, device, &spec, DD_MEM(from.buffer), DD_INT(from.offset), DD_MEM(args->dx),
                  DD_MEM(args->keep ? args->keep : args->mask_z), DD_AFFINE_ARGS(&args->mask), DD_INT(conv->in.c),
                  DD_INT(conv->in.h), DD_INT(conv->in.w), DD_INT(conv->out.h), DD_INT(conv->out.w), DD_INT(conv->in.n),
                  DD_INT(part->first), DD_INT(part->count), DD_INT(spread.run), DD_INT(mode));
}

dd_status dd_matrix_to_tensor(dd_device *device, const struct dd_part *part, struct dd_matrix from, cl_mem y,
                              struct dd_launches *list) {
    const struct dd_shape out = part->conv->out;
    const int pixels = part_pixels(part), channels = dd_shape_padded_c(out);
    const struct dd_spread spread = dd_spread_over(&device->info, (size_t)pixels, channels, 1);
    char options[OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DV=%d", out.v);
    const struct dd_kernel_spec spec = spread_spec("matrix_to_tensor", options, spread, (size_t)pixels, channels);
    return DD_ADD(list, device, &spec, DD_MEM(from.buffer), DD_INT(from.offset), DD_MEM(y), DD_INT(out.c),
                  DD_INT(out.h * out.w), DD_INT(out.n), DD_INT(part->first), DD_INT(part->count), DD_INT(spread.run));
}

dd_status dd_weights_to_matrix(dd_device *device, const struct dd_conv *conv, cl_mem w, struct dd_matrix to,
                               struct dd_launches *list) {
    char options[OPTIONS_SIZE];
    snprintf(options, sizeof options, "-DKERNEL=%d", conv->kernel);
    const struct dd_kernel_spec spec = {.source = SOURCE,
                                        .kernel = "weights_to_matrix",
                                        .options = options,
                                        .label = "weights_to_matrix",
                                        .dims = 1,
                                        .global = {dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, 1, 1)}};
    return DD_ADD(list, device, &spec, DD_MEM(w), DD_MEM(to.buffer), DD_INT(to.offset), DD_INT(conv->out.c),
                  DD_INT(conv->in.c), DD_INT(conv->out.v), DD_INT(conv->in.v));
}

dd_status dd_sum_weights(dd_device *device, const struct dd_conv *conv, struct dd_matrix parts, int splits, cl_mem dw,
                         struct dd_launches *list) {
    char options[OPTIONS_SIZE];
    const size_t taps = (size_t)dd_shape_padded_c(conv->in) * conv->kernel * conv->kernel;
    snprintf(options, sizeof options, "-DKERNEL=%d", conv->kernel);
    const struct dd_kernel_spec spec = {.source = SOURCE,
                                        .kernel = "sum_weights",
                                        .options = options,
                                        .label = "sum_weights",
                                        .dims = 2,
                                        .global = {taps, (size_t)dd_shape_padded_c(conv->out)}};
    return DD_ADD(list, device, &spec, DD_MEM(parts.buffer), DD_INT(parts.offset), DD_INT(splits), DD_INT(parts.rows),
                  DD_INT(parts.columns), DD_MEM(dw), DD_INT(conv->out.c), DD_INT(conv->in.c), DD_INT(conv->out.v),
                  DD_INT(conv->in.v));
}
