/*
 * Steps that skip: a skipped step against one that multiplies by 0, how many launches a step has, and what a step must
 * not do. What a step computes is tested in test_step.c.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/plan_fixture.h"

static dd_device *device;

/* ---- skipping ---- */

static void skip_equals_mask(const char *shortcut, int vector, const char *algorithm, double dropout) {
    struct dd_plan_options options = fixture_options;
    options.dropout = options.unit_dropout = dropout;
    options.vector = vector;
    options.algorithm = algorithm;
    struct fixture *skipped = fixture_make(device, "resnet20", shortcut, &options);
    options.masked = true;
    struct fixture *masked = fixture_make(device, "resnet20", shortcut, &options);
    const int units = skipped->net->unit_count;
    unsigned char gates[16], on[16];
    memset(on, 1, sizeof on);
    assert_in_range(units, 9, 9);
    assert_true(fixture_step(skipped, 1, on, 0.01) ==
                fixture_step(masked, 1, on, 0.01)); /* momentum differs from 0 in what follows */
    for (int pattern = 0; pattern < 64;
         pattern++) { /* all patterns of the six gated units, so all triples of neighbours */
        for (int u = 0, bit = 0; u < units; u++)
            gates[u] = skipped->net->units[u].first ? 1 : (pattern >> bit++) & 1;
        const double a = fixture_step(skipped, 2, gates, 0.01), b = fixture_step(masked, 2, gates, 0.01);
        if (a != b)
            fail_msg("%s V=%d: losses %.9g and %.9g under pattern %d", shortcut, vector, a, b, pattern);
    }
    fixture_download(skipped);
    fixture_download(masked);
    for (int i = 0; i < skipped->net->param_count; i++) {
        const struct dd_param *param = &skipped->net->params[i];
        if (!param->trainable)
            continue; /* a skipped step leaves the running statistics of f alone */
        for (size_t k = 0; k < param->count; k++)
            if (skipped->values[i][k] != masked->values[i][k] || skipped->momentum[i][k] != masked->momentum[i][k])
                fail_msg("%s[%zu] differs with %s shortcuts, V=%d", param->name, k, shortcut, vector);
    }
    fixture_destroy(skipped);
    fixture_destroy(masked);
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
        const double apart = fabs((double)a->momentum[param][k] - b->momentum[param][k]);
        difference = isnan(apart) ? INFINITY : fmax(difference, apart);
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
    struct dd_plan_options options = fixture_options;
    options.vector = vector;
    options.algorithm = algorithm;
    struct fixture *skipped = fixture_make(device, "resnet20", "conv", &options);
    options.masked = true;
    struct fixture *masked = fixture_make(device, "resnet20", "conv", &options);
    unsigned char gates[16];
    char what[64];
    for (int pattern = 0; pattern < 64; pattern++) {
        for (int u = 0, bit = 0; u < skipped->net->unit_count; u++)
            gates[u] = skipped->net->units[u].first ? 1 : (pattern >> bit++) & 1;
        fixture_download(skipped);
        dd_test_ok(dd_plan_upload(masked->plan, DD_SET_VALUE, skipped->values));
        dd_test_ok(dd_plan_upload(masked->plan, DD_SET_MOMENTUM, skipped->momentum));
        const double a = fixture_step(skipped, 2, gates, 0.01), b = fixture_step(masked, 2, gates, 0.01);
        snprintf(what, sizeof what, "V=%d, pattern %d", vector, pattern);
        if (a != b)
            fail_msg("%s: losses %.9g and %.9g", what, a, b);
        fixture_download(skipped);
        fixture_download(masked);
        for (int i = 0; i < skipped->net->param_count; i++)
            if (skipped->net->params[i].trainable)
                expect_near(skipped, masked, i, bound, what);
    }
    fixture_destroy(skipped);
    fixture_destroy(masked);
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
    struct fixture *f = fixture_make(device, "resnet14", "conv", &fixture_options);
    unsigned char gates[8] = {1, 0, 1, 1, 1, 1};
    fixture_step(f, 1, gates, 0.01);
    fixture_download(f);
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
    fixture_destroy(f);
}

/* ---- launches ---- */

static uint64_t launches_of_step(struct fixture *f, uint64_t iteration, const unsigned char *gates) {
    const uint64_t before = dd_launch_count();
    fixture_step(f, iteration, gates, 0.01);
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
    struct dd_plan_options options = fixture_options;
    options.vector = 1;
    options.algorithm = "gemm";
    struct fixture *f = fixture_make(device, "resnet14", "identity", &options);
    assert_true(f->plan->hands_on); /* 3x3: the input goes through im2col */
    fixture_destroy(f);
    f = fixture_make(device, "resnet50", "identity", &options);
    assert_false(f->plan->hands_on); /* 1x1: it is the matrix itself */
    unsigned char gates[16];
    memset(gates, 1, sizeof gates);
    gates[1] = gates[2] = 0;
    assert_int_equal(f->plan->train.units[1].at[0][DD_READ_OUTPUT].count, 1);
    assert_true(isfinite(fixture_step(f, 1, gates, 0.001)));
    fixture_destroy(f);
}

static void read_form(const struct fixture *f, int conv, float *to, size_t floats) {
    const cl_mem form = dd_form(f->plan, conv, DD_CONV_FORWARD);
    assert_non_null(form);
    dd_test_ok(dd_buffer_read(device, form, 0, floats * sizeof *to, to));
}

/** The weights' form of a primary path that is off is not made, and is made anew when it is on again, or to evaluate.
 */
static void test_forms_by_gates(void **state) {
    (void)state;
    enum { FLOATS = 16 }; /* of the form, enough to tell */
    float on[FLOATS], off[FLOATS], again[FLOATS], evaluated[FLOATS], losses[FIXTURE_BATCH];
    int32_t ranks[FIXTURE_BATCH];
    struct dd_plan_options options = fixture_options;
    options.algorithm = "winograd";
    options.vector = 4;
    if (device->info.type != DD_DEVICE_CPU)
        skip(); /* its convolutions read the weights themselves */
    struct fixture *f = fixture_make(device, "resnet14", "conv", &options);
    const int conv = f->net->units[1].primary[0].bn;
    unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
    fixture_step(f, 1, gates, 0.01);
    read_form(f, conv, on, FLOATS);
    gates[1] = 0;
    fixture_step(f, 2, gates, 0.01);
    read_form(f, conv, off, FLOATS);
    assert_memory_equal(on, off, sizeof on); /* though the weights had changed */
    gates[1] = 1;
    fixture_step(f, 3, gates, 0.01);
    read_form(f, conv, again, FLOATS);
    assert_memory_not_equal(off, again, sizeof off);
    gates[1] = 0;
    fixture_step(f, 4, gates, 0.01);
    dd_test_ok(dd_plan_bind(f->plan, DD_SOURCE_TEST, &f->images));
    dd_test_ok(dd_plan_evaluate(f->plan, DD_SOURCE_TEST, 0, FIXTURE_BATCH, DD_STATISTICS_RUNNING, ranks, losses, NULL));
    read_form(f, conv, evaluated, FLOATS);
    assert_memory_not_equal(again, evaluated, sizeof again);
    fixture_destroy(f);
}

/** A gate that is off saves all launches of the primary path, whatever the others do. */
static void test_launch_count(void **state) {
    (void)state;
    static const char *const shortcuts[] = {"identity", "projection", "conv"};
    for (size_t s = 0; s < 3; s++) {
        struct fixture *f = fixture_make(device, "resnet14", shortcuts[s], &fixture_options);
        unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
        launches_of_step(f, 1, gates);
        const uint64_t others = launches_of_step(f, 2, gates) - launches_of_lists(f, gates);
        for (int u = 1; u < f->net->unit_count; u += 2) {
            const uint64_t before = launches_of_lists(f, gates);
            gates[u] = 0;
            /* two convolutions with their BN: at least convolve and finish each, forward; reductions, gradients and
             * finish each, backward; a shortcut's convolution needs three of these for itself when it is alone */
            const uint64_t shared = dd_has_shortcut_conv(&f->net->units[u]) ? 3 : 0;
            assert_true(before - launches_of_lists(f, gates) >= 10 - shared);
            assert_int_equal(launches_of_step(f, 3, gates), others + launches_of_lists(f, gates));
        }
        fixture_destroy(f);
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
        struct dd_plan_options options = fixture_options;
        options.algorithm = "direct"; /* the same everywhere: gemm unfuses anyway */
        options.dropout = ratios[i][0];
        options.unit_dropout = ratios[i][1];
        struct fixture *f = fixture_make(device, "resnet14", "conv", &options);
        unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
        launches_of_step(f, 1, gates); /* makes the forms of what was uploaded, too */
        launches[i][0] = launches_of_step(f, 2, gates);
        gates[1] = gates[3] = 0;
        launches[i][1] = launches_of_step(f, 3, gates);
        tensors[i] = f->plan->layout.tensor_count;
        const int lists = f->net->unit_count + f->net->unit_count - 1; /* all but the first unit have two, on */
        assert_int_equal(f->plan->drop_count, i == 0 ? 0 : i == 1 ? 2 : 2 * lists);
        fixture_destroy(f);
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
        struct dd_plan_options options = fixture_options;
        options.dropout = where == 0 ? 0.5 : 0;
        options.unit_dropout = where == 1 ? 0.5 : 0;
        struct fixture *f = fixture_make(device, "resnet14", "identity", &options);
        unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
        const double first = fixture_step(f, 7, gates, 0), second = fixture_step(f, 8, gates, 0),
                     again = fixture_step(f, 7, gates, 0);
        assert_true(first == again && first != second);
        fixture_destroy(f);
    }
}

/* Launches of ResNet-20 with V = 16 on a CPU of four units, by the gate (off, on). A launch that waits for the one
 * before it costs up to 70 us on a CPU, so a number here may be lowered and should not rise. */
struct launch_counts {
    const char *shortcut;
    int forward[2], backward_off; /* of a unit that changes no dimensions, whatever it reads: a raw input's batch norm
                                     is finished together with weight gradients */
    int last_off[2];              /* of the last unit, which has no reader that could do the rest: forward, backward */
    int backward_on[3];           /* in a stage of 16, 32, 64 channels: both gradients in one kernel, or in two */
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
            if (count != wanted[i])
                fail_msg("%s, unit %d, gate %s, %s, input %d: %d launches, expected %d", expected->shortcut, u,
                         i % 2 ? "on" : "off", i < 2 ? "forward" : "backward", read, count, wanted[i]);
        }
    }
}

/** The launches of units and of a whole step, in numbers. */
static void test_launches_are_few(void **state) {
    (void)state;
    static const struct launch_counts expected[] = {{"identity", {0, 5}, 0, {0, 0}, {6, 6, 8}, 19},
                                                    {"conv", {2, 5}, 2, {3, 4}, {6, 6, 10}, 19}};
    if (device->info.type != DD_DEVICE_CPU)
        skip(); /* its convolutions are others */
    const unsigned units = device->info.compute_units;
    device->info.compute_units = 4;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        struct dd_plan_options options = fixture_options;
        options.vector = 16;
        struct fixture *f = fixture_make_sized(device, "resnet20", expected[i].shortcut, 32, &options);
        unsigned char gates[16];
        memset(gates, 1, sizeof gates);
        launches_of_step(f, 1, gates); /* makes the forms of what was uploaded, too */
        assert_int_equal(launches_of_step(f, 2, gates) - launches_of_lists(f, gates), expected[i].fixed);
        for (int u = 0; u < f->net->unit_count; u++)
            if (f->net->units[u].stride == 1)
                expect_unit_counts(f, u, &expected[i]);
        fixture_destroy(f);
    }
    device->info.compute_units = units;
}

/** Nothing of a primary path is in the lists of a gate that is off. */
static void test_off_lists_are_small(void **state) {
    (void)state;
    struct fixture *f = fixture_make(device, "resnet14", "identity", &fixture_options);
    for (int u = 1; u < f->net->unit_count; u += 2) {
        assert_int_equal(f->plan->train.units[u].at[0][DD_READ_OUTPUT].count, 0);    /* its reader reads its input */
        assert_int_equal(f->plan->backward_units[u].at[0][DD_READ_OUTPUT].count, 0); /* the gradient passes in place */
    }
    fixture_destroy(f);
}

static void test_step_creates_nothing(void **state) {
    (void)state;
    struct fixture *f = fixture_make(device, "resnet14", "conv", &fixture_options);
    unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
    fixture_step(f, 1, gates, 0.01);
    const long before = dd_rt_live_objects();
    const uint64_t bytes = device->peak_bytes;
    for (uint64_t it = 2; it < 6; it++) {
        gates[1] = it % 2;
        fixture_step(f, it, gates, 0.01);
    }
    assert_int_equal(dd_rt_live_objects(), before);
    assert_int_equal(device->peak_bytes, bytes);
    fixture_destroy(f);
}

static void test_same_bits_twice(void **state) {
    (void)state;
    struct fixture *runs[2];
    unsigned char gates[8] = {1, 1, 1, 1, 1, 1};
    for (int r = 0; r < 2; r++) {
        runs[r] = fixture_make(device, "resnet14", "conv", &fixture_options);
        for (uint64_t it = 1; it <= 4; it++) {
            gates[3] = it % 2;
            fixture_step(runs[r], it, gates, 0.05);
        }
        fixture_download(runs[r]);
    }
    for (int i = 0; i < runs[0]->net->param_count; i++)
        assert_memory_equal(runs[0]->values[i], runs[1]->values[i], runs[0]->net->params[i].count * sizeof(float));
    fixture_destroy(runs[0]);
    fixture_destroy(runs[1]);
}

int main(int argc, char **argv) {
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    device = dd_test_open();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skip_equals_mask),     cmocka_unit_test(test_skip_near_mask),
        cmocka_unit_test(test_running_statistics),   cmocka_unit_test(test_copies_for_libraries),
        cmocka_unit_test(test_forms_by_gates),       cmocka_unit_test(test_launch_count),
        cmocka_unit_test(test_dropout_launches),     cmocka_unit_test(test_dropout_by_iteration),
        cmocka_unit_test(test_launches_are_few),     cmocka_unit_test(test_off_lists_are_small),
        cmocka_unit_test(test_step_creates_nothing), cmocka_unit_test(test_same_bits_twice),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + dd_test_close(&device);
}
