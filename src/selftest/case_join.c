/* Cases of the residual join: forward, mask of the backward, adjoint of the subsampling shortcut. */
#include "selftest/check.h"

/* o is a sum of two products and two shifts of magnitude up to 3 */
static const double tolerance = 16 * DD_CHECK_EPSILON;

static struct dd_ref_shape plain(struct dd_shape s) {
    return (struct dd_ref_shape){s.n, s.c, s.h, s.w};
}

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
        dd_ref_subsample(plain(in), join->out.c, join->stride, x, t);
    else if (join->kind == DD_JOIN_AFFINE)
        dd_ref_affine(plain(in), x, scale, shift, join->relu, t);
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

    dd_ref_affine(plain(out), z, z_scale, z_shift, false, main_path);
    refer_shortcut(c, x, x_scale, x_shift, side);
    dd_ref_join_forward(count, c->main ? main_path : NULL, side, want);
    dd_check_run(&check, dd_join_forward(device, &join, o, &check.list));
    dd_check_compare_tensor(&check, "o", out, o, want, tolerance);
done:
    return dd_check_end(&check);
}

dd_status dd_case_join_backward(dd_device *device, const struct dd_join_case *c, uint64_t seed,
                                struct dd_case_result *result) {
    struct dd_check check;
    const struct dd_shape out = c->out;
    const size_t count = dd_shape_pixels(out) * (size_t)out.c;
    const int padded = dd_shape_padded_c(out);

    dd_check_begin(&check, device, seed, result);
    double *go = dd_check_uniform(&check, count, -1, 1);
    double *test = dd_check_eighths(&check, count), *want = dd_check_zeros(&check, count);
    double *scale = dd_check_eighths(&check, (size_t)out.c), *shift = dd_check_eighths(&check, (size_t)out.c);
    struct dd_join_backward join = {.out = out, .go = dd_check_tensor(&check, out, go)};
    join.g = c->in_place ? join.go : dd_check_tensor(&check, out, NULL);
    if (c->raw) {
        join.mask_z = dd_check_tensor(&check, out, test);
        join.mask.scale = dd_check_vector(&check, scale, out.c, padded);
        join.mask.shift = dd_check_vector(&check, shift, out.c, padded);
    } else {
        join.o = dd_check_tensor(&check, out, test);
    }
    if (check.status != DD_OK)
        goto done;

    if (c->raw)
        dd_ref_affine(plain(out), test, scale, shift, false, test);
    dd_ref_join_backward(count, go, test, want);
    dd_check_run(&check, dd_join_backward(device, &join, &check.list));
    dd_check_compare_tensor(&check, "g", out, join.g, want, 0);
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
    cl_mem g_buffer = dd_check_tensor(&check, out, g), dx = dd_check_tensor(&check, in, NULL);
    if (check.status != DD_OK)
        goto done;

    dd_ref_expand(plain(in), out.c, c->stride, g, want);
    dd_check_run(&check, dd_join_expand(device, in, out, c->stride, g_buffer, dx, &check.list));
    dd_check_compare_tensor(&check, "dx", in, dx, want, 0);
done:
    return dd_check_end(&check);
}
