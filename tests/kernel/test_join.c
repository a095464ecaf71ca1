/*
 * The residual join against its reference: every shortcut, gates on and off, odd sizes, NaN; every V and both forms of
 * groups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "ops/join.h"
#include "tests/support/case_test.h"
#include "tests/support/device_test.h"

static dd_device *device;

typedef dd_status case_function(dd_device *, const struct dd_join_case *, uint64_t, struct dd_case_result *);

static void run(const char *what, case_function *function, struct dd_join_case c, int form) {
    struct dd_case_result result = {0};
    c.out.v = case_test_forms[form].v;
    dd_status status = function(device, &c, dd_test_seed(), &result);
    case_test_expect(
        status, &result, dd_test_seed(),
        "%s, out %dx%dx%dx%d V %d grouped %d kind %d main %d relu %d x %dx%dx%d keep %d sums %d %d", what,
        c.out.n, c.out.c, c.out.h, c.out.w, c.out.v, case_test_forms[form].grouped, (int)c.kind, c.main, c.relu,
        c.x_channels, c.x_h, c.x_w, c.keep, c.main_sums, c.side_sums);
}

static const struct dd_shape shapes[] = {
    {1, 1, 1, 1, 0}, {3, 17, 7, 7, 0}, {2, 3, 8, 33, 0}, {130, 17, 2, 3, 0}, {3, 32, 16, 16, 0}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

struct variant {
    enum dd_join_shortcut kind;
    bool main, relu;
};
static const struct variant variants[] = {
    {DD_JOIN_NONE, true, false},       {DD_JOIN_IDENTITY, true, false}, {DD_JOIN_SUBSAMPLE, true, false},
    {DD_JOIN_SUBSAMPLE, false, false}, {DD_JOIN_AFFINE, true, true},    {DD_JOIN_AFFINE, true, false},
    {DD_JOIN_IDENTITY, false, false},  {DD_JOIN_AFFINE, false, true},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

static void forward(void **state) {
    (void)state;
    for (int f = 0; f < CASE_TEST_FORMS; ++f) {
        case_test_group(device, case_test_forms[f].grouped);
        for (int i = 0; i < SHAPES; ++i) {
            for (int k = 0; k < VARIANTS; ++k) {
                /* an even and an odd input lead to the same output */
                const struct variant *v = &variants[k];
                run("forward", dd_case_join_forward,
                    (struct dd_join_case){.out = shapes[i],
                                          .kind = v->kind,
                                          .main = v->main,
                                          .relu = v->relu,
                                          .x_channels = (shapes[i].c + 1) / 2,
                                          .x_h = 2 * shapes[i].h - i % 2,
                                          .x_w = 2 * shapes[i].w - 1,
                                          .stride = 2},
                    f);
            }
        }
        run("stride 1", dd_case_join_forward,
            (struct dd_join_case){.out = {2, 17, 5, 4, 0},
                                  .kind = DD_JOIN_SUBSAMPLE,
                                  .main = true,
                                  .x_channels = 3,
                                  .x_h = 5,
                                  .x_w = 4,
                                  .stride = 1},
            f);
    }
    case_test_group(device, false);
}

static void backward(void **state) {
    (void)state;
    for (int f = 0; f < CASE_TEST_FORMS; ++f) {
        case_test_group(device, case_test_forms[f].grouped);
        for (int i = 0; i < SHAPES; ++i)
            for (int variant = 1; variant < 6; ++variant)
                run("backward", dd_case_join_backward,
                    (struct dd_join_case){.out = shapes[i], .main_sums = variant % 2, .side_sums = variant / 2}, f);
    }
    case_test_group(device, false);
}

static void expand(void **state) {
    (void)state;
    for (int f = 0; f < CASE_TEST_FORMS; ++f) {
        case_test_group(device, case_test_forms[f].grouped);
        for (int i = 0; i < SHAPES; ++i)
            for (int stride = 1; stride <= 2; ++stride)
                run("expand", dd_case_join_expand,
                    (struct dd_join_case){.out = shapes[i],
                                          .x_channels = (shapes[i].c + 1) / 2,
                                          .stride = stride,
                                          .keep = (i + stride) % 2,
                                          .spaced = i / 2 % 2,
                                          .x_h = stride * shapes[i].h - (stride - 1) * (i % 2),
                                          .x_w = stride * shapes[i].w - (stride - 1)},
                    f);
    }
    case_test_group(device, false);
}

/* A NaN in either path reaches the output, so that a diverging run is noticed. */
static void nan_passes(void **state) {
    (void)state;
    const struct dd_shape shape = {1, 4, 1, 2, 4};
    float z[8] = {NAN, -1, 2, 3, 4, 5, 6, -7}, o[8], scale[4] = {1, 1, 1, 1}, shift[4] = {0};
    cl_mem buffers[4] = {NULL};
    float *sources[4] = {z, scale, shift, o};
    const size_t sizes[4] = {sizeof z, sizeof scale, sizeof shift, sizeof o};
    struct dd_launches list = {0};
    for (int i = 0; i < 4; ++i) {
        dd_test_ok(dd_buffer_create(device, sizes[i], "test", &buffers[i]));
        if (i < 3)
            dd_test_ok(dd_buffer_write(device, buffers[i], 0, sizes[i], sources[i]));
    }
    struct dd_join join = {.out = shape, .main = buffers[0], .main_affine = {buffers[1], buffers[2], false}};
    dd_test_ok(dd_join_forward(device, &join, buffers[3], &list));
    dd_test_ok(dd_launches_enqueue(device, &list));
    dd_test_ok(dd_buffer_read(device, buffers[3], 0, sizeof o, o));
    assert_true(isnan(o[0]));
    assert_true(o[1] == 0 && o[2] == 2 && o[7] == 0);
    dd_launches_clear(&list);
    for (int i = 0; i < 4; ++i)
        dd_buffer_release(device, &buffers[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(forward), cmocka_unit_test(backward), cmocka_unit_test(expand),
                                       cmocka_unit_test(nan_passes)};
    device = dd_test_open();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return dd_test_close(&device) + failed;
}
