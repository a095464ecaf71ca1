/* The last layer: logits [K][N] = w [K][C] * x [C][N] + b [K], through CLBlast. */
#ifndef DD_OPS_LINEAR_H
#define DD_OPS_LINEAR_H

#include "ops/op.h"

struct dd_linear {
    int classes, features, n;
};

size_t dd_linear_workspace(const struct dd_linear *linear); /* bytes, all directions; pure */
dd_status dd_linear_forward(dd_device *device, const struct dd_linear *linear, cl_mem x, cl_mem w, cl_mem b,
                            cl_mem logits, cl_mem workspace, struct dd_launches *list);
/** dx [C][N] = w^T * dlogits; dw = dlogits * x^T; db = row sums of dlogits. All written whole. */
dd_status dd_linear_backward(dd_device *device, const struct dd_linear *linear, cl_mem x, cl_mem w, cl_mem dlogits,
                             cl_mem dx, cl_mem dw, cl_mem db, cl_mem workspace, struct dd_launches *list);

#endif
