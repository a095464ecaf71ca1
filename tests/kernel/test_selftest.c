/* The self-test itself: refusal of a wrong kernel, the remembered verdict, failing drivers; none of it leaks. */
#ifndef DD_TEST_HOOKS
#define DD_TEST_HOOKS /* tests link the library that has them */
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <depthdrop/log.h>

#include "rt/verdict.h"
#include "selftest/case.h"
#include "selftest/check.h"
#include "tests/support/device_test.h"

static dd_device *device;
static char cache[] = "/tmp/depthdrop-selftest-XXXXXX";

/* What a run told: lines, failed ones, and the first of these. */
struct told {
    int lines, failed;
    char kernel[64];
    int vector;
};

static void listen(void *user, const struct dd_selftest_result *result) {
    struct told *told = user;
    told->lines++;
    assert_true(result->cases > 0);
    assert_int_equal(result->passed, result->worst_error <= 1);
    assert_int_equal(result->passed, result->failure[0] == '\0');
    if (!result->passed && told->failed++ == 0) {
        snprintf(told->kernel, sizeof told->kernel, "%s", result->kernel);
        told->vector = result->vector;
    }
}

static int testing_messages;

static void count_messages(void *user, dd_log_level level, const char *message) {
    (void)user;
    testing_messages += level == DD_LOG_INFO && strstr(message, "before its first use") != NULL;
}

static void refuses_bad_options(void **state) {
    (void)state;
    struct dd_selftest_options options = {.quick = true, .seed = dd_test_seed(), .vector = 3};
    assert_int_equal(dd_selftest_run(device, &options, NULL, NULL), DD_ERROR_USAGE);
    assert_non_null(strstr(dd_error_message(), "V is 3"));
    options = (struct dd_selftest_options){.quick = true, .seed = dd_test_seed(), .algorithm = "gemn"};
    assert_int_equal(dd_selftest_run(device, &options, NULL, NULL), DD_ERROR_USAGE);
    assert_non_null(strstr(dd_error_message(), "gemn"));
}

/* A wrong kernel is named with its V; a restricted run leaves no verdict. */
static void names_a_wrong_kernel(void **state) {
    (void)state;
    struct dd_selftest_options options = {.quick = true, .seed = dd_test_seed(), .vector = 4, .algorithm = "gemm"};
    struct told told = {0};
    setenv("DEPTHDROP_TEST_WRONG_KERNEL", "bn backward", 1);
    dd_status status = dd_selftest_run(device, &options, listen, &told);
    unsetenv("DEPTHDROP_TEST_WRONG_KERNEL");
    assert_int_equal(status, DD_ERROR_SELFTEST);
    assert_int_equal(told.failed, 1);
    assert_true(told.lines > 10);
    assert_string_equal(told.kernel, "bn backward");
    assert_int_equal(told.vector, 4);
    assert_non_null(strstr(dd_error_message(), "bn backward at V = 4"));
    assert_non_null(strstr(dd_error_message(), "--device"));
    assert_int_equal(dd_verdict_read(cache, &device->info), DD_SELFTEST_UNTESTED);
}

/* NaN is worse than anything, whatever follows it: larger errors before it and smaller ones after it hide nothing. */
static void nan_is_worst(void **state) {
    (void)state;
    const double errors[] = {0.5, 100, NAN, 0.25};
    double worst = 0;
    for (int i = 0; i < 2; i++)
        worst = dd_check_worse(worst, errors[i]);
    assert_true(worst == 100);
    assert_true(dd_check_worse(worst, 0.25) == 100);
    for (int i = 2; i < 4; i++)
        worst = dd_check_worse(worst, errors[i]);
    assert_true(isnan(worst));
}

static void expect_unwritten(void *user, const struct dd_selftest_result *result) {
    struct told *told = user;
    told->lines++;
    if (result->passed)
        fail_msg("%s: a place that was not written was not found", result->kernel);
}

/* One place in the middle of a result that no kernel has written is found, by every kind of case. */
static void finds_unwritten_places(void **state) {
    (void)state;
    struct dd_selftest_options options = {.quick = true, .seed = dd_test_seed(), .vector = 4};
    struct told told = {0};
    setenv("DEPTHDROP_TEST_UNWRITTEN", "1", 1);
    setenv("DEPTHDROP_TEST_WRONG_KERNEL", "*", 1);
    dd_status status = dd_selftest_run(device, &options, expect_unwritten, &told);
    unsetenv("DEPTHDROP_TEST_WRONG_KERNEL");
    unsetenv("DEPTHDROP_TEST_UNWRITTEN");
    assert_int_equal(status, DD_ERROR_SELFTEST);
    assert_true(told.lines > 20);
}

/* Refused while a kernel is wrong, tested again after it, then trusted without a word. */
static void verdict_is_remembered(void **state) {
    (void)state;
    dd_log_set(count_messages, NULL);
    setenv("DEPTHDROP_TEST_WRONG_KERNEL", "softmax", 1);
    assert_int_equal(dd_selftest_ensure(device), DD_ERROR_SELFTEST);
    unsetenv("DEPTHDROP_TEST_WRONG_KERNEL");
    assert_non_null(strstr(dd_error_message(), "softmax"));
    assert_int_equal(dd_verdict_read(cache, &device->info), DD_SELFTEST_FAILED);
    dd_test_ok(dd_selftest_ensure(device));
    assert_int_equal(dd_verdict_read(cache, &device->info), DD_SELFTEST_PASSED);
    assert_int_equal(testing_messages, 2);
    dd_test_ok(dd_selftest_ensure(device));
    assert_int_equal(testing_messages, 2);
    dd_log_set(NULL, NULL);
}

/* A driver that fails anywhere in a case gives its error, and nothing is left behind (dd_test_close looks). */
static void driver_failures(void **state) {
    (void)state;
    const struct dd_bn_case bn = {.shape = {2, 3, 4, 4, 4}, .gate = 1};
    int failed = 0;
    for (long countdown = 1; countdown < 30; ++countdown) {
        struct dd_case_result result = {0};
        dd_rt_inject_failure(countdown, CL_OUT_OF_RESOURCES);
        dd_status status = dd_case_bn_forward(device, &bn, dd_test_seed(), &result);
        dd_rt_inject_failure(0, CL_SUCCESS);
        if (status != DD_OK)
            assert_int_equal(status, DD_ERROR_MEMORY);
        failed += status != DD_OK;
    }
    assert_true(failed > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_bad_options),   cmocka_unit_test(names_a_wrong_kernel),
        cmocka_unit_test(nan_is_worst),          cmocka_unit_test(finds_unwritten_places),
        cmocka_unit_test(verdict_is_remembered), cmocka_unit_test(driver_failures),
    };
    struct dd_device_options options;
    device = dd_test_open();
    dd_device_close(&device);
    if (!mkdtemp(cache))
        return 1;
    dd_device_options_default(&options);
    options.cache_dir = cache;
    if (dd_device_open(&options, &device) != DD_OK) {
        fprintf(stderr, "%s\n", dd_error_message());
        return 1;
    }
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    failed += dd_test_close(&device);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", cache);
    return system(command) != 0 ? 1 : failed;
}
