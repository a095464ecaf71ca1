/*
 * Whole training steps on the device: ten losses and the final state against the independent double-precision network,
 * a skipped step against one that multiplies by 0, launch counts, and what a step must not do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <depthdrop/gate.h>

#include "base/philox.h"
#include "plan/internal.h"
#include "support/device_test.h"
#include "support/refnet.h"

enum { BATCH = 8, SMALL = 12, LARGE = 40, CHANNELS = 3, CLASSES = 5, STEPS = 10 };
enum { SEED = 11, MOST_PIXELS = CHANNELS * LARGE * LARGE };

static dd_device *device;

struct fixture {
    dd_net *net;
    dd_plan *plan;
    struct dd_images images;
    int side, image; /* rows and columns; values of an image */
    uint8_t pixels[BATCH * MOST_PIXELS];
    int32_t labels[BATCH];
    float mean[MOST_PIXELS], std[CHANNELS];
    struct dd_sample samples[BATCH];
    float **values, **momentum;
};

static const struct dd_plan_options default_options = {
    .batch = BATCH, .training = true, .algorithm = "auto", .momentum = 0.9f, .weight_decay = 1e-2f, .recalibrate = 2};

/* ---- fixture ---- */

static float **host_set(const struct dd_net *net, bool trainable_only) {
    float **set = calloc((size_t)net->param_count, sizeof *set);
    for (int i = 0; i < net->param_count; i++)
        if (!trainable_only || net->params[i].trainable)
            set[i] = calloc(net->params[i].count, sizeof **set);
    return set;
}

static void free_set(const struct dd_net *net, float **set) {
    for (int i = 0; i < net->param_count; i++)
        free(set[i]);
    free(set);
}

static void check(dd_status status) {
    if (status != DD_OK)
        fail_msg("status %d: %s", status, dd_error_message());
}

static void fill_images(struct fixture *f) {
    for (uint32_t i = 0; i < (uint32_t)(BATCH * f->image); i++) {
        uint32_t w[4];
        dd_philox(SEED, i, 0, DD_STREAM_BENCH, 0, w);
        f->pixels[i] = (uint8_t)(w[0] >> 24);
    }
    for (int i = 0; i < f->image; i++)
        f->mean[i] = 0.4f + 0.001f * (float)(i % 97);
    for (int c = 0; c < CHANNELS; c++)
        f->std[c] = 0.5f + 0.125f * (float)c;
    for (int i = 0; i < BATCH; i++) {
        f->labels[i] = i % CLASSES;
        f->samples[i] = (struct dd_sample){.index = BATCH - 1 - i};
    }
    f->images = (struct dd_images){.split = "train",
                                   .count = BATCH,
                                   .channels = CHANNELS,
                                   .height = f->side,
                                   .width = f->side,
                                   .pixels = f->pixels,
                                   .labels = f->labels};
}

static struct fixture *make_sized(const char *name, const char *shortcut, int side,
                                  const struct dd_plan_options *options) {
    struct fixture *f = calloc(1, sizeof *f);
    const struct dd_net_options net = {
        .name = name, .shortcut = shortcut, .channels = CHANNELS, .height = side, .width = side, .classes = CLASSES};
    f->side = side;
    f->image = CHANNELS * side * side;
    check(dd_net_create(&net, &f->net));
    fill_images(f);
    check(dd_plan_create(device, f->net, options, NULL, &f->plan));
    f->values = host_set(f->net, false);
    f->momentum = host_set(f->net, true);
    for (int i = 0; i < f->net->param_count; i++)
        dd_net_init_param(f->net, i, SEED, f->values[i]);
    check(dd_plan_upload(f->plan, DD_SET_VALUE, f->values));
    check(dd_plan_set_input(f->plan, f->mean, f->std));
    check(dd_plan_bind(f->plan, DD_SOURCE_TRAIN, &f->images));
    return f;
}

static struct fixture *make(const char *name, const char *shortcut, const struct dd_plan_options *options) {
    return make_sized(name, shortcut, SMALL, options);
}

static void destroy(struct fixture *f) {
    dd_plan_destroy(&f->plan);
    free_set(f->net, f->values);
    free_set(f->net, f->momentum);
    dd_net_destroy(&f->net);
    free(f);
}

/** One step with the given gates; its loss. */
static double step(struct fixture *f, uint64_t iteration, const unsigned char *gates, double lr) {
    struct dd_step_result result;
    bool got;
    check(dd_plan_step(f->plan, iteration, gates, f->samples, lr));
    check(dd_plan_collect(f->plan, true, &result, &got));
    assert_true(got);
    assert_int_equal(result.iteration, iteration);
    return result.loss;
}

static void download(struct fixture *f) {
    check(dd_plan_download(f->plan, DD_SET_VALUE, f->values));
    check(dd_plan_download(f->plan, DD_SET_MOMENTUM, f->momentum));
}

/* ---- against double precision ---- */

static void normalised_images(const struct fixture *f, float *images, int *labels) {
    for (int i = 0; i < BATCH; i++) {
        const int index = f->samples[i].index;
        labels[i] = f->labels[index];
        for (int p = 0; p < f->image; p++)
            images[i * f->image + p] =
                (f->pixels[index * f->image + p] / 255.0f - f->mean[p]) / f->std[p / (f->side * f->side)];
    }
}

/** Norm of a - b relative to the norm of b's distance from its initial value. */
static double relative_to_change(const float *a, const double *b, const float *initial, size_t n) {
    double difference = 0, change = 1e-20;
    for (size_t i = 0; i < n; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        change += (b[i] - initial[i]) * (b[i] - initial[i]);
    }
    return sqrt(difference / change);
}

static void compare_state(struct fixture *f, struct refnet *reference, double limit) {
    float **initial = host_set(f->net, false);
    download(f);
    for (int i = 0; i < f->net->param_count; i++) {
        const struct dd_param *param = &f->net->params[i];
        dd_net_init_param(f->net, i, SEED, initial[i]);
        const double error = relative_to_change(f->values[i], refnet_param(reference, i), initial[i], param->count);
        if (!(error < limit))
            fail_msg("%s differs by %.3g of its change", param->name, error);
    }
    free_set(f->net, initial);
}

/* How far a run goes, and how closely it must follow. float32 alone loses 2 % of a tensor's change in ten steps of a
 * small net. */
struct course {
    int side, steps;
    double loss_limit, state_limit; /* relative; of each tensor's change */
};
static const struct course ten_steps = {SMALL, STEPS, 5e-4, 0.08};
/* Winograd rounds more; once it moves a value across a ReLU's corner, the losses part, by up to 6e-4 in ten steps. */
static const struct course ten_winograd_steps = {SMALL, STEPS, 1e-3, 0.08};

/* Width dropout as docs/method.md has it, for the double-precision network. */
struct drops {
    const struct dd_plan_options *options;
    int units;
    uint32_t iteration;
};

static double drop_factor(void *user, int unit, size_t element) {
    const struct drops *drops = user;
    const double ratio = unit < drops->units ? drops->options->unit_dropout : drops->options->dropout;
    uint32_t words[4];
    dd_philox(drops->options->dropout_seed, drops->iteration, (uint32_t)unit, DD_STREAM_WIDTH, (uint32_t)(element / 4),
              words);
    return dd_unit_interval(words[element % 4]) < ratio ? 0 : 1 / (1 - ratio);
}

/** Steps with gates drawn by policy; the learning rate is small, since rounding grows with it. */
static void follow_dropping(const char *name, const char *shortcut, int vector, const char *algorithm,
                            const char *policy, const struct course *course, double dropout, double unit_dropout) {
    struct dd_plan_options options = default_options;
    options.dropout = dropout;
    options.unit_dropout = unit_dropout;
    options.dropout_seed = UINT64_C(0x123456789abcdef);
    options.vector = vector;
    options.algorithm = algorithm;
    struct fixture *f = make_sized(name, shortcut, course->side, &options);
    struct refnet *reference = refnet_create(f->net, SEED);
    const struct dd_gate_options gate_options = {.policy = policy, .seed = 3};
    dd_gate *gate;
    unsigned char gates[64];
    static float images[BATCH * MOST_PIXELS];
    int labels[BATCH];
    struct drops drops = {.options = &options, .units = f->net->unit_count};
    normalised_images(f, images, labels);
    if (dropout > 0 || unit_dropout > 0)
        refnet_set_dropout(reference, drop_factor, &drops);
    check(dd_gate_create(&gate_options, f->net, &gate));
    for (int it = 1; it <= course->steps; it++) {
        dd_gate_draw(gate, (uint64_t)it, gates);
        drops.iteration = (uint32_t)it;
        const double loss = step(f, (uint64_t)it, gates, 0.003);
        const double expected = refnet_step(reference, images, labels, BATCH, gates, false, 0.003, 0.9, 1e-2);
        if (!(fabs(loss - expected) < course->loss_limit * fabs(expected)))
            fail_msg("%s %s V=%d %s: loss %.7f at step %d, expected %.7f", name, shortcut, vector, algorithm, loss, it,
                     expected);
    }
    compare_state(f, reference, course->state_limit);
    refnet_destroy(&reference);
    dd_gate_destroy(&gate);
    destroy(f);
}

static void follow(const char *name, const char *shortcut, int vector, const char *algorithm, const char *policy,
                   const struct course *course) {
    follow_dropping(name, shortcut, vector, algorithm, policy, course, 0, 0);
}

static void test_identity(void **state) {
    (void)state;
    follow("resnet14", "identity", 1, "gemm", "none", &ten_steps);
    follow("resnet14", "identity", 0, "auto", "uniform:0.4", &ten_steps);
}

static void test_projection(void **state) {
    (void)state;
    follow("resnet14", "projection", 1, "gemm", "uniform:0.4", &ten_steps);
    follow("resnet14", "projection", 0, "auto", "uniform:0.4", &ten_steps);
}

static void test_conv(void **state) {
    (void)state;
    follow("resnet14", "conv", 1, "gemm", "uniform:0.4", &ten_steps);
    follow("resnet14", "conv", 4, "gemm", "uniform:0.4", &ten_steps);
    follow("resnet14", "conv", 8, "auto", "uniform:0.4", &ten_winograd_steps);
    follow("resnet14", "conv", 16, "auto", "exact:2", &ten_winograd_steps);
}

static void test_dropout(void **state) {
    (void)state;
    follow_dropping("resnet14", "identity", 1, "gemm", "none", &ten_steps, 0.5, 0);
    follow_dropping("resnet14", "conv", 1, "gemm", "uniform:0.4", &ten_steps, 0, 0.3);
    follow_dropping("resnet14", "conv", 4, "gemm", "uniform:0.4", &ten_steps, 0.5, 0.3);
    follow_dropping("resnet14", "projection", 8, "auto", "uniform:0.4", &ten_winograd_steps, 0.2, 0.5);
    follow_dropping("resnet14", "conv", 16, "auto", "exact:2", &ten_winograd_steps, 0.5, 0.3);
    follow_dropping("resnet14", "identity", 16, "direct", "none", &ten_steps, 0, 0.5);
}

static void test_known_losses(void **state) {
    (void)state;
    /* The losses of this fixture as the double-precision network gives them: fixed here so that both cannot drift
     * together. */
    static const double known[STEPS] = {1.645304323, 1.582671171, 1.476337521, 1.346556099, 1.214446990,
                                        1.090587805, 0.977012624, 0.876528576, 0.789264947, 0.713328922};
    struct fixture *f = make("resnet14", "identity", &default_options);
    unsigned char gates[64];
    memset(gates, 1, sizeof gates);
    for (uint64_t it = 1; it <= STEPS; it++)
        assert_float_equal(step(f, it, gates, 0.003), known[it - 1], 2e-4 * known[it - 1]);
    destroy(f);
}

/** Ten losses from the same seed by each algorithm: they differ by rounding alone. */
static void test_algorithms_agree(void **state) {
    (void)state;
    static const char *const algorithms[] = {"gemm", "direct", "winograd"};
    double losses[3][STEPS];
    unsigned char gates[64];
    memset(gates, 1, sizeof gates);
    for (size_t a = 0; a < 3; a++) {
        struct dd_plan_options options = default_options;
        options.algorithm = algorithms[a];
        struct fixture *f = make("resnet14", "conv", &options);
        for (uint64_t it = 1; it <= STEPS; it++)
            losses[a][it - 1] = step(f, it, gates, 0.003);
        destroy(f);
    }
    for (size_t a = 1; a < 3; a++)
        for (int it = 0; it < STEPS; it++)
            if (!(fabs(losses[a][it] - losses[0][it]) < 5e-4 * losses[0][it]))
                fail_msg("%s: loss %.7f at step %d, gemm %.7f", algorithms[a], losses[a][it], it + 1, losses[0][it]);
}

/* ---- skipping ---- */

static void skip_equals_mask(const char *shortcut, int vector, const char *algorithm, double dropout) {
    struct dd_plan_options options = default_options;
    options.dropout = options.unit_dropout = dropout;
    options.vector = vector;
    options.algorithm = algorithm;
    struct fixture *skipped = make("resnet20", shortcut, &options);
    options.masked = true;
    struct fixture *masked = make("resnet20", shortcut, &options);
    const int units = skipped->net->unit_count;
    unsigned char gates[16], on[16];
    memset(on, 1, sizeof on);
    assert_in_range(units, 9, 9);
    assert_true(step(skipped, 1, on, 0.01) == step(masked, 1, on, 0.01)); /* momentum differs from 0 in what follows */
    for (int pattern = 0; pattern < 64;
         pattern++) { /* all patterns of the six gated units, so all triples of neighbours */
        for (int u = 0, bit = 0; u < units; u++)
            gates[u] = skipped->net->units[u].first ? 1 : (pattern >> bit++) & 1;
        const double a = step(skipped, 2, gates, 0.01), b = step(masked, 2, gates, 0.01);
        if (a != b)
            fail_msg("%s V=%d: losses %.9g and %.9g under pattern %d", shortcut, vector, a, b, pattern);
    }
    download(skipped);
    download(masked);
    for (int i = 0; i < skipped->net->param_count; i++) {
        const struct dd_param *param = &skipped->net->params[i];
        if (!param->trainable)
            continue; /* a skipped step leaves the running statistics of f alone */
        for (size_t k = 0; k < param->count; k++)
            if (skipped->values[i][k] != masked->values[i][k] || skipped->momentum[i][k] != masked->momentum[i][k])
                fail_msg("%s[%zu] differs with %s shortcuts, V=%d", param->name, k, shortcut, vector);
    }
    destroy(skipped);
    destroy(masked);
}

static void test_skip_equals_mask(void **state) {
    (void)state;
    skip_equals_mask("identity", 1, "gemm", 0);
    skip_equals_mask("identity", 0, "auto", 0);
    skip_equals_mask("projection", 0, "auto", 0);
    skip_equals_mask("identity", 0, "auto", 0.4);
}

/** The largest difference of a tensor's values after a step against the largest of its gradient. */
static void expect_near(const struct fixture *a, const struct fixture *b, int param, double bound, const char *what) {
    const size_t count = a->net->params[param].count;
    double difference = 0, size = 0;
    for (size_t k = 0; k < count; k++) {
        difference = fmax(difference, fabs((double)a->momentum[param][k] - b->momentum[param][k]));
        size = fmax(size, fabs((double)b->momentum[param][k]));
    }
    if (!(difference <= bound * size))
        fail_msg("%s: momentum of %s differs by %g of %g", what, a->net->params[param].name, difference, size);
}

/**
 * With a convolution on every shortcut, a unit that is off is its reader's prologue, and the sums for its batch norm
 * are made elsewhere, in another order: equal to rounding, from the same state, under every pattern.
 */
static void skip_near_mask(int vector, const char *algorithm) {
    static const double bound = 1e-4;
    struct dd_plan_options options = default_options;
    options.vector = vector;
    options.algorithm = algorithm;
    struct fixture *skipped = make("resnet20", "conv", &options);
    options.masked = true;
    struct fixture *masked = make("resnet20", "conv", &options);
    unsigned char gates[16];
    char what[64];
    for (int pattern = 0; pattern < 64; pattern++) {
        for (int u = 0, bit = 0; u < skipped->net->unit_count; u++)
            gates[u] = skipped->net->units[u].first ? 1 : (pattern >> bit++) & 1;
        download(skipped);
        dd_test_ok(dd_plan_upload(masked->plan, DD_SET_VALUE, skipped->values));
        dd_test_ok(dd_plan_upload(masked->plan, DD_SET_MOMENTUM, skipped->momentum));
        const double a = step(skipped, 2, gates, 0.01), b = step(masked, 2, gates, 0.01);
        snprintf(what, sizeof what, "V=%d, pattern %d", vector, pattern);
        if (a != b)
            fail_msg("%s: losses %.9g and %.9g", what, a, b);
        download(skipped);
        download(masked);
        for (int i = 0; i < skipped->net->param_count; i++)
            if (skipped->net->params[i].trainable)
                expect_near(skipped, masked, i, bound, what);
    }
    destroy(skipped);
    destroy(masked);
}

static void test_skip_near_mask(void **state) {
    (void)state;
    skip_near_mask(1, "gemm");
    skip_near_mask(0, "direct");
    skip_near_mask(0, "auto");
}

/** A skipped step leaves the running statistics of f exactly as they were, and moves those of the shortcut. */
static void test_running_statistics(void **state) {
    (void)state;
    struct fixture *f = make("resnet14", "conv", &default_options);
    unsigned char gates[8] = {1, 0, 1, 1, 1, 1};
    step(f, 1, gates, 0.01);
    download(f);
    for (int i = 0; i < f->net->param_count; i++) {
        const struct dd_param *param = &f->net->params[i];
        if (param->kind != DD_PARAM_BN_MEAN)
            continue;
        double moved = 0;
        for (size_t k = 0; k < param->count; k++)
            moved += fabs(f->values[i][k]);
        if ((moved == 0) != (param->unit == 1 && param->primary))
            fail_msg("%s moved by %g", param->name, moved);
    }
    destroy(f);
}

/* ---- launches ---- */

static uint64_t launches_of_step(struct fixture *f, uint64_t iteration, const unsigned char *gates) {
    const uint64_t before = dd_launch_count();
    step(f, iteration, gates, 0.01);
    return dd_launch_count() - before;
}

/** Launches of a step's units by the lists that the gates choose. */
static uint64_t launches_of_lists(const struct fixture *f, const unsigned char *gates) {
    uint64_t sum = 0;
    for (int u = 0; u < f->net->unit_count; u++) {
        const bool raw = dd_unit_leaves_raw(f->net, u - 1) && !gates[u - 1];
        sum += (uint64_t)f->plan->train.units[u].at[gates[u]][raw].count;
        sum += (uint64_t)f->plan->backward_units[u].at[gates[u]][raw].count;
    }
    return sum;
}

/** Where a library holds a unit's input, units that are off copy it instead. */
static void test_copies_for_libraries(void **state) {
    (void)state;
    struct dd_plan_options options = default_options;
    options.vector = 1;
    options.algorithm = "gemm";
    struct fixture *f = make("resnet14", "identity", &options);
    assert_true(f->plan->hands_on); /* 3x3: the input goes through im2col */
    destroy(f);
    f = make("resnet50", "identity", &options);
    assert_false(f->plan->hands_on); /* 1x1: it is the matrix itself */
    unsigned char gates[16];
    memset(gates, 1, sizeof gates);
    gates[1] = gates[2] = 0;
    assert_int_equal(f->plan->train.units[1].at[0][DD_READ_OUTPUT].count, 1);
    assert_true(isfinite(step(f, 1, gates, 0.001)));
    destroy(f);
}

/** A gate that is off saves all launches of the primary path, whatever the others do. */
static void test_launch_count(void **state) {
    (void)state;
    static const char *const shortcuts[] = {"identity", "projection", "conv"};
    for (size_t s = 0; s < 3; s++) {
        struct fixture *f = make("resnet14", shortcuts[s], &default_options);
        unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
        launches_of_step(f, 1, gates); /* the first makes the forms of the uploaded weights as well */
        const uint64_t others = launches_of_step(f, 2, gates) - launches_of_lists(f, gates);
        for (int u = 1; u < f->net->unit_count; u += 2) {
            const uint64_t before = launches_of_lists(f, gates);
            gates[u] = 0;
            /* two convolutions with their BN: at least convolve and finish each, forward; weights, data and finish
             * each, backward */
            assert_true(before - launches_of_lists(f, gates) >= 10);
            assert_int_equal(launches_of_step(f, 3, gates), others + launches_of_lists(f, gates));
        }
        destroy(f);
    }
}

/** Width dropout takes three launches of a unit (forward, backward, the sums that lose their convolution) and two of
 * the head, and none where its ratio is 0 or a gate is off; nor a tensor. */
static void test_dropout_launches(void **state) {
    (void)state;
    static const double ratios[][2] = {{0, 0}, {0.5, 0}, {0, 0.5}};
    uint64_t launches[3][2];
    int tensors[3];
    for (int i = 0; i < 3; i++) {
        struct dd_plan_options options = default_options;
        options.algorithm = "direct"; /* the same everywhere: gemm unfuses anyway */
        options.dropout = ratios[i][0];
        options.unit_dropout = ratios[i][1];
        struct fixture *f = make("resnet14", "conv", &options);
        unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
        launches_of_step(f, 1, gates); /* makes the forms of what was uploaded, too */
        launches[i][0] = launches_of_step(f, 2, gates);
        gates[1] = gates[3] = 0;
        launches[i][1] = launches_of_step(f, 3, gates);
        tensors[i] = f->plan->layout.tensor_count;
        const int lists = f->net->unit_count + f->net->unit_count - 1; /* all but the first unit have two, on */
        assert_int_equal(f->plan->drop_count, i == 0 ? 0 : i == 1 ? 2 : 2 * lists);
        destroy(f);
    }
    for (int off = 0; off < 2; off++) {
        assert_int_equal(launches[1][off], launches[0][off] + 2);
        assert_int_equal(launches[2][off], launches[0][off] + 3 * (off ? 4 : 6));
    }
    assert_int_equal(tensors[1], tensors[0]);
    assert_int_equal(tensors[2], tensors[0] + 6);
}

/** Masks follow the iteration's number: the same one twice gives the same loss, another one another. */
static void test_dropout_by_iteration(void **state) {
    (void)state;
    for (int where = 0; where < 2; where++) {
        struct dd_plan_options options = default_options;
        options.dropout = where == 0 ? 0.5 : 0;
        options.unit_dropout = where == 1 ? 0.5 : 0;
        struct fixture *f = make("resnet14", "identity", &options);
        unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
        const double first = step(f, 7, gates, 0), second = step(f, 8, gates, 0), again = step(f, 7, gates, 0);
        assert_true(first == again && first != second);
        destroy(f);
    }
}

/* Launches of ResNet-20 with V = 16 on a CPU of four units, by the gate (off, on). A launch that waits for the one
 * before it costs up to 70 us on a CPU, so a number here may be lowered and should not rise. */
struct launch_counts {
    const char *shortcut;
    int forward[2], backward_off; /* of a unit that changes no dimensions and reads a stored input */
    int last_off[2];              /* of the last unit, which has no reader that could do the rest: forward, backward */
    int backward_on[3];           /* in a stage of 16, 32, 64 channels: both gradients in one kernel, or in two */
    int raw;                      /* more, backward, where it reads a raw convolution, whose batch norm it finishes */
    int fixed;                    /* input, stem, head, update, and the one that makes all forms of weights */
};

static void expect_unit_counts(const struct fixture *f, int u, const struct launch_counts *expected) {
    const struct dd_unit_lists *forward = &f->plan->train.units[u], *backward = &f->plan->backward_units[u];
    const bool last = u + 1 == f->net->unit_count;
    const int wanted[4] = {last ? expected->last_off[0] : expected->forward[0], expected->forward[1],
                           last ? expected->last_off[1] : expected->backward_off,
                           expected->backward_on[f->net->units[u].stage - 1]};
    for (int read = 0; read < DD_UNIT_READS; read++) {
        if (read == DD_READ_RAW && !dd_unit_leaves_raw(f->net, u - 1))
            continue;
        for (int i = 0; i < 4; i++) {
            const int count = (i < 2 ? forward : backward)->at[i % 2][read].count;
            const int more = read == DD_READ_RAW && i >= 2 ? expected->raw : 0;
            if (count != wanted[i] + more)
                fail_msg("%s, unit %d, gate %s, %s, input %d: %d launches, expected %d", expected->shortcut, u,
                         i % 2 ? "on" : "off", i < 2 ? "forward" : "backward", read, count, wanted[i] + more);
        }
    }
}

/** The launches of units and of a whole step, in numbers. */
static void test_launches_are_few(void **state) {
    (void)state;
    static const struct launch_counts expected[] = {{"identity", {0, 5}, 0, {0, 0}, {7, 7, 9}, 0, 19},
                                                    {"conv", {2, 7}, 2, {3, 4}, {10, 10, 12}, 1, 19}};
    if (device->info.type != DD_DEVICE_CPU)
        skip(); /* its convolutions are others */
    const unsigned units = device->info.compute_units;
    device->info.compute_units = 4;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct dd_plan_options options = default_options;
        options.vector = 16;
        struct fixture *f = make_sized("resnet20", expected[i].shortcut, 32, &options);
        unsigned char gates[16];
        memset(gates, 1, sizeof gates);
        launches_of_step(f, 1, gates); /* makes the forms of what was uploaded, too */
        assert_int_equal(launches_of_step(f, 2, gates) - launches_of_lists(f, gates), expected[i].fixed);
        for (int u = 0; u < f->net->unit_count; u++)
            if (f->net->units[u].stride == 1)
                expect_unit_counts(f, u, &expected[i]);
        destroy(f);
    }
    device->info.compute_units = units;
}

/** Nothing of a primary path is in the lists of a gate that is off. */
static void test_off_lists_are_small(void **state) {
    (void)state;
    struct fixture *f = make("resnet14", "identity", &default_options);
    for (int u = 1; u < f->net->unit_count; u += 2) {
        assert_int_equal(f->plan->train.units[u].at[0][DD_READ_OUTPUT].count, 0);    /* its reader reads its input */
        assert_int_equal(f->plan->backward_units[u].at[0][DD_READ_OUTPUT].count, 0); /* the gradient passes in place */
    }
    destroy(f);
    f = make("resnet20", "conv", &default_options);
    for (int read = 0; read < DD_UNIT_READS; read++) {
        const struct dd_launches *forward = &f->plan->train.units[2].at[0][read],
                                 *backward = &f->plan->backward_units[2].at[0][read];
        assert_int_equal(forward->count, dd_unit_leaves_raw(f->net, 2) ? 2 : 3); /* convolution, finish */
        assert_true(backward->count <= 5); /* gradients, their reduction, a finish */
    }
    destroy(f);
}

static void test_step_creates_nothing(void **state) {
    (void)state;
    struct fixture *f = make("resnet14", "conv", &default_options);
    unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
    step(f, 1, gates, 0.01);
    const long before = dd_rt_live_objects();
    const uint64_t bytes = device->peak_bytes;
    for (uint64_t it = 2; it < 6; it++) {
        gates[1] = it % 2;
        step(f, it, gates, 0.01);
    }
    assert_int_equal(dd_rt_live_objects(), before);
    assert_int_equal(device->peak_bytes, bytes);
    destroy(f);
}

static void test_same_bits_twice(void **state) {
    (void)state;
    struct fixture *runs[2];
    unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
    for (int r = 0; r < 2; r++) {
        runs[r] = make("resnet14", "conv", &default_options);
        for (uint64_t it = 1; it <= 4; it++) {
            gates[3] = it % 2;
            step(runs[r], it, gates, 0.05);
        }
        download(runs[r]);
    }
    for (int i = 0; i < runs[0]->net->param_count; i++)
        assert_memory_equal(runs[0]->values[i], runs[1]->values[i], runs[0]->net->params[i].count * sizeof(float));
    destroy(runs[0]);
    destroy(runs[1]);
}

/* ---- inference ---- */

static void test_inference(void **state) {
    (void)state;
    static const char *const nets[] = {"resnet14", "resnet18", "resnet50"};
    for (size_t n = 0; n < 3; n++) {
        struct dd_plan_options options = default_options;
        options.training = false;
        options.recalibrate = 0;
        options.batch = 5; /* 8 images: a full batch and a tail of 3 */
        struct fixture *f = make(nets[n], "conv", &options);
        struct refnet *reference = refnet_create(f->net, SEED);
        static float images[BATCH * MOST_PIXELS];
        float logits[BATCH * CLASSES], losses[BATCH];
        double expected[BATCH * CLASSES];
        int32_t ranks[BATCH];
        int labels[BATCH];
        for (int i = 0; i < BATCH; i++)
            f->samples[i].index = i;
        normalised_images(f, images, labels);
        check(dd_plan_bind(f->plan, DD_SOURCE_TEST, &f->images));
        check(dd_plan_evaluate(f->plan, DD_SOURCE_TEST, 0, BATCH, DD_STATISTICS_RUNNING, ranks, losses, logits));
        refnet_logits(reference, images, BATCH, expected);
        double largest = 0;
        for (int i = 0; i < BATCH * CLASSES; i++)
            largest = fmax(largest, fabs(expected[i]));
        for (int i = 0; i < BATCH * CLASSES; i++)
            if (!(fabs(logits[i] - expected[i]) < 1e-4 * largest))
                fail_msg("%s: logit %d is %.7g, expected %.7g", nets[n], i, logits[i], expected[i]);
        for (int i = 0; i < BATCH; i++) {
            int beaten = 0;
            for (int k = 0; k < CLASSES; k++)
                beaten += logits[i * CLASSES + k] > logits[i * CLASSES + labels[i]];
            assert_int_equal(ranks[i], beaten);
        }
        refnet_destroy(&reference);
        destroy(f);
    }
}

/** Width dropout is off in evaluation and recalibration: both give the bits of a plan without it. */
static void test_dropout_rests(void **state) {
    (void)state;
    struct fixture *f[2];
    float logits[2][BATCH * CLASSES], losses[BATCH], **copies[2];
    int32_t ranks[BATCH];
    for (int i = 0; i < 2; i++) {
        struct dd_plan_options options = default_options;
        options.dropout = options.unit_dropout = i * 0.5;
        f[i] = make("resnet14", "conv", &options);
        copies[i] = host_set(f[i]->net, false);
        check(dd_plan_bind(f[i]->plan, DD_SOURCE_TEST, &f[i]->images));
        check(dd_plan_recalibrate_begin(f[i]->plan));
        check(dd_plan_recalibrate_batch(f[i]->plan, f[i]->samples));
        check(dd_plan_recalibrate_batch(f[i]->plan, f[i]->samples));
        check(dd_plan_download(f[i]->plan, DD_SET_RECALIBRATED, copies[i]));
        check(dd_plan_evaluate(f[i]->plan, DD_SOURCE_TEST, 0, BATCH, DD_STATISTICS_RECALIBRATED, ranks, losses,
                               logits[i]));
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    for (int i = 0; i < f[0]->net->param_count; i++)
        assert_memory_equal(copies[0][i], copies[1][i], f[0]->net->params[i].count * sizeof(float));
    for (int i = 0; i < 2; i++) {
        free_set(f[i]->net, copies[i]);
        destroy(f[i]);
    }
}

static void evaluate(struct fixture *f, float *logits) {
    float losses[BATCH];
    int32_t ranks[BATCH];
    check(dd_plan_evaluate(f->plan, DD_SOURCE_TEST, 0, BATCH, DD_STATISTICS_RUNNING, ranks, losses, logits));
}

/** The weights as convolutions read them follow an upload and an update: evaluations before, between and after. */
static void test_forms_follow_weights(void **state) {
    (void)state;
    struct fixture *f = make("resnet14", "conv", &default_options);
    unsigned char gates[8] = {1, 0, 1, 1, 0, 1};
    float first[BATCH * CLASSES], trained[BATCH * CLASSES], again[BATCH * CLASSES], loaded[BATCH * CLASSES];
    float **start = host_set(f->net, false);
    check(dd_plan_bind(f->plan, DD_SOURCE_TEST, &f->images));
    check(dd_plan_download(f->plan, DD_SET_VALUE, start));
    evaluate(f, first);
    step(f, 1, gates, 0.05);
    evaluate(f, trained);
    assert_memory_not_equal(trained, first, sizeof first);
    download(f);
    check(dd_plan_upload(f->plan, DD_SET_VALUE, start));
    evaluate(f, again);
    assert_memory_equal(again, first, sizeof first);
    struct fixture *fresh = make("resnet14", "conv", &default_options); /* what the step left, loaded elsewhere */
    check(dd_plan_bind(fresh->plan, DD_SOURCE_TEST, &fresh->images));
    check(dd_plan_upload(fresh->plan, DD_SET_VALUE, f->values));
    evaluate(fresh, loaded);
    assert_memory_equal(loaded, trained, sizeof trained);
    free_set(f->net, start);
    destroy(fresh);
    destroy(f);
}

/** Recalibration over the same batch twice is the batch's own statistics: mean of means, mean of unbiased variances. */
static void test_recalibration(void **state) {
    (void)state;
    struct fixture *f = make("resnet14", "conv", &default_options);
    float **once = host_set(f->net, false), **copy = host_set(f->net, false);
    unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
    check(dd_plan_recalibrate_begin(f->plan));
    check(dd_plan_recalibrate_batch(f->plan, f->samples));
    check(dd_plan_recalibrate_batch(f->plan, f->samples));
    check(dd_plan_download(f->plan, DD_SET_RECALIBRATED, copy));
    download(f);
    for (int i = 0; i < f->net->param_count; i++) /* training's own are undisturbed */
        if (f->net->params[i].kind == DD_PARAM_BN_MEAN)
            assert_true(f->values[i][0] == 0);
    step(f, 1, gates, 0.0);
    check(dd_plan_download(f->plan, DD_SET_VALUE,
                           once)); /* 0.1 times the batch's mean, and 0.9 + 0.1 times its variance */
    for (int i = 0; i < f->net->param_count; i++)
        for (size_t k = 0; k < f->net->params[i].count; k++) {
            if (f->net->params[i].kind == DD_PARAM_BN_MEAN)
                assert_float_equal(copy[i][k], once[i][k] / 0.1f, 1e-4 * (1 + fabsf(copy[i][k])));
            if (f->net->params[i].kind == DD_PARAM_BN_VAR)
                assert_float_equal(copy[i][k], (once[i][k] - 0.9f) / 0.1f, 1e-4 * (1 + fabsf(copy[i][k])));
        }
    free_set(f->net, once);
    free_set(f->net, copy);
    destroy(f);
}

/* ---- ImageNet form ---- */

/*
 * Few steps: batch norm over the 8 to 32 values of the last maps makes gradients that grow towards the input, and
 * rounding with them.
 */
static void test_imagenet_form(void **state) {
    (void)state;
    const struct course course = {LARGE, 2, 1e-3, 0.08};
    follow("resnet18", "projection", 1, "gemm", "uniform:0.4", &course);
    follow("resnet18", "identity", 0, "auto", "uniform:0.4", &course);
}

static void test_bottleneck(void **state) {
    (void)state;
    const struct course course = {LARGE, 1, 1e-4, 0.08};
    follow("resnet50", "projection", 0, "auto", "linear:0.5", &course);
    follow_dropping("resnet50", "projection", 0, "auto", "linear:0.5", &course, 0.5, 0.3);
}

int main(int argc, char **argv) {
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    device = dd_test_open();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_projection),
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_known_losses),
        cmocka_unit_test(test_algorithms_agree),
        cmocka_unit_test(test_skip_equals_mask),
        cmocka_unit_test(test_skip_near_mask),
        cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_copies_for_libraries),
        cmocka_unit_test(test_launch_count),
        cmocka_unit_test(test_dropout_launches),
        cmocka_unit_test(test_dropout_by_iteration),
        cmocka_unit_test(test_launches_are_few),
        cmocka_unit_test(test_off_lists_are_small),
        cmocka_unit_test(test_step_creates_nothing),
        cmocka_unit_test(test_same_bits_twice),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_dropout_rests),
        cmocka_unit_test(test_forms_follow_weights),
        cmocka_unit_test(test_recalibration),
        cmocka_unit_test(test_imagenet_form),
        cmocka_unit_test(test_bottleneck),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + dd_test_close(&device);
}
