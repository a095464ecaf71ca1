/*
 * What the cases share: seeded inputs, device copies of them, and the comparison with a reference. A check keeps the
 * first failure of the driver and ignores every call after it, so a case looks at check.status once before it uses what
 * it was given.
 */
#ifndef DD_SELFTEST_CHECK_H
#define DD_SELFTEST_CHECK_H

#include <stdbool.h>

#include "ops/op.h"
#include "ref/ref.h"
#include "selftest/case.h"

enum { DD_CHECK_OBJECTS = 64, DD_CHECK_EPSILON_INVERSE = 8388608 };
#define DD_CHECK_EPSILON (1.0 / DD_CHECK_EPSILON_INVERSE) /* distance from 1 to the next float */

struct dd_check {
    dd_device *device;
    struct dd_case_result *result;
    dd_status status;
    struct dd_launches list;
    uint64_t seed;
    uint32_t drawn;                   /* words taken from the seed's stream ... */
    uint32_t words[4];                /* ... and its latest four */
    cl_mem buffers[DD_CHECK_OBJECTS]; /* released by dd_check_end */
    void *arrays[DD_CHECK_OBJECTS];   /* freed by dd_check_end */
    int buffer_count, array_count;
};

/** The shape of a tensor's values in N, C, H, W order. */
static inline struct dd_ref_shape dd_check_shape(struct dd_shape s) {
    return (struct dd_ref_shape){s.n, s.c, s.h, s.w};
}

void dd_check_begin(struct dd_check *check, dd_device *device, uint64_t seed, struct dd_case_result *result);
/** Releases everything; gives check.status. */
dd_status dd_check_end(struct dd_check *check);

/**
 * Host arrays: zeroed; uniform in [low, high), each value a float; multiples of 1/8 in [-2, 2], whose products and
 * sums are exact.
 */
double *dd_check_zeros(struct dd_check *check, size_t count);
double *dd_check_uniform(struct dd_check *check, size_t count, double low, double high);
double *dd_check_eighths(struct dd_check *check, size_t count);
int *dd_check_integers(struct dd_check *check, size_t count, int low, int high); /* in low .. high - 1 */
uint32_t dd_check_draw(struct dd_check *check, uint32_t below);                  /* in 0 .. below - 1 */

/** values [rows][columns] as [columns][rows]. */
double *dd_check_transposed(struct dd_check *check, const double *values, int rows, int columns);

/** Device copies. values NULL: filled with NaN, so that a place that a kernel forgets is found. */
cl_mem dd_check_tensor(struct dd_check *check, struct dd_shape shape, const double *nchw);
cl_mem dd_check_vector(struct dd_check *check, const double *values, int count, int padded);
/** values [o][i][k][k] as convolutions read them: blocks of vo and vi, their padding 0. */
cl_mem dd_check_weights(struct dd_check *check, int o, int i, int k, int vo, int vi, const double *values);
cl_mem dd_check_bytes(struct dd_check *check, const void *bytes, size_t size); /* NULL: all ones */

/** Enqueues what the case has listed (added: the status of listing it) and waits. */
void dd_check_run(struct dd_check *check, dd_status added);

/**
 * Compares what the device holds with want, to an absolute tolerance; NaN must meet NaN. Tensors: in NCHW, and the
 * channel padding must be 0. what names the output in the failure's text.
 */
void dd_check_compare_tensor(struct dd_check *check, const char *what, struct dd_shape shape, cl_mem got,
                             const double *want, double tolerance);
void dd_check_compare_vector(struct dd_check *check, const char *what, cl_mem got, const double *want, size_t count,
                             double tolerance);
void dd_check_compare_integers(struct dd_check *check, const char *what, cl_mem got, const int *want, size_t count);

/** The buffer's first `count` floats, kept until dd_check_end; NULL after a failure. */
float *dd_check_read(struct dd_check *check, cl_mem buffer, size_t count);

/**
 * Test hook (builds with DD_TEST_HOOKS): spoils one of what a kernel is said to have made, if
 * DEPTHDROP_TEST_WRONG_KERNEL names a part of this case, or is "*"; with DEPTHDROP_TEST_UNWRITTEN set it becomes what
 * the place held before.
 */
void dd_check_spoil(const struct dd_case_result *result, float *values, size_t count);

/** The worse of two errors: NaN, a place that no kernel wrote, above all. */
double dd_check_worse(double a, double b);

/** Largest magnitude of count values, at least 1: what absolute tolerances are multiples of. */
double dd_check_magnitude(const double *values, size_t count);

/**
 * Records error / tolerance of one output; above 1 (or NaN) it is the case's failure. Also for cases that compare for
 * themselves.
 */
void dd_check_record(struct dd_case_result *result, const char *what, double ratio);

#endif
