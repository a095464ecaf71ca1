/*
 * Whole training steps on the device: ten losses and the final state against the independent double-precision network,
 * what evaluation and recalibration make of the same weights, and the forms with other stems and units. What skipping
 * changes is tested in test_skip.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/gate.h>

#include "base/philox.h"
#include "support/plan_fixture.h"
#include "support/refnet.h"

enum { STEPS = 10 };

static dd_device *device;

/* ---- against double precision ---- */

static void normalised_images(const struct fixture *f, float *images, int *labels) {
    for (int i = 0; i < FIXTURE_BATCH; i++) {
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
    float **initial = fixture_set(f->net, false);
    fixture_download(f);
    for (int i = 0; i < f->net->param_count; i++) {
        const struct dd_param *param = &f->net->params[i];
        dd_net_init_param(f->net, i, FIXTURE_SEED, initial[i]);
        const double error = relative_to_change(f->values[i], refnet_param(reference, i), initial[i], param->count);
        if (!(error < limit))
            fail_msg("%s differs by %.3g of its change", param->name, error);
    }
    fixture_set_free(f->net, initial);
}

/* How far a run goes, and how closely it must follow. float32 alone loses 2 % of a tensor's change in ten steps of a
 * small net. */
struct course {
    int side, steps;
    double loss_limit, state_limit; /* relative; of each tensor's change */
};
static const struct course ten_steps = {FIXTURE_SMALL, STEPS, 5e-4, 0.08};
/* Winograd rounds more; once it moves a value across a ReLU's corner, the losses part, by up to 6e-4 in ten steps. */
static const struct course ten_winograd_steps = {FIXTURE_SMALL, STEPS, 1e-3, 0.08};

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
    struct dd_plan_options options = fixture_options;
    options.dropout = dropout;
    options.unit_dropout = unit_dropout;
    options.dropout_seed = UINT64_C(0x123456789abcdef);
    options.vector = vector;
    options.algorithm = algorithm;
    struct fixture *f = fixture_make_sized(device, name, shortcut, course->side, &options);
    struct refnet *reference = refnet_create(f->net, FIXTURE_SEED);
    const struct dd_gate_options gate_options = {.policy = policy, .seed = 3};
    dd_gate *gate;
    unsigned char gates[64];
    static float images[FIXTURE_BATCH * FIXTURE_MOST_PIXELS];
    int labels[FIXTURE_BATCH];
    struct drops drops = {.options = &options, .units = f->net->unit_count};
    normalised_images(f, images, labels);
    if (dropout > 0 || unit_dropout > 0)
        refnet_set_dropout(reference, drop_factor, &drops);
    dd_test_ok(dd_gate_create(&gate_options, f->net, &gate));
    for (int it = 1; it <= course->steps; it++) {
        dd_gate_draw(gate, (uint64_t)it, gates);
        drops.iteration = (uint32_t)it;
        const double loss = fixture_step(f, (uint64_t)it, gates, 0.003);
        const double expected = refnet_step(reference, images, labels, FIXTURE_BATCH, gates, false, 0.003, 0.9, 1e-2);
        if (!(fabs(loss - expected) < course->loss_limit * fabs(expected)))
            fail_msg("%s %s V=%d %s: loss %.7f at step %d, expected %.7f", name, shortcut, vector, algorithm, loss, it,
                     expected);
    }
    compare_state(f, reference, course->state_limit);
    refnet_destroy(&reference);
    dd_gate_destroy(&gate);
    fixture_destroy(f);
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
    struct fixture *f = fixture_make(device, "resnet14", "identity", &fixture_options);
    unsigned char gates[64];
    memset(gates, 1, sizeof gates);
    for (uint64_t it = 1; it <= STEPS; it++)
        assert_float_equal(fixture_step(f, it, gates, 0.003), known[it - 1], 2e-4 * known[it - 1]);
    fixture_destroy(f);
}

/** Ten losses from the same seed by each algorithm: they differ by rounding alone. */
static void test_algorithms_agree(void **state) {
    (void)state;
    static const char *const algorithms[] = {"gemm", "direct", "winograd"};
    double losses[3][STEPS];
    unsigned char gates[64];
    memset(gates, 1, sizeof gates);
    for (size_t a = 0; a < 3; a++) {
        struct dd_plan_options options = fixture_options;
        options.algorithm = algorithms[a];
        struct fixture *f = fixture_make(device, "resnet14", "conv", &options);
        for (uint64_t it = 1; it <= STEPS; it++)
            losses[a][it - 1] = fixture_step(f, it, gates, 0.003);
        fixture_destroy(f);
    }
    for (size_t a = 1; a < 3; a++)
        for (int it = 0; it < STEPS; it++)
            if (!(fabs(losses[a][it] - losses[0][it]) < 5e-4 * losses[0][it]))
                fail_msg("%s: loss %.7f at step %d, gemm %.7f", algorithms[a], losses[a][it], it + 1, losses[0][it]);
}

/* ---- inference ---- */

static void test_inference(void **state) {
    (void)state;
    static const char *const nets[] = {"resnet14", "resnet18", "resnet50"};
    for (size_t n = 0; n < 3; n++) {
        struct dd_plan_options options = fixture_options;
        options.training = false;
        options.recalibrate = 0;
        options.batch = 5; /* 8 images: a full batch and a tail of 3 */
        struct fixture *f = fixture_make(device, nets[n], "conv", &options);
        struct refnet *reference = refnet_create(f->net, FIXTURE_SEED);
        static float images[FIXTURE_BATCH * FIXTURE_MOST_PIXELS];
        float logits[FIXTURE_BATCH * FIXTURE_CLASSES], losses[FIXTURE_BATCH];
        double expected[FIXTURE_BATCH * FIXTURE_CLASSES];
        int32_t ranks[FIXTURE_BATCH];
        int labels[FIXTURE_BATCH];
        for (int i = 0; i < FIXTURE_BATCH; i++)
            f->samples[i].index = i;
        normalised_images(f, images, labels);
        dd_test_ok(dd_plan_bind(f->plan, DD_SOURCE_TEST, &f->images));
        dd_test_ok(
            dd_plan_evaluate(f->plan, DD_SOURCE_TEST, 0, FIXTURE_BATCH, DD_STATISTICS_RUNNING, ranks, losses, logits));
        refnet_logits(reference, images, FIXTURE_BATCH, expected);
        double largest = 0;
        for (int i = 0; i < FIXTURE_BATCH * FIXTURE_CLASSES; i++)
            largest = fmax(largest, fabs(expected[i]));
        for (int i = 0; i < FIXTURE_BATCH * FIXTURE_CLASSES; i++)
            if (!(fabs(logits[i] - expected[i]) < 1e-4 * largest))
                fail_msg("%s: logit %d is %.7g, expected %.7g", nets[n], i, logits[i], expected[i]);
        for (int i = 0; i < FIXTURE_BATCH; i++) {
            int beaten = 0;
            for (int k = 0; k < FIXTURE_CLASSES; k++)
                beaten += logits[i * FIXTURE_CLASSES + k] > logits[i * FIXTURE_CLASSES + labels[i]];
            assert_int_equal(ranks[i], beaten);
        }
        refnet_destroy(&reference);
        fixture_destroy(f);
    }
}

/** Width dropout is off in evaluation and recalibration: both give the bits of a plan without it. */
static void test_dropout_rests(void **state) {
    (void)state;
    struct fixture *f[2];
    float logits[2][FIXTURE_BATCH * FIXTURE_CLASSES], losses[FIXTURE_BATCH], **copies[2];
    int32_t ranks[FIXTURE_BATCH];
    for (int i = 0; i < 2; i++) {
        struct dd_plan_options options = fixture_options;
        options.dropout = options.unit_dropout = i * 0.5;
        f[i] = fixture_make(device, "resnet14", "conv", &options);
        copies[i] = fixture_set(f[i]->net, false);
        dd_test_ok(dd_plan_bind(f[i]->plan, DD_SOURCE_TEST, &f[i]->images));
        dd_test_ok(dd_plan_recalibrate_begin(f[i]->plan));
        dd_test_ok(dd_plan_recalibrate_batch(f[i]->plan, f[i]->samples));
        dd_test_ok(dd_plan_recalibrate_batch(f[i]->plan, f[i]->samples));
        dd_test_ok(dd_plan_download(f[i]->plan, DD_SET_RECALIBRATED, copies[i]));
        dd_test_ok(dd_plan_evaluate(f[i]->plan, DD_SOURCE_TEST, 0, FIXTURE_BATCH, DD_STATISTICS_RECALIBRATED, ranks,
                                    losses, logits[i]));
    }
    assert_memory_equal(logits[0], logits[1], sizeof logits[0]);
    for (int i = 0; i < f[0]->net->param_count; i++)
        assert_memory_equal(copies[0][i], copies[1][i], f[0]->net->params[i].count * sizeof(float));
    for (int i = 0; i < 2; i++) {
        fixture_set_free(f[i]->net, copies[i]);
        fixture_destroy(f[i]);
    }
}

static void evaluate(struct fixture *f, float *logits) {
    float losses[FIXTURE_BATCH];
    int32_t ranks[FIXTURE_BATCH];
    dd_test_ok(
        dd_plan_evaluate(f->plan, DD_SOURCE_TEST, 0, FIXTURE_BATCH, DD_STATISTICS_RUNNING, ranks, losses, logits));
}

/** The weights as convolutions read them follow an upload and an update: evaluations before, between and after. */
static void test_forms_follow_weights(void **state) {
    (void)state;
    struct fixture *f = fixture_make(device, "resnet14", "conv", &fixture_options);
    unsigned char gates[8] = {1, 0, 1, 1, 0, 1};
    float first[FIXTURE_BATCH * FIXTURE_CLASSES], trained[FIXTURE_BATCH * FIXTURE_CLASSES],
        again[FIXTURE_BATCH * FIXTURE_CLASSES], loaded[FIXTURE_BATCH * FIXTURE_CLASSES];
    float **start = fixture_set(f->net, false);
    dd_test_ok(dd_plan_bind(f->plan, DD_SOURCE_TEST, &f->images));
    dd_test_ok(dd_plan_download(f->plan, DD_SET_VALUE, start));
    evaluate(f, first);
    fixture_step(f, 1, gates, 0.05);
    evaluate(f, trained);
    assert_memory_not_equal(trained, first, sizeof first);
    fixture_download(f);
    dd_test_ok(dd_plan_upload(f->plan, DD_SET_VALUE, start));
    evaluate(f, again);
    assert_memory_equal(again, first, sizeof first);
    struct fixture *fresh =
        fixture_make(device, "resnet14", "conv", &fixture_options); /* what the step left, loaded elsewhere */
    dd_test_ok(dd_plan_bind(fresh->plan, DD_SOURCE_TEST, &fresh->images));
    dd_test_ok(dd_plan_upload(fresh->plan, DD_SET_VALUE, f->values));
    evaluate(fresh, loaded);
    assert_memory_equal(loaded, trained, sizeof trained);
    fixture_set_free(f->net, start);
    fixture_destroy(fresh);
    fixture_destroy(f);
}

/** Recalibration over the same batch twice is the batch's own statistics: mean of means, mean of unbiased variances. */
static void test_recalibration(void **state) {
    (void)state;
    struct fixture *f = fixture_make(device, "resnet14", "conv", &fixture_options);
    float **once = fixture_set(f->net, false), **copy = fixture_set(f->net, false);
    unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
    dd_test_ok(dd_plan_recalibrate_begin(f->plan));
    dd_test_ok(dd_plan_recalibrate_batch(f->plan, f->samples));
    dd_test_ok(dd_plan_recalibrate_batch(f->plan, f->samples));
    dd_test_ok(dd_plan_download(f->plan, DD_SET_RECALIBRATED, copy));
    fixture_download(f);
    for (int i = 0; i < f->net->param_count; i++) /* training's own are undisturbed */
        if (f->net->params[i].kind == DD_PARAM_BN_MEAN)
            assert_true(f->values[i][0] == 0);
    fixture_step(f, 1, gates, 0.0);
    dd_test_ok(dd_plan_download(f->plan, DD_SET_VALUE,
                                once)); /* 0.1 times the batch's mean, and 0.9 + 0.1 times its variance */
    for (int i = 0; i < f->net->param_count; i++)
        for (size_t k = 0; k < f->net->params[i].count; k++) {
            if (f->net->params[i].kind == DD_PARAM_BN_MEAN)
                assert_float_equal(copy[i][k], once[i][k] / 0.1f, 1e-4 * (1 + fabsf(copy[i][k])));
            if (f->net->params[i].kind == DD_PARAM_BN_VAR)
                assert_float_equal(copy[i][k], (once[i][k] - 0.9f) / 0.1f, 1e-4 * (1 + fabsf(copy[i][k])));
        }
    fixture_set_free(f->net, once);
    fixture_set_free(f->net, copy);
    fixture_destroy(f);
}

/* ---- ImageNet form ---- */

/*
 * Few steps: batch norm over the 8 to 32 values of the last maps makes gradients that grow towards the input, and
 * rounding with them.
 */
static void test_imagenet_form(void **state) {
    (void)state;
    const struct course course = {FIXTURE_LARGE, 2, 1e-3, 0.08};
    follow("resnet18", "projection", 1, "gemm", "uniform:0.4", &course);
    follow("resnet18", "identity", 0, "auto", "uniform:0.4", &course);
}

static void test_bottleneck(void **state) {
    (void)state;
    const struct course course = {FIXTURE_LARGE, 1, 1e-4, 0.08};
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
