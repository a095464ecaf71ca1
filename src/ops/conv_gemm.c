/*
 * Convolution by im2col and CLBlast: every device, every shape, and what other algorithms are compared with on a
 * device. It fuses nothing; prologue, masks and sums are kernels of their own around the products:
 *
 * - forward: y [O][P] = w [O][K] * col [K][P]
 * - backward data: col [K][P] = w^T * dz [O][P], folded into dx
 * - backward weights: dw [O][K] = sum over slices of P of dz^T [P][O] transposed * col^T [P][K]
 *
 * with K = I * kernel * kernel and P the output pixels of a part of the batch; parts bound the workspace. With V = 1 a
 * [C][N][H][W] tensor is such a matrix already, so 1x1 convolutions of stride 1 need no col and y is written in place.
 * With V > 1 weights, y and dz go through matrices in the workspace: right, but meant as a reference there.
 */
#include "ops/conv.h"

#include <limits.h>

#include "ops/batchnorm.h"
#include "ops/gemm.h"
#include "ops/unfold.h"

enum {
    WORKSPACE_MOST = 64 << 20, /* bytes, unless one image takes more */
    SUMS_MOST = 1 << 20,       /* floats of all slices' sums of dw */
    SLICE_PIXELS = 1024        /* least length of a slice of P; also what keeps its float32 sum accurate */
};

/* Where things lie in the workspace, in floats. */
struct layout {
    int images;        /* of a part */
    int slices;        /* of a part's P, backward weights */
    int rows, columns; /* of a slice's sum of dw: O and K, rounded up to what spares copies */
    size_t weights;    /* [O][K] */
    size_t matrix;     /* y or dz: [O][P]; transposed: [slices * length][rows] */
    size_t col;        /* [K][P]; transposed: [slices * length][columns] */
    size_t sums;       /* [slices][rows][columns] */
    size_t temporary;  /* CLBlast's */
    size_t total;
};

static int taps_of(const struct dd_conv *conv) {
    return conv->in.c * conv->kernel * conv->kernel;
}

/* Whether x itself is the matrix of columns. */
static bool is_pointwise(const struct dd_conv *conv) {
    return conv->kernel == 1 && conv->stride == 1 && conv->pad == 0 && conv->in.v == 1;
}

static bool needs_weights_matrix(const struct dd_conv *conv) {
    return conv->in.v > 1 || conv->out.v > 1;
}

static size_t part_pixels(const struct dd_part *part) {
    return (size_t)part->count * part->conv->out.h * part->conv->out.w;
}

/* The part of layout->images images that starts at image first. */
static struct dd_part part_at(const struct dd_conv *conv, const struct layout *layout, int first) {
    const int left = conv->in.n - first;
    return (struct dd_part){conv, first, left < layout->images ? left : layout->images};
}

/* The products, without workspace; `in_place`: x or dx is the matrix of columns; planning passes args of NULLs. */

static struct dd_gemm forward_product(const struct layout *layout, const struct dd_part *part,
                                      const struct dd_conv_forward_args *args, bool in_place) {
    const struct dd_conv *conv = part->conv;
    const size_t pixels = part_pixels(part), plane = (size_t)conv->out.h * conv->out.w, all = plane * conv->out.n;
    struct dd_gemm g = {.m = (size_t)conv->out.c,
                        .n = pixels,
                        .k = (size_t)taps_of(conv),
                        .lda = (size_t)taps_of(conv),
                        .a = args->w,
                        .b = args->workspace,
                        .b_offset = layout->col,
                        .ldb = pixels,
                        .c = args->y,
                        .c_offset = part->first * plane,
                        .ldc = all,
                        .batch = 1};
    if (needs_weights_matrix(conv)) {
        g.a = args->workspace;
        g.a_offset = layout->weights;
    }
    if (in_place) {
        g.b = args->x;
        g.b_offset = part->first * plane;
        g.ldb = all;
    }
    if (conv->out.v > 1) {
        g.c = args->workspace;
        g.c_offset = layout->matrix;
        g.ldc = pixels;
    }
    return g;
}

/* gradient_in_place: dz is g itself. */
static struct dd_gemm data_product(const struct layout *layout, const struct dd_part *part,
                                   const struct dd_conv_backward_data_args *args, bool in_place,
                                   bool gradient_in_place) {
    const struct dd_conv *conv = part->conv;
    const size_t pixels = part_pixels(part), plane = (size_t)conv->out.h * conv->out.w, all = plane * conv->out.n;
    struct dd_gemm g = {.transpose_a = true,
                        .m = (size_t)taps_of(conv),
                        .n = pixels,
                        .k = (size_t)conv->out.c,
                        .a = args->w,
                        .lda = (size_t)taps_of(conv),
                        .b = args->workspace,
                        .b_offset = layout->matrix,
                        .ldb = pixels,
                        .c = args->workspace,
                        .c_offset = layout->col,
                        .ldc = pixels,
                        .batch = 1};
    if (needs_weights_matrix(conv)) {
        g.a = args->workspace;
        g.a_offset = layout->weights;
    }
    if (gradient_in_place) {
        g.b = args->dz.g;
        g.b_offset = part->first * plane;
        g.ldb = all;
    }
    if (in_place) {
        g.c = args->dx;
        g.c_offset = part->first * plane;
        g.ldc = all;
        g.beta = args->accumulate ? 1.0f : 0.0f;
    }
    return g;
}

/* Pixels of a slice of the part, padded. */
static size_t slice_length(const struct dd_device_info *info, const struct layout *layout, const struct dd_part *part) {
    const size_t unit = info->type == DD_DEVICE_CPU ? DD_GEMM_TILE : 1, slices = (size_t)layout->slices;
    const size_t length = (part_pixels(part) + slices - 1) / slices;
    return dd_round_up(length, unit);
}

static struct dd_gemm weights_product(const struct dd_device_info *info, const struct layout *layout,
                                      const struct dd_part *part, cl_mem workspace) {
    const size_t rows = (size_t)layout->rows, columns = (size_t)layout->columns,
                 length = slice_length(info, layout, part);
    return (struct dd_gemm){.transpose_a = true,
                            .m = rows,
                            .n = columns,
                            .k = length,
                            .lda = rows,
                            .ldb = columns,
                            .ldc = columns,
                            .a = workspace,
                            .a_offset = layout->matrix,
                            .b = workspace,
                            .b_offset = layout->col,
                            .c = workspace,
                            .c_offset = layout->sums,
                            .batch = (size_t)layout->slices,
                            .a_stride = length * rows,
                            .b_stride = length * columns,
                            .c_stride = rows * columns,
                            .beta = part->first > 0 ? 1.0f : 0.0f};
}

/* CLBlast's temporary memory of one part, in bytes, for whichever arguments. */
static size_t part_temporary(const struct dd_device_info *info, const struct layout *layout, const struct dd_part *part,
                             enum dd_conv_direction direction) {
    static const struct dd_conv_forward_args forward;
    static const struct dd_conv_backward_data_args data;
    const bool pointwise = is_pointwise(part->conv);
    size_t most = 0;
    for (int form = 0; form < 4; form++) {
        struct dd_gemm g;
        if (direction == DD_CONV_FORWARD)
            g = forward_product(layout, part, &forward, pointwise && form % 2);
        else if (direction == DD_CONV_BACKWARD_DATA)
            g = data_product(layout, part, &data, pointwise && form % 2, part->conv->out.v == 1 && form / 2);
        else
            g = weights_product(info, layout, part, NULL);
        most = dd_larger_size(most, dd_gemm_temporary_bound(info, &g));
    }
    return most;
}

/* Appends `floats` to the workspace, aligned so that views can begin there. */
static size_t place(const struct dd_device_info *info, struct layout *layout, size_t floats) {
    const size_t unit = info->base_align_bytes > 64 ? info->base_align_bytes / sizeof(float) : 16, at = layout->total;
    layout->total = dd_round_up(at + floats, unit);
    return at;
}

/* Slices of a part's P for backward weights: enough to be accurate and to occupy the device, few enough to be summed
 * cheaply. */
static void choose_slices(const struct dd_device_info *info, struct layout *layout, const struct dd_part *part) {
    const int unit = info->type == DD_DEVICE_CPU ? DD_GEMM_TILE : 1;
    layout->rows = dd_div_up(part->conv->out.c, unit) * unit;
    layout->columns = dd_div_up(taps_of(part->conv), unit) * unit;
    size_t slices = part_pixels(part) / SLICE_PIXELS, most = SUMS_MOST / ((size_t)layout->rows * layout->columns);
    slices = slices < most ? slices : most;
    layout->slices = slices > 1 ? (int)slices : 1;
}

/* The layout when a part has `images` images. */
static struct layout layout_for(const struct dd_device_info *info, const struct dd_conv *conv,
                                enum dd_conv_direction direction, int images) {
    struct layout layout = {.images = images};
    const struct dd_part part = part_at(conv, &layout, 0);
    const size_t pixels = part_pixels(&part), taps = (size_t)taps_of(conv), out = (size_t)conv->out.c;
    size_t temporary = 0;
    if (direction == DD_CONV_BACKWARD_WEIGHTS) {
        choose_slices(info, &layout, &part);
        const size_t length = slice_length(info, &layout, &part) * layout.slices;
        layout.matrix = place(info, &layout, length * layout.rows);
        layout.col = place(info, &layout, length * layout.columns);
        layout.sums = place(info, &layout, (size_t)layout.slices * layout.rows * layout.columns);
    } else {
        if (needs_weights_matrix(conv))
            layout.weights = place(info, &layout, out * taps);
        if (direction == DD_CONV_BACKWARD_DATA || conv->out.v > 1)
            layout.matrix = place(info, &layout, out * pixels);
        layout.col = place(info, &layout, taps * pixels);
    }
    for (int first = 0; first < conv->in.n; first += images) {
        const struct dd_part each = part_at(conv, &layout, first);
        temporary = dd_larger_size(temporary, part_temporary(info, &layout, &each, direction));
    }
    layout.temporary = place(info, &layout, temporary / sizeof(float));
    return layout;
}

/* Parts as large as the workspace's bound allows, and about equal. */
static struct layout plan(const struct dd_device_info *info, const struct dd_conv *conv,
                          enum dd_conv_direction direction) {
    size_t limit = info->max_alloc_bytes / 4 < WORKSPACE_MOST ? (size_t)(info->max_alloc_bytes / 4) : WORKSPACE_MOST;
    struct layout layout = layout_for(info, conv, direction, conv->in.n);
    while (layout.images > 1 && layout.total * sizeof(float) > limit) {
        int parts = dd_div_up(conv->in.n, layout.images) + 1;
        int images = dd_div_up(conv->in.n, parts);
        layout = layout_for(info, conv, direction, images < layout.images ? images : layout.images - 1);
    }
    return layout;
}

static void needs(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction,
                  struct dd_conv_needs *result) {
    const struct layout layout = plan(info, conv, direction);
    result->workspace = layout.total * sizeof(float);
    result->slices = direction == DD_CONV_FORWARD         ? dd_bn_slices(info, conv->out)
                     : direction == DD_CONV_BACKWARD_DATA ? dd_bn_slices(info, conv->in)
                                                          : 0;
}

/* Everything but what no buffer of the device could hold. */
static bool supports(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction) {
    const struct layout layout = plan(info, conv, direction);
    return layout.total <= INT_MAX && layout.total * sizeof(float) <= info->max_alloc_bytes;
}

/* Adds the product with the workspace's temporary part. */
static dd_status add_product(dd_device *device, struct dd_gemm *product, const struct layout *layout, cl_mem workspace,
                             const char *label, struct dd_launches *list) {
    product->temporary = layout->temporary < layout->total ? workspace : NULL;
    product->temporary_offset = layout->temporary;
    return dd_gemm_add(device, product, label, list);
}

static struct dd_matrix matrix_at(cl_mem workspace, size_t offset, int rows, int columns) {
    return (struct dd_matrix){workspace, offset, rows, columns};
}

static dd_status add_weights_matrix(dd_device *device, const struct dd_conv *conv, const struct layout *layout,
                                    cl_mem w, cl_mem workspace, struct dd_launches *list) {
    if (!needs_weights_matrix(conv))
        return DD_OK;
    return dd_weights_to_matrix(device, conv, w, matrix_at(workspace, layout->weights, conv->out.c, taps_of(conv)),
                                list);
}

static dd_status forward_part(dd_device *device, const struct layout *layout, const struct dd_part *part,
                              const struct dd_conv_forward_args *args, struct dd_launches *list) {
    const struct dd_conv *conv = part->conv;
    const bool in_place = is_pointwise(conv) && !args->prologue.scale;
    const int pixels = (int)part_pixels(part);
    struct dd_gemm product = forward_product(layout, part, args, in_place);
    if (!in_place)
        DD_TRY(dd_unfold(device, part, args->x, &args->prologue,
                         matrix_at(args->workspace, layout->col, taps_of(conv), pixels), list));
    DD_TRY(add_product(device, &product, layout, args->workspace, "conv_forward_gemm", list));
    if (conv->out.v > 1)
        DD_TRY(dd_matrix_to_tensor(device, part, matrix_at(args->workspace, layout->matrix, conv->out.c, pixels),
                                   args->y, list));
    return DD_OK;
}

static dd_status forward(dd_device *device, const struct dd_conv *conv, const struct dd_conv_forward_args *args,
                         struct dd_launches *list) {
    const struct layout layout = plan(&device->info, conv, DD_CONV_FORWARD);
    DD_TRY(add_weights_matrix(device, conv, &layout, args->w, args->workspace, list));
    for (int first = 0; first < conv->in.n; first += layout.images) {
        const struct dd_part part = part_at(conv, &layout, first);
        DD_TRY(forward_part(device, &layout, &part, args, list));
    }
    if (args->stats.sums)
        DD_TRY(dd_bn_partials(device, conv->out, args->y, args->stats, list));
    return DD_OK;
}

static dd_status data_part(dd_device *device, const struct layout *layout, const struct dd_part *part,
                           const struct dd_conv_backward_data_args *args, struct dd_launches *list) {
    const struct dd_conv *conv = part->conv;
    const bool in_place = is_pointwise(conv) && !args->mask_z && !args->keep;
    const bool gradient_in_place = conv->out.v == 1 && !args->dz.k1;
    const int pixels = (int)part_pixels(part);
    struct dd_gemm product = data_product(layout, part, args, in_place, gradient_in_place);
    if (!gradient_in_place)
        DD_TRY(dd_gradient_matrix(device, part, &args->dz,
                                  matrix_at(args->workspace, layout->matrix, conv->out.c, pixels), list));
    DD_TRY(add_product(device, &product, layout, args->workspace, "conv_backward_data_gemm", list));
    if (!in_place)
        DD_TRY(dd_fold(device, part, matrix_at(args->workspace, layout->col, taps_of(conv), pixels), args, list));
    return DD_OK;
}

static dd_status backward_data(dd_device *device, const struct dd_conv *conv,
                               const struct dd_conv_backward_data_args *args, struct dd_launches *list) {
    const struct layout layout = plan(&device->info, conv, DD_CONV_BACKWARD_DATA);
    const struct dd_gradient masked = {.g = args->dx, .z = args->mask_z};
    DD_TRY(add_weights_matrix(device, conv, &layout, args->w, args->workspace, list));
    for (int first = 0; first < conv->in.n; first += layout.images) {
        const struct dd_part part = part_at(conv, &layout, first);
        DD_TRY(data_part(device, &layout, &part, args, list));
    }
    if (args->sums.sums)
        DD_TRY(dd_bn_backward_partials(device, conv->in, &masked, args->mean, args->sums, list));
    return DD_OK;
}

static dd_status backward_weights(dd_device *device, const struct dd_conv *conv,
                                  const struct dd_conv_backward_weights_args *args, struct dd_launches *list) {
    const struct layout layout = plan(&device->info, conv, DD_CONV_BACKWARD_WEIGHTS);
    const cl_mem workspace = args->workspace;
    for (int first = 0; first < conv->in.n; first += layout.images) {
        const struct dd_part part = part_at(conv, &layout, first);
        const int length = (int)slice_length(&device->info, &layout, &part) * layout.slices;
        struct dd_gemm product = weights_product(&device->info, &layout, &part, workspace);
        DD_TRY(dd_gradient_transposed(device, &part, &args->dz,
                                      matrix_at(workspace, layout.matrix, length, layout.rows), list));
        DD_TRY(dd_unfold_transposed(device, &part, args->x, &args->prologue,
                                    matrix_at(workspace, layout.col, length, layout.columns), list));
        DD_TRY(add_product(device, &product, &layout, workspace, "conv_backward_weights_gemm", list));
    }
    return dd_sum_weights(device, conv, matrix_at(workspace, layout.sums, layout.rows, layout.columns), layout.slices,
                          args->dw, list);
}

const struct dd_conv_algorithm dd_conv_gemm = {
    .name = "gemm",
    .supports = supports,
    .needs = needs,
    .forward = forward,
    .backward_data = backward_data,
    .backward_weights = backward_weights,
};
