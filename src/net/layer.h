/*
 * What both ResNet families are built from: convolutions with their batch norm, shortcuts and the classifier, appended
 * to a network together with their parameters. The order of the calls is the order of the parameters.
 */
#ifndef DD_NET_LAYER_H
#define DD_NET_LAYER_H

#include "net/net.h"

/** Names and place of a convolution and its batch norm. */
struct dd_layer_name {
    const char *conv, *bn; /* "layer1.0.conv1", "layer1.0.bn1" */
    int unit;              /* -1: stem */
    bool primary;
};

/** Shape of a square convolution; in_h and in_w are pixels. */
struct dd_layer_shape {
    int in_c, in_h, in_w, out_c, kernel, stride, pad;
};

/** Makes room for units units, convolutions convolutions with BN, and the classifier. DD_ERROR_MEMORY. */
dd_status dd_net_reserve(dd_net *net, int units, int convolutions);

/** Appends weight [out_c][in_c][k][k] and the four BN parameters [out_c]; fills layer. */
void dd_net_add_conv(dd_net *net, const struct dd_layer_name *name, const struct dd_layer_shape *shape,
                     struct dd_conv_layer *layer);

/** Chooses what the unit's shortcut does from kind and the unit's shape; appends its parameters, if any. */
void dd_net_add_shortcut(dd_net *net, int unit, enum dd_shortcut_kind kind);

/** Appends fc.weight [classes][features] and fc.bias [classes]. */
void dd_net_add_classifier(dd_net *net);

#endif
