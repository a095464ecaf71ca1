/* The fixture of tests on a device. */
#include "tests/support/device_test.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops/gemm.h"
#include "tests/support/no_device.h"

static int failures;

uint64_t dd_test_seed(void) {
    const char *text = getenv("DEPTHDROP_TEST_SEED");
    return text && *text ? strtoull(text, NULL, 10) : 1;
}

dd_device *dd_test_open(void) {
    dd_device *device = NULL;
    const int status = dd_test_no_device();
    if (status != 0)
        exit(status);
    if (dd_device_open(NULL, &device) != DD_OK) {
        fprintf(stderr, "%s\n", dd_error_message());
        exit(1);
    }
    fprintf(stderr, "device: %s (%s), seed %" PRIu64 "\n", device->info.name, device->info.driver, dd_test_seed());
    return device;
}

int dd_test_close(dd_device **device) {
    dd_gemm_release_caches();
    dd_device_close(device);
    if (dd_rt_live_objects() != 0) {
        fprintf(stderr, "%ld OpenCL objects are left over\n", dd_rt_live_objects());
        return 1;
    }
    return 0;
}

void dd_test_ok_(dd_status status, const char *call, const char *file, int line) {
    if (status != DD_OK) {
        print_error("%s gives %d: %s\n", call, (int)status, dd_error_message());
        _fail(file, line);
    }
}

bool dd_test_ratio(double ratio, const char *format, ...) {
    va_list arguments;
    if (ratio <= 1)
        return true;
    fprintf(stderr, "error %.3g times the tolerance: ", ratio);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, " (seed %" PRIu64 ")\n", dd_test_seed());
    ++failures;
    return false;
}

int dd_test_failures(void) {
    return failures;
}
