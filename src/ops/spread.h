/*
 * How the element-wise and reducing kernels spread over a device: CPUs get few work-items with long runs in groups of
 * one, everything else many work-items with one vector each. Pure functions: the kernels are right for any group and
 * run.
 */
#ifndef DD_OPS_SPREAD_H
#define DD_OPS_SPREAD_H

#include "ops/op.h"

struct dd_spread {
    int group; /* work-items of a group: build option GROUP */
    int run;   /* neighbouring vectors (or rows) of a work-item */
};

/** Work-items of a reducing group: 1 on CPUs, else a power of two, at most wanted and what the device allows. */
int dd_group_size(const struct dd_device_info *info, int wanted);

/** For rows * length vectors of v floats, where a run stays inside a row. */
struct dd_spread dd_spread_over(const struct dd_device_info *info, size_t length, int rows, int v);

/** A launch over (length / run, rows) in groups of spread.group; the caller adds source, kernel, options and label. */
struct dd_kernel_spec dd_spread_spec(struct dd_spread spread, size_t length, int rows);

#endif
