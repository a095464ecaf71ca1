/*
 * A 1x1 convolution that another one takes along (dd_conv_algorithm.takes) against the two one after the other, which
 * cases of their own compare with the reference. Only the weight gradients' slices differ, and what a driver's compiler
 * makes of the same products: an output may differ by the bound of its convolution (dd_case_conv_bound) times the
 * largest sum of magnitudes that its inputs allow.
 */
#include <math.h>
#include <stdlib.h>

#include "selftest/case_conv.h"
#include "selftest/check.h"

/* One of two ways: 0 apart, 1 together. */
struct outputs {
    cl_mem y, side_y, stats, side_stats;
    cl_mem dx, dw, side_dw, sums;
};

struct beside_case {
    struct dd_check check;
    const struct dd_conv_algorithm *algorithm;
    const struct dd_conv *conv;
    struct dd_conv side;
    cl_mem x, w, side_w, form, side_form, workspace;
    struct dd_affine prologue;
    struct dd_gradient dz, side_dz;
    struct outputs apart, together;
};

static cl_mem random_vector(struct dd_check *check, struct dd_shape s, double low, double high) {
    return dd_check_vector(check, dd_check_uniform(check, (size_t)s.c, low, high), s.c, dd_shape_padded_c(s));
}

static cl_mem random_tensor(struct dd_check *check, struct dd_shape s) {
    return dd_check_tensor(check, s, dd_check_uniform(check, dd_shape_pixels(s) * (size_t)s.c, -1, 1));
}

static cl_mem random_weights(struct dd_check *check, const struct dd_conv *conv) {
    const int o = conv->out.c, i = conv->in.c, k = conv->kernel;
    const double *values = dd_check_uniform(check, dd_weight_floats(o, i, k, 1, 1), -1, 1);
    return dd_check_weights(check, o, i, k, conv->out.v, conv->in.v, values);
}

static cl_mem make_form(struct dd_check *check, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                        cl_mem w) {
    struct dd_weight_form form;
    if (!dd_conv_form(algorithm, conv, DD_CONV_BACKWARD_DATA, &form))
        return NULL;
    cl_mem made = dd_check_bytes(check, NULL, dd_weight_form_floats(&form) * sizeof(float));
    if (check->status == DD_OK)
        check->status = dd_weight_add_one(check->device, &form, w, made, &check->list);
    return made;
}

static size_t workspace_of(struct beside_case *c, const struct dd_conv_algorithm *algorithm,
                           const struct dd_conv *conv) {
    size_t most = 1;
    for (int d = 0; d < DD_CONV_DIRECTIONS; d++) {
        struct dd_conv_needs needs = {0};
        algorithm->needs(&c->check.device->info, conv, (enum dd_conv_direction)d, &needs);
        most = needs.workspace > most ? needs.workspace : most;
    }
    return most;
}

/* What both convolutions read; normed: x through batch norm and ReLU, dz through batch norm and, at the side, a ReLU.
 */
static void make_inputs(struct beside_case *c, bool normed) {
    struct dd_check *check = &c->check;
    const struct dd_shape in = c->conv->in;
    c->x = random_tensor(check, in);
    c->w = random_weights(check, c->conv);
    c->side_w = random_weights(check, &c->side);
    if (normed)
        c->prologue = (struct dd_affine){random_vector(check, in, 0.5, 1), random_vector(check, in, -0.5, 0.5), true};
    const size_t own = workspace_of(c, c->algorithm, c->conv), other = workspace_of(c, &dd_conv_direct, &c->side);
    c->workspace = dd_check_bytes(check, NULL, own > other ? own : other);
}

static struct dd_gradient make_gradient(struct beside_case *c, cl_mem g, bool relu) {
    struct dd_check *check = &c->check;
    const struct dd_shape out = c->conv->out;
    struct dd_gradient dz = {.g = g,
                             .z = random_tensor(check, out),
                             .k1 = random_vector(check, out, 0.5, 1),
                             .k2 = random_vector(check, out, -0.5, 0.5),
                             .k3 = random_vector(check, out, -0.5, 0.5)};
    if (relu)
        dz.relu = (struct dd_affine){random_vector(check, out, 0.5, 1), random_vector(check, out, -0.5, 0.5), true};
    return dz;
}

/* ---- comparison ---- */

static void compare(struct beside_case *c, const char *what, cl_mem apart, cl_mem together, size_t count,
                    double tolerance) {
    const float *want = dd_check_read(&c->check, apart, count);
    float *got = dd_check_read(&c->check, together, count);
    double ratio = 0;
    if (!want || !got)
        return;
    dd_check_spoil(c->check.result, got, count);
    for (size_t i = 0; i < count; i++)
        ratio = dd_check_worse(ratio, fabs((double)got[i] - want[i]) / tolerance);
    dd_check_record(c->check.result, what, ratio);
}

/* Statistics in the same slices: counts, means and M2 of values of about `size`. */
static void compare_stats(struct beside_case *c, const char *what, cl_mem apart, cl_mem together, int slices,
                          double size) {
    const size_t padded = (size_t)dd_shape_padded_c(c->conv->out), count = (size_t)slices * 3 * padded;
    const float *want = dd_check_read(&c->check, apart, count), *got = dd_check_read(&c->check, together, count);
    double ratio = 0;
    for (size_t i = 0; want && got && i < count; i++) {
        const size_t kind = i / padded % 3;
        const double n = want[i / (3 * padded) * 3 * padded], units[] = {0, size, n * size * size};
        const double error = fabs((double)got[i] - want[i]) / (64 * DD_CHECK_EPSILON * units[kind] + 1e-30);
        ratio = dd_check_worse(ratio, error);
    }
    dd_check_record(c->check.result, what, ratio);
}

/* ---- forward ---- */

static struct outputs forward_outputs(struct beside_case *c, int slices) {
    const struct dd_shape out = c->conv->out;
    const int padded = dd_shape_padded_c(out);
    return (struct outputs){.y = dd_check_tensor(&c->check, out, NULL),
                            .side_y = dd_check_tensor(&c->check, out, NULL),
                            .stats = dd_check_vector(&c->check, NULL, 0, slices * 3 * padded),
                            .side_stats = dd_check_vector(&c->check, NULL, 0, slices * 3 * padded)};
}

static struct dd_conv_forward_args forward_args(const struct beside_case *c, const struct outputs *to, bool side,
                                                const struct dd_conv_cut *cut) {
    return (struct dd_conv_forward_args){.x = c->x,
                                         .prologue = c->prologue,
                                         .w = side ? c->side_w : c->w,
                                         .y = side ? to->side_y : to->y,
                                         .stats = {side ? to->side_stats : to->stats, cut->slices},
                                         .cut = side ? *cut : (struct dd_conv_cut){0},
                                         .workspace = c->workspace};
}

static dd_status run_forward(struct beside_case *c) {
    dd_device *device = c->check.device;
    struct dd_launches *list = &c->check.list;
    struct dd_conv_cut cut;
    c->algorithm->forward_cut(&device->info, c->conv, &cut);
    c->apart = forward_outputs(c, cut.slices);
    c->together = forward_outputs(c, cut.slices);
    const struct dd_conv_forward_args own = forward_args(c, &c->apart, false, &cut),
                                      side = forward_args(c, &c->apart, true, &cut),
                                      both = forward_args(c, &c->together, false, &cut),
                                      taken = forward_args(c, &c->together, true, &cut);
    DD_TRY(c->check.status);
    DD_TRY(c->algorithm->forward(device, c->conv, &own, list));
    DD_TRY(dd_conv_direct.forward(device, &c->side, &side, list));
    DD_TRY(c->algorithm->forward_with(device, c->conv, &both, &taken, list));
    dd_check_run(&c->check, DD_OK);
    DD_TRY(c->check.status);
    const struct dd_shape out = c->conv->out;
    const double size = c->conv->in.c * 1.5, bound = dd_case_conv_bound(&dd_conv_direct, &c->side, DD_CONV_FORWARD);
    const size_t floats = dd_shape_floats(out);
    compare(c, "y", c->apart.y, c->together.y, floats,
            9 * size * dd_case_conv_bound(c->algorithm, c->conv, DD_CONV_FORWARD));
    compare(c, "the other y", c->apart.side_y, c->together.side_y, floats, size * bound);
    compare_stats(c, "statistics", c->apart.stats, c->together.stats, cut.slices, 9 * size);
    compare_stats(c, "the other statistics", c->apart.side_stats, c->together.side_stats, cut.slices, size);
    return c->check.status;
}

/* ---- backward ---- */

/* dx holds g, the gradient at the side's output, before. */
static struct outputs backward_outputs(struct beside_case *c, const double *g, int slices) {
    const struct dd_shape in = c->conv->in;
    return (struct outputs){.dx = dd_check_tensor(&c->check, in, g),
                            .dw = dd_check_bytes(&c->check, NULL, dd_conv_weight_bytes(c->conv)),
                            .side_dw = dd_check_bytes(&c->check, NULL, dd_conv_weight_bytes(&c->side)),
                            .sums = dd_check_vector(&c->check, NULL, 0, slices * 2 * dd_shape_padded_c(in))};
}

/* The first convolution of a unit, masked by its x: by keep, or behind a prologue with the sums of that batch norm. */
static struct dd_conv_backward_data_args data_args(const struct beside_case *c, const struct outputs *to, cl_mem mean,
                                                   int slices) {
    struct dd_conv_backward_data_args args = {
        .dz = c->dz, .w = c->w, .form = c->form, .dx = to->dx, .accumulate = true, .workspace = c->workspace};
    if (c->prologue.scale == NULL) {
        args.keep = c->x;
    } else {
        args.mask_z = c->x;
        args.mask = c->prologue;
        args.mean = mean;
        args.sums = (struct dd_partials){to->sums, slices};
    }
    return args;
}

static struct dd_conv_backward_data_args side_data_args(const struct beside_case *c, const struct outputs *to) {
    struct dd_conv_backward_data_args args = {
        .dz = c->side_dz, .w = c->side_w, .form = c->side_form, .dx = to->dx, .workspace = c->workspace};
    args.dz.g = to->dx;
    return args;
}

static struct dd_conv_backward_weights_args weights_args(const struct beside_case *c, struct dd_gradient dz,
                                                         cl_mem dw) {
    return (struct dd_conv_backward_weights_args){
        .x = c->x, .prologue = c->prologue, .dz = dz, .dw = dw, .workspace = c->workspace};
}

static void compare_backward(struct beside_case *c, int slices) {
    const struct dd_shape in = c->conv->in;
    const double pixels = (double)dd_shape_pixels(in), dz = 2, x = 1.5, size = 10 * in.c * dz;
    const double tolerance = size * dd_case_conv_bound(c->algorithm, c->conv, DD_CONV_BACKWARD_DATA);
    compare(c, "dx", c->apart.dx, c->together.dx, dd_shape_floats(in), tolerance);
    compare(c, "dw", c->apart.dw, c->together.dw, dd_conv_weight_bytes(c->conv) / sizeof(float),
            pixels * dz * x * dd_case_conv_bound(c->algorithm, c->conv, DD_CONV_BACKWARD_WEIGHTS));
    compare(c, "the other dw", c->apart.side_dw, c->together.side_dw, dd_conv_weight_bytes(&c->side) / sizeof(float),
            pixels * dz * x * dd_case_conv_bound(&dd_conv_direct, &c->side, DD_CONV_BACKWARD_WEIGHTS));
    if (c->prologue.scale != NULL)
        compare(c, "sums", c->apart.sums, c->together.sums, (size_t)slices * 2 * (size_t)dd_shape_padded_c(in),
                4 * sqrt(pixels) * tolerance);
}

static dd_status run_backward(struct beside_case *c) {
    dd_device *device = c->check.device;
    struct dd_launches *list = &c->check.list;
    const struct dd_shape in = c->conv->in, out = c->conv->out;
    struct dd_conv_needs needs = {0};
    c->algorithm->needs(&device->info, c->conv, DD_CONV_BACKWARD_DATA, &needs);
    const double *g = dd_check_uniform(&c->check, dd_shape_pixels(out) * (size_t)out.c, -1, 1);
    c->dz = make_gradient(c, random_tensor(&c->check, out), false);
    c->side_dz = make_gradient(c, NULL, c->prologue.scale != NULL);
    c->form = make_form(&c->check, c->algorithm, c->conv, c->w);
    c->side_form = make_form(&c->check, &dd_conv_direct, &c->side, c->side_w);
    c->apart = backward_outputs(c, g, needs.both_slices);
    c->together = backward_outputs(c, g, needs.both_slices);
    cl_mem mean = random_vector(&c->check, in, -1, 1);
    const struct dd_conv_backward_data_args own = data_args(c, &c->apart, mean, needs.both_slices),
                                            both = data_args(c, &c->together, mean, needs.both_slices),
                                            side = side_data_args(c, &c->apart),
                                            taken = side_data_args(c, &c->together);
    const struct dd_conv_backward_weights_args own_weights = weights_args(c, c->dz, c->apart.dw),
                                               both_weights = weights_args(c, c->dz, c->together.dw),
                                               side_weights = weights_args(c, side.dz, c->apart.side_dw),
                                               taken_weights = weights_args(c, taken.dz, c->together.side_dw);
    DD_TRY(c->check.status);
    DD_TRY(dd_conv_direct.backward(device, &c->side, &side, &side_weights, list));
    DD_TRY(c->algorithm->backward(device, c->conv, &own, &own_weights, list));
    DD_TRY(c->algorithm->backward_with(device, c->conv, &both, &both_weights, &taken, &taken_weights, list));
    dd_check_run(&c->check, DD_OK);
    if (c->check.status == DD_OK)
        compare_backward(c, needs.both_slices);
    return c->check.status;
}

dd_status dd_case_conv_beside(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                              bool forward, bool normed, uint64_t seed, struct dd_case_result *result) {
    struct beside_case c = {.algorithm = algorithm, .conv = conv, .side = dd_conv_beside(conv)};
    dd_check_begin(&c.check, device, seed, result);
    make_inputs(&c, normed);
    if (c.check.status == DD_OK)
        c.check.status = forward ? run_forward(&c) : run_backward(&c);
    return dd_check_end(&c.check);
}
