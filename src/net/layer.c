/*
 * The pieces of a network and what can be asked of it: shapes, parameters, counts of arithmetic. A new kind of shortcut
 * is a line in dd_shortcuts and a case in dd_net_add_shortcut. Nothing here knows which family it builds.
 */
#include "net/layer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tensor/shape.h"

const struct dd_shortcut_entry dd_shortcuts[] = {
    {"identity", DD_SHORTCUT_IDENTITY, "the input; at a change of dimension every other pixel and zero channels"},
    {"projection", DD_SHORTCUT_PROJECTION, "the input; at a change of dimension a 1x1 convolution and batch norm"},
    {"conv", DD_SHORTCUT_CONV, "a 1x1 convolution, batch norm and ReLU in every unit"},
    {NULL, DD_SHORTCUT_IDENTITY, NULL},
};

enum { PARAMS_PER_CONV = 5, PARAMS_OF_CLASSIFIER = 2 };

dd_status dd_net_reserve(dd_net *net, int units, int convolutions) {
    size_t params = (size_t)convolutions * PARAMS_PER_CONV + PARAMS_OF_CLASSIFIER;
    net->units = dd_calloc((size_t)units, sizeof *net->units);
    net->bns = dd_calloc((size_t)convolutions, sizeof *net->bns);
    net->params = dd_calloc(params, sizeof *net->params);
    if (!net->units || !net->bns || !net->params)
        return dd_fail_memory("network description", params * sizeof *net->params);
    return DD_OK;
}

/* Appends a parameter called "<layer>.<what>" and returns it for its dims; count follows in finish_param. */
static struct dd_param *add_param(dd_net *net, const char *layer, const char *what, enum dd_param_kind kind) {
    struct dd_param *param = &net->params[net->param_count++];
    snprintf(param->name, sizeof param->name, "%.32s.%s", layer, what); /* no layer has a longer name */
    param->kind = kind;
    param->trainable = kind != DD_PARAM_BN_MEAN && kind != DD_PARAM_BN_VAR;
    param->unit = -1;
    param->bn = -1;
    return param;
}

static int finish_param(dd_net *net, struct dd_param *param, int rank, const int *dims) {
    param->rank = rank;
    param->count = 1;
    for (int d = 0; d < rank; d++) {
        param->dims[d] = dims[d];
        param->count *= (size_t)dims[d];
    }
    return (int)(param - net->params);
}

static int add_bn_param(dd_net *net, const struct dd_layer_name *name, const char *what, enum dd_param_kind kind,
                        int channels) {
    struct dd_param *param = add_param(net, name->bn, what, kind);
    param->unit = name->unit;
    param->primary = name->primary;
    param->bn = net->bn_count;
    return finish_param(net, param, 1, &channels);
}

void dd_net_add_conv(dd_net *net, const struct dd_layer_name *name, const struct dd_layer_shape *shape,
                     struct dd_conv_layer *layer) {
    layer->in_c = shape->in_c;
    layer->out_c = shape->out_c;
    layer->kernel = shape->kernel;
    layer->stride = shape->stride;
    layer->pad = shape->pad;
    layer->in_h = shape->in_h;
    layer->in_w = shape->in_w;
    layer->out_h = dd_window_out(shape->in_h, shape->kernel, shape->stride, shape->pad);
    layer->out_w = dd_window_out(shape->in_w, shape->kernel, shape->stride, shape->pad);

    struct dd_param *weight = add_param(net, name->conv, "weight", DD_PARAM_CONV);
    weight->unit = name->unit;
    weight->primary = name->primary;
    layer->weight = finish_param(net, weight, 4, (int[]){shape->out_c, shape->in_c, shape->kernel, shape->kernel});

    struct dd_bn_layer *bn = &net->bns[net->bn_count];
    bn->channels = shape->out_c;
    bn->conv_weight = layer->weight;
    layer->bn_weight = add_bn_param(net, name, "weight", DD_PARAM_BN_WEIGHT, shape->out_c);
    layer->bn_bias = add_bn_param(net, name, "bias", DD_PARAM_BN_BIAS, shape->out_c);
    bn->mean = add_bn_param(net, name, "running_mean", DD_PARAM_BN_MEAN, shape->out_c);
    bn->var = add_bn_param(net, name, "running_var", DD_PARAM_BN_VAR, shape->out_c);
    layer->bn = net->bn_count++;
}

void dd_net_add_shortcut(dd_net *net, int index, enum dd_shortcut_kind kind) {
    struct dd_unit *unit = &net->units[index];
    bool changes = unit->stride != 1 || unit->in_c != unit->out_c;

    switch (kind) {
    case DD_SHORTCUT_IDENTITY:
        unit->shortcut_op = changes ? DD_SHORTCUT_OP_SUBSAMPLE : DD_SHORTCUT_OP_NONE;
        break;
    case DD_SHORTCUT_PROJECTION:
        unit->shortcut_op = changes ? DD_SHORTCUT_OP_CONV_BN : DD_SHORTCUT_OP_NONE;
        break;
    case DD_SHORTCUT_CONV:
        unit->shortcut_op = DD_SHORTCUT_OP_CONV_BN_RELU;
        break;
    }
    if (unit->shortcut_op == DD_SHORTCUT_OP_NONE || unit->shortcut_op == DD_SHORTCUT_OP_SUBSAMPLE)
        return;

    char conv[48], bn[48];
    snprintf(conv, sizeof conv, "layer%d.%d.downsample.0", unit->stage, unit->position);
    snprintf(bn, sizeof bn, "layer%d.%d.downsample.1", unit->stage, unit->position);
    struct dd_layer_shape shape = {.in_c = unit->in_c, .in_h = unit->in_h, .in_w = unit->in_w, .out_c = unit->out_c,
                                   .kernel = 1, .stride = unit->stride, .pad = 0};
    dd_net_add_conv(net, &(struct dd_layer_name){conv, bn, index, false}, &shape, &unit->shortcut);
}

void dd_net_add_classifier(dd_net *net) {
    struct dd_param *weight = add_param(net, "fc", "weight", DD_PARAM_FC_WEIGHT);
    net->fc_weight = finish_param(net, weight, 2, (int[]){net->classes, net->features});
    struct dd_param *bias = add_param(net, "fc", "bias", DD_PARAM_FC_BIAS);
    net->fc_bias = finish_param(net, bias, 1, &net->classes);
}

void dd_net_destroy(dd_net **net) {
    if (!net || !*net)
        return;
    free((*net)->units);
    free((*net)->bns);
    free((*net)->params);
    free(*net);
    *net = NULL;
}

int dd_net_find_param(const dd_net *net, const char *name) {
    for (int i = 0; i < net->param_count; i++)
        if (!strcmp(net->params[i].name, name))
            return i;
    return -1;
}

/* Forward arithmetic for one image, a multiply-add counted as two operations. */
static uint64_t conv_flops(const struct dd_conv_layer *layer) {
    return 2 * (uint64_t)layer->out_c * layer->in_c * layer->kernel * layer->kernel * layer->out_h * layer->out_w;
}

static uint64_t primary_flops(const struct dd_unit *unit) {
    uint64_t flops = 0;
    for (int i = 0; i < unit->convs; i++)
        flops += conv_flops(&unit->primary[i]);
    return flops;
}

static uint64_t shortcut_flops(const struct dd_unit *unit) {
    return dd_has_shortcut_conv(unit) ? conv_flops(&unit->shortcut) : 0;
}

void dd_net_summarize(const dd_net *net, struct dd_net_summary *summary) {
    memset(summary, 0, sizeof *summary);
    summary->units = net->unit_count;
    summary->convolutions = net->bn_count;
    for (int i = 0; i < net->param_count; i++) {
        const struct dd_param *param = &net->params[i];
        if (!param->trainable)
            continue;
        summary->parameters += param->count;
        if (param->unit >= 0 && param->primary)
            summary->primary_parameters += param->count;
        else if (param->unit >= 0)
            summary->shortcut_parameters += param->count;
    }
    for (int i = 0; i < net->unit_count; i++) {
        summary->primary_flops += primary_flops(&net->units[i]);
        summary->shortcut_flops += shortcut_flops(&net->units[i]);
    }
    summary->forward_flops = conv_flops(&net->stem) + summary->primary_flops + summary->shortcut_flops +
                             2 * (uint64_t)net->features * net->classes;
}

dd_status dd_net_unit(const dd_net *net, int index, struct dd_unit_summary *summary) {
    if (index < 0 || index >= net->unit_count)
        return dd_fail(DD_ERROR_USAGE, "unit %d does not exist: %s has units 0 to %d", index, net->name,
                       net->unit_count - 1);
    const struct dd_unit *unit = &net->units[index];
    *summary = (struct dd_unit_summary){
        .stage = unit->stage, .position = unit->position, .in_channels = unit->in_c, .out_channels = unit->out_c,
        .in_height = unit->in_h, .in_width = unit->in_w, .out_height = unit->out_h, .out_width = unit->out_w,
        .stride = unit->stride, .first = unit->first,
        .primary_flops = primary_flops(unit), .shortcut_flops = shortcut_flops(unit),
    };
    return DD_OK;
}
