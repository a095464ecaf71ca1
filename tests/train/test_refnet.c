/*
 * The double-precision network of tests/support/refnet.c against finite differences of its own loss, in both families,
 * with every kind of shortcut and with gates on and off; its update rule and statistics against the formulas.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "support/refnet.h"

enum { CLASSES = 5, SEED = 20 };

static struct dd_net *make_net(const char *name, const char *shortcut, int channels, int height, int width) {
    struct dd_net_options options = {name, shortcut, channels, height, width, CLASSES};
    dd_net *net = NULL;
    assert_int_equal(dd_net_create(&options, &net), DD_OK);
    return net;
}

static double random_unit(uint32_t a, uint32_t b) {
    uint32_t words[4];
    dd_philox(SEED, a, b, 0, 99, words);
    return 2 * dd_unit_interval(words[0]) - 1;
}

/* Images in [-1, 1) and labels; freed by the caller. */
static float *make_images(const struct dd_net *net, int n, int *labels) {
    size_t count = (size_t)n * net->channels * net->height * net->width;
    float *images = malloc(count * sizeof *images);
    assert_non_null(images);
    for (size_t i = 0; i < count; i++)
        images[i] = (float)random_unit((uint32_t)i, 0);
    for (int i = 0; i < n; i++)
        labels[i] = (i * 3 + 1) % CLASSES;
    return images;
}

/* BN parameters away from 1 and 0, so that no term of their gradients hides. */
static void disturb(struct refnet *r, const struct dd_net *net) {
    for (int p = 0; p < net->param_count; p++)
        if (net->params[p].kind == DD_PARAM_BN_WEIGHT || net->params[p].kind == DD_PARAM_BN_BIAS)
            for (size_t i = 0; i < net->params[p].count; i++)
                refnet_param(r, p)[i] += 0.3 * random_unit((uint32_t)i, (uint32_t)p + 1);
}

struct step_case {
    const char *name, *shortcut;
    int channels, height, width, n;
    const char *gates; /* one character per unit; NULL: all on */
    bool multiply;
    int every;         /* probe each every-th trainable tensor: large networks are slow */
    bool drop;         /* width dropout of half of the values */
};

static double half(void *user, int unit, size_t element) {
    (void)user;
    return random_unit((uint32_t)element, (uint32_t)unit + 5000) < 0 ? 0 : 2;
}

/* A case with all it needs, built by start_case and released by end_case. */
struct probe {
    const struct step_case *c;
    struct dd_net *net;
    struct refnet *r;
    float *images;
    int labels[16];
    unsigned char mask[32];
};

static double loss_of(struct probe *t) {
    return refnet_step(t->r, t->images, t->labels, t->c->n, t->mask, t->c->multiply, 0, 0, 0);
}

static void start_case(struct probe *t, const struct step_case *c) {
    t->c = c;
    t->net = make_net(c->name, c->shortcut, c->channels, c->height, c->width);
    t->r = refnet_create(t->net, SEED);
    assert_non_null(t->r);
    t->images = make_images(t->net, c->n, t->labels);
    for (int u = 0; u < t->net->unit_count; u++)
        t->mask[u] = !c->gates || c->gates[u] == '1';
    disturb(t->r, t->net);
    if (c->drop)
        refnet_set_dropout(t->r, half, NULL);
}

static void end_case(struct probe *t) {
    free(t->images);
    refnet_destroy(&t->r);
    assert_null(t->r);
    dd_net_destroy(&t->net);
}

static double direction(int param, size_t i) {
    return random_unit((uint32_t)i, (uint32_t)param + 1000);
}

/* (L(w + h d) - L(w - h d)) / 2h for parameter p along its direction d; w is as before afterwards. */
static double slope_along(struct probe *t, int p, double h) {
    size_t count = t->net->params[p].count;
    double *w = refnet_param(t->r, p), *saved = malloc(count * sizeof *saved), losses[2];
    assert_non_null(saved);
    memcpy(saved, w, count * sizeof *saved);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < count; i++)
            w[i] = saved[i] + (side ? -h : h) * direction(p, i);
        losses[side] = loss_of(t);
    }
    memcpy(w, saved, count * sizeof *saved);
    free(saved);
    return (losses[0] - losses[1]) / (2 * h);
}

/*
 * The slope along a direction d with |d_i| <= 1 against g . d. h = 1e-6: rounding about 1e-10, curvature h^2; a ReLU
 * that turns over inside the interval costs about as much as its share of the gradient, hence the bound of 1e-4 of the
 * sum of |g_i|. The gradient of a unit that is off is exactly zero.
 */
static void check_gradients(const struct step_case *c) {
    struct probe t = {0};
    double worst = 0;
    int probed = 0;
    start_case(&t, c);
    double *predicted = calloc((size_t)t.net->param_count, sizeof *predicted);
    double *size = calloc((size_t)t.net->param_count, sizeof *size);
    assert_true(predicted && size && isfinite(loss_of(&t)));
    for (int p = 0; p < t.net->param_count; p++)
        for (size_t i = 0; i < t.net->params[p].count; i++) {
            predicted[p] += refnet_gradient(t.r, p)[i] * direction(p, i);
            size[p] += fabs(refnet_gradient(t.r, p)[i]);
        }
    for (int p = 0; p < t.net->param_count; p++) {
        const struct dd_param *param = &t.net->params[p];
        bool off = param->unit >= 0 && param->primary && !t.mask[param->unit];
        assert_int_equal(size[p] == 0, off || !param->trainable);
        if (!param->trainable || p % c->every)
            continue;
        double slope = slope_along(&t, p, 1e-6), error = fabs(slope - predicted[p]);
        if (error > 1e-4 * size[p] + 1e-8)
            fail_msg("%s %s gates %s, seed %d, %s: slope %.9g, gradient %.9g", c->name, c->shortcut,
                     c->gates ? c->gates : "on", SEED, param->name, slope, predicted[p]);
        if (!off)
            worst = fmax(worst, error / size[p]);
        probed++;
    }
    print_message("%s %s gates %s, %d tensors: worst error %.2g of the gradient's size\n", c->name, c->shortcut,
                  c->gates ? c->gates : "on", probed, worst);
    free(predicted);
    free(size);
    end_case(&t);
}

static void gradients(void **state) {
    static const struct step_case cases[] = {
        {"resnet8", "identity", 1, 8, 8, 4, NULL, false, 1, false},
        {"resnet8", "projection", 3, 9, 8, 4, "101", false, 1, false},
        {"resnet8", "conv", 3, 8, 11, 4, "010", true, 1, false},
        {"resnet14", "identity", 3, 8, 8, 4, "101101", false, 3, false},
        {"resnet14", "conv", 3, 8, 8, 4, "101110", false, 3, false},
        {"resnet18", "projection", 3, 33, 40, 2, "10111010", false, 7, false},
        {"resnet8", "conv", 3, 8, 8, 4, "101", false, 1, true},
        {"resnet14", "identity", 3, 8, 8, 4, "101110", true, 3, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check_gradients(&cases[i]);
}

/* One entry of a parameter by differences: ResNet-50 is too large for directions through its tensors. */
static void check_entry(struct probe *t, const char *name) {
    const double h = 1e-6;
    int p = dd_net_find_param(t->net, name);
    assert_true(p >= 0 && isfinite(loss_of(t)));
    size_t at = t->net->params[p].count / 3;
    double *w = &refnet_param(t->r, p)[at], kept = *w, gradient = refnet_gradient(t->r, p)[at];
    *w = kept + h;
    double slope = loss_of(t);
    *w = kept - h;
    slope = (slope - loss_of(t)) / (2 * h);
    *w = kept;
    if (gradient == 0 || fabs(slope - gradient) > 1e-4 * fabs(gradient) + 1e-7)
        fail_msg("%s %s seed %d %s[%zu]: slope %.9g, gradient %.9g", t->c->name, t->c->shortcut, SEED, name, at, slope,
                 gradient);
}

/* Most units off to be quick; 64 to 256 channels at stride 1 through zero channels, a 1x1 convolution, or neither. */
static void bottleneck_gradients(void **state) {
    static const struct step_case cases[] = {
        {"resnet50", "identity", 3, 33, 33, 2, "1001000100000100", false, 1, false},
        {"resnet50", "projection", 3, 33, 33, 2, "0001000100000100", false, 1, false},
    };
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct probe t = {0};
        start_case(&t, &cases[i]);
        check_entry(&t, i ? "layer2.0.conv2.weight" : "conv1.weight");
        check_entry(&t, i ? "layer1.0.downsample.0.weight" : "layer1.0.conv2.weight");
        end_case(&t);
    }
}

/* A masked and a skipped step agree in every trainable parameter; only the skipped unit's running statistics differ. */
static void skip_equals_mask(void **state) {
    enum { N = 6 };
    static const char *const kinds[] = {"identity", "projection", "conv"};
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        int labels[N];
        unsigned char mask[6] = {1, 0, 1, 0, 1, 1};
        struct dd_net *net = make_net("resnet14", kinds[kind], 3, 8, 8);
        struct refnet *skipped = refnet_create(net, SEED), *masked = refnet_create(net, SEED);
        assert_true(skipped && masked);
        float *images = make_images(net, N, labels);
        for (int i = 0; i < 3; i++) {
            double a = refnet_step(skipped, images, labels, N, mask, false, 0.05, 0.9, 0.01);
            double b = refnet_step(masked, images, labels, N, mask, true, 0.05, 0.9, 0.01);
            assert_true(a == b && isfinite(a));
        }
        for (int p = 0; p < net->param_count; p++) {
            const struct dd_param *param = &net->params[p];
            bool off = param->unit >= 0 && param->primary && !mask[param->unit];
            bool same = true;
            for (size_t i = 0; i < param->count; i++)
                same = same && refnet_param(skipped, p)[i] == refnet_param(masked, p)[i];
            assert_int_equal(same, !off || param->trainable);
        }
        free(images);
        refnet_destroy(&skipped);
        refnet_destroy(&masked);
        dd_net_destroy(&net);
    }
}

/* Two steps by hand from the gradients the refnet reports; weight decay reaches BN parameters too. */
static void update_rule(void **state) {
    enum { N = 4 };
    const double lr = 0.1, mu = 0.9, wd = 0.05;
    int labels[N];
    (void)state;
    struct dd_net *net = make_net("resnet8", "conv", 1, 8, 8);
    struct refnet *r = refnet_create(net, SEED);
    float *images = make_images(net, N, labels);
    const char *const names[] = {"conv1.weight", "layer2.0.bn1.weight", "layer2.0.downsample.1.bias", "fc.bias"};
    double before[4], momentum[4] = {0};
    for (int step = 0; step < 2; step++) {
        for (int i = 0; i < 4; i++)
            before[i] = refnet_param(r, dd_net_find_param(net, names[i]))[1];
        assert_true(isfinite(refnet_step(r, images, labels, N, NULL, false, lr, mu, wd)));
        for (int i = 0; i < 4; i++) {
            int p = dd_net_find_param(net, names[i]);
            momentum[i] = mu * momentum[i] + refnet_gradient(r, p)[1] + wd * before[i];
            assert_true(fabs(refnet_momentum(r, p)[1] - momentum[i]) < 1e-14);
            assert_true(fabs(refnet_param(r, p)[1] - (before[i] - lr * momentum[i])) < 1e-14);
        }
    }
    free(images);
    refnet_destroy(&r);
    dd_net_destroy(&net);
}

/* A stem whose first output channel is the input: its statistics after two steps are known. */
static void running_statistics(void **state) {
    enum { N = 3, PIXELS = 8 * 8 };
    int labels[N];
    double mean = 0, square = 0;
    (void)state;
    struct dd_net *net = make_net("resnet8", "identity", 1, 8, 8);
    struct refnet *r = refnet_create(net, SEED);
    assert_non_null(r);
    float *images = make_images(net, N, labels);
    for (int i = 0; i < N * PIXELS; i++)
        mean += images[i] / (double)(N * PIXELS);
    for (int i = 0; i < N * PIXELS; i++)
        square += (images[i] - mean) * (images[i] - mean);
    for (int i = 0; i < 9; i++)
        refnet_param(r, net->stem.weight)[i] = i == 4;
    for (int i = 0; i < 2; i++)
        assert_true(isfinite(refnet_step(r, images, labels, N, NULL, false, 0, 0, 0)));
    const struct dd_bn_layer *bn = &net->bns[net->stem.bn];
    double unbiased = square / (N * PIXELS - 1);
    assert_true(fabs(refnet_param(r, bn->mean)[0] - 0.19 * mean) < 1e-14);
    assert_true(fabs(refnet_param(r, bn->var)[0] - (0.81 + 0.19 * unbiased)) < 1e-14);
    free(images);
    refnet_destroy(&r);
    dd_net_destroy(&net);
}

/* Training fits a small batch; evaluation takes each image by itself and moves nothing. */
static void evaluation_and_learning(void **state) {
    enum { N = 8 };
    int labels[N];
    double logits[N * CLASSES], again[CLASSES], first = 0, last = 0;
    (void)state;
    struct dd_net *net = make_net("resnet14", "projection", 3, 12, 12);
    struct refnet *r = refnet_create(net, SEED);
    float *images = make_images(net, N, labels);
    for (int i = 0; i < 40; i++) {
        last = refnet_step(r, images, labels, N, NULL, false, 0.05, 0.9, 0);
        first = i ? first : last;
    }
    print_message("seed %d: loss %.4f, after 40 steps %.4f\n", SEED, first, last);
    assert_true(first > 1.2 && first < 4 && last < 0.2 * first);
    assert_true(refnet_logits(r, images, N, logits));
    assert_true(refnet_logits(r, images + (size_t)3 * 12 * 12, 1, again)); /* the second image alone */
    for (int k = 0; k < CLASSES; k++)
        assert_true(fabs(again[k] - logits[CLASSES + k]) < 1e-12);
    free(images);
    refnet_destroy(&r);
    dd_net_destroy(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients),        cmocka_unit_test(bottleneck_gradients),
        cmocka_unit_test(skip_equals_mask), cmocka_unit_test(update_rule),
        cmocka_unit_test(running_statistics), cmocka_unit_test(evaluation_and_learning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
