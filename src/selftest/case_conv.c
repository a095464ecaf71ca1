/*
 * Convolutions against the reference. Every input is a float, so the reference starts from the same values; signs that
 * decide (of masks) come from multiples of 1/8, whose products and sums are exact.
 *
 * Tolerances: an output is a sum of L products, and its float32 error grows with the sum of their magnitudes S (of the
 * reference run on absolute values; the largest S of the tensor counts, since transforms mix neighbours). In any order
 * of summation the error is below epsilon * L * S / 2; as a random walk it stays within a few epsilon * S. Allowed are
 * epsilon * S * (8 + sqrt(L) / 4), and TRANSFORM times that for winograd, whose transforms of F(4x4,3x3) amplify
 * rounding (Lavin & Gray 2015, 6).
 */
#include "selftest/case_conv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ops/finish.h"
#include "ref/ref_conv.h"
#include "selftest/check.h"

enum { TRANSFORM = 8 };

enum affine_kind { AFFINE_NONE, AFFINE_PLAIN, AFFINE_RELU };
enum gradient_kind { GRADIENT_PLAIN, GRADIENT_NORM, GRADIENT_MASKED };
enum store_kind {
    STORE_WRITE,
    STORE_ADD,
    STORE_MASK,
    STORE_MASK_SUMS,
    STORE_KEEP,
    STORE_ADD_KEEP,
    STORE_ADD_MASK_SUMS
};

struct forward_variant {
    enum affine_kind prologue;
    bool stats;
};
struct data_variant {
    enum gradient_kind gradient;
    enum store_kind store;
    bool spaced; /* where the stride is above 1 and the algorithm has it */
};
struct weights_variant {
    enum affine_kind prologue;
    enum gradient_kind gradient;
};

static const struct forward_variant forward_variants[] = {[DD_CASE_PLAIN] = {AFFINE_NONE, false},
                                                          [DD_CASE_AFFINE] = {AFFINE_PLAIN, false},
                                                          [DD_CASE_RELU_STATISTICS] = {AFFINE_RELU, true},
                                                          [DD_CASE_STATISTICS] = {AFFINE_NONE, true}};
static const struct data_variant data_variants[] = {
    [DD_CASE_PLAIN] = {GRADIENT_PLAIN, STORE_WRITE},
    [DD_CASE_NORM] = {GRADIENT_NORM, STORE_WRITE},
    [DD_CASE_NORM_ADD] = {GRADIENT_NORM, STORE_ADD},
    [DD_CASE_RELU_ADD] = {GRADIENT_MASKED, STORE_ADD},
    [DD_CASE_NORM_MASK] = {GRADIENT_NORM, STORE_MASK_SUMS},
    [DD_CASE_RELU_BARE_MASK] = {GRADIENT_MASKED, STORE_MASK},
    [DD_CASE_NORM_ADD_KEEP] = {GRADIENT_NORM, STORE_ADD_KEEP},
    [DD_CASE_NORM_ADD_MASK] = {GRADIENT_NORM, STORE_ADD_MASK_SUMS},
    [DD_CASE_RELU_KEEP] = {GRADIENT_MASKED, STORE_KEEP},
    [DD_CASE_NORM_SPACED] = {GRADIENT_NORM, STORE_WRITE, true},
    [DD_CASE_NORM_ADD_KEEP_SPACED] = {GRADIENT_NORM, STORE_ADD_KEEP, true},
    [DD_CASE_NORM_ADD_MASK_SPACED] = {GRADIENT_NORM, STORE_ADD_MASK_SUMS, true}};
static const struct weights_variant weights_variants[] = {[DD_CASE_PLAIN] = {AFFINE_NONE, GRADIENT_PLAIN},
                                                          [DD_CASE_WEIGHTS_RELU_NORM] = {AFFINE_RELU, GRADIENT_NORM},
                                                          [DD_CASE_WEIGHTS_AFFINE] = {AFFINE_PLAIN, GRADIENT_PLAIN},
                                                          [DD_CASE_WEIGHTS_RELU_RELU] = {AFFINE_RELU, GRADIENT_MASKED}};

enum {
    FORWARD_VARIANTS = sizeof forward_variants / sizeof *forward_variants,
    DATA_VARIANTS = sizeof data_variants / sizeof *data_variants,
    WEIGHTS_VARIANTS = sizeof weights_variants / sizeof *weights_variants
};

int dd_case_conv_variants(enum dd_conv_direction direction) {
    return direction == DD_CONV_FORWARD         ? (int)FORWARD_VARIANTS
           : direction == DD_CONV_BACKWARD_DATA ? (int)DATA_VARIANTS
                                                : (int)WEIGHTS_VARIANTS;
}

/* A case at work. Host tensors are NCHW, *_size their magnitudes element by element. */
struct conv_case {
    struct dd_check check;
    struct dd_case_result result;
    char name[64];
    const struct dd_conv_algorithm *algorithm;
    const struct dd_conv *conv;
    struct dd_ref_conv ref;
    size_t in_count, out_count, w_count; /* elements without padding */
    double *x_raw;
    double *w, *w_size, *x, *x_size, *dz, *dz_size; /* as the products take them: after prologue or gradient */
    cl_mem w_device, form, x_device, workspace;
    struct dd_affine prologue;
    struct dd_gradient gradient;
};

static double *magnitudes(struct conv_case *c, const double *values, size_t count) {
    double *sizes = dd_check_zeros(&c->check, count);
    for (size_t i = 0; sizes && values && i < count; i++)
        sizes[i] = fabs(values[i]);
    return sizes;
}

/* Channel of element i of an NCHW tensor. */
static size_t channel_of(struct dd_shape s, size_t i) {
    return i / ((size_t)s.h * s.w) % (size_t)s.c;
}

static cl_mem channel_vector(struct conv_case *c, struct dd_shape s, const double *values) {
    return dd_check_vector(&c->check, values, s.c, dd_shape_padded_c(s));
}

static void begin(struct conv_case *c, dd_device *device, const struct dd_conv_algorithm *algorithm,
                  const struct dd_conv *conv, const char *what, uint64_t seed) {
    const struct dd_shape in = conv->in, out = conv->out;
    *c = (struct conv_case){.algorithm = algorithm,
                            .conv = conv,
                            .ref = {in.n, in.c, in.h, in.w, out.c, conv->kernel, conv->stride, conv->pad},
                            .in_count = dd_shape_pixels(in) * in.c,
                            .out_count = dd_shape_pixels(out) * out.c,
                            .w_count = dd_weight_floats(out.c, in.c, conv->kernel, 1, 1)};
    snprintf(c->name, sizeof c->name, "conv %s %s", what, algorithm->name);
    c->result.name = c->name;
    dd_check_begin(&c->check, device, seed, &c->result);
}

static dd_status end(struct conv_case *c, double *error_over_tolerance, char *failure, size_t size) {
    *error_over_tolerance = c->result.worst;
    snprintf(failure, size, "%s", c->result.failure);
    return dd_check_end(&c->check);
}

/* Random weights, on the host and in device order. */
static void make_weights(struct conv_case *c) {
    const struct dd_conv *conv = c->conv;
    c->w = dd_check_uniform(&c->check, c->w_count, -1, 1);
    c->w_size = magnitudes(c, c->w, c->w_count);
    c->w_device = dd_check_weights(&c->check, conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v, c->w);
}

/* Per-channel scale and shift for a tensor of shape s, multiples of 1/8. */
static struct dd_affine make_affine(struct conv_case *c, struct dd_shape s, bool relu, double **scale, double **shift) {
    *scale = dd_check_eighths(&c->check, (size_t)s.c);
    *shift = dd_check_eighths(&c->check, (size_t)s.c);
    return (struct dd_affine){channel_vector(c, s, *scale), channel_vector(c, s, *shift), relu};
}

/* x, its prologue, and what the convolution sees. */
static void make_input(struct conv_case *c, enum affine_kind kind) {
    const struct dd_shape in = c->conv->in;
    double *scale, *shift;
    c->x = dd_check_eighths(&c->check, c->in_count);
    c->x_device = dd_check_tensor(&c->check, in, c->x);
    c->x_size = magnitudes(c, c->x, c->in_count);
    c->x_raw = c->x;
    if (kind == AFFINE_NONE)
        return;
    c->x = dd_check_zeros(&c->check, c->in_count);
    c->prologue = make_affine(c, in, kind == AFFINE_RELU, &scale, &shift);
    for (size_t i = 0; c->check.status == DD_OK && i < c->in_count; i++) {
        const size_t ch = channel_of(in, i);
        const double y = scale[ch] * c->x_raw[i] + shift[ch];
        c->x_size[i] = fabs(scale[ch] * c->x_raw[i]) + fabs(shift[ch]);
        c->x[i] = kind == AFFINE_RELU && y < 0 ? 0 : y;
    }
}

/* The gradient at y: its parts on the device, and dz. */
static void make_gradient(struct conv_case *c, enum gradient_kind kind) {
    const struct dd_shape out = c->conv->out;
    double *scale = NULL, *shift = NULL, *k[3], *z;
    c->dz = dd_check_uniform(&c->check, c->out_count, -1, 1);
    c->gradient.g = dd_check_tensor(&c->check, out, c->dz);
    c->dz_size = magnitudes(c, c->dz, c->out_count);
    if (kind == GRADIENT_PLAIN)
        return;
    z = dd_check_eighths(&c->check, c->out_count);
    for (int i = 0; i < 3; i++)
        k[i] = dd_check_uniform(&c->check, (size_t)out.c, -1, 1);
    c->gradient.z = dd_check_tensor(&c->check, out, z);
    c->gradient.k1 = channel_vector(c, out, k[0]);
    c->gradient.k2 = channel_vector(c, out, k[1]);
    c->gradient.k3 = channel_vector(c, out, k[2]);
    if (kind == GRADIENT_MASKED)
        c->gradient.relu = make_affine(c, out, true, &scale, &shift);
    for (size_t i = 0; c->check.status == DD_OK && i < c->out_count; i++) {
        const size_t ch = channel_of(out, i);
        const double g = kind == GRADIENT_MASKED && !(scale[ch] * z[i] + shift[ch] > 0) ? 0 : c->dz[i];
        c->dz[i] = k[0][ch] * g + k[1][ch] * z[i] + k[2][ch];
        c->dz_size[i] = fabs(k[0][ch] * g) + fabs(k[1][ch] * z[i]) + fabs(k[2][ch]);
    }
}

/* The larger of both directions' workspace; the slices are the first's. */
static int make_workspace(struct conv_case *c, enum dd_conv_direction direction, bool both) {
    struct dd_conv_needs needs = {0}, other = {0};
    c->algorithm->needs(&c->check.device->info, c->conv, direction, &needs);
    if (both)
        c->algorithm->needs(&c->check.device->info, c->conv, DD_CONV_BACKWARD_WEIGHTS, &other);
    if (needs.workspace > 0 || other.workspace > 0)
        c->workspace =
            dd_check_bytes(&c->check, NULL, needs.workspace > other.workspace ? needs.workspace : other.workspace);
    return both ? needs.both_slices : needs.slices;
}

/* Tolerance of sums of `length` products, as a multiple of the sum of their magnitudes. */
static double relative_tolerance(const struct dd_conv_algorithm *algorithm, size_t length) {
    const double factor = strcmp(algorithm->name, "winograd") == 0 ? TRANSFORM : 1;
    return factor * DD_CHECK_EPSILON * (8 + sqrt((double)length) / 4);
}

double dd_case_conv_bound(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                          enum dd_conv_direction direction) {
    const size_t taps = (size_t)conv->kernel * conv->kernel;
    const size_t length = direction == DD_CONV_FORWARD         ? taps * conv->in.c
                          : direction == DD_CONV_BACKWARD_DATA ? taps * conv->out.c + 1
                                                               : dd_shape_pixels(conv->out);
    return relative_tolerance(algorithm, length);
}

/* Tolerance of sums of `length` products whose magnitudes add up to sizes. */
static double tolerance_of(const struct conv_case *c, const double *sizes, size_t count, size_t length) {
    double most = 0;
    for (size_t i = 0; sizes && i < count; i++)
        most = fmax(most, sizes[i]);
    return most * relative_tolerance(c->algorithm, length);
}

/* Statistics of y in slices of count, mean, M2, merged and compared with the reference's y, itself known to within
 * `tolerance`. */
static void check_stats(struct conv_case *c, struct dd_partials stats, const double *y, double tolerance) {
    const struct dd_shape out = c->conv->out;
    const size_t padded = (size_t)dd_shape_padded_c(out), plane = (size_t)out.h * out.w, pixels = dd_shape_pixels(out);
    const float *sums = dd_check_read(&c->check, stats.sums, (size_t)stats.slices * 3 * padded);
    double counts = 0, means = 0, vars = 0;
    for (int ch = 0; sums && ch < out.c; ch++) {
        double count = 0, mean = 0, m2 = 0, want_mean = 0, want_m2 = 0, deviation = 0, size = 0;
        for (int s = 0; s < stats.slices; s++) { /* Chan, Golub, LeVeque 1979 */
            const float *slice = sums + (size_t)s * 3 * padded + ch;
            const double n = slice[0], delta = slice[padded] - mean;
            count += n;
            mean += n > 0 ? delta * n / count : 0;
            m2 += n > 0 ? slice[2 * padded] + delta * delta * n * (count - n) / count : 0;
        }
        for (int n = 0; n < out.n; n++)
            for (size_t p = 0; p < plane; p++)
                want_mean += y[((size_t)n * out.c + ch) * plane + p] / (double)pixels;
        for (int n = 0; n < out.n; n++)
            for (size_t p = 0; p < plane; p++) {
                const double value = y[((size_t)n * out.c + ch) * plane + p], d = fabs(value - want_mean);
                want_m2 += d * d;
                deviation = fmax(deviation, d);
                size = fmax(size, fabs(value));
            }
        const double mean_allowed = tolerance + 8 * DD_CHECK_EPSILON * size + 1e-30,
                     var_allowed = 4 * deviation * tolerance + 4 * tolerance * tolerance +
                                   32 * DD_CHECK_EPSILON * (deviation * deviation + DD_CHECK_EPSILON * size * size) +
                                   1e-30;
        counts = dd_check_worse(counts, count == (double)pixels ? 0 : INFINITY);
        means = dd_check_worse(means, fabs(mean - want_mean) / mean_allowed);
        vars = dd_check_worse(vars, fabs(m2 - want_m2) / (double)pixels / var_allowed);
    }
    dd_check_record(&c->result, "counts", counts);
    dd_check_record(&c->result, "means", means);
    dd_check_record(&c->result, "variances", vars);
}

/* In every other variant the form of the weights is the caller's, as in a network, else the algorithm makes it. */
static void make_form(struct conv_case *c, enum dd_conv_direction direction, size_t variant) {
    struct dd_weight_form form;
    if (variant % 2 == 0 || c->check.status != DD_OK || !dd_conv_form(c->algorithm, c->conv, direction, &form))
        return;
    c->form = dd_check_bytes(&c->check, NULL, dd_weight_form_floats(&form) * sizeof(float));
    if (c->check.status == DD_OK)
        c->check.status = dd_weight_add_one(c->check.device, &form, c->w_device, c->form, &c->check.list);
}

static dd_status case_forward(struct conv_case *c, const struct forward_variant *variant) {
    const struct dd_shape out = c->conv->out;
    const size_t length = c->w_count / (size_t)out.c;
    make_weights(c);
    make_input(c, variant->prologue);
    make_form(c, DD_CONV_FORWARD, (size_t)(variant - forward_variants));
    const int slices = make_workspace(c, DD_CONV_FORWARD, false);
    double *y = dd_check_zeros(&c->check, c->out_count), *sizes = dd_check_zeros(&c->check, c->out_count);
    struct dd_conv_forward_args args = {.x = c->x_device,
                                        .prologue = c->prologue,
                                        .w = c->w_device,
                                        .form = c->form,
                                        .y = dd_check_tensor(&c->check, out, NULL),
                                        .workspace = c->workspace};
    if (variant->stats)
        args.stats =
            (struct dd_partials){dd_check_vector(&c->check, NULL, 0, slices * 3 * dd_shape_padded_c(out)), slices};
    if (c->check.status != DD_OK)
        return c->check.status;
    dd_ref_conv_forward(&c->ref, c->x, c->w, y);
    dd_ref_conv_forward(&c->ref, c->x_size, c->w_size, sizes);
    const double tolerance = tolerance_of(c, sizes, c->out_count, length);
    dd_check_run(&c->check, c->algorithm->forward(c->check.device, c->conv, &args, &c->check.list));
    if (c->check.status == DD_OK)
        dd_check_compare_tensor(&c->check, "y", out, args.y, y, tolerance);
    if (c->check.status == DD_OK && variant->stats)
        check_stats(c, args.stats, y, tolerance);
    return c->check.status;
}

/* What backward data is checked against. */
struct data_expected {
    double *start, *dx, *sizes, *mask_z, *mean;
    double *keep; /* its sign decides on dx */
};

/* Where dx may take g's place. */
static bool in_place(const struct conv_case *c) {
    const struct dd_conv *conv = c->conv;
    return conv->kernel == 1 && conv->stride == 1 && conv->in.v == conv->out.v &&
           dd_shape_blocks(conv->in) == dd_shape_blocks(conv->out) && c->gradient.k1 != NULL;
}

/* The ReLU's output that decides on dx: x, where the case has one. */
static void make_keep(struct conv_case *c, struct dd_conv_backward_data_args *args, struct data_expected *want) {
    want->keep = c->x != NULL ? c->x : dd_check_eighths(&c->check, c->in_count);
    args->keep = c->x != NULL ? c->x_device : dd_check_tensor(&c->check, c->conv->in, want->keep);
}

/* What decides on dx behind batch norm and ReLU: x before its prologue, where the case has one. */
static void make_mask(struct conv_case *c, struct dd_conv_backward_data_args *args, struct data_expected *want) {
    const struct dd_shape in = c->conv->in;
    double *scale, *shift;
    if (c->x != NULL) {
        want->mask_z = c->x_raw;
        want->keep = c->x;
        args->mask_z = c->x_device;
        args->mask = c->prologue;
        return;
    }
    want->mask_z = dd_check_eighths(&c->check, c->in_count);
    want->keep = dd_check_zeros(&c->check, c->in_count);
    args->mask_z = dd_check_tensor(&c->check, in, want->mask_z);
    args->mask = make_affine(c, in, true, &scale, &shift);
    for (size_t i = 0; c->check.status == DD_OK && i < c->in_count; i++)
        want->keep[i] = scale[channel_of(in, i)] * want->mask_z[i] + shift[channel_of(in, i)];
}

static bool is_masked(enum store_kind store) {
    return store == STORE_MASK || store == STORE_MASK_SUMS || store == STORE_ADD_MASK_SUMS;
}

static bool is_kept(enum store_kind store) {
    return store == STORE_KEEP || store == STORE_ADD_KEEP;
}

/* What dx holds before: in a spaced one, 0 is to be taken between the pixels that count, whatever is there. */
static cl_mem make_start(struct conv_case *c, const struct dd_conv_backward_data_args *args, double *start) {
    const struct dd_shape in = c->conv->in;
    double *held = start;
    if (args->spaced && args->accumulate)
        held = dd_check_zeros(&c->check, c->in_count);
    for (size_t i = 0; c->check.status == DD_OK && held != start && i < c->in_count; i++) {
        const size_t row = i / (size_t)in.w % (size_t)in.h, column = i % (size_t)in.w, step = (size_t)c->conv->stride;
        const bool counts = row % step == 0 && column % step == 0;
        held[i] = counts ? start[i] : NAN;
        start[i] = counts ? start[i] : 0;
    }
    return dd_check_tensor(&c->check, in, held);
}

/* dx, its mask and its sums in the arguments. */
static void make_data_args(struct conv_case *c, const struct data_variant *variant, int slices,
                           struct dd_conv_backward_data_args *args, struct data_expected *want) {
    const enum store_kind store = variant->store;
    const struct dd_shape in = c->conv->in;
    *want = (struct data_expected){.dx = dd_check_zeros(&c->check, c->in_count),
                                   .sizes = dd_check_zeros(&c->check, c->in_count)};
    *args = (struct dd_conv_backward_data_args){.dz = c->gradient,
                                                .w = c->w_device,
                                                .form = c->form,
                                                .workspace = c->workspace,
                                                .accumulate = store == STORE_ADD || store == STORE_ADD_KEEP ||
                                                              store == STORE_ADD_MASK_SUMS};
    args->spaced = variant->spaced && dd_conv_spaced(c->algorithm, c->conv, args->accumulate);
    if (args->accumulate)
        want->start = dd_check_uniform(&c->check, c->in_count, -1, 1);
    else if (args->spaced) /* what stays unwritten is 0 then */
        want->start = dd_check_zeros(&c->check, c->in_count);
    args->dx = store == STORE_KEEP && in_place(c) ? c->gradient.g : make_start(c, args, want->start);
    if (is_kept(store))
        make_keep(c, args, want);
    if (is_masked(store))
        make_mask(c, args, want);
    if (store == STORE_MASK_SUMS || store == STORE_ADD_MASK_SUMS) {
        want->mean = dd_check_uniform(&c->check, (size_t)in.c, -1, 1);
        args->mean = channel_vector(c, in, want->mean);
        args->sums =
            (struct dd_partials){dd_check_vector(&c->check, NULL, 0, slices * 2 * dd_shape_padded_c(in)), slices};
    }
    if (c->check.status != DD_OK)
        return;
    dd_ref_conv_backward_data(&c->ref, c->dz, c->w, want->dx);
    dd_ref_conv_backward_data(&c->ref, c->dz_size, c->w_size, want->sizes);
    for (size_t i = 0; i < c->in_count; i++) {
        if (want->start) {
            want->dx[i] += want->start[i];
            want->sizes[i] += fabs(want->start[i]);
        }
        if (want->keep && !(want->keep[i] > 0))
            want->dx[i] = 0;
    }
}

/* sum g and sum g * (z - mean) of the masked dx, itself known to within tolerance. */
static void check_sums(struct conv_case *c, struct dd_partials partials, const struct data_expected *want,
                       double tolerance) {
    const struct dd_shape in = c->conv->in;
    const size_t padded = (size_t)dd_shape_padded_c(in), plane = (size_t)in.h * in.w;
    const double pixels = (double)dd_shape_pixels(in);
    const float *sums = dd_check_read(&c->check, partials.sums, (size_t)partials.slices * 2 * padded);
    double ratio = 0;
    for (int ch = 0; sums && ch < in.c; ch++) {
        double got[2] = {0, 0}, expected[2] = {0, 0}, size = 0, far = 1;
        for (int s = 0; s < partials.slices; s++)
            for (int k = 0; k < 2; k++)
                got[k] += sums[((size_t)s * 2 + k) * padded + ch];
        for (int n = 0; n < in.n; n++)
            for (size_t p = 0; p < plane; p++) {
                const size_t i = ((size_t)n * in.c + ch) * plane + p;
                const double d = want->mask_z[i] - want->mean[ch];
                expected[0] += want->dx[i];
                expected[1] += want->dx[i] * d;
                size += fabs(want->dx[i]);
                far = fmax(far, fabs(d));
            }
        const double allowed = 4 * sqrt(pixels) * tolerance + 8 * DD_CHECK_EPSILON * size + 1e-30;
        for (int k = 0; k < 2; k++) {
            const double error = fabs(got[k] - expected[k]) / (k ? far * allowed : allowed);
            ratio = dd_check_worse(ratio, error);
        }
    }
    dd_check_record(&c->result, "sums", ratio);
}

static void check_data(struct conv_case *c, const struct dd_conv_backward_data_args *args,
                       const struct data_expected *want) {
    const size_t length = c->w_count / (size_t)c->conv->in.c + 1;
    const double tolerance = tolerance_of(c, want->sizes, c->in_count, length);
    if (c->check.status == DD_OK)
        dd_check_compare_tensor(&c->check, "dx", c->conv->in, args->dx, want->dx, tolerance);
    if (c->check.status == DD_OK && args->sums.sums)
        check_sums(c, args->sums, want, tolerance);
}

static dd_status case_data(struct conv_case *c, const struct data_variant *variant) {
    struct dd_conv_backward_data_args args;
    struct data_expected want;
    make_weights(c);
    make_form(c, DD_CONV_BACKWARD_DATA, (size_t)(variant - data_variants));
    make_gradient(c, variant->gradient);
    make_data_args(c, variant, make_workspace(c, DD_CONV_BACKWARD_DATA, false), &args, &want);
    args.workspace = c->workspace;
    if (c->check.status != DD_OK)
        return c->check.status;
    dd_check_run(&c->check, c->algorithm->backward_data(c->check.device, c->conv, &args, &c->check.list));
    check_data(c, &args, &want);
    return c->check.status;
}

/* dw against the reference, and its padding, which must be 0. */
static void check_weights(struct conv_case *c, cl_mem dw) {
    const struct dd_conv *conv = c->conv;
    const int o = conv->out.c, i = conv->in.c, k = conv->kernel, vo = conv->out.v, vi = conv->in.v;
    const size_t floats = dd_weight_floats(o, i, k, vo, vi);
    double *want = dd_check_zeros(&c->check, c->w_count), *sizes = dd_check_zeros(&c->check, c->w_count), ratio = 0,
           tolerance;
    float *oihw = (float *)dd_check_zeros(&c->check, (c->w_count + 1) / 2);
    float *packed = (float *)dd_check_zeros(&c->check, (floats + 1) / 2), *got = dd_check_read(&c->check, dw, floats);
    bool padded = true;
    if (c->check.status != DD_OK)
        return;
    dd_ref_conv_backward_weights(&c->ref, c->x, c->dz, want);
    dd_ref_conv_backward_weights(&c->ref, c->x_size, c->dz_size, sizes);
    tolerance = tolerance_of(c, sizes, c->w_count, dd_shape_pixels(conv->out));
    dd_check_spoil(&c->result, got, floats);
    dd_weight_unpack(got, o, i, k, vo, vi, oihw);
    dd_weight_pack(oihw, o, i, k, vo, vi, packed);
    for (size_t at = 0; at < floats; at++)
        padded = padded && (packed[at] == got[at] || isnan(packed[at]));
    for (size_t at = 0; at < c->w_count; at++) {
        const double error = fabs(oihw[at] - want[at]), allowed = tolerance + 1e-30;
        ratio = dd_check_worse(ratio, error / allowed);
    }
    dd_check_record(&c->result, "dw", ratio);
    dd_check_record(&c->result, "padding of dw", padded ? 0 : INFINITY);
}

static dd_status case_weights(struct conv_case *c, const struct weights_variant *variant) {
    const struct dd_conv *conv = c->conv;
    make_input(c, variant->prologue);
    make_gradient(c, variant->gradient);
    make_workspace(c, DD_CONV_BACKWARD_WEIGHTS, false);
    const size_t floats = dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v);
    const struct dd_conv_backward_weights_args args = {.x = c->x_device,
                                                       .prologue = c->prologue,
                                                       .dz = c->gradient,
                                                       .dw = dd_check_bytes(&c->check, NULL, floats * sizeof(float)),
                                                       .workspace = c->workspace};
    if (c->check.status != DD_OK)
        return c->check.status;
    dd_check_run(&c->check, c->algorithm->backward_weights(c->check.device, conv, &args, &c->check.list));
    if (c->check.status == DD_OK)
        check_weights(c, args.dw);
    return c->check.status;
}

dd_status dd_case_conv(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                       enum dd_conv_direction direction, unsigned variant, uint64_t seed, double *error_over_tolerance,
                       char *failure, size_t size) {
    struct conv_case c;
    begin(&c, device, algorithm, conv, dd_conv_direction_names[direction], seed);
    if (direction == DD_CONV_FORWARD)
        case_forward(&c, &forward_variants[variant % FORWARD_VARIANTS]);
    else if (direction == DD_CONV_BACKWARD_DATA)
        case_data(&c, &data_variants[variant % DATA_VARIANTS]);
    else
        case_weights(&c, &weights_variants[variant % WEIGHTS_VARIANTS]);
    return end(&c, error_over_tolerance, failure, size);
}

dd_status dd_case_conv_both(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                            unsigned variant, uint64_t seed, double *error_over_tolerance, char *failure, size_t size) {
    const struct data_variant *form = &data_variants[variant % DATA_VARIANTS];
    const size_t floats = dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v);
    struct dd_conv_backward_data_args data;
    struct dd_backward_finish finish = {.sum_count = 0}; /* as in a network; backward weights alone do without */
    struct data_expected want;
    struct conv_case c;
    begin(&c, device, algorithm, conv, "backward", seed);
    make_weights(&c);
    make_form(&c, DD_CONV_BACKWARD_DATA, variant);
    make_input(&c, is_masked(form->store) || (!is_kept(form->store) && variant % 2) ? AFFINE_RELU : AFFINE_NONE);
    make_gradient(&c, form->gradient);
    make_data_args(&c, form, make_workspace(&c, DD_CONV_BACKWARD_DATA, true), &data, &want);
    data.workspace = c.workspace;
    const struct dd_conv_backward_weights_args weights = {.x = c.x_device,
                                                          .prologue = c.prologue,
                                                          .dz = c.gradient,
                                                          .dw = dd_check_bytes(&c.check, NULL, floats * sizeof(float)),
                                                          .workspace = c.workspace,
                                                          .finish = &finish};
    if (c.check.status == DD_OK) {
        const dd_status added = algorithm->backward(device, conv, &data, &weights, &c.check.list);
        dd_check_run(&c.check, added == DD_OK ? dd_finish_backward(device, &finish, 1.0f, &c.check.list) : added);
    }
    check_data(&c, &data, &want);
    if (c.check.status == DD_OK)
        check_weights(&c, weights.dw);
    return end(&c, error_over_tolerance, failure, size);
}
