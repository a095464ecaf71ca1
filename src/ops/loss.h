/* Softmax cross-entropy over logits [K][N] and labels [N]. */
#ifndef DD_OPS_LOSS_H
#define DD_OPS_LOSS_H

#include "ops/op.h"

/** Floats of one metrics slot: sum of the losses, images not in the top 1, images not in the top 5, images. */
enum { DD_METRICS = 4 };

struct dd_loss {
    int classes, n;
    cl_mem logits;      /* [K][N] */
    cl_mem labels;      /* int [N] */
    cl_mem dlogits;     /* [K][N] = (softmax - onehot) / n; NULL: not wanted */
    cl_mem sample_loss; /* [N] */
    cl_mem sample_rank; /* int [N]: classes that beat the label's: not (l_j <= l_label), or equal and j < label; so NaN
                           never counts as right */
    cl_mem metrics;     /* [DD_METRICS], written whole; sums in a fixed order */
};
dd_status dd_loss_add(dd_device *device, const struct dd_loss *loss, struct dd_launches *list);

#endif
