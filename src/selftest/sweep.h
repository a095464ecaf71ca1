/*
 * Sweeps: the cases of one line of the self-test's table. A family is a kernel, a direction and an algorithm; adding a
 * kernel means adding its case (case.h) and a family here.
 */
#ifndef DD_SELFTEST_SWEEP_H
#define DD_SELFTEST_SWEEP_H

#include "selftest/case.h"

struct dd_sweep {
    dd_device *device;
    int v;                          /* channels of a block */
    bool quick;                     /* a few small shapes alone */
    uint64_t seed;                  /* changes with every case */
    struct dd_selftest_result line; /* filled as cases are done */
    struct dd_case_result result;   /* of the case at work */
    dd_status status;               /* not DD_OK: memory ran out; the sweep ends */
};

/**
 * Books the case just run: `status` is what it returned, sweep->result what it found; the rest describes it for a
 * failure's text. Prepares result and seed for the next.
 */
void dd_sweep_take(struct dd_sweep *sweep, dd_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

struct dd_family {
    const char *name; /* e.g. "bn forward" */
    bool blocked;     /* runs at every V; otherwise once, at V = 1 */
    void (*run)(struct dd_sweep *sweep);
};
extern const struct dd_family dd_op_families[];   /* name NULL past the end */
extern const struct dd_family dd_gemm_families[]; /* CLBlast: products, the last layer */

/**
 * Convolutions of one algorithm in one direction (enum dd_conv_direction; DD_CONV_DIRECTIONS: both backward ones at
 * once). A line without cases: the algorithm supports none at this V.
 */
void dd_sweep_conv(struct dd_sweep *sweep, const char *algorithm, int direction);

/** Convolutions that take a 1x1 one along, by every algorithm that has such. */
void dd_sweep_beside(struct dd_sweep *sweep);

/**
 * The edge shapes at the sweep's V, one after the other: C = 1, 3, 17, H = W = 1, 7, 8, 33, N = 1, 3, 130, then shapes
 * of the networks; quick: a seeded few. *index starts at 0 and is advanced. false past the end.
 */
bool dd_sweep_shape(const struct dd_sweep *sweep, int *index, struct dd_shape *shape);

#endif
