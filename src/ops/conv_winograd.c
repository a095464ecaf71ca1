/*
 * Convolution by Winograd's minimal filtering: fused CPU kernels of cl/conv/winograd*.cl for 3x3, stride 1, pad 1 and
 * blocked tensors (v = 4, 8, 16). Here: the workspace and the launches; ops/winograd_blocking.h says how a batch is
 * cut.
 *
 * Rounding: the terms of F(4x4,3x3) are larger than the direct sum's. With rows of ones for signs, the worst output
 * along one axis adds up |A^T| (|G| 1 * |B^T| 1) = 48 where the direct sum has 3: a factor of 16, and 256 in the
 * plane, for the bound that holds in any case; independent roundings grow about as its root, 16, at the worst output
 * and less at others. For F(2x2,3x3) the same gives 7 and 2.7. Tests allow 8 times what they allow a direct
 * convolution, epsilon S (8 + sqrt(L) / 4) for L products whose magnitudes add up to S, and see at most 0.36 of that.
 * In the root mean square, relative to the result: 0.8e-6, 0.9e-6, 1.3e-6, 2.4e-6 for 16, 32, 64, 512 channels
 * forward, 1.0e-6 to 3.4e-6 backward, 0.2e-6 to 0.5e-6 for weights; 0.3e-6 for F(2x2,3x3).
 */
#include <stdio.h>

#include "ops/conv_pointwise.h"
#include "ops/winograd_blocking.h"

/* Bits of the kernels' flags, as in conv/winograd.clh */
enum { AFFINE = 1, AFFINE_RELU = 2, NORM = 4, GRADIENT_RELU = 8, PARTIALS = 16 };

/* EPILOGUE of conv/winograd_data.clh */
enum epilogue { STATISTICS = 1, PLAIN, ADD, MASK, ADD_MASK, KEEP, ADD_KEEP };

/* ---- the table's entries ---- */

static bool supports(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction) {
    const int v = conv->in.v;
    if (info->type != DD_DEVICE_CPU || conv->kernel != 3 || conv->stride != 1 || conv->pad != 1)
        return false;
    if (conv->out.v != v || (v != 4 && v != 8 && v != 16))
        return false;
    if (direction == DD_CONV_BACKWARD_WEIGHTS) {
        const struct dd_winograd_weights b = dd_winograd_block_weights(info, conv);
        return dd_winograd_weights_bytes(&b, conv->in) <= DD_WINOGRAD_PRIVATE_BYTES;
    }
    const struct dd_winograd_data b = dd_winograd_block_data(info, conv, direction == DD_CONV_BACKWARD_DATA);
    return dd_winograd_data_bytes(&b, conv->in) <= DD_WINOGRAD_PRIVATE_BYTES;
}

/* U, as dd_winograd_block_data takes it apart. */
static bool weight_form(const struct dd_conv *conv, enum dd_conv_direction direction, struct dd_weight_form *form) {
    const bool backward = direction == DD_CONV_BACKWARD_DATA;
    const int produced = dd_shape_blocks(backward ? conv->in : conv->out);
    *form = (struct dd_weight_form){.tile = dd_winograd_tile(conv->in),
                                    .transposed = backward,
                                    .reduced = dd_shape_blocks(backward ? conv->out : conv->in),
                                    .produced = produced,
                                    .unit = dd_conv_side_by_side(produced),
                                    .taps = 9,
                                    .v = conv->in.v};
    return direction != DD_CONV_BACKWARD_WEIGHTS;
}

static size_t form_bytes(const struct dd_conv *conv, enum dd_conv_direction direction) {
    struct dd_weight_form transformed;
    weight_form(conv, direction, &transformed);
    return dd_weight_form_floats(&transformed) * sizeof(float);
}

static size_t partial_bytes(const struct dd_winograd_weights *b, int v) {
    return (size_t)b->slices * b->xb * b->gb * 9 * v * v * sizeof(float);
}

/* The weight gradients of all slices of a 1x1 convolution that is taken along: one tap instead of nine. */
static size_t side_partial_bytes(const struct dd_winograd_weights *b, int v) {
    return partial_bytes(b, v) / 9;
}

/* Where weight gradients begin in the workspace of a kernel of both directions, behind U; in vectors. */
static size_t fused_offset(const struct dd_conv *conv) {
    return form_bytes(conv, DD_CONV_BACKWARD_DATA) / sizeof(float) / (size_t)conv->in.v;
}

static size_t side_offset(const struct dd_conv *conv, const struct dd_winograd_weights *b) {
    return fused_offset(conv) + partial_bytes(b, conv->in.v) / sizeof(float) / (size_t)conv->in.v;
}

static void needs(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction,
                  struct dd_conv_needs *needs) {
    const int v = conv->in.v;
    if (direction == DD_CONV_BACKWARD_WEIGHTS) {
        struct dd_winograd_data data;
        struct dd_winograd_weights b = dd_winograd_block_weights(info, conv), fused;
        size_t both = 0;
        if (dd_winograd_block_both(info, conv, &data, &fused))
            both = form_bytes(conv, DD_CONV_BACKWARD_DATA) + partial_bytes(&fused, v) + side_partial_bytes(&fused, v);
        needs->slices = 0;
        needs->workspace = dd_larger_size(partial_bytes(&b, v), both);
        return;
    }
    const struct dd_winograd_data b = dd_winograd_block_data(info, conv, direction == DD_CONV_BACKWARD_DATA);
    needs->slices = needs->both_slices = b.slices;
    needs->workspace = form_bytes(conv, direction);
}

/* ---- launches ---- */

/* A kernel of one-item work-groups; options and label are filled in by the caller. */
static struct dd_kernel_spec make_spec(const char *source, const char *kernel, const char *options, const char *label,
                                       int x, int y, int z) {
    return (struct dd_kernel_spec){.source = source,
                                   .kernel = kernel,
                                   .options = options,
                                   .label = label,
                                   .dims = 3,
                                   .global = {(size_t)x, (size_t)y, (size_t)z},
                                   .local = {1, 1, 1}};
}

/* "winograd_fwd_f4_v16 16>16@32x32" */
static void describe(char *label, size_t size, const char *kernel, const char *variant,
                     const struct dd_winograd_tiling *tiling, const struct dd_conv *conv) {
    snprintf(label, size, "%s%s_f%d_v%d %d>%d@%dx%d", kernel, variant, tiling->tm, conv->in.v, conv->in.c, conv->out.c,
             conv->in.h, conv->in.w);
}

/* The form of w that a direction reads: the caller's, or made at the start of the workspace. */
static dd_status have_form(dd_device *device, const struct dd_conv *conv, enum dd_conv_direction direction, cl_mem w,
                           cl_mem made, cl_mem workspace, struct dd_launches *list, cl_mem *u) {
    struct dd_weight_form transformed;
    weight_form(conv, direction, &transformed);
    return dd_weight_have(device, &transformed, w, made, workspace, list, u);
}

/* Writes build options; the next two append theirs. Each returns the length so far. */
static int tiling_options(char *options, size_t size, const struct dd_winograd_tiling *tiling, struct dd_shape s,
                          int tb) {
    return snprintf(options, size, "-DV=%d -DH=%d -DW=%d -DTM=%d -DNI=%d -DTR=%d -DTB=%d", s.v, s.h, s.w, tiling->tm,
                    tiling->images, tiling->rows, tb);
}

static int data_options(char *options, size_t size, int used, const struct dd_winograd_data *b,
                        enum epilogue epilogue) {
    return used + snprintf(options + used, size - (size_t)used,
                           " -DRB=%d -DOB=%d -DOU=%d -DKG=%d -DOG=%d -DEPILOGUE=%d", b->rb, b->ob, b->ou, b->kg, b->og,
                           (int)epilogue);
}

static int weight_options(char *options, size_t size, int used, const struct dd_winograd_weights *b) {
    return used + snprintf(options + used, size - (size_t)used, " -DXB=%d -DGB=%d -DXG=%d -DGG=%d -DWI=%d -DWO=%d",
                           b->xb, b->gb, b->xg, b->gg, b->wi, b->wo);
}

/* For a 1x1 convolution that is taken along. */
static int side_options(char *options, size_t size, int used, const struct dd_conv *conv,
                        enum dd_conv_direction direction) {
    const struct dd_conv side = dd_conv_beside(conv);
    used += snprintf(options + used, size - (size_t)used, " -DBESIDE=1");
    return used + dd_pointwise_block_options(options + used, size - (size_t)used, &side, direction);
}

static int affine_flags(const struct dd_affine *affine) {
    return affine->scale == NULL ? 0 : affine->relu ? AFFINE | AFFINE_RELU : AFFINE;
}

static int gradient_flags(const struct dd_gradient *dz) {
    return (dz->k1 != NULL ? NORM : 0) | (dz->relu.scale != NULL ? GRADIENT_RELU : 0);
}

static int partials_flag(const struct dd_partials *partials) {
    return partials->sums != NULL ? PARTIALS : 0;
}

/* z of a gradient; kernels read it in any case, with weight 0 where it is not needed */
static cl_mem gradient_z(const struct dd_gradient *dz) {
    return dz->k1 != NULL || dz->relu.scale != NULL ? dz->z : dz->g;
}

static enum epilogue data_epilogue(const struct dd_conv_backward_data_args *args) {
    if (args->keep != NULL)
        return args->accumulate ? ADD_KEEP : KEEP;
    if (args->mask_z != NULL)
        return args->accumulate ? ADD_MASK : MASK;
    return args->accumulate ? ADD : PLAIN;
}

/* The tensor that decides on dx, if any. */
static cl_mem masking(const struct dd_conv_backward_data_args *args) {
    return args->keep != NULL ? args->keep : args->mask_z;
}

static const char *epilogue_name(enum epilogue epilogue) {
    static const char *const names[] = {
        [PLAIN] = "",     [ADD] = "_add",          [MASK] = "_mask", [ADD_MASK] = "_add_mask",
        [KEEP] = "_keep", [ADD_KEEP] = "_add_keep"};
    return names[epilogue];
}

static void forward_cut(const struct dd_device_info *info, const struct dd_conv *conv, struct dd_conv_cut *cut) {
    const struct dd_winograd_data b = dd_winograd_block_data(info, conv, false);
    const struct dd_winograd_tiling *tiling = &b.tiling;
    const struct dd_shape s = conv->out;
    *cut = (struct dd_conv_cut){.slices = b.slices,
                                .bands = b.bands_per_slice,
                                .groups = dd_div_up(dd_div_up(s.h, tiling->tm), tiling->rows),
                                .group_pixels = tiling->images * s.h * s.w,
                                .band_pixels = tiling->rows * tiling->tm * s.w};
}

static dd_status forward_with(dd_device *device, const struct dd_conv *conv, const struct dd_conv_forward_args *args,
                              const struct dd_conv_forward_args *side, struct dd_launches *list) {
    const struct dd_winograd_data b = dd_winograd_block_data(&device->info, conv, false);
    char options[320], label[64];
    const struct dd_kernel_spec spec =
        make_spec("conv/winograd_fwd.cl", "winograd_fwd", options, label, b.slices, 1, 1);
    int used = tiling_options(options, sizeof options, &b.tiling, conv->in, b.tb);
    used = data_options(options, sizeof options, used, &b, STATISTICS);
    if (side != NULL)
        side_options(options, sizeof options, used, conv, DD_CONV_FORWARD);
    describe(label, sizeof label, spec.kernel, side != NULL ? "+1x1" : "", &b.tiling, conv);
    cl_mem u;
    DD_TRY(have_form(device, conv, DD_CONV_FORWARD, args->w, args->form, args->workspace, list, &u));
    const struct dd_conv_forward_args taken = side != NULL ? *side : (struct dd_conv_forward_args){0};
    const struct dd_arg all[] = {DD_MEM(args->x),
                                 DD_AFFINE_ARGS(&args->prologue),
                                 DD_MEM(u),
                                 DD_MEM(args->y),
                                 DD_MEM(args->stats.sums),
                                 DD_INT(conv->in.n),
                                 DD_INT(b.bands_per_slice),
                                 DD_INT(affine_flags(&args->prologue) | partials_flag(&args->stats)),
                                 DD_MEM(taken.w), /* from here on only with side */
                                 DD_MEM(taken.y),
                                 DD_MEM(taken.stats.sums)};
    enum { ALL = sizeof all / sizeof *all, ALONE = 9 };
    return dd_launches_add(list, device, &spec, all, side != NULL ? ALL : ALONE);
}

static dd_status forward(dd_device *device, const struct dd_conv *conv, const struct dd_conv_forward_args *args,
                         struct dd_launches *list) {
    return forward_with(device, conv, args, NULL, list);
}

static dd_status backward_data(dd_device *device, const struct dd_conv *conv,
                               const struct dd_conv_backward_data_args *args, struct dd_launches *list) {
    const struct dd_winograd_data b = dd_winograd_block_data(&device->info, conv, true);
    const struct dd_gradient *dz = &args->dz;
    const enum epilogue epilogue = data_epilogue(args);
    char options[256], label[64];
    const struct dd_kernel_spec spec =
        make_spec("conv/winograd_bwd_data.cl", "winograd_bwd_data", options, label, b.slices, 1, 1);
    const int used = tiling_options(options, sizeof options, &b.tiling, conv->in, b.tb);
    data_options(options, sizeof options, used, &b, epilogue);
    describe(label, sizeof label, spec.kernel, epilogue_name(epilogue), &b.tiling, conv);
    cl_mem u;
    DD_TRY(have_form(device, conv, DD_CONV_BACKWARD_DATA, args->w, args->form, args->workspace, list, &u));
    return DD_ADD(list, device, &spec, DD_MEM(dz->g), DD_MEM(gradient_z(dz)), DD_GRADIENT_ARGS(dz), DD_MEM(u),
                  DD_MEM(args->dx), DD_MEM(masking(args)), DD_AFFINE_ARGS(&args->mask), DD_MEM(args->mean),
                  DD_MEM(args->sums.sums), DD_INT(conv->in.n), DD_INT(b.bands_per_slice),
                  DD_INT(gradient_flags(dz) | partials_flag(&args->sums)));
}

static dd_status backward_weights(dd_device *device, const struct dd_conv *conv,
                                  const struct dd_conv_backward_weights_args *args, struct dd_launches *list) {
    const struct dd_winograd_weights b = dd_winograd_block_weights(&device->info, conv);
    const struct dd_gradient *dz = &args->dz;
    char options[256], label[64];
    const struct dd_kernel_spec spec = make_spec("conv/winograd_bwd_weight.cl", "winograd_bwd_weight", options, label,
                                                 b.slices, b.xb / b.xg, b.gb / b.gg);
    const int used = tiling_options(options, sizeof options, &b.tiling, conv->in, 1);
    weight_options(options, sizeof options, used, &b);
    describe(label, sizeof label, spec.kernel, "", &b.tiling, conv);
    DD_TRY(DD_ADD(list, device, &spec, DD_MEM(args->x), DD_AFFINE_ARGS(&args->prologue), DD_MEM(dz->g),
                  DD_MEM(gradient_z(dz)), DD_GRADIENT_ARGS(dz), DD_MEM(args->workspace), DD_INT(0), DD_INT(conv->in.n),
                  DD_INT(b.bands_per_slice), DD_INT(affine_flags(&args->prologue) | gradient_flags(dz))));
    return dd_conv_add_slices(device, conv, args, 0, b.slices, list);
}

/* Both gradients in one kernel, for which dd_winograd_block_both has found b and w. */
static dd_status fused_backward(dd_device *device, const struct dd_conv *conv,
                                const struct dd_conv_backward_data_args *data,
                                const struct dd_conv_backward_weights_args *weights, const struct dd_winograd_data *b,
                                const struct dd_winograd_weights *w, const struct dd_conv_backward_data_args *side,
                                struct dd_launches *list) {
    const struct dd_gradient *dz = &data->dz;
    const enum epilogue epilogue = data_epilogue(data);
    char options[448], variant[32], label[64];
    const struct dd_kernel_spec spec =
        make_spec("conv/winograd_bwd.cl", "winograd_bwd", options, label, w->slices, 1, 1);
    int used = tiling_options(options, sizeof options, &b->tiling, conv->in, b->tb);
    used = data_options(options, sizeof options, used, b, epilogue);
    used = weight_options(options, sizeof options, used, w);
    if (side != NULL)
        side_options(options, sizeof options, used, conv, DD_CONV_BACKWARD_DATA);
    snprintf(variant, sizeof variant, "%s%s", epilogue_name(epilogue), side != NULL ? "+1x1" : "");
    describe(label, sizeof label, spec.kernel, variant, &b->tiling, conv);
    cl_mem u;
    DD_TRY(have_form(device, conv, DD_CONV_BACKWARD_DATA, data->w, data->form, data->workspace, list, &u));
    const struct dd_conv_backward_data_args taken = side != NULL ? *side : (struct dd_conv_backward_data_args){0};
    const struct dd_arg all[] = {
        DD_MEM(dz->g),
        DD_MEM(gradient_z(dz)),
        DD_GRADIENT_ARGS(dz),
        DD_MEM(u),
        DD_MEM(data->dx),
        DD_MEM(masking(data)),
        DD_AFFINE_ARGS(&data->mask),
        DD_MEM(data->mean),
        DD_MEM(data->sums.sums),
        DD_MEM(weights->x),
        DD_AFFINE_ARGS(&weights->prologue),
        DD_MEM(data->workspace),
        DD_INT(fused_offset(conv)),
        DD_INT(conv->in.n),
        DD_INT(w->bands_per_slice),
        DD_INT(b->bands_per_slice),
        DD_INT(affine_flags(&weights->prologue) | gradient_flags(dz) | partials_flag(&data->sums)),
        DD_MEM(gradient_z(&taken.dz)), /* from here on only with side */
        DD_GRADIENT_ARGS(&taken.dz),
        DD_MEM(taken.form),
        DD_INT(side_offset(conv, w)),
        DD_INT(gradient_flags(&taken.dz)),
    };
    enum { ALL = sizeof all / sizeof *all, ALONE = 23 };
    return dd_launches_add(list, device, &spec, all, side != NULL ? ALL : ALONE);
}

/* One kernel for both where there is one, else one after the other; both have the same dz. */
static dd_status backward(dd_device *device, const struct dd_conv *conv, const struct dd_conv_backward_data_args *data,
                          const struct dd_conv_backward_weights_args *weights, struct dd_launches *list) {
    struct dd_winograd_data b;
    struct dd_winograd_weights w;
    if (!dd_winograd_block_both(&device->info, conv, &b, &w)) {
        const struct dd_conv_backward_weights_args first = dd_conv_weights_before_data(weights, data);
        DD_TRY(backward_weights(device, conv, &first, list));
        return backward_data(device, conv, data, list);
    }
    DD_TRY(fused_backward(device, conv, data, weights, &b, &w, NULL, list));
    return dd_conv_add_slices(device, conv, weights, fused_offset(conv), w.slices, list);
}

static dd_status backward_with(dd_device *device, const struct dd_conv *conv,
                               const struct dd_conv_backward_data_args *data,
                               const struct dd_conv_backward_weights_args *weights,
                               const struct dd_conv_backward_data_args *side_data,
                               const struct dd_conv_backward_weights_args *side_weights, struct dd_launches *list) {
    const struct dd_conv side = dd_conv_beside(conv);
    struct dd_winograd_data b;
    struct dd_winograd_weights w;
    dd_winograd_block_both(&device->info, conv, &b, &w);
    DD_TRY(fused_backward(device, conv, data, weights, &b, &w, side_data, list));
    DD_TRY(dd_conv_add_slices(device, conv, weights, fused_offset(conv), w.slices, list));
    return dd_conv_add_slices(device, &side, side_weights, side_offset(conv, &w), w.slices, list);
}

/* A kernel of both directions needs equally many blocks in any case. */
static bool takes(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction) {
    const struct dd_conv side = dd_conv_beside(conv);
    struct dd_winograd_data b;
    struct dd_winograd_weights w;
    return supports(info, conv, direction) && dd_pointwise_supports(info, &side, direction) &&
           (direction == DD_CONV_FORWARD || dd_winograd_block_both(info, conv, &b, &w));
}

const struct dd_conv_algorithm dd_conv_winograd = {
    .name = "winograd",
    .supports = supports,
    .needs = needs,
    .form = weight_form,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weights = backward_weights,
    .backward = backward,
    .takes = takes,
    .forward_cut = forward_cut,
    .forward_with = forward_with,
    .backward_with = backward_with,
};
