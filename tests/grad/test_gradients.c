/*
 * Gradients: central differences of the double references confirm the reference gradients, and the device's gradient is
 * compared with the reference on the same shape. A new differentiable operator gets an entry in each of the two halves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/philox.h"
#include "ref/ref.h"
#include "ref/ref_conv.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static const uint64_t seed = 20;

/* Uniform in [-1, 1) with three decimals at least between any value and a kink at 0. */
static void fill(double *values, size_t count, uint32_t stream) {
    for (size_t i = 0; i < count; ++i) {
        uint32_t words[4];
        dd_philox(seed, (uint32_t)i, stream, 0, 77, words);
        double value = 2 * dd_unit_interval(words[0]) - 1;
        values[i] = fabs(value) < 1e-3 ? 0.5 : value;
    }
}

static double *filled(size_t count, uint32_t stream) {
    double *values = calloc(count, sizeof *values);
    assert_non_null(values);
    fill(values, count, stream);
    return values;
}

static double dot(const double *a, const double *b, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i)
        sum += a[i] * b[i];
    return sum;
}

/* How a difference is taken and judged. */
struct accuracy {
    double step, absolute, relative;
};
static const struct accuracy smooth = {1e-5, 1e-6, 1e-6};
static const struct accuracy linear_in_x = {0.5, 1e-12, 0}; /* differences are exact but for rounding */

/* The scalar objective(context) as a function of x [count] must have the given gradient. */
static void check_to(struct accuracy accuracy, const char *what, double *x, size_t count, const double *gradient,
                     double (*objective)(void *), void *context) {
    const double h = accuracy.step;
    for (size_t i = 0; i < count; ++i) {
        const double at = x[i];
        x[i] = at + h;
        double above = objective(context);
        x[i] = at - h;
        double below = objective(context);
        x[i] = at;
        double difference = (above - below) / (2 * h);
        if (!(fabs(difference - gradient[i]) <= accuracy.absolute + accuracy.relative * fabs(difference)))
            fail_msg("%s, seed %llu, element %zu: difference %.9g, gradient %.9g", what, (unsigned long long)seed, i,
                     difference, gradient[i]);
    }
}

static void check(const char *what, double *x, size_t count, const double *gradient, double (*objective)(void *),
                  void *context) {
    check_to(smooth, what, x, count, gradient, objective, context);
}

static const struct dd_ref_shape shape = {2, 3, 4, 5};
enum { COUNT = 2 * 3 * 4 * 5, CHANNELS = 3 };

struct bn {
    double *z, *gamma, *beta, *u;
};

static double bn_objective(void *user) {
    struct bn *bn = user;
    double mean[CHANNELS], var[CHANNELS], y[COUNT];
    dd_ref_bn_statistics(shape, bn->z, mean, var);
    dd_ref_bn_forward(shape, bn->z, mean, var, bn->gamma, bn->beta, 1e-5, y);
    return dot(y, bn->u, COUNT);
}

static void batchnorm(void **state) {
    (void)state;
    struct bn bn = {filled(COUNT, 1), filled(CHANNELS, 2), filled(CHANNELS, 3), filled(COUNT, 4)};
    double dz[COUNT], dgamma[CHANNELS], dbeta[CHANNELS];
    dd_ref_bn_backward(shape, bn.u, bn.z, bn.gamma, 1e-5, dz, dgamma, dbeta);
    check("batch norm by z", bn.z, COUNT, dz, bn_objective, &bn);
    check("batch norm by gamma", bn.gamma, CHANNELS, dgamma, bn_objective, &bn);
    check("batch norm by beta", bn.beta, CHANNELS, dbeta, bn_objective, &bn);
    free(bn.z);
    free(bn.gamma);
    free(bn.beta);
    free(bn.u);
}

struct join {
    double *main_path, *shortcut, *u;
};

static double join_objective(void *user) {
    struct join *join = user;
    double o[COUNT];
    dd_ref_join_forward(COUNT, join->main_path, join->shortcut, o);
    return dot(o, join->u, COUNT);
}

static void join(void **state) {
    (void)state;
    struct join join = {filled(COUNT, 5), filled(COUNT, 6), filled(COUNT, 7)};
    double o[COUNT], g[COUNT];
    dd_ref_join_forward(COUNT, join.main_path, join.shortcut, o);
    dd_ref_join_backward(COUNT, join.u, o, g);
    check("join by the primary path", join.main_path, COUNT, g, join_objective, &join);
    check("join by the shortcut", join.shortcut, COUNT, g, join_objective, &join);
    free(join.main_path);
    free(join.shortcut);
    free(join.u);
}

/* One input x, one weighting u of the output: for operators without parameters. */
struct unary {
    double *x, *u;
};
static const int window = 3, stride = 2, pad = 1;
enum { WIDER = 5, SUBSAMPLED = 2 * WIDER * 2 * 3, POOLED = 2 * 3 * 2 * 3, AVERAGED = 2 * 3 };

static double subsample_objective(void *user) {
    struct unary *unary = user;
    double t[SUBSAMPLED];
    dd_ref_subsample(shape, WIDER, 2, unary->x, t);
    return dot(t, unary->u, SUBSAMPLED);
}

static void subsample(void **state) {
    (void)state;
    struct unary unary = {filled(COUNT, 8), filled(SUBSAMPLED, 9)};
    double dx[COUNT];
    dd_ref_expand(shape, WIDER, 2, unary.u, dx);
    check("subsampling shortcut", unary.x, COUNT, dx, subsample_objective, &unary);
    free(unary.x);
    free(unary.u);
}

static void dropout_words(uint32_t words[COUNT]) {
    for (int i = 0; i < COUNT; ++i)
        words[i] = (uint32_t)i * 2654435769u;
}

static double dropout_objective(void *user) {
    struct unary *unary = user;
    uint32_t words[COUNT];
    double y[COUNT];
    dropout_words(words);
    dd_ref_dropout(COUNT, 0.4, words, unary->x, y);
    return dot(y, unary->u, COUNT);
}

static void dropout(void **state) {
    (void)state;
    struct unary unary = {filled(COUNT, 25), filled(COUNT, 26)};
    uint32_t words[COUNT];
    double dx[COUNT];
    int dropped = 0;
    dropout_words(words);
    dd_ref_dropout(COUNT, 0.4, words, unary.u, dx);
    for (int i = 0; i < COUNT; ++i)
        dropped += dx[i] == 0;
    assert_in_range(dropped, COUNT / 4, COUNT / 2);
    check("dropout", unary.x, COUNT, dx, dropout_objective, &unary);
    free(unary.x);
    free(unary.u);
}

static double maxpool_objective(void *user) {
    struct unary *unary = user;
    double y[POOLED];
    int winner[POOLED];
    dd_ref_maxpool_forward(shape, window, stride, pad, unary->x, y, winner);
    return dot(y, unary->u, POOLED);
}

static void maxpool(void **state) {
    (void)state;
    struct unary unary = {filled(COUNT, 10), filled(POOLED, 11)};
    double y[POOLED], dx[COUNT];
    int winner[POOLED];
    dd_ref_maxpool_forward(shape, window, stride, pad, unary.x, y, winner);
    dd_ref_maxpool_backward(shape, window, stride, pad, unary.u, winner, dx);
    check("max pooling", unary.x, COUNT, dx, maxpool_objective, &unary);
    free(unary.x);
    free(unary.u);
}

static double gap_objective(void *user) {
    struct unary *unary = user;
    double y[AVERAGED];
    dd_ref_gap_forward(shape, unary->x, y);
    return dot(y, unary->u, AVERAGED);
}

static void gap(void **state) {
    (void)state;
    struct unary unary = {filled(COUNT, 12), filled(AVERAGED, 13)};
    double dx[COUNT];
    dd_ref_gap_backward(shape, unary.u, dx);
    check("average pooling", unary.x, COUNT, dx, gap_objective, &unary);
    free(unary.x);
    free(unary.u);
}

enum { IMAGES = 4, CLASSES = 7 };
static const int labels[IMAGES] = {0, 6, 3, 3};

static double loss_objective(void *user) {
    double loss[IMAGES], dlogits[IMAGES * CLASSES], sum = 0;
    int rank[IMAGES];
    dd_ref_softmax_xent(IMAGES, CLASSES, user, labels, loss, rank, dlogits);
    for (int i = 0; i < IMAGES; ++i)
        sum += loss[i];
    return sum / IMAGES;
}

static void loss(void **state) {
    (void)state;
    double *logits = filled(IMAGES * CLASSES, 14);
    double losses[IMAGES], dlogits[IMAGES * CLASSES];
    int rank[IMAGES];
    dd_ref_softmax_xent(IMAGES, CLASSES, logits, labels, losses, rank, dlogits);
    check("softmax cross-entropy", logits, IMAGES * CLASSES, dlogits, loss_objective, logits);
    free(logits);
}

struct conv {
    struct dd_ref_conv shape;
    size_t x_count, w_count, y_count;
    double *x, *w, *u, *y;
};

static double conv_objective(void *user) {
    struct conv *conv = user;
    dd_ref_conv_forward(&conv->shape, conv->x, conv->w, conv->y);
    return dot(conv->y, conv->u, conv->y_count);
}

static void convolution(void **state) {
    (void)state;
    static const struct dd_ref_conv shapes[] = {{2, 3, 5, 4, 2, 3, 1, 1}, {2, 3, 5, 6, 4, 3, 1, 1},
                                                {1, 2, 6, 5, 3, 3, 2, 1}, {1, 2, 7, 7, 3, 3, 2, 1},
                                                {2, 3, 5, 4, 4, 1, 2, 0}, {1, 2, 9, 8, 2, 7, 2, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
        const struct dd_ref_conv s = shapes[i];
        struct conv conv = {.shape = s};
        conv.x_count = (size_t)s.n * s.in_c * s.h * s.w;
        conv.w_count = (size_t)s.out_c * s.in_c * s.kernel * s.kernel;
        conv.y_count = (size_t)s.n * s.out_c * dd_ref_conv_out(&s, s.h) * dd_ref_conv_out(&s, s.w);
        conv.x = filled(conv.x_count, 15);
        conv.w = filled(conv.w_count, 16);
        conv.u = filled(conv.y_count, 17);
        conv.y = filled(conv.y_count, 18);
        double *dx = filled(conv.x_count, 19), *dw = filled(conv.w_count, 20);
        dd_ref_conv_backward_data(&s, conv.u, conv.w, dx);
        dd_ref_conv_backward_weights(&s, conv.x, conv.u, dw);
        check_to(linear_in_x, "convolution by x", conv.x, conv.x_count, dx, conv_objective, &conv);
        check_to(linear_in_x, "convolution by w", conv.w, conv.w_count, dw, conv_objective, &conv);
        double *arrays[] = {conv.x, conv.w, conv.u, conv.y, dx, dw};
        for (int k = 0; k < 6; ++k)
            free(arrays[k]);
    }
}

enum { FEATURES = 5 };
struct linear {
    double *x, *w, *b, *u;
};

static double linear_objective(void *user) {
    struct linear *linear = user;
    double logits[IMAGES * CLASSES];
    dd_ref_linear_forward(IMAGES, FEATURES, CLASSES, linear->x, linear->w, linear->b, logits);
    return dot(logits, linear->u, IMAGES * CLASSES);
}

static void last_layer(void **state) {
    (void)state;
    struct linear linear = {filled(IMAGES * FEATURES, 21), filled(CLASSES * FEATURES, 22), filled(CLASSES, 23),
                            filled(IMAGES * CLASSES, 24)};
    double dx[IMAGES * FEATURES], dw[CLASSES * FEATURES], db[CLASSES];
    dd_ref_linear_backward(IMAGES, FEATURES, CLASSES, linear.x, linear.w, linear.u, dx, dw, db);
    check_to(linear_in_x, "last layer by x", linear.x, IMAGES * FEATURES, dx, linear_objective, &linear);
    check_to(linear_in_x, "last layer by w", linear.w, CLASSES * FEATURES, dw, linear_objective, &linear);
    check_to(linear_in_x, "last layer by b", linear.b, CLASSES, db, linear_objective, &linear);
    free(linear.x);
    free(linear.w);
    free(linear.b);
    free(linear.u);
}

static dd_device *device;

/* The device's gradients of the same operators, at a V that divides the channels and at one that does not. */
static void on_device(void **state) {
    (void)state;
    const uint64_t from = dd_test_seed();
    for (int v = 1; v <= 4; v += 3) {
        const struct dd_shape s = {2, 3, 4, 5, v};
        struct dd_case_result result = {0};
        struct dd_bn_case bn = {.shape = s, .gate = 1};
        struct dd_join_case join_case = {
            .out = {2, 5, 2, 3, v}, .x_channels = 3, .x_h = 4, .x_w = 5, .stride = 2, .main_sums = true};
        struct dd_maxpool_case pool = {.in = s, .window = window, .stride = stride, .pad = pad};
        struct dd_dropout_case drop = {.shape = s, .ratio = 0.4, .affine = true};
        case_test_expect(dd_case_dropout(device, &drop, from, &result), &result, from, "dropout, V %d", v);
        case_test_expect(dd_case_bn_backward(device, &bn, from, &result), &result, from, "batch norm, V %d", v);
        case_test_expect(dd_case_join_backward(device, &join_case, from, &result), &result, from, "join, V %d", v);
        case_test_expect(dd_case_join_expand(device, &join_case, from, &result), &result, from, "subsampling, V %d", v);
        case_test_expect(dd_case_maxpool(device, &pool, from, &result), &result, from, "max pooling, V %d", v);
        case_test_expect(dd_case_gap(device, s, from, &result), &result, from, "average pooling, V %d", v);
        case_test_expect(dd_case_loss(device, CLASSES, IMAGES, from, &result), &result, from, "loss");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batchnorm),   cmocka_unit_test(join),       cmocka_unit_test(subsample),
        cmocka_unit_test(maxpool),     cmocka_unit_test(gap),        cmocka_unit_test(loss),
        cmocka_unit_test(convolution), cmocka_unit_test(last_layer), cmocka_unit_test(dropout),
        cmocka_unit_test(on_device)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
