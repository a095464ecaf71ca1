/* Cases of the residual join: forward, reductions of the backward, adjoint of the subsampling shortcut. */
#include <math.h>

#include "ops/batchnorm.h"
#include "selftest/check.h"

/* o is a sum of two products and two shifts of magnitude up to 3 */
static const double tolerance = 16 * DD_CHECK_EPSILON;

/* The shape of the shortcut's input. */
static struct dd_shape input_shape(const struct dd_join_case *join) {
    struct dd_shape s = join->out;
    if (join->kind == DD_JOIN_SUBSAMPLE) {
        s.c = join->x_channels;
        s.h = join->x_h;
        s.w = join->x_w;
    }
    return s;
}

/* t of the shortcut's input x, in place where shapes agree. */
static void refer_shortcut(const struct dd_join_case *join, const double *x, const double *scale, const double *shift,
                           double *t) {
    const struct dd_shape in = input_shape(join);
    if (join->kind == DD_JOIN_SUBSAMPLE)
        dd_ref_subsample(dd_check_shape(in), join->out.c, join->stride, x, t);
    else if (join->kind == DD_JOIN_AFFINE)
        dd_ref_affine(dd_check_shape(in), x, scale, shift, join->relu, t);
    else
        for (size_t i = 0; i < dd_shape_pixels(in) * (size_t)in.c; ++i)
            t[i] = join->kind == DD_JOIN_IDENTITY ? x[i] : 0;
}

dd_status dd_case_join_forward(dd_device *device, const struct dd_join_case *c, uint64_t seed,
                               struct dd_case_result *result) {
    struct dd_check check;
    const struct dd_shape out = c->out, in = input_shape(c);
    const size_t count = dd_shape_pixels(out) * (size_t)out.c, channels = (size_t)out.c;
    const int padded = dd_shape_padded_c(out);

    dd_check_begin(&check, device, seed, result);
    double *z = dd_check_uniform(&check, count, -2, 2);
    double *x = dd_check_uniform(&check, dd_shape_pixels(in) * (size_t)in.c, -2, 2);
    double *z_scale = dd_check_uniform(&check, channels, 0.5, 1.5),
           *z_shift = dd_check_uniform(&check, channels, -1, 1);
    double *x_scale = dd_check_uniform(&check, channels, 0.5, 1.5),
           *x_shift = dd_check_uniform(&check, channels, -1, 1);
    double *main_path = dd_check_zeros(&check, count), *side = dd_check_zeros(&check, count);
    double *want = dd_check_zeros(&check, count);
    struct dd_join join = {.out = out, .kind = c->kind, .x_shape = in, .stride = c->stride};
    if (c->main) {
        join.main = dd_check_tensor(&check, out, z);
        join.main_affine.scale = dd_check_vector(&check, z_scale, out.c, padded);
        join.main_affine.shift = dd_check_vector(&check, z_shift, out.c, padded);
    }
    if (c->kind != DD_JOIN_NONE)
        join.x = dd_check_tensor(&check, in, x);
    if (c->kind == DD_JOIN_AFFINE) {
        join.shortcut.scale = dd_check_vector(&check, x_scale, out.c, padded);
        join.shortcut.shift = dd_check_vector(&check, x_shift, out.c, padded);
        join.shortcut.relu = c->relu;
    }
    cl_mem o = dd_check_tensor(&check, out, NULL);
    if (check.status != DD_OK)
        goto done;

    dd_ref_affine(dd_check_shape(out), z, z_scale, z_shift, false, main_path);
    refer_shortcut(c, x, x_scale, x_shift, side);
    dd_ref_join_forward(count, c->main ? main_path : NULL, side, want);
    dd_check_run(&check, dd_join_forward(device, &join, o, &check.list));
    dd_check_compare_tensor(&check, "o", out, o, want, tolerance);
done:
    return dd_check_end(&check);
}

/* One batch norm's reductions in the backward of a join. */
struct sums_case {
    double *z, *mean, *scale, *shift;
    struct dd_join_sums sums;
};

static void draw_sums(struct dd_check *check, struct dd_shape out, bool relu, struct sums_case *c) {
    const size_t channels = (size_t)out.c, count = dd_shape_pixels(out) * channels;
    const int padded = dd_shape_padded_c(out), slices = dd_bn_slices(&check->device->info, out);
    c->z = dd_check_eighths(check, count);
    c->mean = dd_check_eighths(check, channels);
    c->scale = dd_check_eighths(check, channels);
    c->shift = dd_check_eighths(check, channels);
    c->sums = (struct dd_join_sums){.z = dd_check_tensor(check, out, c->z),
                                    .mean = dd_check_vector(check, c->mean, out.c, padded),
                                    .partials = {dd_check_vector(check, NULL, 0, slices * 2 * padded), slices}};
    if (relu)
        c->sums.relu = (struct dd_affine){dd_check_vector(check, c->scale, out.c, padded),
                                          dd_check_vector(check, c->shift, out.c, padded), true};
}

/* sum g' and sum g' * (z - mean) of channel k from the reference's g [N][C][H][W]. */
static void refer_sums(struct dd_shape out, const struct sums_case *c, const double *g, int k, double want[2]) {
    const size_t plane = (size_t)out.h * out.w;
    want[0] = want[1] = 0;
    for (int n = 0; n < out.n; ++n) {
        for (size_t p = 0; p < plane; ++p) {
            const size_t at = ((size_t)n * out.c + k) * plane + p;
            if (c->sums.relu.scale != NULL && !(c->scale[k] * c->z[at] + c->shift[k] > 0))
                continue;
            want[0] += g[at];
            want[1] += g[at] * (c->z[at] - c->mean[k]);
        }
    }
}

/* The partial sums on the device, added up over the slices, against the reference's. */
static void compare_sums(struct dd_check *check, const char *what, struct dd_shape out, const struct sums_case *c,
                         const double *g) {
    const int slices = c->sums.partials.slices;
    const size_t padded = (size_t)dd_shape_padded_c(out), count = (size_t)slices * 2 * padded;
    const double tolerance_of_sum =
        DD_CHECK_EPSILON * (8 + 2 * (double)dd_shape_pixels(out)); /* terms of magnitude 1 */
    float *partial = dd_check_read(check, c->sums.partials.sums, count);
    if (!partial)
        return;
    dd_check_spoil(check->result, partial, count);
    for (int k = 0; k < out.c; ++k) {
        double want[2], got[2] = {0, 0};
        refer_sums(out, c, g, k, want);
        for (int slice = 0; slice < slices; ++slice)
            for (size_t i = 0; i < 2; ++i)
                got[i] += partial[((size_t)slice * 2 + i) * padded + (size_t)k];
        dd_check_record(check->result, what, fabs(got[0] - want[0]) / tolerance_of_sum);
        dd_check_record(check->result, what, fabs(got[1] - want[1]) / (4 * tolerance_of_sum)); /* |z - mean| <= 4 */
    }
}

dd_status dd_case_join_backward(dd_device *device, const struct dd_join_case *c, uint64_t seed,
                                struct dd_case_result *result) {
    struct dd_check check;
    const struct dd_shape out = c->out;
    const size_t count = dd_shape_pixels(out) * (size_t)out.c;

    dd_check_begin(&check, device, seed, result);
    double *g = dd_check_uniform(&check, count, -1, 1);
    cl_mem g_buffer = dd_check_tensor(&check, out, g);
    struct sums_case main_sums = {0}, side_sums = {0};
    if (c->main_sums)
        draw_sums(&check, out, false, &main_sums);
    if (c->side_sums > 0)
        draw_sums(&check, out, c->side_sums == 2, &side_sums);
    if (check.status != DD_OK)
        goto done;

    dd_check_run(&check, dd_join_backward(device, out, g_buffer, &main_sums.sums, &side_sums.sums, &check.list));
    if (c->main_sums)
        compare_sums(&check, "sums of the primary path", out, &main_sums, g);
    if (c->side_sums > 0)
        compare_sums(&check, "sums of the shortcut", out, &side_sums, g);
done:
    return dd_check_end(&check);
}

dd_status dd_case_join_expand(dd_device *device, const struct dd_join_case *c, uint64_t seed,
                              struct dd_case_result *result) {
    struct dd_check check;
    const struct dd_shape out = c->out, in = {out.n, c->x_channels, c->x_h, c->x_w, out.v};
    const size_t in_count = dd_shape_pixels(in) * (size_t)in.c;

    dd_check_begin(&check, device, seed, result);
    double *g = dd_check_uniform(&check, dd_shape_pixels(out) * (size_t)out.c, -1, 1);
    double *want = dd_check_zeros(&check, in_count);
    double *test = dd_check_eighths(&check, in_count);
    cl_mem g_buffer = dd_check_tensor(&check, out, g), dx = dd_check_tensor(&check, in, c->spaced ? want : NULL);
    cl_mem keep = c->keep ? dd_check_tensor(&check, in, test) : NULL;
    if (check.status != DD_OK)
        goto done;

    dd_ref_expand(dd_check_shape(in), out.c, c->stride, g, want);
    if (c->keep)
        dd_ref_join_backward(in_count, want, test, want);
    dd_check_run(&check, dd_join_expand(device, in, out, c->stride, g_buffer, keep, c->spaced, dx, &check.list));
    dd_check_compare_tensor(&check, "dx", in, dx, want, 0);
done:
    return dd_check_end(&check);
}
