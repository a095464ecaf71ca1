/* What the kernel tests share: which forms and V a case runs in, and the report of a case that failed. */
#ifndef DD_TESTS_CASE_TEST_H
#define DD_TESTS_CASE_TEST_H

#include <stdbool.h>
#include <stdint.h>

#include "selftest/case.h"

enum { CASE_TEST_FORMS = 6 };

/** One way to run a kernel: V, and work-groups as on a CPU (one work-item) or as on a GPU. */
struct case_test_form {
    int v;
    bool grouped;
};
extern const struct case_test_form case_test_forms[CASE_TEST_FORMS];

/** Lets the operators take the device for a GPU, or for what it is (kept by the first call). */
void case_test_group(dd_device *device, bool grouped);

/** Fails the test, with the text and the seed, if the case could not run or was wrong. */
void case_test_expect(dd_status status, const struct dd_case_result *result, uint64_t seed, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
