/*
 * Where a unit's two paths meet: o = ReLU(main + shortcut), and its backward. Also the stem's ReLU (main alone) and the
 * unit whose gate is off (shortcut alone). The mask of the ReLU is not here: whoever writes the gradient by o last masks
 * it (`keep` of convolutions, pooling and dd_join_expand), so that what arrives is the gradient behind the ReLU.
 */
#ifndef DD_OPS_JOIN_H
#define DD_OPS_JOIN_H

#include "ops/op.h"

enum dd_join_shortcut {
    DD_JOIN_NONE,      /* 0 */
    DD_JOIN_IDENTITY,  /* t = x, of o's shape */
    DD_JOIN_SUBSAMPLE, /* t[c, y, x] = x[c, stride*y, stride*x], 0 for c >= its channels */
    DD_JOIN_AFFINE,    /* t = shortcut.scale * x + shortcut.shift, x = the shortcut convolution's raw output; ReLU if
                          shortcut.relu */
};

struct dd_join {
    struct dd_shape out;          /* of o */
    cl_mem main;                  /* raw output z of the primary path's last convolution; NULL: gate off */
    struct dd_affine main_affine; /* its BN (relu false) */
    enum dd_join_shortcut kind;
    cl_mem x;                  /* see dd_join_shortcut */
    struct dd_shape x_shape;   /* SUBSAMPLE: the unit's input */
    int stride;                /* SUBSAMPLE: 1 or 2 */
    struct dd_affine shortcut; /* AFFINE */
};

/** o written whole. */
dd_status dd_join_forward(dd_device *device, const struct dd_join *join, cl_mem o, struct dd_launches *list);

/** What the backward of a batch norm whose output goes into the join needs reduced: as dd_bn_backward_partials. */
struct dd_join_sums {
    cl_mem z, mean;              /* raw output of the convolution before the norm; NULL: none wanted */
    struct dd_affine relu;       /* its own ReLU between norm and sum, if relu.relu (a shortcut's) */
    struct dd_partials partials; /* slices as dd_bn_slices gives */
};

/** The reductions of g [out], the gradient behind the join's ReLU, for one or both paths in one pass over g. */
dd_status dd_join_backward(dd_device *device, struct dd_shape out, cl_mem g, const struct dd_join_sums *main,
                           const struct dd_join_sums *side, struct dd_launches *list);

/**
 * Adjoint of SUBSAMPLE: dx [in] = g at the places it was read from, 0 elsewhere and, unless keep is NULL, where
 * keep [in], the output of the ReLU before, is not positive. spaced: the others may stay unwritten.
 */
dd_status dd_join_expand(dd_device *device, struct dd_shape in, struct dd_shape out, int stride, cl_mem g, cl_mem keep,
                         bool spaced, cl_mem dx, struct dd_launches *list);

#endif
