/* The last layer, forward and backward, against the reference; the reference against finite differences. */
#include "tests/support/device_test.h"

#include <math.h>
#include <stdio.h>

#include "ops/linear.h"
#include "ref/ref_conv.h"
#include "selftest/check.h"
#include "tests/support/case_test.h"

static dd_device *device;

static const struct dd_linear shapes[] = {{1, 1, 1},    {10, 64, 128},  {10, 64, 1}, {3, 17, 130},
                                          {100, 64, 7}, {1000, 512, 8}, {10, 33, 3}, {2, 2048, 5}};

/* [rows][columns] -> [columns][rows] */
static double *transpose(struct dd_check *check, const double *values, int rows, int columns) {
    double *result = dd_check_zeros(check, (size_t)rows * columns);
    for (int i = 0; result && i < rows; i++)
        for (int j = 0; j < columns; j++)
            result[(size_t)j * rows + i] = values[(size_t)i * columns + j];
    return result;
}

static cl_mem put(struct dd_check *check, const double *values, int count) {
    return dd_check_vector(check, values, count, count);
}

/* Inputs lie between -1 and 1: a sum of L products rounds to within epsilon * L * (its share of a random walk, see
 * case_conv.c). */
static double tolerance(int length) {
    return DD_CHECK_EPSILON * (length + 1) * (8 + sqrt(length) / 4);
}

static void try_shape(const struct dd_linear *l, uint64_t seed) {
    const int nc = l->n * l->features, kc = l->classes * l->features, nk = l->n * l->classes;
    struct dd_case_result result = {.name = "linear"};
    struct dd_check check;
    const size_t bytes = dd_linear_workspace(l);
    dd_check_begin(&check, device, seed, &result);
    double *x = dd_check_uniform(&check, (size_t)nc, -1, 1), *w = dd_check_uniform(&check, (size_t)kc, -1, 1);
    double *b = dd_check_uniform(&check, (size_t)l->classes, -1, 1), *g = dd_check_uniform(&check, (size_t)nk, -1, 1);
    double *logits = dd_check_zeros(&check, (size_t)nk), *dx = dd_check_zeros(&check, (size_t)nc);
    double *dw = dd_check_zeros(&check, (size_t)kc), *db = dd_check_zeros(&check, (size_t)l->classes);
    dd_test_ok(check.status);
    dd_ref_linear_forward(l->n, l->features, l->classes, x, w, b, logits);
    dd_ref_linear_backward(l->n, l->features, l->classes, x, w, g, dx, dw, db);

    const cl_mem dev_x = put(&check, transpose(&check, x, l->n, l->features), nc), dev_w = put(&check, w, kc);
    const cl_mem dev_g = put(&check, transpose(&check, g, l->n, l->classes), nk), dev_b = put(&check, b, l->classes);
    const cl_mem dev_logits = put(&check, NULL, nk), dev_dx = put(&check, NULL, nc), dev_dw = put(&check, NULL, kc);
    const cl_mem dev_db = put(&check, NULL, l->classes), workspace = dd_check_bytes(&check, NULL, bytes);
    dd_test_ok(check.status);
    dd_test_ok(dd_linear_forward(device, l, dev_x, dev_w, dev_b, dev_logits, workspace, &check.list));
    dd_check_run(&check,
                 dd_linear_backward(device, l, dev_x, dev_w, dev_g, dev_dx, dev_dw, dev_db, workspace, &check.list));
    dd_test_ok(check.status);
    dd_check_compare_vector(&check, "logits", dev_logits, transpose(&check, logits, l->n, l->classes), (size_t)nk,
                            tolerance(l->features));
    dd_check_compare_vector(&check, "dx", dev_dx, transpose(&check, dx, l->n, l->features), (size_t)nc,
                            tolerance(l->classes));
    dd_check_compare_vector(&check, "dw", dev_dw, dw, (size_t)kc, tolerance(l->n));
    dd_check_compare_vector(&check, "db", dev_db, db, (size_t)l->classes, tolerance(l->n));
    dd_test_ok(dd_check_end(&check));
    dd_test_ratio(result.worst, "%d classes, %d features, %d images: %s", l->classes, l->features, l->n,
                  result.failure);
}

static void test_device(void **state) {
    const int before = dd_test_failures();
    (void)state;
    for (int grouped = 0; grouped < 2; grouped++) {
        case_test_group(device, grouped);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            try_shape(&shapes[i], dd_test_seed() + i);
    }
    case_test_group(device, false);
    assert_int_equal(dd_test_failures() - before, 0);
}

enum { N = 3, C = 4, K = 2 };

static double objective(const double *x, const double *w, const double *b, const double *g) {
    double logits[N * K], sum = 0;
    dd_ref_linear_forward(N, C, K, x, w, b, logits);
    for (int i = 0; i < N * K; i++)
        sum += g[i] * logits[i];
    return sum;
}

/* Central differences are exact here but for rounding: the objective is linear in each of x, w, b. */
static void compare_differences(double *values, int count, const double *gradient, const double *x, const double *w,
                                const double *b, const double *g) {
    for (int i = 0; i < count; i++) {
        const double saved = values[i];
        values[i] = saved + 0.5;
        const double above = objective(x, w, b, g);
        values[i] = saved - 0.5;
        const double below = objective(x, w, b, g);
        values[i] = saved;
        assert_true(fabs(above - below - gradient[i]) < 1e-12);
    }
}

static void test_reference(void **state) {
    double x[N * C], w[K * C], b[K], g[N * K], dx[N * C], dw[K * C], db[K];
    (void)state;
    for (int i = 0; i < N * C; i++)
        x[i] = sin(1.0 + i);
    for (int i = 0; i < K * C; i++)
        w[i] = cos(2.0 + i);
    for (int i = 0; i < K; i++)
        b[i] = sin(5.0 * i);
    for (int i = 0; i < N * K; i++)
        g[i] = cos(3.0 * i);
    dd_ref_linear_backward(N, C, K, x, w, g, dx, dw, db);
    compare_differences(x, N * C, dx, x, w, b, g);
    compare_differences(w, K * C, dw, x, w, b, g);
    compare_differences(b, K, db, x, w, b, g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference), cmocka_unit_test(test_device)};
    device = dd_test_open();
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed | dd_test_close(&device);
}
