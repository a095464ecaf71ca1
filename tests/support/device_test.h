/*
 * What tests on a device share: the device itself (that of DEPTHDROP_DEVICE, else the default one), the seed, and the
 * search for the leaks that a test leaves. Inputs and comparisons are those of src/selftest/check.h.
 */
#ifndef DD_TESTS_DEVICE_TEST_H
#define DD_TESTS_DEVICE_TEST_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>

#include <cmocka.h>

#include <stdbool.h>

#include "rt/device.h"

/** Opens the device and prints its name and the seed. Without one the program ends (no_device.h). */
dd_device *dd_test_open(void);

/** Closes it. Gives 0, or 1 with a message if OpenCL objects are left over. */
int dd_test_close(dd_device **device);

/** The seed of all inputs: DEPTHDROP_TEST_SEED, else 1. */
uint64_t dd_test_seed(void);

/** Fails the test with the recorded error if status is not DD_OK. */
#define dd_test_ok(status) dd_test_ok_(status, #status, __FILE__, __LINE__)
void dd_test_ok_(dd_status status, const char *call, const char *file, int line);

/** Reports an error/tolerance ratio: prints and counts it as a failure when it is above 1 or NaN. Gives whether it
 * passed. */
bool dd_test_ratio(double ratio, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Failures counted by dd_test_ratio so far. */
int dd_test_failures(void);

#endif
