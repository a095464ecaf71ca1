/* SGD against its reference: gates, granules of any size; a skipped gradient equals a zero gradient bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "ops/sgd.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static dd_device *device;

static void against_reference(void **state) {
    (void)state;
    static const int sizes[][2] = {{1, 16}, {33, 64}, {1000, 16}, {77, 4}, {20, 7}, {9, 24}};
    for (int grouped = 0; grouped < 2; ++grouped) {
        case_test_group(device, grouped);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
            struct dd_case_result result = {0};
            dd_status status = dd_case_sgd(device, sizes[i][0], sizes[i][1], dd_test_seed(), &result);
            case_test_expect(status, &result, dd_test_seed(), "sgd, %d granules of %d, grouped %d", sizes[i][0],
                             sizes[i][1], grouped);
        }
    }
    case_test_group(device, false);
}

enum { COUNT = 32 };

/* One step from w = m = start with the gradient g; the gate is on or off. */
static void step(const float *start, const float *g, int gate, float *w, float *m) {
    const int owner[2] = {0, 0};
    const void *sources[5] = {start, start, g, owner, &gate};
    const size_t sizes[5] = {COUNT * 4, COUNT * 4, COUNT * 4, sizeof owner, sizeof gate};
    cl_mem buffers[5] = {NULL};
    struct dd_launches list = {0};
    for (int i = 0; i < 5; ++i) {
        dd_test_ok(dd_buffer_create(device, sizes[i], "test", &buffers[i]));
        dd_test_ok(dd_buffer_write(device, buffers[i], 0, sizes[i], sources[i]));
    }
    struct dd_sgd sgd = {.granules = 2,
                         .granule = COUNT / 2,
                         .w = buffers[0],
                         .m = buffers[1],
                         .g = buffers[2],
                         .owner = buffers[3],
                         .active = buffers[4],
                         .momentum = 0.9f,
                         .weight_decay = 1e-4f};
    dd_test_ok(dd_sgd_add(device, &sgd, &list));
    dd_test_ok(dd_launch_set(device, &list.at[0], DD_SGD_RATE_ARG, DD_FLOAT(0.1f)));
    dd_test_ok(dd_launches_enqueue(device, &list));
    dd_test_ok(dd_buffer_read(device, buffers[0], 0, sizes[0], w));
    dd_test_ok(dd_buffer_read(device, buffers[1], 0, sizes[1], m));
    dd_launches_clear(&list);
    for (int i = 0; i < 5; ++i)
        dd_buffer_release(device, &buffers[i]);
}

/* What a masked path leaves as gradient, zeros of either sign, must act like a gradient that is not read. */
static void skipped_equals_zero(void **state) {
    (void)state;
    float start[COUNT], zeros[COUNT], garbage[COUNT], w[2][COUNT], m[2][COUNT];
    for (int i = 0; i < COUNT; ++i) {
        start[i] = i % 5 == 0 ? (i % 2 ? -0.0f : 0.0f) : 0.37f * (float)(i - 11);
        zeros[i] = i % 3 == 0 ? -0.0f : 0.0f;
        garbage[i] = NAN;
    }
    step(start, zeros, 1, w[0], m[0]);
    step(start, garbage, 0, w[1], m[1]);
    assert_memory_equal(w[0], w[1], sizeof w[0]);
    assert_memory_equal(m[0], m[1], sizeof m[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_reference), cmocka_unit_test(skipped_equals_zero)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
