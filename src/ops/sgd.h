/*
 * SGD with momentum and weight decay over all parameters in one launch, as PyTorch's: m = mu * m + (g + wd * w); w = w
 * - lr * m. Parameters lie in one buffer, each tensor padded to a multiple of `granule` floats; owner [granules] int
 * gives the unit whose gate decides (-1: always) and where active[owner] is 0, g counts as 0 (the gradient buffer is
 * not even read).
 */
#ifndef DD_OPS_SGD_H
#define DD_OPS_SGD_H

#include "ops/op.h"

struct dd_sgd {
    int granules, granule;
    cl_mem w, m, g; /* [granules * granule] */
    cl_mem owner;   /* int [granules] */
    cl_mem active;  /* int [units] */
    float momentum, weight_decay;
};
dd_status dd_sgd_add(dd_device *device, const struct dd_sgd *sgd, struct dd_launches *list);
enum { DD_SGD_RATE_ARG = 0 }; /* index of the learning rate among the launch's arguments: set before each enqueue */

#endif
