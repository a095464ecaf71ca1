/* src/dataset/draw.c: orders, augmentation and subsets, their distribution and independence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "dataset/draw.h"

enum { COUNT = 1000, SEED = 7 };

static void assert_permutation(const int32_t *order, int count) {
    uint8_t seen[COUNT] = {0};
    for (int i = 0; i < count; i++) {
        assert_in_range(order[i], 0, count - 1);
        assert_false(seen[order[i]]);
        seen[order[i]] = 1;
    }
}

static void test_order_is_permutation(void **state) {
    (void)state;
    static const int counts[] = {1, 2, 3, 4, 5, 17, COUNT};
    int32_t order[COUNT], again[COUNT];
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        dd_draw_order(SEED, 1, counts[i], order);
        assert_permutation(order, counts[i]);
        dd_draw_order(SEED, 1, counts[i], again);
        assert_memory_equal(order, again, (size_t)counts[i] * sizeof *order);
    }
    dd_draw_order(SEED, 1, COUNT, order);
    dd_draw_order(SEED, 2, COUNT, again);
    assert_memory_not_equal(order, again, sizeof order);
    dd_draw_order(SEED + 1, 1, COUNT, again);
    assert_memory_not_equal(order, again, sizeof order);
    dd_draw_order(SEED, 1 + ((uint64_t)1 << 32), COUNT, again); /* the epoch's high word counts too */
    assert_memory_not_equal(order, again, sizeof order);
}

/* The counters as documented, written out a second time for the first five positions. */
static void test_order_counters(void **state) {
    (void)state;
    int32_t order[9], expected[9];
    uint32_t words[8];
    dd_philox(SEED, 3, 0, DD_STREAM_ORDER, 0, words);
    dd_philox(SEED, 3, 1, DD_STREAM_ORDER, 0, words + 4);
    for (int i = 0; i < 9; i++)
        expected[i] = i;
    for (int i = 0; i < 8; i++) {
        int j = i + (int)(words[i] * (1.0 / 4294967296.0) * (9 - i));
        int32_t kept = expected[i];
        expected[i] = expected[j];
        expected[j] = kept;
    }
    dd_draw_order(SEED, 3, 9, order);
    assert_memory_equal(order, expected, sizeof order);
}

/* Each value at each position in 24,000 orders of four: 6,000 times, standard deviation 67. */
static void test_order_is_uniform(void **state) {
    (void)state;
    int hits[4][4] = {{0}};
    for (int epoch = 1; epoch <= 24000; epoch++) {
        int32_t order[4];
        dd_draw_order(SEED, (uint64_t)epoch, 4, order);
        for (int i = 0; i < 4; i++)
            hits[i][order[i]]++;
    }
    for (int i = 0; i < 16; i++)
        assert_in_range(hits[i / 4][i % 4], 6000 - 350, 6000 + 350);
}

static void test_sample(void **state) {
    (void)state;
    int rows[9] = {0}, columns[9] = {0}, flips = 0;
    for (int index = 0; index < 18000; index++) {
        struct dd_sample sample = dd_draw_sample(SEED, 5, index, 4, true);
        struct dd_sample again = dd_draw_sample(SEED, 5, index, 4, true);
        assert_memory_equal(&sample, &again, sizeof sample);
        assert_int_equal(sample.index, index);
        assert_true(sample.dy >= -4 && sample.dy <= 4 && sample.dx >= -4 && sample.dx <= 4);
        assert_true(sample.flip == 0 || sample.flip == 1);
        rows[sample.dy + 4]++;
        columns[sample.dx + 4]++;
        flips += sample.flip;
    }
    for (int i = 0; i < 9; i++) { /* standard deviation 42 */
        assert_in_range(rows[i], 1790, 2210);
        assert_in_range(columns[i], 1790, 2210);
    }
    assert_in_range(flips, 9000 - 340, 9000 + 340); /* standard deviation 67 */
}

static void test_sample_words(void **state) {
    (void)state;
    uint32_t words[4];
    dd_philox(SEED, 2, 11, DD_STREAM_AUGMENT, 0, words);
    struct dd_sample sample = dd_draw_sample(SEED, 2, 11, 4, true);
    assert_int_equal(sample.dy, (int)(words[0] * (1.0 / 4294967296.0) * 9) - 4);
    assert_int_equal(sample.dx, (int)(words[1] * (1.0 / 4294967296.0) * 9) - 4);
    assert_int_equal(sample.flip, words[2] >> 31);
    struct dd_sample plain = dd_draw_sample(SEED, 2, 11, 4, false), expected = {.index = 11};
    assert_memory_equal(&plain, &expected, sizeof plain);
    plain = dd_draw_sample(SEED, 2, 11, 0, true);
    assert_true(plain.dy == 0 && plain.dx == 0);
}

static void test_subset(void **state) {
    (void)state;
    int32_t all[COUNT], few[10], other[10];
    assert_int_equal(dd_draw_subset(SEED, DD_STREAM_SPLIT, COUNT, COUNT, all), DD_OK);
    assert_permutation(all, COUNT);
    assert_int_equal(dd_draw_subset(SEED, DD_STREAM_SPLIT, COUNT, 10, few), DD_OK);
    assert_memory_equal(all, few, sizeof few); /* a smaller subset is the beginning of a larger one */
    assert_int_equal(dd_draw_subset(SEED, DD_STREAM_RECALIBRATE, COUNT, 10, other), DD_OK);
    assert_memory_not_equal(few, other, sizeof few);
    assert_int_equal(dd_draw_subset(SEED, DD_STREAM_SPLIT, COUNT, 0, other), DD_OK);
    assert_int_equal(dd_draw_subset(SEED, DD_STREAM_SPLIT, 0, 0, other), DD_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_is_permutation), cmocka_unit_test(test_order_counters),
        cmocka_unit_test(test_order_is_uniform), cmocka_unit_test(test_sample), cmocka_unit_test(test_sample_words),
        cmocka_unit_test(test_subset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
