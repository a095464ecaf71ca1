/* src/ops/winograd_blocking.c: what the kernels assume of a blocking, over shapes, batches, vectors and devices. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/winograd_blocking.h"

static const int vectors[] = {4, 8, 16};
static const int extents[] = {1, 2, 3, 4, 7, 8, 14, 16, 28, 32, 56, 64};
static const int channels[] = {3, 16, 24, 48, 64, 160, 256, 512};
static const int batches[] = {1, 2, 37, 128};
static const int units[] = {1, 2, 16, 128};

/* One of the values by the last digit of *index, which is taken off. */
static int pick(size_t *index, const int *values, size_t count) {
    const int value = values[*index % count];
    *index /= count;
    return value;
}
#define PICK(index, values) pick(index, values, sizeof values / sizeof *values)

/* Calls check for all combinations of the above. */
static void for_all(void (*check)(const struct dd_device_info *info, const struct dd_conv *conv)) {
    for (size_t i = 0;; i++) {
        size_t index = i;
        struct dd_shape in;
        in.n = PICK(&index, batches);
        in.c = PICK(&index, channels);
        in.h = PICK(&index, extents);
        in.w = PICK(&index, extents);
        in.v = PICK(&index, vectors);
        const struct dd_conv conv = dd_conv_make(in, PICK(&index, channels), in.v, 3, 1, 1);
        const struct dd_device_info info = {.type = DD_DEVICE_CPU, .compute_units = PICK(&index, units)};
        if (index > 0)
            return;
        check(&info, &conv);
    }
}

static void check_tiling(const struct dd_winograd_tiling *tiling, struct dd_shape s, int unit) {
    const int columns = dd_div_up(s.w, tiling->tm), rows = dd_div_up(s.h, tiling->tm);
    assert_true(tiling->tm == 2 || tiling->tm == 4);
    assert_true(tiling->rows >= 1 && tiling->rows <= rows && tiling->images >= 1);
    assert_true(tiling->images == 1 || tiling->rows == rows);
    assert_int_equal(tiling->tiles, tiling->images * tiling->rows * columns);
    assert_true(tiling->padded % unit == 0 && tiling->padded >= tiling->tiles);
    assert_true(tiling->padded - tiling->tiles < unit);
    assert_int_equal(tiling->bands, dd_div_up(s.n, tiling->images) * dd_div_up(rows, tiling->rows));
}

/* Slices hold all bands, and none is empty. */
static void check_slices(int bands, int bands_per_slice, int slices) {
    assert_true(bands_per_slice >= 1 && slices >= 1);
    assert_true(slices * bands_per_slice >= bands && (slices - 1) * bands_per_slice < bands);
}

static void check_data(const struct dd_device_info *info, const struct dd_conv *conv) {
    for (int backward = 0; backward < 2; backward++) {
        const struct dd_winograd_data b = dd_winograd_block_data(info, conv, backward);
        check_tiling(&b.tiling, conv->in, b.tb);
        check_slices(b.tiling.bands, b.bands_per_slice, b.slices);
        assert_int_equal(b.rb, dd_shape_blocks(backward ? conv->out : conv->in));
        assert_int_equal(b.ob, dd_shape_blocks(backward ? conv->in : conv->out));
        assert_true(b.rb % b.kg == 0 && b.ob % b.og == 0 && b.og % b.ou == 0);
        assert_true(dd_winograd_data_bytes(&b, conv->in) <= DD_WINOGRAD_PRIVATE_BYTES);
    }
}

static void check_weights(const struct dd_device_info *info, const struct dd_conv *conv) {
    const struct dd_winograd_weights b = dd_winograd_block_weights(info, conv);
    check_tiling(&b.tiling, conv->in, 1);
    check_slices(b.tiling.bands, b.bands_per_slice, b.slices);
    assert_true(b.xb == dd_shape_blocks(conv->in) && b.gb == dd_shape_blocks(conv->out));
    assert_true(b.xb % b.xg == 0 && b.gb % b.gg == 0 && b.gg % b.wo == 0 && conv->in.v % b.wi == 0);
    assert_true(dd_winograd_weights_bytes(&b, conv->in) <= DD_WINOGRAD_PRIVATE_BYTES);
}

static void check_both(const struct dd_device_info *info, const struct dd_conv *conv) {
    struct dd_winograd_data data;
    struct dd_winograd_weights weights;
    if (!dd_winograd_block_both(info, conv, &data, &weights))
        return;
    assert_memory_equal(&data.tiling, &weights.tiling, sizeof data.tiling);
    assert_true(data.rb == data.ob && data.kg == data.rb && data.og == data.ob);
    assert_true(weights.xg == weights.xb && weights.gg == weights.gb && weights.xb == data.ob);
    check_slices(weights.tiling.bands, weights.bands_per_slice, weights.slices);
    assert_int_equal(weights.bands_per_slice % data.bands_per_slice, 0);
    assert_true(dd_winograd_both_bytes(&data, &weights, conv->in) <= DD_WINOGRAD_FUSED_BYTES);
}

static void test_data(void **state) {
    (void)state;
    for_all(check_data);
}

static void test_weights(void **state) {
    (void)state;
    for_all(check_weights);
}

static void test_both(void **state) {
    (void)state;
    for_all(check_both);
}

/* Programs serve every batch: it decides how many bands and slices there are, and nothing else. */
static void check_batch(const struct dd_device_info *info, const struct dd_conv *conv) {
    struct dd_conv one = *conv;
    one.in.n = one.out.n = 1;
    struct dd_winograd_data a = dd_winograd_block_data(info, conv, false);
    struct dd_winograd_data b = dd_winograd_block_data(info, &one, false);
    a.tiling.bands = b.tiling.bands = a.bands_per_slice = b.bands_per_slice = a.slices = b.slices = 0;
    assert_memory_equal(&a, &b, sizeof a);
    struct dd_winograd_weights c = dd_winograd_block_weights(info, conv);
    struct dd_winograd_weights d = dd_winograd_block_weights(info, &one);
    c.tiling.bands = d.tiling.bands = c.bands_per_slice = d.bands_per_slice = c.slices = d.slices = 0;
    assert_memory_equal(&c, &d, sizeof c);
}

static void test_batch(void **state) {
    (void)state;
    for_all(check_batch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_weights),
        cmocka_unit_test(test_both),
        cmocka_unit_test(test_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
