/*
 * Batch normalisation against its reference: edge shapes, large means, slices, gates; every V and both forms of
 * groups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/batchnorm.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static dd_device *device;

static const struct dd_bn_case cases[] = {
    {.shape = {1, 1, 1, 2, 0}, .gate = 1},
    {.shape = {3, 17, 7, 7, 0}, .gate = 1},
    {.shape = {130, 3, 1, 1, 0}, .gate = 1, .offset = 3},
    {.shape = {3, 33, 33, 8, 0}, .gate = 1, .offset = 1000},
    {.shape = {2, 5, 8, 8, 0}, .gate = 0},
    {.shape = {1, 3, 2, 2, 0}, .gate = 1, .slices = 7},
    {.shape = {7, 20, 16, 16, 0}, .gate = 1, .offset = -20, .slices = 5},
    {.shape = {16, 16, 32, 32, 0}, .gate = 1},
};

static void run(bool backward) {
    for (int f = 0; f < CASE_TEST_FORMS; ++f) {
        case_test_group(device, case_test_forms[f].grouped);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
            for (int form = 0; form < (backward ? 4 : 2); ++form) {
                const bool masked = form >= 2;
                struct dd_bn_case c = cases[i];
                struct dd_case_result result = {0};
                c.shape.v = case_test_forms[f].v;
                c.masked = masked;
                c.pair = form % 2 == 1;
                if (backward && c.offset > 100)
                    c.offset = 10;
                dd_status status = backward ? dd_case_bn_backward(device, &c, dd_test_seed(), &result)
                                            : dd_case_bn_forward(device, &c, dd_test_seed(), &result);
                case_test_expect(status, &result, dd_test_seed(),
                                 "%dx%dx%dx%d V %d grouped %d masked %d pair %d case %zu", c.shape.n, c.shape.c,
                                 c.shape.h, c.shape.w, c.shape.v, case_test_forms[f].grouped, masked, c.pair, i);
            }
        }
    }
    case_test_group(device, false);
}

static void forward(void **state) {
    (void)state;
    run(false);
}

static void backward(void **state) {
    (void)state;
    run(true);
}

/* Slices: at least one, at most 256, never more than the pixels, and many enough to keep a device busy. */
static void slices(void **state) {
    (void)state;
    struct dd_device_info info = {.type = DD_DEVICE_CPU, .compute_units = 8};
    assert_int_equal(dd_bn_slices(&info, (struct dd_shape){1, 3, 1, 1, 1}), 1);
    assert_int_equal(dd_bn_slices(&info, (struct dd_shape){128, 16, 32, 32, 16}), 32);
    assert_int_equal(dd_bn_slices(&info, (struct dd_shape){128, 64, 8, 8, 1}), 1);
    info = (struct dd_device_info){.type = DD_DEVICE_GPU, .compute_units = 80};
    assert_int_equal(dd_bn_slices(&info, (struct dd_shape){256, 4, 112, 112, 4}), 256);
    info.compute_units = 0;
    assert_true(dd_bn_slices(&info, (struct dd_shape){2, 3, 8, 8, 4}) >= 1);
}

/* The same input gives the same bits. */
static void repeatable(void **state) {
    (void)state;
    const struct dd_shape shape = {5, 8, 33, 17, 4};
    float z[5 * 8 * 33 * 17], first[3 * 3 * 8], again[3 * 3 * 8];
    cl_mem buffer = NULL;
    struct dd_partials partials = {.slices = 3};
    struct dd_launches list = {0};
    for (size_t i = 0; i < sizeof z / sizeof *z; ++i)
        z[i] = (float)(i * 2654435761u % 1000) / 7;
    dd_test_ok(dd_buffer_create(device, sizeof z, "test", &buffer));
    dd_test_ok(dd_buffer_create(device, sizeof first, "test", &partials.sums));
    dd_test_ok(dd_buffer_write(device, buffer, 0, sizeof z, z));
    dd_test_ok(dd_bn_partials(device, shape, buffer, partials, &list));
    dd_test_ok(dd_launches_enqueue(device, &list));
    dd_test_ok(dd_buffer_read(device, partials.sums, 0, sizeof first, first));
    dd_test_ok(dd_launches_enqueue(device, &list));
    dd_test_ok(dd_buffer_read(device, partials.sums, 0, sizeof again, again));
    assert_memory_equal(first, again, sizeof first);
    dd_launches_clear(&list);
    dd_buffer_release(device, &buffer);
    dd_buffer_release(device, &partials.sums);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(slices), cmocka_unit_test(forward), cmocka_unit_test(backward),
                                       cmocka_unit_test(repeatable)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
