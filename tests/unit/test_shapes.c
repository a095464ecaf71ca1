/* src/dataset/shapes.c: the same bytes on every machine, with any number of threads; classes in equal shares. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#include "support/scratch.h"

static dd_dataset *open_shapes(int threads) {
    struct dd_dataset_options options = {.spec = "shapes", .need_train = true, .need_test = true, .threads = threads};
    return scratch_open(&options, DD_OK, NULL);
}

static void test_shape_and_classes(void **state) {
    (void)state;
    dd_dataset *dataset = open_shapes(0);
    int counts[10] = {0};
    assert_int_equal(dataset->classes, 10);
    assert_true(dataset->train.count == 5120 && dataset->test.count == 1024);
    assert_true(dataset->train.channels == 3 && dataset->train.height == 32 && dataset->train.width == 32);
    for (int i = 0; i < dataset->train.count; i++) {
        assert_in_range(dataset->train.labels[i], 0, 9);
        counts[dataset->train.labels[i]]++;
    }
    for (int i = 0; i < 10; i++)
        assert_int_equal(counts[i], 512);
    assert_memory_not_equal(dataset->train.pixels, dataset->test.pixels, 3072);
    dd_dataset_close(&dataset);
}

/* The hash is written down: whoever changes the drawing changes everybody's results. */
static void test_same_bytes(void **state) {
    (void)state;
    dd_dataset *one = open_shapes(1), *three = open_shapes(3);
    assert_true(one->train.hash == three->train.hash && one->test.hash == three->test.hash);
    assert_int_equal(one->train.hash, 0x712f98ea6062caf5);
    assert_int_equal(one->test.hash, 0x4e877110f6a9a06b);
    dd_dataset_close(&one);
    dd_dataset_close(&three);
}

static void test_one_split(void **state) {
    (void)state;
    char disc[] = "disc", star[] = "star";
    char *const few[] = {disc, star};
    struct dd_dataset_options options = {.spec = "shapes", .need_test = true};
    dd_dataset *dataset = scratch_open(&options, DD_OK, NULL);
    assert_true(dataset->train.count == 0 && dataset->test.count == 1024);
    dd_dataset_close(&dataset);
    options.model_classes = few;
    options.model_class_count = 2;
    scratch_open(&options, DD_ERROR_DATA, WORDS("'ring'"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_and_classes), cmocka_unit_test(test_same_bytes), cmocka_unit_test(test_one_split),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
