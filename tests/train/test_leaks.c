/*
 * No OpenCL object is left behind by training, evaluation and prediction: when they end well, when they are stopped,
 * when the data are bad, and when a call of the driver fails midway.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <depthdrop/depthdrop.h>

#include "rt/device.h"
#include "support/device_test.h"
#include "support/scratch.h"

enum { NO_FAILURE = 0, STOP_NOW = 1 };

static struct dd_train_options small_run(const char *folder) {
    struct dd_train_options options;
    dd_train_options_default(&options);
    options.run_dir = folder;
    options.data = "shapes";
    options.net = "resnet8";
    options.batch = 16;
    options.iterations = 2;
    options.bn_recalibrate = 1;
    options.val_split = 40;
    return options;
}

/** Requires status, a message with it unless it is DD_OK, and that nothing is left. */
static void expect(dd_status got, dd_status wanted) {
    if (got != wanted)
        fail_msg("status %d, not %d: %s", (int)got, (int)wanted, dd_error_message());
    if (dd_rt_live_objects() != 0)
        fail_msg("%ld OpenCL objects are left over after status %d", dd_rt_live_objects(), (int)got);
}

static const char *trained_model(void) {
    static char model[512];
    if (model[0] == '\0') {
        const char *folder = scratch_path("trained");
        const struct dd_train_options options = small_run(folder);
        expect(dd_train(&options, NULL, NULL, NULL), DD_OK);
        snprintf(model, sizeof model, "%s/last.safetensors", folder);
    }
    return model;
}

static void test_train(void **state) {
    (void)state;
    struct dd_train_options resumed;
    trained_model();
    dd_train_options_default(&resumed);
    resumed.resume_dir = scratch_path("trained");
    expect(dd_train(&resumed, NULL, NULL, NULL), DD_OK); /* finished already */
    resumed.iterations = 3;
    expect(dd_train(&resumed, NULL, NULL, NULL), DD_OK);
    const struct dd_train_options again = small_run(scratch_path("trained"));
    expect(dd_train(&again, NULL, NULL, NULL), DD_ERROR_USAGE);
}

/** Stops at the first report of a phase. */
struct stopper {
    volatile int stop;
    const char *phase;
};

static void stop_in_phase(void *user, const struct dd_train_progress *progress) {
    struct stopper *stopper = user;
    if (strcmp(progress->phase, stopper->phase) == 0)
        stopper->stop = STOP_NOW;
}

static void test_stopped_train(void **state) {
    (void)state;
    static const char *const phases[] = {"train", "recalibrate", "eval"};
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++) {
        const char *folder = scratch_path("stopped-%s", phases[i]);
        struct dd_train_options options = small_run(folder);
        struct stopper stopper = {.phase = phases[i]};
        options.iterations = 8;
        options.eval_every = 0;
        expect(dd_train(&options, &stopper.stop, stop_in_phase, &stopper), DD_INTERRUPTED);
        dd_train_options_default(&options);
        options.resume_dir = folder;
        expect(dd_train(&options, NULL, NULL, NULL), DD_OK);
    }
}

static void test_stopped_before_the_first_step(void **state) {
    (void)state;
    const char *folder = scratch_path("never");
    const struct dd_train_options options = small_run(folder);
    volatile int stop = STOP_NOW;
    expect(dd_train(&options, &stop, NULL, NULL), DD_INTERRUPTED);
    assert_null(fopen(folder, "r")); /* nothing was written */
}

static void test_eval(void **state) {
    (void)state;
    struct dd_model_options options = {.model = trained_model(), .batch = 300};
    struct dd_dataset_options data = {.spec = "shapes"};
    struct dd_eval_result result;
    struct stopper stopper = {.phase = "eval"};
    expect(dd_eval(&options, &data, NULL, NULL, NULL, &result), DD_OK);
    dd_eval_result_free(&result);
    expect(dd_eval(&options, &data, &stopper.stop, stop_in_phase, &stopper, &result), DD_INTERRUPTED);
    data.spec = "folder:/nonexistent";
    expect(dd_eval(&options, &data, NULL, NULL, NULL, &result), DD_ERROR_DATA);
    options.model = scratch_path("nowhere.safetensors");
    expect(dd_eval(&options, &data, NULL, NULL, NULL, &result), DD_ERROR_DATA);
}

static void count_prediction(void *user, const struct dd_prediction *prediction) {
    int *counts = user;
    counts[prediction->status == DD_OK]++;
}

static void test_predict(void **state) {
    (void)state;
    const char *good = scratch_path("good.png"), *broken = scratch_path("broken.png");
    int counts[2] = {0};
    scratch_png(good, 16, 20, 3, scratch_pixels(1, 16, 20, 3));
    scratch_write(broken, "none", 4);
    const char *const files[] = {good, broken, good};
    const struct dd_model_options options = {.model = trained_model()};
    expect(dd_predict(&options, files, 3, count_prediction, counts), DD_ERROR_DATA);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 2);
}

/** The driver refuses one of the first calls, or one far into the run. */
static void test_driver_failure(void **state) {
    (void)state;
    static const long moments[] = {1, 3, 10, 40, 100, 400};
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        const char *folder = scratch_path("failing-%ld", moments[i]);
        const struct dd_train_options options = small_run(folder);
        dd_rt_inject_failure(moments[i], CL_OUT_OF_RESOURCES);
        const dd_status status = dd_train(&options, NULL, NULL, NULL);
        dd_rt_inject_failure(NO_FAILURE, CL_SUCCESS);
        if (status != DD_ERROR_DEVICE && status != DD_ERROR_MEMORY)
            fail_msg("call %ld failed, and training gave status %d: %s", moments[i], (int)status, dd_error_message());
        expect(status, status);
    }
}

int main(void) {
    dd_device *device = dd_test_open(); /* ends the program with 77 where there is none */
    if (dd_selftest_ensure(device) != DD_OK)
        return fprintf(stderr, "%s\n", dd_error_message()), 1;
    if (dd_test_close(&device) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_train),
        cmocka_unit_test(test_stopped_train),
        cmocka_unit_test(test_stopped_before_the_first_step),
        cmocka_unit_test(test_eval),
        cmocka_unit_test(test_predict),
        cmocka_unit_test(test_driver_failure),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
