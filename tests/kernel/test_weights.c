/* Forms of convolution weights: all by one launch against plain loops, one alone against its place among all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/weights.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static dd_device *device;

static void against_reference(void **state) {
    (void)state;
    static const int widths[] = {1, 4, 8, 16};
    if (device->info.type != DD_DEVICE_CPU)
        skip(); /* no algorithm of other devices reads forms */
    const unsigned units = device->info.compute_units;
    for (unsigned u = 1; u <= 64; u *= 8) { /* compute units decide how jobs are cut into runs */
        device->info.compute_units = u;
        for (size_t i = 0; i < sizeof widths / sizeof *widths; ++i) {
            struct dd_case_result result = {0};
            const dd_status status = dd_case_weights(device, widths[i], dd_test_seed(), &result);
            case_test_expect(status, &result, dd_test_seed(), "weight forms, V = %d, %u units", widths[i], u);
        }
    }
    device->info.compute_units = units;
}

enum { V = 4, PAIRS = 2 * 3, FLOATS = PAIRS * 9 * V * V, FORM = PAIRS * 36 * V * V };

/** A convolution by itself reads what it would read as a part of a network, to the bit. */
static void one_equals_all(void **state) {
    (void)state;
    const struct dd_weight_form form = {
        .tile = 4, .transposed = 1, .reduced = 3, .produced = 2, .unit = 2, .taps = 9, .v = V};
    const struct dd_weight_entry entries[2] = {{form, 0, FORM, -1}, {form, FLOATS, 0, -1}};
    static float w[2 * FLOATS], all[2 * FORM], one[FORM];
    cl_mem buffers[5] = {NULL};
    const size_t sizes[5] = {sizeof w, sizeof all, dd_weight_table_bytes(2), sizeof one, sizeof(cl_int)};
    struct dd_launches list = {0};
    if (device->info.type != DD_DEVICE_CPU)
        skip();
    for (int i = 0; i < 2 * FLOATS; ++i)
        w[i] = (float)(i * 7919 % 1009) / 1009.0f - 0.5f;
    for (int i = 0; i < 5; ++i)
        dd_test_ok(dd_buffer_create(device, sizes[i], "test", &buffers[i]));
    dd_test_ok(dd_buffer_write(device, buffers[0], 0, sizeof w, w));
    dd_test_ok(dd_weight_add_all(device, entries, 2, buffers[2], buffers[0], buffers[1], buffers[4], &list));
    dd_test_ok(dd_weight_add_one(device, &form, buffers[0], buffers[3], &list));
    assert_int_equal(list.count, 2);
    dd_test_ok(dd_launches_enqueue(device, &list));
    dd_test_ok(dd_buffer_read(device, buffers[1], 0, sizeof all, all));
    dd_test_ok(dd_buffer_read(device, buffers[3], 0, sizeof one, one));
    assert_memory_equal(one, all + FORM, sizeof one);
    assert_memory_not_equal(one, all, sizeof one);
    assert_int_equal(dd_weight_form_floats(&form), FORM);
    dd_launches_clear(&list);
    for (int i = 0; i < 5; ++i)
        dd_buffer_release(device, &buffers[i]);
}

int main(void) {
    device = dd_test_open();
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_reference), cmocka_unit_test(one_equals_all)};
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed + dd_test_close(&device);
}
