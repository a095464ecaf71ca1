/*
 * Batch normalisation: launches of cl/norm. The order of all sums is fixed by the shape and the device, so bits
 * repeat.
 */
#include <stdio.h>

#include "ops/batchnorm.h"
#include "ops/spread.h"

enum {
    SLICE_PIXELS_LEAST = 1024,
    SLICES_MOST = 256,
    CPU_TASKS_PER_UNIT = 4, /* (block, slice) pairs for each compute unit */
    GPU_TASKS_PER_UNIT = 16,
    LOCAL_FLOATS = 2048 /* 8 KiB: a quarter of the local memory that OpenCL 1.2 guarantees */
};

int dd_bn_slices(const struct dd_device_info *info, struct dd_shape shape) {
    size_t pixels = dd_shape_pixels(shape);
    size_t units = info->compute_units > 0 ? info->compute_units : 1;
    size_t tasks = units * (info->type == DD_DEVICE_CPU ? CPU_TASKS_PER_UNIT : GPU_TASKS_PER_UNIT);
    size_t blocks = (size_t)dd_shape_blocks(shape);
    size_t slices = (tasks + blocks - 1) / blocks, most = pixels / SLICE_PIXELS_LEAST;
    if (slices > most)
        slices = most;
    if (slices > SLICES_MOST)
        slices = SLICES_MOST;
    return slices > 0 ? (int)slices : 1;
}

/* Work-items of a group that reduces `vectors` vectors of v floats each in local memory. */
static int reducing_group(const struct dd_device_info *info, int vectors, int v) {
    int wanted = 64;
    while (wanted > 1 && wanted * vectors * v > LOCAL_FLOATS)
        wanted /= 2;
    return dd_group_size(info, wanted);
}

/* One group for each (block, slice). */
static struct dd_kernel_spec slices_spec(struct dd_shape shape, int slices, int group) {
    return (struct dd_kernel_spec){.dims = 3,
                                   .global = {(size_t)group, (size_t)dd_shape_blocks(shape), (size_t)slices},
                                   .local = {(size_t)group, 1, 1}};
}

/* One work-item for each channel. */
static struct dd_kernel_spec channels_spec(const char *source, const char *kernel, int count) {
    return (struct dd_kernel_spec){
        .source = source, .kernel = kernel, .label = kernel, .dims = 1, .global = {(size_t)count, 1, 1}};
}

dd_status dd_bn_partials(dd_device *device, struct dd_shape shape, cl_mem z, struct dd_partials partials,
                         struct dd_launches *list) {
    char options[64], label[64];
    int group = reducing_group(&device->info, 3, shape.v);
    struct dd_kernel_spec spec = slices_spec(shape, partials.slices, group);
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d", shape.v, group);
    snprintf(label, sizeof label, "bn_partials_v%d", shape.v);
    spec.source = "norm/bn_fwd.cl";
    spec.kernel = "bn_partials";
    spec.options = options;
    spec.label = label;
    return DD_ADD(list, device, &spec, DD_MEM(z), DD_INT(dd_shape_pixels(shape)), DD_INT(partials.slices),
                  DD_MEM(partials.sums));
}

dd_status dd_bn_inference(dd_device *device, int count, const struct dd_bn_vectors *bn, struct dd_launches *list) {
    struct dd_kernel_spec spec = channels_spec("norm/bn_fwd.cl", "bn_inference", count);
    return DD_ADD(list, device, &spec, DD_INT(count), DD_MEM(bn->gamma), DD_MEM(bn->beta), DD_MEM(bn->running_mean),
                  DD_MEM(bn->running_var), DD_MEM(bn->scale), DD_MEM(bn->shift), DD_FLOAT(DD_BN_EPSILON));
}

dd_status dd_bn_backward_partials(dd_device *device, struct dd_shape shape, const struct dd_gradient *gradient,
                                  cl_mem mean, struct dd_partials partials, struct dd_launches *list) {
    char options[64], label[64];
    bool masked = gradient->relu.scale != NULL;
    int group = reducing_group(&device->info, 2, shape.v);
    struct dd_kernel_spec spec = slices_spec(shape, partials.slices, group);
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d -DMASK=%d", shape.v, group, masked);
    snprintf(label, sizeof label, "bn_backward_partials%s_v%d", masked ? "_mask" : "", shape.v);
    spec.source = "norm/bn_bwd.cl";
    spec.kernel = "bn_backward_partials";
    spec.options = options;
    spec.label = label;
    return DD_ADD(list, device, &spec, DD_MEM(gradient->g), DD_MEM(gradient->z), DD_MEM(mean),
                  DD_AFFINE_ARGS(&gradient->relu), DD_INT(dd_shape_pixels(shape)), DD_INT(partials.slices),
                  DD_MEM(partials.sums));
}
