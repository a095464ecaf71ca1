/*
 * Width dropout against its reference with words of Random123: every V and both forms of groups, so one mask for all
 * layouts; planes that are multiples of 4 and others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/dropout.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static dd_device *device;

static const struct dd_dropout_case cases[] = {
    {.shape = {3, 17, 8, 8, 0}, .ratio = 0.5, .affine = true},
    {.shape = {2, 3, 7, 7, 0}, .ratio = 0.25, .affine = true},
    {.shape = {130, 5, 1, 1, 0}, .ratio = 0.3},
    {.shape = {1, 1, 1, 1, 0}, .ratio = 0.5},
    {.shape = {5, 20, 33, 2, 0}, .ratio = 0.1, .affine = true},
    {.shape = {4, 16, 32, 32, 0}, .ratio = 0.75, .affine = true, .in_place = true},
    {.shape = {3, 64, 4, 6, 0}, .ratio = 0.99, .in_place = true},
    {.shape = {2, 4, 9, 9, 0}, .ratio = 0},
};

static void against_reference(void **state) {
    (void)state;
    for (int f = 0; f < CASE_TEST_FORMS; ++f) {
        case_test_group(device, case_test_forms[f].grouped);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
            struct dd_dropout_case c = cases[i];
            struct dd_case_result result = {0};
            c.shape.v = case_test_forms[f].v;
            dd_status status = dd_case_dropout(device, &c, dd_test_seed(), &result);
            case_test_expect(status, &result, dd_test_seed(), "dropout %dx%dx%dx%d V %d grouped %d case %zu", c.shape.n,
                             c.shape.c, c.shape.h, c.shape.w, c.shape.v, case_test_forms[f].grouped, i);
        }
    }
    case_test_group(device, false);
}

/* More elements than a counter can name are refused before anything runs. */
static void too_large(void **state) {
    (void)state;
    const struct dd_dropout dropout = {.shape = {1 << 20, 64, 8, 9, 1}, .ratio = 0.5};
    struct dd_launches list = {0};
    assert_int_equal(dd_dropout_forward(device, &dropout, NULL, NULL, &list), DD_ERROR_USAGE);
    assert_int_equal(list.count, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_reference), cmocka_unit_test(too_large)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
