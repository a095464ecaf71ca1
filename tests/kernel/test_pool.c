/*
 * Max pooling (ties, NaN, prologue, padding) and global average pooling against their references; every V and both
 * forms of groups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "ops/pool.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static dd_device *device;

static const struct dd_maxpool_case pools[] = {
    {.in = {2, 17, 33, 8, 0}, .window = 3, .stride = 2, .pad = 1, .prologue = true, .relu = true},
    {.in = {3, 3, 7, 7, 0}, .window = 3, .stride = 2, .pad = 1, .prologue = true},
    {.in = {1, 1, 1, 1, 0}, .window = 3, .stride = 2, .pad = 1},
    {.in = {130, 5, 4, 6, 0}, .window = 2, .stride = 2, .pad = 0},
    {.in = {3, 17, 8, 7, 0}, .window = 3, .stride = 1, .pad = 1},
    {.in = {2, 4, 9, 9, 0}, .window = 2, .stride = 3, .pad = 0},
};

static void maxpool(void **state) {
    (void)state;
    for (int f = 0; f < CASE_TEST_FORMS; ++f) {
        case_test_group(device, case_test_forms[f].grouped);
        for (size_t i = 0; i < sizeof pools / sizeof *pools; ++i) {
            struct dd_maxpool_case c = pools[i];
            struct dd_case_result result = {0};
            c.in.v = case_test_forms[f].v;
            dd_status status = dd_case_maxpool(device, &c, dd_test_seed(), &result);
            case_test_expect(status, &result, dd_test_seed(), "max pooling %dx%dx%dx%d V %d grouped %d case %zu",
                             c.in.n, c.in.c, c.in.h, c.in.w, c.in.v, case_test_forms[f].grouped, i);
        }
    }
    case_test_group(device, false);
}

static void gap(void **state) {
    (void)state;
    static const struct dd_shape shapes[] = {{1, 1, 1, 1, 0}, {3, 17, 7, 7, 0}, {130, 3, 8, 8, 0}, {3, 20, 33, 2, 0}};
    for (int f = 0; f < CASE_TEST_FORMS; ++f) {
        case_test_group(device, case_test_forms[f].grouped);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) {
            struct dd_shape shape = shapes[i];
            struct dd_case_result result = {0};
            shape.v = case_test_forms[f].v;
            dd_status status = dd_case_gap(device, shape, dd_test_seed(), &result);
            case_test_expect(status, &result, dd_test_seed(), "average pooling %dx%dx%dx%d V %d grouped %d", shape.n,
                             shape.c, shape.h, shape.w, shape.v, case_test_forms[f].grouped);
        }
    }
    case_test_group(device, false);
}

/* In one window of 2 x 2 for each of four channels: first of equals, NaN first, NaN last, all -infinity. */
static void winners(void **state) {
    (void)state;
    const struct dd_shape in = {1, 4, 2, 2, 4}, out = {1, 4, 1, 1, 4};
    const float x[16] = {5, NAN, 1, -INFINITY, 5, 9, 2, -INFINITY, 5, 9, 8, -INFINITY, 5, 9, NAN, -INFINITY};
    const int places[4] = {0, 0, 3, 0};
    float y[4];
    int winner[4];
    cl_mem x_buffer = NULL, y_buffer = NULL, winner_buffer = NULL;
    struct dd_launches list = {0};
    dd_test_ok(dd_buffer_create(device, sizeof x, "test", &x_buffer));
    dd_test_ok(dd_buffer_create(device, sizeof y, "test", &y_buffer));
    dd_test_ok(dd_buffer_create(device, sizeof winner, "test", &winner_buffer));
    dd_test_ok(dd_buffer_write(device, x_buffer, 0, sizeof x, x));
    assert_int_equal(
        dd_maxpool_forward(device, in, out, 2, 2, 0, x_buffer, (struct dd_affine){0}, y_buffer, winner_buffer, &list),
        DD_OK);
    dd_test_ok(dd_launches_enqueue(device, &list));
    dd_test_ok(dd_buffer_read(device, y_buffer, 0, sizeof y, y));
    dd_test_ok(dd_buffer_read(device, winner_buffer, 0, sizeof winner, winner));
    assert_memory_equal(winner, places, sizeof places);
    assert_true(y[0] == 5 && isnan(y[1]) && isnan(y[2]) && y[3] == -INFINITY);
    dd_launches_clear(&list);
    dd_buffer_release(device, &x_buffer);
    dd_buffer_release(device, &y_buffer);
    dd_buffer_release(device, &winner_buffer);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(maxpool), cmocka_unit_test(gap), cmocka_unit_test(winners)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
