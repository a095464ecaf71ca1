/* Softmax cross-entropy, ranks and metrics against their reference; NaN and ties. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "ops/loss.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static dd_device *device;

static void against_reference(void **state) {
    (void)state;
    static const int sizes[][2] = {{2, 1}, {3, 3}, {10, 130}, {10, 10000}, {1000, 9}, {101, 64}};
    for (int grouped = 0; grouped < 2; ++grouped) {
        case_test_group(device, grouped);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
            struct dd_case_result result = {0};
            dd_status status = dd_case_loss(device, sizes[i][0], sizes[i][1], dd_test_seed(), &result);
            case_test_expect(status, &result, dd_test_seed(), "loss, %d classes, %d images, grouped %d", sizes[i][0],
                             sizes[i][1], grouped);
        }
    }
    case_test_group(device, false);
}

enum { CLASSES = 6, IMAGES = 5 };

/* Runs the loss on IMAGES columns of CLASSES logits without a gradient. */
static void evaluate(const float logits[CLASSES][IMAGES], const int labels[IMAGES], float losses[IMAGES],
                     int ranks[IMAGES], float metrics[DD_METRICS]) {
    const size_t sizes[5] = {CLASSES * IMAGES * 4, IMAGES * 4, IMAGES * 4, IMAGES * 4, DD_METRICS * 4};
    cl_mem buffers[5] = {NULL};
    struct dd_launches list = {0};
    for (int i = 0; i < 5; ++i)
        dd_test_ok(dd_buffer_create(device, sizes[i], "test", &buffers[i]));
    dd_test_ok(dd_buffer_write(device, buffers[0], 0, sizes[0], logits));
    dd_test_ok(dd_buffer_write(device, buffers[1], 0, sizes[1], labels));
    struct dd_loss loss = {.classes = CLASSES,
                           .n = IMAGES,
                           .logits = buffers[0],
                           .labels = buffers[1],
                           .sample_loss = buffers[2],
                           .sample_rank = buffers[3],
                           .metrics = buffers[4]};
    dd_test_ok(dd_loss_add(device, &loss, &list));
    dd_test_ok(dd_launches_enqueue(device, &list));
    dd_test_ok(dd_buffer_read(device, buffers[2], 0, sizes[2], losses));
    dd_test_ok(dd_buffer_read(device, buffers[3], 0, sizes[3], ranks));
    dd_test_ok(dd_buffer_read(device, buffers[4], 0, sizes[4], metrics));
    dd_launches_clear(&list);
    for (int i = 0; i < 5; ++i)
        dd_buffer_release(device, &buffers[i]);
}

/* Large logits neither overflow nor lose the loss; ties go to the lower class; a NaN is never right. */
static void special_values(void **state) {
    (void)state;
    /* images: large, tie won, tie lost, NaN at the label, NaN elsewhere */
    const float logits[CLASSES][IMAGES] = {{1e30f, 1, 1, 0, NAN}, {-1e30f, 1, 1, 0, 5}, {0, 0, 0, NAN, 1},
                                           {0, 0, 0, 0, 0},       {0, 0, 0, 0, 0},      {0, 0, 0, 0, 0}};
    const int labels[IMAGES] = {0, 0, 1, 2, 1};
    const int expected[IMAGES] = {0, 0, 1, 6, 1};
    float losses[IMAGES], metrics[DD_METRICS];
    int ranks[IMAGES];
    evaluate(logits, labels, losses, ranks, metrics);
    for (int i = 0; i < IMAGES; ++i)
        if (ranks[i] != expected[i])
            fail_msg("image %d: rank %d instead of %d", i, ranks[i], expected[i]);
    assert_true(losses[0] == 0);
    assert_true(isnan(losses[3]) && isnan(losses[4]));
    assert_true(isnan(metrics[0]));
    assert_true(metrics[1] == 3 && metrics[2] == 1 && metrics[3] == IMAGES);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_reference), cmocka_unit_test(special_values)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
