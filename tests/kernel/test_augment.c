/* Augmentation against its reference: crops, also wholly outside, flips, one and three channels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/augment.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static dd_device *device;

struct shape_and_pad {
    struct dd_shape shape;
    int images, pad;
};

static void against_reference(void **state) {
    (void)state;
    static const struct shape_and_pad cases[] = {
        {{1, 1, 1, 1, 1}, 1, 0},  {{3, 3, 8, 8, 1}, 2, 4}, {{130, 1, 28, 28, 1}, 200, 4},
        {{5, 3, 7, 33, 1}, 9, 0}, {{9, 3, 4, 4, 1}, 5, 6}, {{16, 3, 32, 32, 1}, 20, 4},
    };
    for (int grouped = 0; grouped < 2; ++grouped) {
        case_test_group(device, grouped);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
            const struct shape_and_pad *c = &cases[i];
            struct dd_case_result result = {0};
            dd_status status = dd_case_augment(device, c->shape, c->images, c->pad, dd_test_seed(), &result);
            case_test_expect(status, &result, dd_test_seed(), "augment %dx%dx%dx%d, pad %d, grouped %d", c->shape.n,
                             c->shape.c, c->shape.h, c->shape.w, c->pad, grouped);
        }
    }
    case_test_group(device, false);
}

/* The 2 x 2 image 1 2 / 3 4 moved by one row and one column, by hand: rows from row + dy, mirrored before dx. */
static void by_hand(void **state) {
    (void)state;
    const uint8_t bytes[4] = {51, 102, 153, 204};
    const int samples[8] = {0, 1, 0, 0, 0, 0, 1, 1};
    const float mean[4] = {0}, inverse_std[1] = {5};
    const float expected[8] = {3, 4, 0, 0, 0, 2, 0, 4};
    const void *sources[4] = {bytes, samples, mean, inverse_std};
    const size_t sizes[5] = {sizeof bytes, sizeof samples, sizeof mean, sizeof inverse_std, sizeof expected};
    float out[8];
    cl_mem buffers[5] = {NULL};
    struct dd_launches list = {0};
    for (int i = 0; i < 5; ++i) {
        dd_test_ok(dd_buffer_create(device, sizes[i], "test", &buffers[i]));
        if (i < 4)
            dd_test_ok(dd_buffer_write(device, buffers[i], 0, sizes[i], sources[i]));
    }
    struct dd_augment augment = {.out = {2, 1, 2, 2, 1},
                                 .bytes = buffers[0],
                                 .samples = buffers[1],
                                 .mean = buffers[2],
                                 .inverse_std = buffers[3]};
    dd_test_ok(dd_augment_add(device, &augment, buffers[4], &list));
    dd_test_ok(dd_launches_enqueue(device, &list));
    dd_test_ok(dd_buffer_read(device, buffers[4], 0, sizeof out, out));
    for (int i = 0; i < 8; ++i)
        if (out[i] < expected[i] - 5e-6f || out[i] > expected[i] + 5e-6f)
            fail_msg("place %d: %g instead of %g", i, (double)out[i], (double)expected[i]);
    dd_launches_clear(&list);
    for (int i = 0; i < 5; ++i)
        dd_buffer_release(device, &buffers[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_reference), cmocka_unit_test(by_hand)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
