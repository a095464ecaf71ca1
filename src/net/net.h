/*
 * The network's description: units, convolutions and one table of parameters, from which the plan, the checkpoint,
 * the initialisation and the printed figures all follow.
 */
#ifndef DD_NET_NET_H
#define DD_NET_NET_H

#include <stddef.h>

#include <depthdrop/net.h>

#include "base/error.h"

enum dd_shortcut_kind { DD_SHORTCUT_IDENTITY, DD_SHORTCUT_PROJECTION, DD_SHORTCUT_CONV };

/** The table of shortcut kinds: one place to add one. */
struct dd_shortcut_entry {
    const char *name;
    enum dd_shortcut_kind kind;
    const char *description;
};
extern const struct dd_shortcut_entry dd_shortcuts[]; /* name NULL past the end */

/** A convolution followed by batch norm. Square kernel, no bias. */
struct dd_conv_layer {
    int in_c, out_c, kernel, stride, pad;
    int in_h, in_w, out_h, out_w;
    int weight;              /* index into net->params */
    int bn_weight, bn_bias;  /* indices into net->params */
    int bn;                  /* index into net->bns */
};

struct dd_bn_layer {
    int channels;
    int mean, var;           /* indices into net->params */
    int conv_weight;         /* params index of the convolution before it */
};

/** What a unit's shortcut does. */
enum dd_shortcut_op {
    DD_SHORTCUT_OP_NONE,      /* the input itself */
    DD_SHORTCUT_OP_SUBSAMPLE, /* even rows and columns (stride 2) and/or zero channels behind: option A */
    DD_SHORTCUT_OP_CONV_BN,   /* 1x1 convolution + BN: option B */
    DD_SHORTCUT_OP_CONV_BN_RELU, /* the paper's t */
};

enum { DD_MAX_PRIMARY = 3 };

struct dd_unit {
    int stage, position;
    bool first;              /* first unit of its stage */
    int in_c, in_h, in_w, out_c, out_h, out_w, stride;
    int convs;               /* 2 (basic) or 3 (bottleneck) */
    struct dd_conv_layer primary[DD_MAX_PRIMARY];
    enum dd_shortcut_op shortcut_op;
    struct dd_conv_layer shortcut; /* if shortcut_op is one of the last two */
};

enum dd_param_kind {
    DD_PARAM_CONV,      /* dims O,I,K,K */
    DD_PARAM_BN_WEIGHT, DD_PARAM_BN_BIAS, DD_PARAM_BN_MEAN, DD_PARAM_BN_VAR, /* dims C */
    DD_PARAM_FC_WEIGHT, /* dims classes, features */
    DD_PARAM_FC_BIAS,   /* dims classes */
};

struct dd_param {
    char name[48];           /* torchvision's: "layer1.0.conv1.weight" */
    enum dd_param_kind kind;
    bool trainable;          /* running statistics are not */
    int rank, dims[4];
    size_t count;            /* product of dims */
    int unit;                /* owning unit, -1: stem or fc */
    bool primary;            /* in the unit's primary path */
    int bn;                  /* for the four BN kinds: index into bns; else -1 */
};

struct dd_net {
    char name[32];
    const char *shortcut;    /* a name of dd_shortcuts */
    bool imagenet;           /* 7x7 stem with max pooling; else 3x3 stem */
    int channels, height, width, classes;
    struct dd_conv_layer stem;
    int pool_kernel, pool_stride, pool_pad; /* ImageNet form: 3, 2, 1; else 0 */
    int body_h, body_w;      /* input of the first unit */
    int unit_count;
    struct dd_unit *units;
    int features, feature_h, feature_w; /* output of the last unit: channels, rows, columns */
    int fc_weight, fc_bias;  /* indices into params */
    int param_count;
    struct dd_param *params; /* in the network's order, as torchvision lists them; downsample after the primary path */
    int bn_count;
    struct dd_bn_layer *bns; /* in forward order; a unit's primary ones, then its shortcut's */
};

/** Whether the unit's shortcut is a convolution with its batch norm. */
static inline bool dd_has_shortcut_conv(const struct dd_unit *unit) {
    return unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN || unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN_RELU;
}

/**
 * Initial value of parameter index: [dims] floats, caller's. Depends on seed, net, shortcut kind, image and class
 * shape alone: convolutions He normal, fan-out; fc uniform +-1/sqrt(fan-in), weight and bias; BN 1 and 0, statistics
 * 0 and 1.
 */
void dd_net_init_param(const dd_net *net, int index, uint64_t seed, float *values);

/** Index of the parameter called name, or -1. */
int dd_net_find_param(const dd_net *net, const char *name);

#endif
