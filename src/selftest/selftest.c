/* The self-test: sweeps over all kernels, their lines, and the verdict that is remembered. */
#include "selftest/sweep.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "ops/conv.h"
#include "rt/verdict.h"
#include "selftest/check.h"

void dd_sweep_take(struct dd_sweep *sweep, dd_status status, const char *format, ...) {
    struct dd_selftest_result *line = &sweep->line;
    char text[160], why[200];
    const uint64_t seed = sweep->seed++;
    const bool right = status == DD_OK && sweep->result.worst <= 1;
    va_list arguments;

    if (status == DD_ERROR_MEMORY || status == DD_ERROR_INTERNAL)
        sweep->status = status; /* says nothing about the kernel */
    line->cases++;
    if (!right && line->failure[0] == '\0') {
        va_start(arguments, format);
        vsnprintf(text, sizeof text, format, arguments);
        va_end(arguments);
        snprintf(why, sizeof why, "%s", status == DD_OK ? sweep->result.failure : dd_error_message());
        snprintf(line->failure, sizeof line->failure, "%.90s, seed %" PRIu64 ": %.80s", text, seed, why);
    }
    if (!right)
        line->passed = false;
    line->worst_error = dd_check_worse(line->worst_error, status == DD_OK ? sweep->result.worst : INFINITY);
    sweep->result = (struct dd_case_result){.name = line->kernel};
}

/* One run of the test. */
struct selftest {
    dd_device *device;
    const struct dd_selftest_options *options;
    dd_selftest_callback callback;
    void *user;
    int failed;
    char failure[300]; /* of the first failed line */
};

static struct dd_sweep start_line(const struct selftest *test, const char *name, int v) {
    return (struct dd_sweep){.device = test->device,
                             .v = v,
                             .quick = test->options->quick,
                             .seed = test->options->seed * 1000003u + (uint64_t)v,
                             .line = {.kernel = name, .vector = v, .passed = true},
                             .result = {.name = name}};
}

/* Reports the line; a sweep without a case has none. */
static dd_status end_line(struct selftest *test, const struct dd_sweep *sweep) {
    const struct dd_selftest_result *line = &sweep->line;
    if (sweep->status != DD_OK)
        return sweep->status;
    if (line->cases == 0)
        return DD_OK;
    if (!line->passed && test->failed++ == 0)
        snprintf(test->failure, sizeof test->failure, "%s at V = %d (%s)", line->kernel, line->vector, line->failure);
    if (test->callback)
        test->callback(test->user, line);
    return DD_OK;
}

/* Of the families, those that depend on V, or those that do not. */
static dd_status run_families(struct selftest *test, const struct dd_family *families, bool blocked, int v) {
    for (; families->name; ++families) {
        if (families->blocked != blocked)
            continue;
        struct dd_sweep sweep = start_line(test, families->name, v);
        families->run(&sweep);
        DD_TRY(end_line(test, &sweep));
    }
    return DD_OK;
}

static dd_status run_convolutions(struct selftest *test, int v) {
    const char *wanted = test->options->algorithm;
    const struct dd_conv_algorithm *algorithm;
    for (int i = 0; (algorithm = dd_conv_algorithm_at(i)) != NULL; ++i) {
        if (wanted && strcmp(wanted, "auto") != 0 && strcmp(wanted, algorithm->name) != 0)
            continue;
        for (int d = 0; d <= DD_CONV_DIRECTIONS; ++d) {
            char name[64];
            snprintf(name, sizeof name, "conv %s %s", d < DD_CONV_DIRECTIONS ? dd_conv_direction_names[d] : "backward",
                     algorithm->name);
            struct dd_sweep sweep = start_line(test, name, v);
            dd_sweep_conv(&sweep, algorithm->name, d);
            DD_TRY(end_line(test, &sweep));
        }
    }
    return DD_OK;
}

/*
 * Whether a run with these options tests blocks of v channels: the short form those alone that plans choose by
 * themselves.
 */
static bool wants_vector(const struct selftest *test, int v) {
    if (test->options->vector != 0)
        return v == test->options->vector;
    return !test->options->quick || v == dd_native_vector(&test->device->info);
}

static bool is_restricted(const struct dd_selftest_options *options) {
    return options->vector != 0 || (options->algorithm && strcmp(options->algorithm, "auto") != 0);
}

static dd_status check_options(const struct dd_selftest_options *options) {
    const int v = options->vector;
    if (v != 0 && v != 1 && v != 4 && v != 8 && v != 16)
        return dd_fail(DD_ERROR_USAGE, "the self-test's V is %d; it must be 1, 4, 8, 16 or 0 for all", v);
    if (options->algorithm && strcmp(options->algorithm, "auto") != 0 && !dd_conv_algorithm_find(options->algorithm))
        return dd_fail(DD_ERROR_USAGE, "unknown convolution algorithm \"%s\"", options->algorithm);
    return DD_OK;
}

dd_status dd_selftest_run(dd_device *device, const struct dd_selftest_options *options, dd_selftest_callback callback,
                          void *user) {
    static const int vectors[] = {1, 4, 8, 16};
    struct selftest test = {.device = device, .options = options, .callback = callback, .user = user};

    DD_TRY(check_options(options));
    DD_TRY(run_families(&test, dd_gemm_families, false, 1));
    DD_TRY(run_families(&test, dd_op_families, false, 1));
    for (int i = 0; i < 4; ++i) {
        if (!wants_vector(&test, vectors[i]))
            continue;
        DD_TRY(run_families(&test, dd_op_families, true, vectors[i]));
        DD_TRY(run_convolutions(&test, vectors[i]));
    }
    if (!is_restricted(options))
        dd_verdict_write(device->cache_dir, &device->info, test.failed ? DD_SELFTEST_FAILED : DD_SELFTEST_PASSED);
    if (test.failed > 0)
        return dd_fail(
            DD_ERROR_SELFTEST,
            "\"%s\" computes wrong results with %s: %s; run `depthdrop selftest` for all kernels and choose another "
            "device by --device",
            device->info.name, device->info.driver, test.failure);
    return DD_OK;
}

dd_status dd_selftest_ensure(dd_device *device) {
    const struct dd_selftest_options options = {.quick = true, .seed = 1};
    if (dd_verdict_read(device->cache_dir, &device->info) == DD_SELFTEST_PASSED)
        return DD_OK;
    dd_info("testing %s before its first use (once per driver)...", device->info.name);
    return dd_selftest_run(device, &options, NULL, NULL);
}
