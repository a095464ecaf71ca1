/*
 * Convolution: one operator, a table of algorithms. Forward can apply the previous batch norm and ReLU on load
 * (prologue) and accumulate statistics of its output (epilogue); backward data can apply batch norm's backward on load
 * and the previous ReLU's mask and the reductions of the previous batch norm's backward on store. An algorithm that
 * cannot fuse keeps the same contract through separate kernels.
 *
 * In place: dx may be dz.g where every pixel of dx depends on its own pixel of dz alone (1x1, stride 1, as many channel
 * blocks) and dz goes through batch norm (k1). Weight gradients must then be computed before, or by `backward`.
 */
#ifndef DD_OPS_CONV_H
#define DD_OPS_CONV_H

#include "ops/op.h"
#include "ops/weights.h"

struct dd_conv {
    struct dd_shape in, out; /* same n; v may differ (the images have v = 1) */
    int kernel, stride, pad;
};

struct dd_backward_finish; /* ops/finish.h */

enum dd_conv_direction { DD_CONV_FORWARD, DD_CONV_BACKWARD_DATA, DD_CONV_BACKWARD_WEIGHTS, DD_CONV_DIRECTIONS };

/** "forward", "backward data", "backward weights". */
extern const char *const dd_conv_direction_names[DD_CONV_DIRECTIONS];

/*
 * How the pixels of an output are cut into slices of its statistics: slice s begins at pixel p(s * bands), where p(b) =
 * b / groups * group_pixels + b % groups * band_pixels, and ends where the next begins or the pixels end.
 */
struct dd_conv_cut {
    int slices, bands, groups, group_pixels, band_pixels;
};

struct dd_conv_forward_args {
    cl_mem x;                  /* [I/Vi][N][H][W][Vi] */
    struct dd_affine prologue; /* on x, before the zero padding */
    cl_mem w;                  /* [O/Vo][I/Vi][K][K][Vi][Vo] */
    cl_mem form;               /* w in the form of dd_conv_form; NULL: made before each use, in the workspace */
    cl_mem y;                  /* [O/Vo][N][Ho][Wo][Vo], written whole */
    struct dd_partials stats;  /* of y; slices as dd_conv_needs gives, or cut */
    struct dd_conv_cut cut;    /* slices 0: the algorithm's own. Else another convolution's, taken by a 1x1 one with
                                  stride 1 of `direct`: its statistics then have the same bits as beside that one */
    cl_mem workspace;
};

struct dd_conv_backward_data_args {
    struct dd_gradient dz; /* at y's place */
    cl_mem w, form;        /* as above */
    cl_mem dx;             /* [I/Vi][N][H][W][Vi] */
    bool accumulate;       /* dx += instead of dx = */
    bool spaced;           /* the pixels of dx whose row or column is no multiple of the stride count as 0 before it is
                              added to, or may stay unwritten. With accumulate: where the algorithm has it */
    cl_mem keep;           /* output of the ReLU before, of dx's shape; NULL: no mask. dx, all added up, stays where
                              keep > 0 and is 0 elsewhere */
    cl_mem mask_z;         /* x's raw form; NULL: no mask. dx, all added up, stays where mask.scale * mask_z +
                              mask.shift > 0 */
    struct dd_affine mask; /*   and is 0 elsewhere; not together with keep */
    struct dd_partials sums; /* of the masked dx against mask_z; only with mask_z */
    cl_mem mean;             /* [I], for sums */
    cl_mem workspace;
};

struct dd_conv_backward_weights_args {
    cl_mem x;
    struct dd_affine prologue;
    struct dd_gradient dz;
    cl_mem dw; /* written whole, padding 0 */
    cl_mem workspace;
    struct dd_backward_finish *finish; /* takes what is left to do where slices of dw are to be added up, and leaves the
                                          workspace alone until then; NULL: it is done at once */
};

struct dd_conv_needs {
    size_t workspace; /* bytes */
    int slices;       /* of stats or sums; 0 for backward weights */
    int both_slices;  /* of sums by `backward`; for backward data where that is offered */
};

struct dd_conv_algorithm {
    const char *name;
    bool spaced; /* backward data takes `spaced` together with `accumulate` */
    bool (*supports)(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction);
    /* A pure function of its arguments: it plans memory without a device. */
    void (*needs)(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction,
                  struct dd_conv_needs *needs);
    /* The form of the weights that forward or backward_data (also as a part of backward) reads. It follows from the
     * kind of convolution, not from n or the device. NULL, or false: the weights themselves. */
    bool (*form)(const struct dd_conv *conv, enum dd_conv_direction direction, struct dd_weight_form *form);
    dd_status (*forward)(dd_device *device, const struct dd_conv *conv, const struct dd_conv_forward_args *args,
                         struct dd_launches *list);
    dd_status (*backward_data)(dd_device *device, const struct dd_conv *conv,
                               const struct dd_conv_backward_data_args *args, struct dd_launches *list);
    dd_status (*backward_weights)(dd_device *device, const struct dd_conv *conv,
                                  const struct dd_conv_backward_weights_args *args, struct dd_launches *list);
    /* Both at once where that saves passes over memory; NULL: not offered. The workspace is the larger of the two
     * needs. A mask is by x as the weights' arguments have it: keep is x, without a prologue, or mask_z is x, and mask
     * its prologue. */
    dd_status (*backward)(dd_device *device, const struct dd_conv *conv, const struct dd_conv_backward_data_args *data,
                          const struct dd_conv_backward_weights_args *weights, struct dd_launches *list);
    /* Whether a kernel of `forward`, or for the other directions one of `backward`, takes along a 1x1 convolution with
     * stride 1 that reads the same x through the same prologue and writes a tensor of the same shape, by the `direct`
     * algorithm (dd_conv_beside): a unit's shortcut beside its first convolution. NULL: none does. */
    bool (*takes)(const struct dd_device_info *info, const struct dd_conv *conv, enum dd_conv_direction direction);
    /* `forward` of both; side's statistics are cut as args' are, which forward_cut tells. */
    void (*forward_cut)(const struct dd_device_info *info, const struct dd_conv *conv, struct dd_conv_cut *cut);
    dd_status (*forward_with)(dd_device *device, const struct dd_conv *conv, const struct dd_conv_forward_args *args,
                              const struct dd_conv_forward_args *side, struct dd_launches *list);
    /* `backward` of the other one, in place in data->dx, without a mask and with its form given, then of this one,
     * which accumulates. */
    dd_status (*backward_with)(dd_device *device, const struct dd_conv *conv,
                               const struct dd_conv_backward_data_args *data,
                               const struct dd_conv_backward_weights_args *weights,
                               const struct dd_conv_backward_data_args *side_data,
                               const struct dd_conv_backward_weights_args *side_weights, struct dd_launches *list);
};

/** The table, NULL past the end: "gemm", ... */
const struct dd_conv_algorithm *dd_conv_algorithm_at(int index);
/** By name; NULL: unknown. */
const struct dd_conv_algorithm *dd_conv_algorithm_find(const char *name);

/** algorithm->form, where that may be NULL. */
bool dd_conv_form(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                  enum dd_conv_direction direction, struct dd_weight_form *form);

/** Whether `spaced` says anything to backward data of conv, and the algorithm has it: where a network runs it so. */
bool dd_conv_spaced(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv, bool accumulate);

/** The form of w that a network would keep, made (blocking) in a buffer of the caller's: what times a convolution as in
 * a network passes it on. NULL where there is none. */
dd_status dd_conv_make_form(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                            enum dd_conv_direction direction, cl_mem w, cl_mem *form);

/** The output shape of a convolution of in with out_c channels in blocks of vo. */
struct dd_conv dd_conv_make(struct dd_shape in, int out_c, int vo, int kernel, int stride, int pad);

/** The 1x1 convolution with stride 1 and the shapes of conv, whose stride is 1. */
struct dd_conv dd_conv_beside(const struct dd_conv *conv);

/** Blocks of channels that a register block has side by side, of so many in all: each value loaded then serves both. */
static inline int dd_conv_side_by_side(int blocks) {
    return blocks % 2 == 0 ? 2 : 1;
}

/** Of w in device order. */
size_t dd_conv_weight_bytes(const struct dd_conv *conv);

/** The arguments of a weight gradient that is made before the data gradient. Where this one makes its form in the
 * workspace, the slices there are added up before. */
static inline struct dd_conv_backward_weights_args
dd_conv_weights_before_data(const struct dd_conv_backward_weights_args *weights,
                            const struct dd_conv_backward_data_args *data) {
    struct dd_conv_backward_weights_args args = *weights;
    if (data->form == NULL)
        args.finish = NULL;
    return args;
}

/** For algorithms that make weight gradients in slices, each in dw's order, from vector `first` of the workspace on:
 * adds them up, or leaves that to args->finish. */
dd_status dd_conv_add_slices(dd_device *device, const struct dd_conv *conv,
                             const struct dd_conv_backward_weights_args *args, size_t first, int slices,
                             struct dd_launches *list);

extern const struct dd_conv_algorithm dd_conv_gemm;     /* conv_gemm.c: im2col + CLBlast, every device and shape */
extern const struct dd_conv_algorithm dd_conv_direct;   /* conv_direct.c: register-blocked vector kernels */
extern const struct dd_conv_algorithm dd_conv_winograd; /* conv_winograd.c: fused F(2x2,3x3), F(4x4,3x3) */

#endif
