/* See case_test.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "tests/support/case_test.h"

/* GPUs use V = 1 and 4 */
const struct case_test_form case_test_forms[CASE_TEST_FORMS] = {{1, false},  {4, false}, {8, false},
                                                                {16, false}, {1, true},  {4, true}};

void case_test_group(dd_device *device, bool grouped) {
    static dd_device_type own;
    static bool known;
    if (!known)
        own = device->info.type;
    known = true;
    device->info.type = grouped ? DD_DEVICE_GPU : own;
}

void case_test_expect(dd_status status, const struct dd_case_result *result, uint64_t seed, const char *format, ...) {
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (status != DD_OK)
        fail_msg("%s, seed %llu: %s", text, (unsigned long long)seed, dd_error_message());
    if (!(result->worst <= 1))
        fail_msg("%s, seed %llu: %s", text, (unsigned long long)seed, result->failure);
}
