/* Cases of max pooling and global average pooling, each in both directions. */
#include "ops/pool.h"
#include "selftest/check.h"

static const double eps = DD_CHECK_EPSILON;

/* The winners of a blocked tensor against the reference's [n][c][h][w]; channel padding is free. */
static void compare_winners(struct dd_check *check, struct dd_shape s, cl_mem got, const int *want) {
    const size_t plane = (size_t)s.h * s.w;
    size_t wrong = 0;
    int *host = dd_check_integers(check, dd_shape_floats(s), 0, 1);
    if (host)
        check->status = dd_buffer_read(check->device, got, 0, dd_shape_floats(s) * sizeof(int), host);
    if (check->status != DD_OK)
        return;
    for (size_t i = 0; i < dd_shape_pixels(s) * (size_t)s.c; ++i) {
        size_t n = i / plane / (size_t)s.c, c = i / plane % (size_t)s.c, block = c / (size_t)s.v;
        size_t at = ((block * (size_t)s.n + n) * plane + i % plane) * (size_t)s.v + c % (size_t)s.v;
        wrong += host[at] != want[i];
    }
    dd_check_record(check->result, "winner", (double)wrong * 2);
}

dd_status dd_case_maxpool(dd_device *device, const struct dd_maxpool_case *c, uint64_t seed,
                          struct dd_case_result *result) {
    struct dd_check check;
    const struct dd_shape in = c->in, out = {in.n, in.c, dd_window_out(in.h, c->window, c->stride, c->pad),
                                             dd_window_out(in.w, c->window, c->stride, c->pad), in.v};
    const size_t in_count = dd_shape_pixels(in) * (size_t)in.c, out_count = dd_shape_pixels(out) * (size_t)out.c;

    dd_check_begin(&check, device, seed, result);
    double *x = dd_check_eighths(&check, in_count); /* exact under the prologue, and with many ties */
    double *scale = dd_check_eighths(&check, (size_t)in.c), *shift = dd_check_eighths(&check, (size_t)in.c);
    double *y = dd_check_zeros(&check, out_count), *dy = dd_check_uniform(&check, out_count, -1, 1);
    double *dx = dd_check_zeros(&check, in_count);
    int *winner = dd_check_integers(&check, out_count, 0, 1);
    struct dd_affine prologue = {0};
    if (c->prologue) {
        prologue.scale = dd_check_vector(&check, scale, in.c, dd_shape_padded_c(in));
        prologue.shift = dd_check_vector(&check, shift, in.c, dd_shape_padded_c(in));
        prologue.relu = c->relu;
    }
    cl_mem x_buffer = dd_check_tensor(&check, in, x), y_buffer = dd_check_tensor(&check, out, NULL);
    cl_mem dy_buffer = dd_check_tensor(&check, out, dy), dx_buffer = dd_check_tensor(&check, in, NULL);
    cl_mem winner_buffer = dd_check_bytes(&check, NULL, dd_shape_floats(out) * sizeof(int));
    if (check.status != DD_OK)
        goto done;

    if (c->prologue)
        dd_ref_affine(dd_check_shape(in), x, scale, shift, c->relu, x);
    dd_ref_maxpool_forward(dd_check_shape(in), c->window, c->stride, c->pad, x, y, winner);
    dd_ref_maxpool_backward(dd_check_shape(in), c->window, c->stride, c->pad, dy, winner, dx);
    dd_check_run(&check, dd_maxpool_forward(device, in, out, c->window, c->stride, c->pad, x_buffer, prologue, y_buffer,
                                            winner_buffer, &check.list));
    dd_launches_clear(&check.list);
    dd_check_run(&check, dd_maxpool_backward(device, in, out, c->window, c->stride, c->pad, dy_buffer, winner_buffer,
                                             dx_buffer, &check.list));
    dd_check_compare_tensor(&check, "y", out, y_buffer, y, 0);
    compare_winners(&check, out, winner_buffer, winner);
    dd_check_compare_tensor(&check, "dx", in, dx_buffer, dx, 2 * eps * c->window * c->window);
done:
    return dd_check_end(&check);
}

dd_status dd_case_gap(dd_device *device, struct dd_shape in, uint64_t seed, struct dd_case_result *result) {
    struct dd_check check;
    const size_t in_count = dd_shape_pixels(in) * (size_t)in.c, out_count = (size_t)in.n * in.c;
    const int plane = in.h * in.w;

    dd_check_begin(&check, device, seed, result);
    double *x = dd_check_uniform(&check, in_count, -1, 1), *dx = dd_check_zeros(&check, in_count);
    double *y = dd_check_zeros(&check, out_count), *dy = dd_check_uniform(&check, out_count, -1, 1);
    if (check.status != DD_OK)
        goto done;
    dd_ref_gap_forward(dd_check_shape(in), x, y);
    dd_ref_gap_backward(dd_check_shape(in), dy, dx);
    dd_ref_join_backward(in_count, dx, x, dx); /* masked by x, as if that were a ReLU's output */
    double *y_rows = dd_check_transposed(&check, y, in.n, in.c);
    double *dy_rows = dd_check_transposed(&check, dy, in.n, in.c);
    cl_mem x_buffer = dd_check_tensor(&check, in, x), dx_buffer = dd_check_tensor(&check, in, NULL);
    cl_mem y_buffer = dd_check_vector(&check, NULL, 0, (int)out_count);
    cl_mem dy_buffer = dd_check_vector(&check, dy_rows, (int)out_count, (int)out_count);

    dd_check_run(&check, dd_gap_forward(device, in, x_buffer, y_buffer, &check.list));
    dd_launches_clear(&check.list);
    dd_check_run(&check, dd_gap_backward(device, in, dy_buffer, x_buffer, dx_buffer, &check.list));
    dd_check_compare_vector(&check, "y", y_buffer, y_rows, out_count, eps * (2 + plane / 16.0));
    dd_check_compare_tensor(&check, "dx", in, dx_buffer, dx, 4 * eps / plane);
done:
    return dd_check_end(&check);
}
