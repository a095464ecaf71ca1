/*
 * A batch from bytes: out[c][i][y][x] (v = 1) = (bytes[index][c][y + dy][x' + dx] / 255 - mean[c, y + dy, x' + dx]) /
 * std[c] with x' = x or W-1-x (flip), and 0 where the source lies outside the image: normalise, then pad with zeros,
 * then crop, then flip.
 */
#ifndef DD_OPS_AUGMENT_H
#define DD_OPS_AUGMENT_H

#include "ops/op.h"

struct dd_augment {
    struct dd_shape out; /* v = 1 */
    cl_mem bytes;        /* uchar [images][C][H][W] */
    cl_mem samples;      /* int4 [N]: index, dy, dx, flip (dataset/draw.h) */
    cl_mem mean;         /* [C][H][W] */
    cl_mem inverse_std;  /* [C] */
};
dd_status dd_augment_add(dd_device *device, const struct dd_augment *augment, cl_mem images, struct dd_launches *list);

#endif
