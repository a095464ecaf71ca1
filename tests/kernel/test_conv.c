/*
 * Every convolution algorithm, direction and V against the reference, over edge shapes and those of the networks.
 * Usage: test_conv [ALGORITHM [V [SAMPLE]]], to try one algorithm alone, at one V (0: all), one case in SAMPLE, drawn
 * by the seed.
 */
#include "tests/support/device_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "selftest/case_conv.h"
#include "tests/support/case_test.h"

static dd_device *device;
static const char *only_algorithm;
static int only_v;
static int sample = 1; /* one case in so many */

struct window {
    int n, c, h, w, out_c, kernel, stride, pad;
};

static const struct window windows[] = {
    /* C, H, W, N at their edges */
    {1, 1, 1, 1, 1, 1, 1, 0},
    {1, 1, 1, 1, 1, 3, 1, 1},
    {3, 3, 7, 7, 17, 3, 1, 1},
    {1, 17, 8, 8, 3, 3, 2, 1},
    {130, 3, 1, 1, 5, 1, 1, 0},
    {130, 1, 4, 4, 3, 3, 1, 1},
    {3, 17, 33, 33, 17, 3, 1, 1},
    {1, 3, 33, 33, 5, 7, 2, 3},
    {2, 16, 7, 5, 16, 3, 1, 1},
    {1, 3, 20, 33, 4, 3, 2, 1},
    {3, 17, 7, 7, 1, 1, 2, 0},
    {3, 1, 33, 33, 17, 1, 1, 0},
    {1, 17, 33, 33, 3, 3, 2, 1},
    /* of the networks */
    {2, 3, 32, 32, 16, 3, 1, 1},
    {3, 16, 32, 32, 16, 3, 1, 1},
    {2, 16, 32, 32, 32, 3, 2, 1},
    {3, 32, 16, 16, 32, 3, 1, 1},
    {5, 64, 8, 8, 64, 3, 1, 1},
    {3, 16, 32, 32, 32, 1, 2, 0},
    {2, 32, 16, 16, 32, 1, 1, 0},
    {1, 3, 40, 40, 64, 7, 2, 3},
    {2, 48, 7, 7, 80, 1, 1, 0},
};
enum { WINDOWS = sizeof windows / sizeof *windows };

static struct dd_conv conv_of(const struct window *s, int vi, int vo) {
    return dd_conv_make((struct dd_shape){s->n, s->c, s->h, s->w, vi}, s->out_c, vo, s->kernel, s->stride, s->pad);
}

static const char *const direction_names[] = {"forward", "backward data", "backward weights", "backward, both"};

/* One case; direction DD_CONV_DIRECTIONS stands for `backward`. */
static void try_case(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv, int direction,
                     int variant) {
    static uint64_t count;
    const uint64_t seed = dd_test_seed() * 100000 + count++;
    double ratio = 0;
    char failure[200];
    dd_status status;
    if (direction < DD_CONV_DIRECTIONS)
        status = dd_case_conv(device, algorithm, conv, (enum dd_conv_direction)direction, (unsigned)variant, seed,
                              &ratio, failure, sizeof failure);
    else
        status = dd_case_conv_both(device, algorithm, conv, (unsigned)variant, seed, &ratio, failure, sizeof failure);
    if (status != DD_OK)
        snprintf(failure, sizeof failure, "%s", dd_error_message());
    dd_test_ratio(
        status == DD_OK ? ratio : INFINITY,
        "%s %s variant %d: N %d, %d channels %d x %d (V %d) -> %d channels (V %d), kernel %d, stride %d, pad %d: %s",
        algorithm->name, direction_names[direction], variant, conv->in.n, conv->in.c, conv->in.h, conv->in.w,
        conv->in.v, conv->out.c, conv->out.v, conv->kernel, conv->stride, conv->pad, failure);
}

static bool supports(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv, int direction) {
    const struct dd_device_info *info = dd_device_get_info(device);
    if (direction < DD_CONV_DIRECTIONS)
        return algorithm->supports(info, conv, (enum dd_conv_direction)direction);
    return algorithm->backward && algorithm->supports(info, conv, DD_CONV_BACKWARD_DATA) &&
           algorithm->supports(info, conv, DD_CONV_BACKWARD_WEIGHTS);
}

/*
 * All directions of one convolution. Each V and shape takes the plain variant and one other in turn, so that all meet
 * all kinds of shapes without building every kernel for each.
 */
static int try_conv(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv, int turn) {
    int tried = 0;
    for (int direction = 0; direction <= DD_CONV_DIRECTIONS; direction++) {
        const int variants = dd_case_conv_variants(direction < DD_CONV_DIRECTIONS ? (enum dd_conv_direction)direction
                                                                                  : DD_CONV_BACKWARD_DATA);
        if (!supports(algorithm, conv, direction))
            continue;
        try_case(algorithm, conv, direction, 0);
        if (turn % 3 == 0) {
            for (int variant = 1; variant < variants; variant++)
                try_case(algorithm, conv, direction, variant);
        } else {
            try_case(algorithm, conv, direction, 1 + turn % (variants - 1));
        }
        tried++;
    }
    return tried;
}

/* Whether the sample has this case: one in `sample`, drawn by the seed; the self-test runs them all. */
static bool drawn(int form, int window) {
    uint32_t words[4];
    dd_philox(dd_test_seed(), (uint32_t)form, (uint32_t)window, 0, 0, words);
    return words[0] % (uint32_t)sample == 0;
}

static void test_all(void **state) {
    const struct dd_conv_algorithm *algorithm;
    const int before = dd_test_failures();
    int tried = 0;
    (void)state;
    for (int a = 0; (algorithm = dd_conv_algorithm_at(a)) != NULL; a++) {
        if (only_algorithm && strcmp(only_algorithm, algorithm->name) != 0)
            continue;
        for (int form = 0; form < CASE_TEST_FORMS; form++) {
            const int v = case_test_forms[form].v;
            if (only_v != 0 && v != only_v)
                continue;
            case_test_group(device, case_test_forms[form].grouped);
            for (int i = 0; i < WINDOWS; i++) {
                if (!drawn(form, i))
                    continue;
                const struct dd_conv own = conv_of(&windows[i], v, v), stem = conv_of(&windows[i], 1, v);
                tried += try_conv(algorithm, &own, i + form);
                if (v > 1 && windows[i].c <= 3)
                    tried += try_conv(algorithm, &stem, i + form);
            }
            case_test_group(device, false);
        }
    }
    assert_true(tried > 0);
    assert_int_equal(dd_test_failures() - before, 0);
}

/* A device whose buffers are small takes the batch in parts, also of unequal length. */
static void test_parts(void **state) {
    static const struct window shapes[] = {
        {7, 16, 9, 9, 16, 3, 1, 1}, {7, 16, 8, 8, 16, 1, 1, 0}, {9, 16, 11, 7, 32, 3, 2, 1}};
    const uint64_t own_alloc = device->info.max_alloc_bytes;
    const int before = dd_test_failures();
    bool fewer = true;
    (void)state;
    if (only_algorithm && strcmp(only_algorithm, "gemm") != 0)
        skip();
    for (int form = 0; form < CASE_TEST_FORMS; form++) {
        case_test_group(device, case_test_forms[form].grouped);
        for (int i = 0; i < 3; i++) {
            const struct dd_conv conv = conv_of(&shapes[i], case_test_forms[form].v, case_test_forms[form].v);
            struct dd_conv_needs whole, parts;
            for (int direction = 0; direction < DD_CONV_DIRECTIONS; direction++) {
                dd_conv_gemm.needs(&device->info, &conv, direction, &whole);
                device->info.max_alloc_bytes = whole.workspace * 2; /* a quarter of it holds about half the batch */
                dd_conv_gemm.needs(&device->info, &conv, direction, &parts);
                fewer = fewer && parts.workspace < whole.workspace;
                for (int variant = 0; variant < dd_case_conv_variants(direction); variant++)
                    try_case(&dd_conv_gemm, &conv, direction, variant);
                device->info.max_alloc_bytes = own_alloc;
            }
        }
        case_test_group(device, false);
    }
    assert_true(fewer);
    assert_int_equal(dd_test_failures() - before, 0);
}

/* Planning at ImageNet's size stays within the limits that it is told. */
static void test_planning(void **state) {
    struct dd_device_info info = device->info;
    const int v = 16;
    (void)state;
    info.max_alloc_bytes = (uint64_t)1 << 30;
    for (int stage = 0; stage < 5; stage++) {
        const int size = stage == 0 ? 224 : 56 >> (stage - 1), channels = stage == 0 ? 3 : 64 << (stage - 1);
        const struct window s = {256,
                                 channels,
                                 size,
                                 size,
                                 channels < 64 ? 64 : channels,
                                 stage == 0 ? 7 : 3,
                                 stage == 0 ? 2 : 1,
                                 stage == 0 ? 3 : 1};
        for (int direction = 0; direction < DD_CONV_DIRECTIONS; direction++) {
            for (int type = 0; type < 2; type++) {
                const struct dd_conv conv = conv_of(&s, stage == 0 ? 1 : type ? 1 : v, type ? 1 : v);
                struct dd_conv_needs needs = {0};
                info.type = type ? DD_DEVICE_GPU : DD_DEVICE_CPU;
                assert_true(dd_conv_gemm.supports(&info, &conv, direction));
                dd_conv_gemm.needs(&info, &conv, direction, &needs);
                assert_true(needs.workspace > 0 && needs.workspace <= info.max_alloc_bytes / 2);
                assert_true(direction == DD_CONV_BACKWARD_WEIGHTS || needs.slices >= 1);
            }
        }
    }
}

/* Slices of 1x1 convolutions cover the pixels and none is empty, whatever the number of units. */
static void test_slices(void **state) {
    struct dd_device_info info = device->info;
    (void)state;
    info.type = DD_DEVICE_CPU;
    for (int units = 1; units <= 256; units++) {
        info.compute_units = (unsigned)units;
        for (int n = 1; n < 200; n += 3) {
            const struct window s = {n, 16, 29, 31, 16, 1, 1, 0};
            const struct dd_conv conv = conv_of(&s, 16, 16);
            struct dd_conv_needs needs = {0};
            dd_conv_direct.needs(&info, &conv, DD_CONV_FORWARD, &needs);
            const int pixels = n * 29 * 31, run = dd_div_up(pixels, needs.slices);
            assert_true((needs.slices - 1) * run < pixels && needs.slices * run >= pixels);
        }
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_planning), cmocka_unit_test(test_slices),
                                       cmocka_unit_test(test_parts), cmocka_unit_test(test_all)};
    int failed;
    only_algorithm = argc > 1 ? argv[1] : NULL;
    only_v = argc > 2 ? atoi(argv[2]) : 0;
    sample = argc > 3 && atoi(argv[3]) > 0 ? atoi(argv[3]) : 1;
    if (only_algorithm && !dd_conv_algorithm_find(only_algorithm)) {
        fprintf(stderr, "unknown algorithm %s\n", only_algorithm);
        return 2;
    }
    device = dd_test_open();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed | dd_test_close(&device);
}
