/* Launches of cl/finish. */
#include "ops/finish.h"

#include <stdio.h>

#include "ops/spread.h"

enum {
    GROUP_WANTED = 64,
    LAYER_ARGS = 14, /* at most */
    SUM_ARGS = 9,
    ARGS_MOST = 2 + DD_FINISH_MOST * (LAYER_ARGS + SUM_ARGS)
};

/* Arguments as they gather. */
struct arguments {
    struct dd_arg at[ARGS_MOST];
    int count;
};

static void append(struct arguments *to, const struct dd_arg *args, size_t count) {
    for (size_t i = 0; i < count; i++)
        to->at[to->count++] = args[i];
}
#define APPEND(to, ...)                                                                                                \
    append(to, (const struct dd_arg[]){__VA_ARGS__},                                                                   \
           sizeof((const struct dd_arg[]){__VA_ARGS__}) / sizeof(struct dd_arg))

/* At least `items` work-items; on CPUs, whose drivers would give one large group to one thread, in groups of one. */
static dd_status add(dd_device *device, const char *source, const char *kernel, const char *options, int items,
                     const struct arguments *args, struct dd_launches *list) {
    const int group = dd_group_size(&device->info, GROUP_WANTED);
    char all[96];
    snprintf(all, sizeof all, "%s -DGROUP=%d", options, group);
    const struct dd_kernel_spec spec = {.source = source,
                                        .kernel = kernel,
                                        .options = all,
                                        .label = kernel,
                                        .dims = 1,
                                        .global = {(size_t)items, 1, 1},
                                        .local = {(size_t)group, 1, 1}};
    return dd_launches_add(list, device, &spec, args->at, args->count);
}

dd_status dd_finish_forward(dd_device *device, const struct dd_forward_layer *layers, int count, float gate,
                            struct dd_launches *list) {
    struct arguments args = {.count = 0};
    char options[48];
    int items = 0;
    APPEND(&args, DD_FLOAT(gate), DD_FLOAT(DD_BN_EPSILON));
    for (int i = 0; i < count; i++) {
        const struct dd_forward_layer *layer = &layers[i];
        const struct dd_bn_vectors *bn = &layer->vectors;
        const int blocks = dd_shape_blocks(layer->shape);
        APPEND(&args, DD_MEM(layer->partials.sums), DD_INT(layer->partials.slices), DD_INT(layer->shape.c),
               DD_INT(blocks), DD_FLOAT(layer->keep), DD_FLOAT(layer->gain), DD_MEM(bn->gamma), DD_MEM(bn->beta),
               DD_MEM(bn->running_mean), DD_MEM(bn->running_var), DD_MEM(bn->mean), DD_MEM(bn->invstd),
               DD_MEM(bn->scale), DD_MEM(bn->shift));
        items += blocks;
    }
    snprintf(options, sizeof options, "-DV=%d -DLAYERS=%d", layers[0].shape.v, count);
    return add(device, "finish/forward.cl", "finish_forward", options, items, &args, list);
}

static int append_layer(struct arguments *args, const struct dd_backward_layer *layer) {
    const int blocks = dd_shape_blocks(layer->shape);
    APPEND(args, DD_MEM(layer->partials.sums), DD_INT(layer->partials.slices), DD_INT(layer->shape.c), DD_INT(blocks),
           DD_FLOAT(dd_shape_pixels(layer->shape)), DD_MEM(layer->gamma), DD_MEM(layer->mean), DD_MEM(layer->invstd),
           DD_MEM(layer->dgamma), DD_MEM(layer->dbeta), DD_MEM(layer->k1), DD_MEM(layer->k2), DD_MEM(layer->k3));
    return blocks;
}

static int append_sum(struct arguments *args, const struct dd_weight_sum *sum) {
    const struct dd_conv *conv = &sum->conv;
    const int taps = conv->kernel * conv->kernel;
    const int sources = dd_shape_blocks(conv->in), targets = dd_shape_blocks(conv->out);
    APPEND(args, DD_MEM(sum->workspace), DD_INT(sum->first), DD_INT(sum->slices), DD_INT(taps), DD_INT(conv->in.c),
           DD_INT(conv->out.c), DD_INT(sources), DD_INT(targets), DD_MEM(sum->dw));
    return taps * sources * targets;
}

dd_status dd_finish_backward(dd_device *device, const struct dd_backward_finish *finish, float gate,
                             struct dd_launches *list) {
    struct arguments args = {.count = 0};
    char options[80];
    int items = 0;
    if (finish->layer_count == 0 && finish->sum_count == 0)
        return DD_OK;
    APPEND(&args, DD_FLOAT(gate));
    for (int i = 0; i < finish->layer_count; i++)
        items += append_layer(&args, &finish->layers[i]);
    for (int i = 0; i < finish->sum_count; i++)
        items += append_sum(&args, &finish->sums[i]);
    const struct dd_conv *conv = &finish->sums[0].conv;
    const int v = finish->sum_count > 0 ? conv->out.v : finish->layers[0].shape.v;
    snprintf(options, sizeof options, "-DV=%d -DLAYERS=%d -DSUMS=%d -DSV=%d", v, finish->layer_count, finish->sum_count,
             finish->sum_count > 0 ? conv->in.v : v);
    return add(device, "finish/backward.cl", "finish_backward", options, items, &args, list);
}
