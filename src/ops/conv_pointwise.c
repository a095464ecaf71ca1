/* Launches of cl/conv/pointwise_fwd.cl and pointwise_bwd.cl. Sizes here are free to change within the constraints of
 * the kernel's head. */
#include "ops/conv_pointwise.h"

#include <stdio.h>

#include "base/integer.h"

enum {
    SLICES_PER_UNIT = 4, /* work-items per compute unit: each leaves a weight gradient to add up */
    PIXELS_LEAST = 256,  /* of a slice: below that the slice's own weight gradient costs more than its pixels */
    MOST_SLICES = 512,
    LARGEST_PARTS = 32 << 20, /* bytes of weight gradient slices in the workspace */
    SUMS = 16,                /* of a register block: chains of multiply-adds beside each other ... */
    SUMS_NARROW = 8,          /* ... with shorter vectors than 16, where there may be 16 registers */
    CHUNK = 16, /* pixels, a multiple of SUMS: while one is computed, the next is fetched, which keeps memory busy */
    LARGEST_WEIGHTS = 128 * 1024, /* bytes of a weight gradient in private memory */
};

bool dd_pointwise_supports(const struct dd_device_info *info, const struct dd_conv *conv,
                           enum dd_conv_direction direction) {
    return info->type == DD_DEVICE_CPU && conv->kernel == 1 && conv->pad == 0 && conv->in.v == conv->out.v &&
           conv->out.v >= 4 && (conv->stride == 1 || direction != DD_CONV_FORWARD) &&
           dd_conv_weight_bytes(conv) <= LARGEST_WEIGHTS;
}

int dd_pointwise_slices(const struct dd_device_info *info, const struct dd_conv *conv) {
    const size_t pixels = dd_shape_pixels(conv->out);
    size_t slices = SLICES_PER_UNIT * (size_t)(info->compute_units > 0 ? info->compute_units : 1);
    const size_t limits[] = {pixels / PIXELS_LEAST, MOST_SLICES, LARGEST_PARTS / dd_conv_weight_bytes(conv)};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        slices = limits[i] < slices ? limits[i] : slices;
    const int run = dd_div_up((int)pixels, slices > 0 ? (int)slices : 1);
    return dd_div_up((int)pixels, run); /* none of which is empty */
}

/* Blocks of outputs that a register block of products has side by side: four of 16 channels load less than two. */
static int products_side(int v, int blocks) {
    return v >= 16 && blocks % 4 == 0 ? 4 : dd_conv_side_by_side(blocks);
}

/* Pixels or channels of a register block of so many blocks of channels. */
static int block_values(int v, int side) {
    return (v >= 16 ? SUMS : SUMS_NARROW) / side;
}

int dd_pointwise_block_options(char *options, size_t size, const struct dd_conv *conv,
                               enum dd_conv_direction direction) {
    const int v = conv->out.v, sources = dd_shape_blocks(conv->in), targets = dd_shape_blocks(conv->out);
    if (direction == DD_CONV_FORWARD) {
        const int side = products_side(v, targets);
        return snprintf(options, size, " -DPIXELS=%d -DSIDE=%d -DBLOCK=%d", CHUNK, side, block_values(v, side));
    }
    const int side = products_side(v, sources), wide = dd_conv_side_by_side(targets);
    return snprintf(options, size, " -DPIXELS=%d -DSIDE=%d -DBLOCK=%d -DBLOCK_TARGETS=%d -DBLOCK_VALUES=%d", CHUNK,
                    side, block_values(v, side), wide, dd_smaller(v, block_values(v, wide)));
}

/* The build options of both kernels' heads. */
static void write_options(char *options, size_t size, const struct dd_conv *conv, enum dd_conv_direction direction) {
    int used = snprintf(options, size, "-DV=%d -DSOURCES=%d -DTARGETS=%d -DSTRIDE=%d", conv->out.v,
                        dd_shape_blocks(conv->in), dd_shape_blocks(conv->out), conv->stride);
    used += dd_pointwise_block_options(options + used, size - (size_t)used, conv, direction);
    if (conv->stride > 1)
        snprintf(options + used, size - (size_t)used, " -DIN_H=%d -DIN_W=%d -DOUT_H=%d -DOUT_W=%d", conv->in.h,
                 conv->in.w, conv->out.h, conv->out.w);
}

/* One work-item a slice. */
static struct dd_kernel_spec pointwise_spec(int slices, const char *source, const char *kernel, const char *options,
                                            const char *label) {
    return (struct dd_kernel_spec){.source = source,
                                   .kernel = kernel,
                                   .options = options,
                                   .label = label,
                                   .dims = 1,
                                   .global = {(size_t)slices},
                                   .local = {1}};
}

/* Slices of equal length. */
static struct dd_conv_cut own_cut(const dd_device *device, const struct dd_conv *conv) {
    const int slices = dd_pointwise_slices(&device->info, conv), pixels = (int)dd_shape_pixels(conv->out);
    return (struct dd_conv_cut){
        .slices = slices, .bands = 1, .groups = 1, .group_pixels = dd_div_up(pixels, slices), .band_pixels = 0};
}

dd_status dd_pointwise_forward(dd_device *device, const struct dd_conv *conv, const struct dd_conv_forward_args *args,
                               struct dd_launches *list) {
    const int v = conv->out.v;
    char options[256], label[64];
    write_options(options, sizeof options, conv, DD_CONV_FORWARD);
    snprintf(label, sizeof label, "conv_forward_direct_1x1s1_%d_%d_v%d", conv->in.c, conv->out.c, v);
    const struct dd_conv_cut cut = args->cut.slices > 0 ? args->cut : own_cut(device, conv);
    const struct dd_kernel_spec spec =
        pointwise_spec(cut.slices, "conv/pointwise_fwd.cl", "pointwise_forward", options, label);
    return DD_ADD(list, device, &spec, DD_MEM(args->x), DD_INT(dd_affine_kind(&args->prologue)),
                  DD_AFFINE_ARGS(&args->prologue), DD_MEM(args->w), DD_MEM(args->y), DD_MEM(args->stats.sums),
                  DD_INT(args->stats.sums != NULL), DD_INT(dd_shape_pixels(conv->out)), DD_INT(cut.bands),
                  DD_INT(cut.groups), DD_INT(cut.group_pixels), DD_INT(cut.band_pixels));
}

enum { STORE_ADD = 1, STORE_MASK = 2, STORE_SUMS = 4, STORE_SPACED = 8 }; /* bits, as in pointwise_bwd.cl */

static int store_kind(const struct dd_conv_backward_data_args *data) {
    return (data->accumulate ? STORE_ADD : 0) | (data->keep != NULL || data->mask_z != NULL ? STORE_MASK : 0) |
           (data->sums.sums != NULL ? STORE_SUMS : 0) | (data->spaced ? STORE_SPACED : 0);
}

dd_status dd_pointwise_backward(dd_device *device, const struct dd_conv *conv, cl_mem wt,
                                const struct dd_conv_backward_data_args *data,
                                const struct dd_conv_backward_weights_args *weights, struct dd_launches *list) {
    const struct dd_affine *prologue = &weights->prologue;
    const struct dd_gradient *dz = &data->dz;
    const int v = conv->out.v;
    char options[256], label[64];
    write_options(options, sizeof options, conv, DD_CONV_BACKWARD_DATA);
    snprintf(label, sizeof label, "conv_backward_direct_1x1s%d_%d_%d_v%d", conv->stride, conv->in.c, conv->out.c, v);
    const struct dd_kernel_spec spec = pointwise_spec(dd_pointwise_slices(&device->info, conv), "conv/pointwise_bwd.cl",
                                                      "pointwise_backward", options, label);
    const size_t first = dd_conv_weight_bytes(conv) / sizeof(float) / (size_t)v;
    DD_TRY(DD_ADD(list, device, &spec, DD_MEM(weights->x), DD_INT(dd_affine_kind(prologue)), DD_AFFINE_ARGS(prologue),
                  DD_MEM(dz->g), DD_MEM(dz->z), DD_INT(dd_gradient_kind(dz)), DD_GRADIENT_ARGS(dz), DD_MEM(wt),
                  DD_MEM(data->dx), DD_INT(store_kind(data)), DD_MEM(data->mean), DD_MEM(data->sums.sums),
                  DD_MEM(weights->workspace), DD_INT(first), DD_INT(dd_shape_pixels(conv->out)),
                  DD_INT(dd_shape_pixels(conv->in))));
    return dd_conv_add_slices(device, conv, weights, first, (int)spec.global[0], list);
}
