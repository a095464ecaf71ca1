/* The case of width dropout: its words against Random123's, both directions against the reference. */
#include "base/philox.h"
#include "ops/dropout.h"
#include "selftest/check.h"

static const double eps = DD_CHECK_EPSILON;

/* The words of elements 0 .. count - 1, as ops/dropout.h counts them. */
static void draw_words(uint64_t seed, uint32_t iteration, int unit, size_t count, uint32_t *words) {
    for (size_t e = 0; e < count; e += 4) {
        uint32_t four[4];
        dd_philox(seed, iteration, (uint32_t)unit, DD_STREAM_WIDTH, (uint32_t)(e / 4), four);
        for (size_t i = e; i < count && i < e + 4; ++i)
            words[i] = four[i - e];
    }
}

dd_status dd_case_dropout(dd_device *device, const struct dd_dropout_case *c, uint64_t seed,
                          struct dd_case_result *result) {
    enum { ITERATION = 70001, UNIT = 5 };
    struct dd_check check;
    const struct dd_shape s = c->shape;
    const struct dd_ref_shape plain = dd_check_shape(s);
    const size_t count = dd_shape_pixels(s) * (size_t)s.c;
    struct dd_dropout dropout = {
        .shape = s, .seed = seed * UINT64_C(0x9E3779B97F4A7C15), .unit = UNIT, .ratio = c->ratio};

    dd_check_begin(&check, device, seed, result);
    double *x = dd_check_eighths(&check, count),
           *g = dd_check_eighths(&check, count); /* no rounding decides the mask */
    double *scale = dd_check_eighths(&check, (size_t)s.c), *shift = dd_check_eighths(&check, (size_t)s.c);
    double *y = dd_check_zeros(&check, count), *dx = dd_check_zeros(&check, count);
    uint32_t *words = (uint32_t *)dd_check_integers(&check, count, 0, 1);
    if (c->affine)
        dropout.affine = (struct dd_affine){.scale = dd_check_vector(&check, scale, s.c, dd_shape_padded_c(s)),
                                            .shift = dd_check_vector(&check, shift, s.c, dd_shape_padded_c(s)),
                                            .relu = true};
    cl_mem x_buffer = dd_check_tensor(&check, s, x), g_buffer = dd_check_tensor(&check, s, g);
    cl_mem y_buffer = c->in_place ? x_buffer : dd_check_tensor(&check, s, NULL);
    if (check.status != DD_OK)
        goto done;

    dd_status added = dd_dropout_backward(device, &dropout, x_buffer, g_buffer, &check.list);
    if (added == DD_OK)
        added = dd_dropout_forward(device, &dropout, x_buffer, y_buffer, &check.list);
    for (int i = 0; i < check.list.count && added == DD_OK; ++i)
        added = dd_launch_set(device, &check.list.at[i], DD_DROPOUT_ITERATION_ARG, DD_INT(ITERATION));
    dd_check_run(&check, added);
    draw_words(dropout.seed, ITERATION, UNIT, count, words);
    if (c->affine)
        dd_ref_affine(plain, x, scale, shift, true, x);
    dd_ref_dropout(count, c->ratio, words, x, y);
    if (c->affine)
        dd_ref_join_backward(count, g, x, g);
    dd_ref_dropout(count, c->ratio, words, g, dx);
    dd_check_compare_tensor(&check, "y", s, y_buffer, y, 2 * eps * dd_check_magnitude(y, count));
    dd_check_compare_tensor(&check, "dx", s, g_buffer, dx, 2 * eps * dd_check_magnitude(dx, count));
done:
    return dd_check_end(&check);
}
