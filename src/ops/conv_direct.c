/*
 * The direct algorithm: convolution in registers on CPUs, without unfolding, for V > 1 (cl/conv/direct.clh says how).
 * This file chooses how a convolution is cut into bands, slices and register blocks, and prepares the launches.
 * Everything in `struct plan` is free to change as long as the constraints in the kernels' heads hold; the last bits of
 * the results change with it. Programs do not depend on the batch size.
 */
#include "ops/conv_pointwise.h"

#include <stdio.h>
#include <string.h>

enum {
    /* Bytes of private memory, which lies on the workers' stacks (a few MB) and should stay in L2 (512 KiB and more) */
    LARGEST_BAND = 512 * 1024,
    COMFORTABLE_BAND = 96 * 1024,
    LARGEST_L1 = 24 * 1024,    /* what backward weights sweeps again and again: x of one block, dz of one or two */
    LARGEST_SUMS = 192 * 1024, /* of a work-item's weight gradient, in the workspace: the same */
    /* Work-items: enough that a late or slow worker costs little */
    SLICES_PER_UNIT = 32,
    MOST_SLICES = 512,
    WEIGHT_ITEMS_PER_UNIT = 8, /* each costs a weight gradient in the workspace and in the sum over slices */
    LARGEST_PARTS = 32 << 20,  /* bytes of all of them */
};

/* How one direction of a convolution runs. Source and target: see direct.clh. */
struct plan {
    const char *file, *kernel;
    struct dd_shape source, target;
    int rows;          /* target rows of a band */
    int block_targets; /* register block: target blocks ... */
    int block_pixels;  /* ... x pixels (forward, backward data) */
    int block_values;  /* ... x values of x (backward weights) ... */
    int block_taps;    /* ... x taps, all of a row or 1 (backward weights) */
    int tap_group;     /* taps of a row that share what they load */
    int channel_unroll;
    int images;                       /* in a band (backward weights); 1 elsewhere */
    int group_sources, group_targets; /* channel blocks of a work-item (backward weights) */
    int bands_per_slice, slices;
    char options[512], label[64];
};

/* A kernel of one tap loads only the pixels it needs. */
static int band_step(const struct dd_conv *conv) {
    return conv->kernel == 1 ? 1 : conv->stride;
}

/* Pixels of one block in a band that serves rows target rows; as in the kernels' heads. */
static long band_pixels(const struct dd_conv *conv, enum dd_conv_direction direction, int rows) {
    const int stride = conv->stride, kernel = conv->kernel;
    if (direction == DD_CONV_BACKWARD_DATA) {
        const int taps = dd_div_up(kernel, stride);
        return (long)((rows + stride - 2) / stride + taps) *
               ((conv->in.w - 1 + conv->pad) / stride - conv->pad / stride + taps);
    }
    return (long)((rows - 1) * band_step(conv) + kernel) * ((conv->out.w - 1) * band_step(conv) + kernel);
}

static long band_bytes(const struct dd_conv *conv, enum dd_conv_direction direction, int rows, int blocks) {
    const struct dd_shape source = direction == DD_CONV_BACKWARD_DATA ? conv->out : conv->in;
    return band_pixels(conv, direction, rows) * blocks * source.v * (long)sizeof(float);
}

/* The even cut of height into bands of at most most rows. */
static int even_rows(int height, int most) {
    return dd_div_up(height, dd_div_up(height, most));
}

/* The batch's bands in at most about wanted slices of equal length. */
static void plan_slices(struct plan *plan, int height, int wanted) {
    const int bands = dd_div_up(plan->source.n, plan->images) * dd_div_up(height, plan->rows);
    plan->bands_per_slice = dd_div_up(bands, dd_larger(dd_smaller(bands, wanted), 1));
    plan->slices = dd_div_up(bands, plan->bands_per_slice);
}

/* Forward and backward data: all channels in one work-item, as many pixels as registers hold. */
static void plan_pixels(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction,
                        struct plan *plan) {
    const bool forward = direction == DD_CONV_FORWARD;
    const int row = forward ? plan->target.w : dd_div_up(plan->target.w, conv->stride);
    const int blocks = dd_shape_blocks(plan->source);
    int most = 8;

    while (most > 1 && band_bytes(conv, direction, most, blocks) > COMFORTABLE_BAND)
        most--;
    plan->rows = even_rows(plan->target.h, most);
    plan->block_targets = dd_conv_side_by_side(dd_shape_blocks(plan->target));
    if (plan->target.v == 16) /* 32 registers */
        plan->block_pixels = plan->block_targets == 2 ? 12 : 16;
    else /* 16 registers */
        plan->block_pixels = plan->block_targets == 2 ? 6 : 12;
    plan->block_pixels = dd_div_up(row, dd_div_up(row, plan->block_pixels));
    /* 16 registers hold the sums of two blocks, or of one and three weights */
    plan->tap_group = plan->target.v == 16 || plan->block_targets == 1 ? dd_smaller(conv->kernel, 3) : 1;
    plan->channel_unroll = plan->target.v < 16 ? 8 : plan->block_targets == 2 ? 2 : 4; /* docs/performance.md */
    plan_slices(plan, plan->target.h,
                dd_smaller(SLICES_PER_UNIT * dd_larger((int)info->compute_units, 1), MOST_SLICES));
}

/* Backward weights: the sums of a group of channel blocks should stay in L2 over a slice. */
static void plan_weights(const struct dd_device_info *info, const struct dd_conv *conv, struct plan *plan) {
    const int taps = conv->kernel * conv->kernel, v = plan->target.v;
    const int sources = dd_shape_blocks(plan->source), targets = dd_shape_blocks(plan->target);
    const long pair_bytes = (long)taps * plan->source.v * v * (long)sizeof(float);
    const long part_bytes = pair_bytes * sources * targets;
    long x_bytes, dz_bytes; /* of one block in a band */
    int most = 8, wanted, groups;

    plan->block_taps = conv->kernel == 3 && conv->stride == 1 && plan->source.v > 1 && conv->out.w >= 3 ? 3 : 1;
    plan->block_targets = targets % 2 == 0 && plan->source.v > 1 && plan->block_taps == 1 ? 2 : 1;
    if (plan->block_taps > 1)
        plan->block_values = v == 16 ? 8 : 4;
    else if (plan->source.v == 1)
        plan->block_values = conv->kernel <= 3 ? taps : conv->kernel;
    else if (v == 16)
        plan->block_values = plan->block_targets == 2 ? 8 : 16;
    else
        plan->block_values = plan->block_targets == 2 ? 4 : v;

    do {
        plan->rows = even_rows(plan->target.h, most);
        x_bytes = band_bytes(conv, DD_CONV_BACKWARD_WEIGHTS, plan->rows, 1);
        dz_bytes = (long)plan->rows * plan->target.w * v * (long)sizeof(float);
    } while (x_bytes + plan->block_targets * dz_bytes > LARGEST_L1 && most-- > 1);
    while (plan->rows == plan->target.h && plan->images < 4 &&
           2 * plan->images * (x_bytes + plan->block_targets * dz_bytes) <= LARGEST_L1)
        plan->images *= 2;

    plan->group_sources = sources;
    plan->group_targets = targets;
    while (plan->group_sources > 1 && (plan->group_sources * plan->group_targets * pair_bytes > LARGEST_SUMS ||
                                       plan->images * plan->group_sources * x_bytes > COMFORTABLE_BAND))
        plan->group_sources = dd_div_up(plan->group_sources, 2);
    while (plan->group_targets > plan->block_targets &&
           (plan->group_sources * plan->group_targets * pair_bytes > LARGEST_SUMS ||
            plan->images * plan->group_targets * dz_bytes > COMFORTABLE_BAND))
        plan->group_targets = dd_div_up(plan->group_targets, 2 * plan->block_targets) * plan->block_targets;
    groups = dd_div_up(sources, plan->group_sources) * dd_div_up(targets, plan->group_targets);
    wanted = dd_div_up(WEIGHT_ITEMS_PER_UNIT * dd_larger((int)info->compute_units, 1), groups);
    wanted = dd_smaller(wanted, dd_larger((int)(LARGEST_PARTS / part_bytes), 1));
    plan_slices(plan, plan->target.h, wanted);
}

/* The build options of the kernels' heads. */
static void write_options(const struct dd_conv *conv, enum dd_conv_direction direction, struct plan *plan) {
    const struct dd_shape *source = &plan->source, *target = &plan->target;
    const int length =
        snprintf(plan->options, sizeof plan->options,
                 "-DV=%d -DSV=%d -DKERNEL=%d -DSTRIDE=%d -DPAD=%d -DSOURCE_BLOCKS=%d -DSOURCE_H=%d -DSOURCE_W=%d "
                 "-DTARGET_BLOCKS=%d -DTARGET_H=%d -DTARGET_W=%d -DROWS=%d -DBLOCK_TARGETS=%d ",
                 conv->out.v, source->v, conv->kernel, conv->stride, conv->pad, dd_shape_blocks(*source), source->h,
                 source->w, dd_shape_blocks(*target), target->h, target->w, plan->rows, plan->block_targets);
    char *end = plan->options + length;
    const size_t left = sizeof plan->options - (size_t)length;

    if (direction == DD_CONV_BACKWARD_WEIGHTS)
        snprintf(end, left, "-DIMAGES=%d -DGROUP_SOURCES=%d -DGROUP_TARGETS=%d -DBLOCK_VALUES=%d -DBLOCK_TAPS=%d",
                 plan->images, plan->group_sources, plan->group_targets, plan->block_values, plan->block_taps);
    else
        snprintf(end, left, "-DBLOCK_PIXELS=%d -DTAP_GROUP=%d -DCHANNEL_UNROLL=%d", plan->block_pixels, plan->tap_group,
                 dd_smaller(plan->channel_unroll, source->v));
}

static void make_plan(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction,
                      struct plan *plan) {
    static const char *files[] = {"conv/direct_fwd.cl", "conv/direct_bwd_data.cl", "conv/direct_bwd_weight.cl"};
    static const char *kernels[] = {"direct_forward", "direct_backward_data", "direct_backward_weights"};
    static const char *words[] = {"forward", "backward_data", "backward_weights"};
    const bool data = direction == DD_CONV_BACKWARD_DATA;

    memset(plan, 0, sizeof *plan);
    plan->images = 1;
    plan->file = files[direction];
    plan->kernel = kernels[direction];
    plan->source = data ? conv->out : conv->in;
    plan->target = data ? conv->in : conv->out;
    if (direction == DD_CONV_BACKWARD_WEIGHTS)
        plan_weights(info, conv, plan);
    else
        plan_pixels(info, conv, direction, plan);

    write_options(conv, direction, plan);
    snprintf(plan->label, sizeof plan->label, "conv_%s_direct_%dx%ds%d_%d_%d_%dx%d_v%d", words[direction], conv->kernel,
             conv->kernel, conv->stride, conv->in.c, conv->out.c, conv->in.h, conv->in.w, conv->out.v);
}

/* Beside kinds of convolution: one row of the widest band must fit in private memory. */
static bool supports(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction) {
    const int v = conv->out.v;
    const bool weights = direction == DD_CONV_BACKWARD_WEIGHTS;
    const struct dd_shape source = direction == DD_CONV_BACKWARD_DATA ? conv->out : conv->in;
    const long row_bytes = (long)conv->out.w * v * (long)sizeof(float);

    if (info->type != DD_DEVICE_CPU || (v != 4 && v != 8 && v != 16))
        return false;
    if (conv->in.v != v && (conv->in.v != 1 || direction == DD_CONV_BACKWARD_DATA || conv->in.c > 4))
        return false;
    if ((conv->kernel != 1 && conv->kernel != 3 && conv->kernel != 7) || conv->stride > 2 ||
        conv->pad != conv->kernel / 2 || conv->out.h < 1 || conv->out.w < 1)
        return false;
    return band_bytes(conv, direction, 1, weights ? 1 : dd_shape_blocks(source)) <= LARGEST_BAND &&
           (!weights || 2 * row_bytes <= LARGEST_BAND);
}

static void needs(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction,
                  struct dd_conv_needs *needs) {
    struct plan plan;
    make_plan(info, conv, direction, &plan);
    needs->workspace = 0;
    needs->slices = plan.slices;
    const bool pointwise = dd_pointwise_supports(info, conv, direction);
    if (direction == DD_CONV_FORWARD && pointwise)
        needs->slices = dd_pointwise_slices(info, conv);
    if (direction == DD_CONV_BACKWARD_DATA) {
        needs->workspace = dd_conv_weight_bytes(conv);
        needs->both_slices = pointwise ? dd_pointwise_slices(info, conv) : plan.slices;
    }
    if (direction == DD_CONV_BACKWARD_WEIGHTS) {
        const int fused = pointwise ? 1 + dd_pointwise_slices(info, conv) : 0; /* the form of w, and slices */
        needs->workspace = dd_conv_weight_bytes(conv) * (size_t)dd_larger(plan.slices, fused);
        needs->slices = 0;
    }
}

static struct dd_kernel_spec plan_spec(const struct plan *plan) {
    return (struct dd_kernel_spec){.source = plan->file,
                                   .kernel = plan->kernel,
                                   .options = plan->options,
                                   .label = plan->label,
                                   .dims = 1,
                                   .global = {(size_t)plan->slices, 1, 1},
                                   .local = {1, 1, 1}};
}

static dd_status forward(dd_device *device, const struct dd_conv *conv, const struct dd_conv_forward_args *args,
                         struct dd_launches *list) {
    struct dd_kernel_spec spec;
    struct plan plan;
    if (dd_pointwise_supports(&device->info, conv, DD_CONV_FORWARD))
        return dd_pointwise_forward(device, conv, args, list);
    make_plan(&device->info, conv, DD_CONV_FORWARD, &plan);
    spec = plan_spec(&plan);
    return DD_ADD(list, device, &spec, DD_MEM(args->x), DD_INT(dd_affine_kind(&args->prologue)),
                  DD_AFFINE_ARGS(&args->prologue), DD_MEM(args->w), DD_MEM(args->y), DD_MEM(args->stats.sums),
                  DD_INT(args->stats.sums != NULL), DD_INT(conv->in.n), DD_INT(plan.bands_per_slice));
}

/* Backward data reads the weights transposed. */
static bool weight_form(const struct dd_conv *conv, enum dd_conv_direction direction, struct dd_weight_form *form) {
    *form = (struct dd_weight_form){.transposed = 1,
                                    .reduced = dd_shape_blocks(conv->out),
                                    .produced = dd_shape_blocks(conv->in),
                                    .unit = 1,
                                    .taps = conv->kernel * conv->kernel,
                                    .v = conv->out.v};
    return direction == DD_CONV_BACKWARD_DATA;
}

/* STORE_... of direct_bwd_data.cl; keep is a mask_z that needs no scale and shift. */
enum { STORE_PLAIN, STORE_ADD, STORE_MASK, STORE_ADD_MASK };

static int store_kind(const struct dd_conv_backward_data_args *args) {
    if (args->keep != NULL || args->mask_z != NULL)
        return args->accumulate ? STORE_ADD_MASK : STORE_MASK;
    return args->accumulate ? STORE_ADD : STORE_PLAIN;
}

static dd_status backward_data(dd_device *device, const struct dd_conv *conv,
                               const struct dd_conv_backward_data_args *args, struct dd_launches *list) {
    const struct dd_gradient *dz = &args->dz;
    const int store = store_kind(args);
    struct dd_kernel_spec spec;
    struct dd_weight_form transposed;
    struct plan plan;
    cl_mem w;

    weight_form(conv, DD_CONV_BACKWARD_DATA, &transposed);
    DD_TRY(dd_weight_have(device, &transposed, args->w, args->form, args->workspace, list, &w));
    make_plan(&device->info, conv, DD_CONV_BACKWARD_DATA, &plan);
    spec = plan_spec(&plan);
    return DD_ADD(list, device, &spec, DD_MEM(dz->g), DD_MEM(dz->z), DD_INT(dd_gradient_kind(dz)), DD_GRADIENT_ARGS(dz),
                  DD_MEM(w), DD_MEM(args->dx), DD_INT(store), DD_MEM(args->keep != NULL ? args->keep : args->mask_z),
                  DD_INT(args->mask.scale != NULL), DD_AFFINE_ARGS(&args->mask), DD_MEM(args->mean),
                  DD_MEM(args->sums.sums), DD_INT(store >= STORE_MASK && args->sums.sums != NULL), DD_INT(args->spaced),
                  DD_INT(conv->in.n), DD_INT(plan.bands_per_slice));
}

static dd_status backward_weights(dd_device *device, const struct dd_conv *conv,
                                  const struct dd_conv_backward_weights_args *args, struct dd_launches *list) {
    const struct dd_gradient *dz = &args->dz;
    struct dd_kernel_spec spec;
    struct plan plan;

    make_plan(&device->info, conv, DD_CONV_BACKWARD_WEIGHTS, &plan);
    spec = plan_spec(&plan);
    spec.dims = 3;
    spec.global[1] = (size_t)dd_div_up(dd_shape_blocks(conv->in), plan.group_sources);
    spec.global[2] = (size_t)dd_div_up(dd_shape_blocks(conv->out), plan.group_targets);
    DD_TRY(DD_ADD(list, device, &spec, DD_MEM(args->x), DD_INT(dd_affine_kind(&args->prologue)),
                  DD_AFFINE_ARGS(&args->prologue), DD_MEM(dz->g), DD_MEM(dz->z), DD_INT(dd_gradient_kind(dz)),
                  DD_GRADIENT_ARGS(dz), DD_MEM(args->workspace), DD_INT(conv->in.n), DD_INT(plan.bands_per_slice)));
    return dd_conv_add_slices(device, conv, args, 0, plan.slices, list);
}

/* Both gradients: in one pass where that is built, else one after the other. */
static dd_status backward(dd_device *device, const struct dd_conv *conv, const struct dd_conv_backward_data_args *data,
                          const struct dd_conv_backward_weights_args *weights, struct dd_launches *list) {
    if (dd_pointwise_supports(&device->info, conv, DD_CONV_BACKWARD_DATA)) {
        struct dd_weight_form transposed;
        cl_mem w;
        weight_form(conv, DD_CONV_BACKWARD_DATA, &transposed);
        DD_TRY(dd_weight_have(device, &transposed, data->w, data->form, data->workspace, list, &w));
        return dd_pointwise_backward(device, conv, w, data, weights, list);
    }
    const struct dd_conv_backward_weights_args first = dd_conv_weights_before_data(weights, data);
    DD_TRY(backward_weights(device, conv, &first, list));
    return backward_data(device, conv, data, list);
}

const struct dd_conv_algorithm dd_conv_direct = {
    .name = "direct",
    .spaced = true,
    .supports = supports,
    .needs = needs,
    .form = weight_form,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weights = backward_weights,
    .backward = backward,
};
