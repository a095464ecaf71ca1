/* Matrix products: layouts, batches and temporary memory. Sizes beyond 1152, where CLBlast is known to fail, are the
 * self-test's. */
#include "tests/support/device_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/gemm.h"
#include "selftest/check.h"
#include "tests/support/case_test.h"

static dd_device *device;

/* A product in operands with gaps: leading dimensions `gap` longer, members and the first element at offsets. */
struct layout {
    bool transpose_a, transpose_b;
    int m, n, k, batch, gap, offset;
    float beta;
};

static const struct layout layouts[] = {
    {false, false, 16, 256, 144, 1, 0, 0, 0},
    {false, false, 16, 250, 27, 1, 0, 0, 0},
    {true, false, 144, 256, 16, 1, 0, 0, 1},
    {true, false, 16, 144, 512, 4, 0, 0, 0},    /* as backward weights: one batched call on CPUs */
    {true, false, 16, 144, 512, 4, 0, 1024, 1}, /* aligned offset: a view */
    {true, false, 16, 144, 64, 3, 0, 5, 1},     /* offset that no view can have */
    {true, false, 17, 30, 20, 3, 3, 7, 1},
    {false, true, 10, 64, 130, 1, 0, 0, 0},
    {true, true, 33, 5, 65, 2, 2, 0, 0},
    {false, false, 1, 1, 1, 1, 0, 0, 0},
    {false, false, 48, 80, 200, 1, 16, 64, 1},
    {false, false, 600, 700, 500, 1, 0, 0, 0}, /* beyond 512^3: the indirect kernel everywhere */
};
enum { LAYOUTS = sizeof layouts / sizeof *layouts };

/* Host operands: floats from offset on, members behind each other with a gap. */
struct operands {
    double *a, *b, *c;
    size_t a_count, b_count, c_count;
};

static struct dd_gemm describe(const struct layout *l, struct operands *o) {
    const size_t m = (size_t)l->m, n = (size_t)l->n, k = (size_t)l->k, gap = (size_t)l->gap, offset = (size_t)l->offset;
    struct dd_gemm g = {.transpose_a = l->transpose_a,
                        .transpose_b = l->transpose_b,
                        .m = m,
                        .n = n,
                        .k = k,
                        .lda = (l->transpose_a ? m : k) + gap,
                        .ldb = (l->transpose_b ? k : n) + gap,
                        .ldc = n + gap,
                        .a_offset = offset,
                        .b_offset = offset,
                        .c_offset = offset,
                        .beta = l->beta,
                        .batch = (size_t)l->batch};
    g.a_stride = (l->transpose_a ? k : m) * g.lda + gap;
    g.b_stride = (l->transpose_b ? n : k) * g.ldb + gap;
    g.c_stride = m * g.ldc + gap;
    o->a_count = offset + g.a_stride * g.batch;
    o->b_count = offset + g.b_stride * g.batch;
    o->c_count = offset + g.c_stride * g.batch;
    return g;
}

/* want = the product in double (elements between rows stay), size = largest sum of magnitudes of an element */
static double reference(const struct dd_gemm *g, const struct operands *o, double *want) {
    double size = 0;
    for (size_t i = 0; i < o->c_count; i++)
        want[i] = o->c[i];
    for (size_t s = 0; s < g->batch; s++)
        for (size_t i = 0; i < g->m; i++)
            for (size_t j = 0; j < g->n; j++) {
                const size_t at = g->c_offset + s * g->c_stride + i * g->ldc + j;
                double sum = g->beta == 0 ? 0 : (double)g->beta * o->c[at], magnitude = fabs(sum);
                for (size_t l = 0; l < g->k; l++) {
                    const double a =
                        o->a[g->a_offset + s * g->a_stride + (g->transpose_a ? l * g->lda + i : i * g->lda + l)];
                    const double b =
                        o->b[g->b_offset + s * g->b_stride + (g->transpose_b ? j * g->ldb + l : l * g->ldb + j)];
                    sum += a * b;
                    magnitude += fabs(a * b);
                }
                want[at] = sum;
                size = fmax(size, magnitude);
            }
    return size;
}

static void try_layout(const struct layout *l, int index) {
    struct dd_case_result result = {.name = "gemm"};
    struct dd_check check;
    struct operands o;
    struct dd_gemm g = describe(l, &o);
    size_t bytes = 0;
    dd_check_begin(&check, device, dd_test_seed() + (uint64_t)index, &result);
    o.a = dd_check_uniform(&check, o.a_count, -1, 1);
    o.b = dd_check_uniform(&check, o.b_count, -1, 1);
    o.c = dd_check_uniform(&check, o.c_count, -1, 1);
    double *want = dd_check_zeros(&check, o.c_count);
    g.a = dd_check_vector(&check, o.a, (int)o.a_count, (int)o.a_count);
    g.b = dd_check_vector(&check, o.b, (int)o.b_count, (int)o.b_count);
    g.c = dd_check_vector(&check, o.c, (int)o.c_count, (int)o.c_count);
    dd_test_ok(check.status);
    const double size = reference(&g, &o, want);
    dd_test_ok(dd_gemm_temporary(device, &g, &bytes));
    assert_true(bytes <= dd_gemm_temporary_bound(&device->info, &g));
    assert_true(bytes <= dd_gemm_temporary_bound(NULL, &g));
    if (bytes > 0)
        assert_int_equal(dd_gemm_add(device, &g, "without memory", &check.list), DD_ERROR_INTERNAL);
    /* at an offset, as in a workspace */
    g.temporary_offset = device->info.base_align_bytes / sizeof(float);
    g.temporary = dd_check_bytes(&check, NULL, g.temporary_offset * sizeof(float) + bytes);
    dd_check_run(&check, dd_gemm_add(device, &g, "test", &check.list));
    /* random walk of k roundings of partial sums, see case_conv.c */
    if (check.status == DD_OK)
        dd_check_compare_vector(&check, "C", g.c, want, o.c_count, DD_CHECK_EPSILON * size * (8 + sqrt(l->k) / 4));
    dd_test_ok(dd_check_end(&check));
    dd_test_ratio(result.worst, "layout %d: %d x %d x %d, %d members, gap %d, offset %d, transposed %d %d, beta %g",
                  index, l->m, l->n, l->k, l->batch, l->gap, l->offset, l->transpose_a, l->transpose_b,
                  (double)l->beta);
}

static void test_layouts(void **state) {
    const int before = dd_test_failures();
    (void)state;
    for (int grouped = 0; grouped < 2; grouped++) {
        case_test_group(device, grouped);
        for (int i = 0; i < LAYOUTS; i++)
            try_layout(&layouts[i], i);
    }
    case_test_group(device, false);
    assert_int_equal(dd_test_failures() - before, 0);
}

/* The bound for planning holds for the sizes of the networks' convolutions too; no memory is touched. */
static void test_bound(void **state) {
    static const int sizes[] = {1, 3, 10, 16, 27, 64, 100, 144, 512, 576, 1000, 4608, 8192, 12544};
    enum { SIZES = sizeof sizes / sizeof *sizes };
    (void)state;
    for (int grouped = 0; grouped < 2; grouped++) {
        case_test_group(device, grouped);
        for (int i = 0; i < SIZES * SIZES * 4; i++) {
            const struct layout l = {
                i & 1, i & 2, sizes[i / 4 % SIZES], sizes[i / 4 / SIZES], sizes[(i / 4 * 5 + 3) % SIZES], 1, 0, 0, 0};
            struct operands none;
            struct dd_gemm g = describe(&l, &none);
            size_t bytes = 0;
            dd_test_ok(dd_gemm_temporary(device, &g, &bytes));
            assert_true(bytes <= dd_gemm_temporary_bound(&device->info, &g));
            assert_true(bytes <= dd_gemm_temporary_bound(NULL, &g));
        }
    }
    case_test_group(device, false);
}

/* What CLBlast refuses comes back as a status and a sentence with the sizes. */
static void test_refusal(void **state) {
    struct dd_launches list = {0};
    struct dd_gemm g = {.m = 16, .n = 32, .k = 64, .lda = 64, .ldb = 32, .ldc = 32, .batch = 1};
    size_t bytes;
    (void)state;
    dd_test_ok(dd_buffer_create(device, 1024, "test", &g.a)); /* too small for A */
    dd_test_ok(dd_gemm_temporary(device, &g, &bytes));
    dd_test_ok(dd_buffer_create(device, bytes + 65536, "test", &g.temporary));
    g.b = g.c = g.temporary;
    dd_test_ok(dd_gemm_add(device, &g, "refused", &list));
    assert_int_equal(dd_launches_enqueue(device, &list), DD_ERROR_DEVICE);
    assert_non_null(strstr(dd_error_message(), "16 x 32 x 64"));
    dd_launches_clear(&list);
    dd_buffer_release(device, &g.a);
    dd_buffer_release(device, &g.temporary);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bound), cmocka_unit_test(test_layouts),
                                       cmocka_unit_test(test_refusal)};
    device = dd_test_open();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed | dd_test_close(&device);
}
