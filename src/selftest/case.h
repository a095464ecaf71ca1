/*
 * Cases: one operator on one shape, its device result compared with the double reference. The same functions serve the
 * self-test and the kernel tests. Each returns a failure of the driver as its status; a wrong result is in the case's
 * result.
 */
#ifndef DD_SELFTEST_CASE_H
#define DD_SELFTEST_CASE_H

#include <stdbool.h>

#include "ops/join.h"
#include "ops/op.h"

struct dd_case_result {
    const char *name; /* the caller's: the line of the self-test's table it belongs to, e.g. "bn forward"; NULL: none */
    double worst;     /* out: largest error / tolerance; at most 1 passes */
    char failure[200]; /* out: which output and by how much; empty if it passed */
};

/** Statistics, finish (also with gate 0 if gate is), running statistics, inference. Values lie around offset. */
struct dd_bn_case {
    struct dd_shape shape;
    double offset;
    bool masked; /* backward: a ReLU between BN and the sum */
    float gate;
    int slices; /* 0: as dd_bn_slices says */
    bool pair;  /* the merge of a second layer in the same launch, without a gate */
};
dd_status dd_case_bn_forward(dd_device *device, const struct dd_bn_case *bn, uint64_t seed,
                             struct dd_case_result *result);
/** Both reductions, parameter gradients and dz = k1 * g' + k2 * z + k3, against the whole gradient of the reference. */
dd_status dd_case_bn_backward(dd_device *device, const struct dd_bn_case *bn, uint64_t seed,
                              struct dd_case_result *result);

struct dd_join_case {
    struct dd_shape out;
    enum dd_join_shortcut kind;
    bool main;                        /* forward: the primary path is there */
    bool relu;                        /* forward, AFFINE */
    int x_channels, x_h, x_w, stride; /* SUBSAMPLE */
    bool keep, spaced;                /* expand: masked; only the pixels that g reaches */
    bool main_sums;                   /* backward: reductions for the primary path's last batch norm ... */
    int side_sums;                    /* ... and for the shortcut's: 0 none, 1 wanted, 2 with its own ReLU */
};
dd_status dd_case_join_forward(dd_device *device, const struct dd_join_case *join, uint64_t seed,
                               struct dd_case_result *result);
dd_status dd_case_join_backward(dd_device *device, const struct dd_join_case *join, uint64_t seed,
                                struct dd_case_result *result);
/** The adjoint of the subsampling shortcut: uses out and x_* alone. */
dd_status dd_case_join_expand(dd_device *device, const struct dd_join_case *join, uint64_t seed,
                              struct dd_case_result *result);

struct dd_maxpool_case {
    struct dd_shape in;
    int window, stride, pad;
    bool prologue, relu;
};
dd_status dd_case_maxpool(dd_device *device, const struct dd_maxpool_case *pool, uint64_t seed,
                          struct dd_case_result *result);
dd_status dd_case_gap(dd_device *device, struct dd_shape in, uint64_t seed, struct dd_case_result *result);

struct dd_dropout_case {
    struct dd_shape shape;
    double ratio;
    bool affine;   /* behind a batch norm and a ReLU */
    bool in_place; /* forward */
};
/** Both directions of width dropout. */
dd_status dd_case_dropout(dd_device *device, const struct dd_dropout_case *dropout, uint64_t seed,
                          struct dd_case_result *result);

dd_status dd_case_loss(dd_device *device, int classes, int n, uint64_t seed, struct dd_case_result *result);
dd_status dd_case_sgd(dd_device *device, int granules, int granule, uint64_t seed, struct dd_case_result *result);
/** Forms of convolution weights of every kind, made by one launch. */
dd_status dd_case_weights(dd_device *device, int v, uint64_t seed, struct dd_case_result *result);
/** n images drawn from `images` stored ones, crops up to pad outside. shape.v = 1. */
dd_status dd_case_augment(dd_device *device, struct dd_shape shape, int images, int pad, uint64_t seed,
                          struct dd_case_result *result);

/** batch products, each checked by a random probe vector in double: C r against A (B r) + beta C r. */
struct dd_gemm_case {
    int m, n, k;
    bool transpose_a, transpose_b;
    int batch;
    float beta;
};
dd_status dd_case_gemm(dd_device *device, const struct dd_gemm_case *gemm, uint64_t seed,
                       struct dd_case_result *result);

/** The last layer in both directions. */
dd_status dd_case_linear(dd_device *device, int classes, int features, int n, uint64_t seed,
                         struct dd_case_result *result);

#endif
