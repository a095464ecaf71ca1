/*
 * Matrix products, also large ones, checked cheaply (Freivalds 1977): C r against A (B r) + beta C0 r for a random r,
 * in double. A wrong element of C is of the order sqrt(k); the tolerance is thousands of times smaller.
 */
#include <math.h>

#include "ops/gemm.h"
#include "selftest/check.h"

/* rows of op(X) times r; X is rows x columns stored row by row, or its transpose */
static void times(const double *x, bool transposed, size_t rows, size_t columns, const double *r, double *y) {
    for (size_t i = 0; i < rows; ++i)
        y[i] = 0;
    for (size_t i = 0; i < rows; ++i)
        for (size_t j = 0; !transposed && j < columns; ++j)
            y[i] += x[i * columns + j] * r[j];
    for (size_t j = 0; j < columns; ++j)
        for (size_t i = 0; transposed && i < rows; ++i)
            y[i] += x[j * rows + i] * r[j];
}

/* Largest |C r - expected| of one product of the batch. */
static double probe(const struct dd_gemm_case *c, const double *a, const double *b, const double *before,
                    const float *after, const double *r, double *br, double *abr, double *start) {
    const size_t m = (size_t)c->m, n = (size_t)c->n, k = (size_t)c->k;
    double worst = 0;
    times(b, c->transpose_b, k, n, r, br);
    times(a, c->transpose_a, m, k, br, abr);
    times(before, false, m, n, r, start);
    for (size_t i = 0; i < m; ++i) {
        double got = 0;
        for (size_t j = 0; j < n; ++j)
            got += after[i * n + j] * r[j];
        worst = dd_check_worse(worst, fabs(got - abr[i] - (double)c->beta * start[i]));
    }
    return worst;
}

dd_status dd_case_gemm(dd_device *device, const struct dd_gemm_case *c, uint64_t seed, struct dd_case_result *result) {
    struct dd_check check;
    const size_t m = (size_t)c->m, n = (size_t)c->n, k = (size_t)c->k, batch = (size_t)c->batch;
    size_t temporary = 0;

    dd_check_begin(&check, device, seed, result);
    double *a = dd_check_uniform(&check, batch * m * k, -1, 1), *b = dd_check_uniform(&check, batch * k * n, -1, 1);
    double *before = dd_check_uniform(&check, batch * m * n, -1, 1), *r = dd_check_uniform(&check, n, 0.5, 1.5);
    double *br = dd_check_zeros(&check, k), *abr = dd_check_zeros(&check, m), *start = dd_check_zeros(&check, m);
    float *after = (float *)dd_check_zeros(&check, (batch * m * n + 1) / 2);
    struct dd_gemm gemm = {.transpose_a = c->transpose_a,
                           .transpose_b = c->transpose_b,
                           .m = m,
                           .n = n,
                           .k = k,
                           .lda = c->transpose_a ? m : k,
                           .ldb = c->transpose_b ? k : n,
                           .ldc = n,
                           .beta = c->beta,
                           .batch = batch,
                           .a_stride = m * k,
                           .b_stride = k * n,
                           .c_stride = m * n};
    gemm.a = dd_check_vector(&check, a, (int)(batch * m * k), (int)(batch * m * k));
    gemm.b = dd_check_vector(&check, b, (int)(batch * k * n), (int)(batch * k * n));
    gemm.c = dd_check_vector(&check, c->beta == 0 ? NULL : before, (int)(batch * m * n), (int)(batch * m * n));
    if (check.status == DD_OK)
        check.status = dd_gemm_temporary(device, &gemm, &temporary);
    if (temporary > 0)
        gemm.temporary = dd_check_bytes(&check, NULL, temporary);
    if (check.status != DD_OK)
        goto done;

    dd_check_run(&check, dd_gemm_add(device, &gemm, "self-test", &check.list));
    if (check.status == DD_OK)
        check.status = dd_buffer_read(device, gemm.c, 0, batch * m * n * sizeof(float), after);
    if (check.status != DD_OK)
        goto done;
    dd_check_spoil(result, after, batch * m * n);
    /* terms of magnitude 1/3 and 1: an element's rounding is below epsilon * k / 2, n of them add up as a random walk
     */
    const double tolerance = DD_CHECK_EPSILON * ((double)k + 8) * (2 + sqrt((double)n));
    for (size_t i = 0; i < batch; ++i)
        dd_check_record(
            result, "C",
            probe(c, a + i * m * k, b + i * k * n, before + i * m * n, after + i * m * n, r, br, abr, start) /
                tolerance);
done:
    return dd_check_end(&check);
}
