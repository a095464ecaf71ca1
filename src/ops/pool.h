/* Max pooling (the ImageNet stem's) and global average pooling. */
#ifndef DD_OPS_POOL_H
#define DD_OPS_POOL_H

#include "ops/op.h"

/** y[c, oy, ox] = max over the window of prologue(x), padding excluded; winner [as y] int: row * W + column of the
 * first maximum. in.v == out.v. */
dd_status dd_maxpool_forward(dd_device *device, struct dd_shape in, struct dd_shape out, int kernel, int stride,
                             int pad, cl_mem x, struct dd_affine prologue, cl_mem y, cl_mem winner,
                             struct dd_launches *list);
/** dx[c, y, x] = sum of dy over the windows that (y, x) won, in window order (a gather: no atomics). Written whole. */
dd_status dd_maxpool_backward(dd_device *device, struct dd_shape in, struct dd_shape out, int kernel, int stride,
                              int pad, cl_mem dy, cl_mem winner, cl_mem dx, struct dd_launches *list);

/** Mean over H, W: x [in] -> y [C][N] (v = 1). */
dd_status dd_gap_forward(dd_device *device, struct dd_shape in, cl_mem x, cl_mem y, struct dd_launches *list);
/** dx = dy / (H * W) where keep [in], the output of the ReLU before, is positive, else 0; dy [C][N], dx [in], written
 * whole. */
dd_status dd_gap_backward(dd_device *device, struct dd_shape in, cl_mem dy, cl_mem keep, cl_mem dx,
                          struct dd_launches *list);

#endif
