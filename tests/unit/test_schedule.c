/* The learning rate of each iteration, and the drops as typed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "train/schedule.h"

static void test_recipe(void **state) {
    (void)state;
    struct dd_schedule schedule = {.lr = 0.1};
    assert_int_equal(dd_schedule_parse_drops(NULL, 64000, &schedule), DD_OK);
    assert_int_equal(schedule.drops, 2);
    assert_int_equal(schedule.drop[0], 32000);
    assert_int_equal(schedule.drop[1], 48000);
    assert_float_equal(dd_schedule_rate(&schedule, 1), 0.1, 1e-12);
    assert_float_equal(dd_schedule_rate(&schedule, 32000), 0.1, 1e-12);
    assert_float_equal(dd_schedule_rate(&schedule, 32001), 0.01, 1e-12);
    assert_float_equal(dd_schedule_rate(&schedule, 48001), 0.001, 1e-12);
}

static void test_floors(void **state) {
    (void)state;
    for (int64_t n = 0; n < 50; n++) {
        struct dd_schedule schedule = {.lr = 1};
        assert_int_equal(dd_schedule_parse_drops(NULL, n, &schedule), DD_OK);
        assert_int_equal(schedule.drop[0], n / 2);
        assert_int_equal(schedule.drop[1], 3 * n / 4);
    }
}

static void test_typed(void **state) {
    (void)state;
    struct dd_schedule schedule = {.lr = 1};
    assert_int_equal(dd_schedule_parse_drops("10,20,20,35", 0, &schedule), DD_OK);
    assert_int_equal(schedule.drops, 4);
    assert_int_equal(schedule.drop[3], 35);
    assert_int_equal(dd_schedule_parse_drops("none", 0, &schedule), DD_OK);
    assert_int_equal(schedule.drops, 0);
    static const char *const bad[] = {"", "a", "10,", ",10", "20,10", "10;20", "-1", "1e3", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(dd_schedule_parse_drops(bad[i], 0, &schedule), DD_ERROR_USAGE);
}

static void test_warmup(void **state) {
    (void)state;
    const struct dd_schedule schedule = {.lr = 0.4, .warmup = 4};
    assert_float_equal(dd_schedule_rate(&schedule, 1), 0.1, 1e-12);
    assert_float_equal(dd_schedule_rate(&schedule, 3), 0.3, 1e-12);
    assert_float_equal(dd_schedule_rate(&schedule, 4), 0.4, 1e-12);
    assert_float_equal(dd_schedule_rate(&schedule, 9), 0.4, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_recipe), cmocka_unit_test(test_floors),
                                       cmocka_unit_test(test_typed), cmocka_unit_test(test_warmup)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
