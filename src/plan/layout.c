/*
 * What a plan needs, as a pure function of the net, the device's limits and the options: shapes, lifetimes of all
 * tensors with every gate on, workspace, and where each parameter lies.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "ops/linear.h"
#include "plan/internal.h"

/* ---- tensors ---- */

static int add_tensor(struct dd_layout *layout, size_t bytes) {
    layout->tensors[layout->tensor_count] = (struct dd_memory_item){.bytes = bytes, .first = 1, .last = 0, .arena = -1};
    return layout->tensor_count++;
}

static int add_activation(struct dd_layout *layout, struct dd_shape shape) {
    return add_tensor(layout, dd_shape_floats(shape) * sizeof(float));
}

/** Extends a tensor's life to moment t. */
static void use(struct dd_layout *layout, int tensor, int t) {
    if (tensor < 0)
        return;
    struct dd_memory_item *item = &layout->tensors[tensor];
    if (item->first > item->last)
        item->first = item->last = t;
    else
        item->last = t;
}

static void add_conv_shape(struct dd_layout *layout, const struct dd_conv_layer *layer, int vi) {
    struct dd_shape in = {layout->options.batch, layer->in_c, layer->in_h, layer->in_w, vi};
    layout->layers[layer->bn] = layer;
    layout->shapes[layer->bn] = dd_conv_make(in, layer->out_c, layout->v, layer->kernel, layer->stride, layer->pad);
}

static void list_convolutions(struct dd_layout *layout, const struct dd_net *net) {
    add_conv_shape(layout, &net->stem, 1);
    for (int u = 0; u < net->unit_count; u++) {
        const struct dd_unit *unit = &net->units[u];
        for (int j = 0; j < unit->convs; j++)
            add_conv_shape(layout, &unit->primary[j], layout->v);
        if (dd_has_shortcut_conv(unit))
            add_conv_shape(layout, &unit->shortcut, layout->v);
    }
}

static struct dd_shape unit_in_shape(const struct dd_layout *layout, const struct dd_unit *unit) {
    return (struct dd_shape){layout->options.batch, unit->in_c, unit->in_h, unit->in_w, layout->v};
}

static struct dd_shape unit_out_shape(const struct dd_layout *layout, const struct dd_unit *unit) {
    return (struct dd_shape){layout->options.batch, unit->out_c, unit->out_h, unit->out_w, layout->v};
}

/** Whether the shortcut's backward may write the gradient by the unit's input in the place of the one by its output:
 * the identity, and a 1x1 convolution between equal shapes. */
static bool keeps_shape(const struct dd_unit *unit) {
    return unit->shortcut_op == DD_SHORTCUT_OP_NONE ||
           (dd_has_shortcut_conv(unit) && unit->shortcut.kernel == 1 && unit->stride == 1 && unit->in_c == unit->out_c);
}

/** Numbers the tensors. Where the shortcut keeps the shape, the gradient by a unit's input is the one by its output,
 * in place. */
static void list_tensors(struct dd_layout *layout, const struct dd_net *net) {
    const int n = layout->options.batch;
    const bool training = layout->options.training;
    layout->images = add_activation(layout, (struct dd_shape){n, net->channels, net->height, net->width, 1});
    for (int i = 0; i < layout->convs; i++)
        layout->raw[i] = add_activation(layout, layout->shapes[i].out);
    struct dd_shape body = {n, net->stem.out_c, net->body_h, net->body_w, layout->v};
    layout->body = add_activation(layout, body);
    layout->pooled_winner = net->imagenet ? add_activation(layout, body) : -1;
    layout->stem_gradient = net->imagenet && training ? add_activation(layout, layout->shapes[0].out) : -1;
    for (int u = 0; u < net->unit_count; u++) {
        layout->units[u].output = add_activation(layout, unit_out_shape(layout, &net->units[u]));
        layout->units[u].dropped = -1;
        if (training && layout->options.unit_dropout > 0)
            layout->units[u].dropped = add_activation(layout, layout->shapes[net->units[u].primary[0].bn].out);
    }
    const size_t vector = (size_t)n * net->features * sizeof(float), scores = (size_t)n * net->classes * sizeof(float);
    layout->features = add_tensor(layout, vector);
    layout->logits = add_tensor(layout, scores);
    if (!training)
        return;
    layout->feature_gradient = add_tensor(layout, vector);
    layout->logit_gradient = add_tensor(layout, scores);
    const struct dd_unit *last = &net->units[net->unit_count - 1];
    int gradient = layout->last_gradient = add_activation(layout, unit_out_shape(layout, last));
    for (int u = net->unit_count - 1; u >= 0; u--) {
        const struct dd_unit *unit = &net->units[u];
        for (int j = 1; j < unit->convs; j++)
            layout->units[u].inner[j] = add_activation(layout, layout->shapes[unit->primary[j].bn].in);
        if (!keeps_shape(unit))
            gradient = add_activation(layout, unit_in_shape(layout, unit));
        layout->units[u].gradient = gradient;
    }
}

/* ---- lifetimes: the same order as forward.c and backward.c enqueue in ---- */

static int live_forward(struct dd_layout *layout, const struct dd_net *net, int t) {
    use(layout, layout->images, t);
    use(layout, layout->raw[0], ++t);
    use(layout, layout->images, t);
    use(layout, layout->raw[0], ++t);
    use(layout, layout->pooled_winner, t);
    use(layout, layout->body, t);
    int input = layout->body;
    for (int u = 0; u < net->unit_count; u++) {
        const struct dd_unit *unit = &net->units[u];
        int x = input;
        for (int j = 0; j < unit->convs; j++) {
            use(layout, x, ++t);
            use(layout, layout->raw[unit->primary[j].bn], t);
            if (j == 0 && dd_has_shortcut_conv(unit)) /* beside it: dd_unit_pairs */
                use(layout, layout->raw[unit->shortcut.bn], t);
            x = layout->raw[unit->primary[j].bn];
            if (j == 0 && layout->units[u].dropped >= 0) {
                use(layout, x, ++t);
                x = layout->units[u].dropped;
                use(layout, x, t);
            }
        }
        if (dd_has_shortcut_conv(unit)) {
            use(layout, input, ++t);
            use(layout, layout->raw[unit->shortcut.bn], t);
        }
        use(layout, x, ++t);
        use(layout, dd_has_shortcut_conv(unit) ? layout->raw[unit->shortcut.bn] : input, t);
        use(layout, layout->units[u].output, t);
        input = layout->units[u].output;
    }
    use(layout, input, ++t);
    use(layout, layout->features, t);
    use(layout, layout->features, ++t);
    use(layout, layout->logits, t);
    use(layout, layout->logits, ++t);
    use(layout, layout->logit_gradient, t);
    return t;
}

static int live_backward_unit(struct dd_layout *layout, const struct dd_net *net, int u, int go, int t) {
    const struct dd_unit *unit = &net->units[u];
    const struct dd_layout_unit *tensors = &layout->units[u];
    const int input = u == 0 ? layout->body : layout->units[u - 1].output;
    use(layout, go, ++t);
    use(layout, layout->raw[unit->primary[unit->convs - 1].bn], t);
    if (dd_has_shortcut_conv(unit))
        use(layout, layout->raw[unit->shortcut.bn], t);
    int g = go;
    for (int j = unit->convs - 1; j >= 0; j--) {
        if (j == 0 && unit->shortcut_op != DD_SHORTCUT_OP_NONE) {
            use(layout, go, ++t);
            use(layout, tensors->gradient, t);
            use(layout, input, t);
            if (dd_has_shortcut_conv(unit))
                use(layout, layout->raw[unit->shortcut.bn], t);
        }
        use(layout, g, ++t);
        use(layout, layout->raw[unit->primary[j].bn], t);
        use(layout, j > 0 ? layout->raw[unit->primary[j - 1].bn] : input, t);
        use(layout, j > 0 ? tensors->inner[j] : tensors->gradient, t);
        if (j == 1 && tensors->dropped >= 0) {
            use(layout, tensors->dropped, t);
            use(layout, tensors->inner[1], ++t);
            use(layout, layout->raw[unit->primary[0].bn], t);
        }
        g = tensors->inner[j];
    }
    return t;
}

static void live_backward(struct dd_layout *layout, const struct dd_net *net, int t) {
    use(layout, layout->logit_gradient, ++t);
    use(layout, layout->features, t);
    use(layout, layout->feature_gradient, t);
    use(layout, layout->feature_gradient, ++t);
    use(layout, layout->units[net->unit_count - 1].output, t);
    use(layout, layout->last_gradient, t);
    int go = layout->last_gradient;
    for (int u = net->unit_count - 1; u >= 0; u--) {
        t = live_backward_unit(layout, net, u, go, t);
        go = layout->units[u].gradient;
    }
    use(layout, go, ++t);
    use(layout, layout->body, t);
    use(layout, layout->pooled_winner, t);
    use(layout, layout->stem_gradient, t);
    use(layout, layout->raw[0], t);
    use(layout, layout->images, ++t);
    use(layout, layout->raw[0], t);
    use(layout, layout->stem_gradient, t);
    use(layout, go, t);
}

/* ---- workspace ---- */

static void size_workspace(struct dd_layout *layout, const struct dd_net *net, const struct dd_device_info *info,
                           const struct dd_plan_choice *choice) {
    const struct dd_linear linear = {.classes = net->classes, .features = net->features, .n = layout->options.batch};
    layout->workspace_bytes = dd_linear_workspace(&linear);
    for (int i = 0; i < layout->convs; i++) {
        const struct dd_conv *conv = &layout->shapes[i];
        int slices = dd_bn_slices(info, conv->out);
        const size_t channels = (size_t)dd_larger(dd_shape_padded_c(conv->in), dd_shape_padded_c(conv->out));
        for (int d = 0; d < DD_CONV_DIRECTIONS; d++) {
            const bool unused =
                d != DD_CONV_FORWARD && (!layout->options.training || (i == 0 && d == DD_CONV_BACKWARD_DATA));
            if (choice->algorithm[i][d] == NULL || unused)
                continue;
            struct dd_conv_needs needs = {0};
            choice->algorithm[i][d]->needs(info, conv, d, &needs);
            layout->workspace_bytes = dd_larger_size(layout->workspace_bytes, needs.workspace);
            slices = dd_larger(slices, dd_larger(needs.slices, needs.both_slices));
        }
        layout->partial_bytes = dd_larger_size(layout->partial_bytes, (size_t)slices * 3 * channels * sizeof(float));
    }
}

/* ---- parameters ---- */

static void place_params(struct dd_layout *layout, const struct dd_net *net) {
    const size_t granule = (size_t)layout->granule;
    size_t next = 0;
    for (int i = 0; i < layout->convs; i++) {
        const struct dd_conv *conv = &layout->shapes[i];
        layout->param_offset[layout->layers[i]->weight] = next;
        next += dd_round_up(dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v), granule);
    }
    layout->param_offset[net->fc_weight] = next;
    next += dd_round_up(net->params[net->fc_weight].count, granule);
    layout->param_offset[net->fc_bias] = next;
    next += dd_round_up(net->params[net->fc_bias].count, granule);
    for (int i = 0; i < layout->convs; i++) {
        layout->bn_offset[i] = layout->bn_floats;
        layout->bn_floats += dd_round_up((size_t)dd_shape_padded_c(layout->shapes[i].out), granule);
    }
    layout->gamma_base = next;
    layout->beta_base = next + layout->bn_floats;
    layout->param_floats = layout->beta_base + layout->bn_floats;
    for (int i = 0; i < layout->convs; i++) {
        layout->param_offset[layout->layers[i]->bn_weight] = layout->gamma_base + layout->bn_offset[i];
        layout->param_offset[layout->layers[i]->bn_bias] = layout->beta_base + layout->bn_offset[i];
        layout->param_offset[net->bns[i].mean] = layout->bn_offset[i];
        layout->param_offset[net->bns[i].var] = layout->bn_floats + layout->bn_offset[i];
    }
}

/* ---- whole ---- */

static dd_status allocate(struct dd_layout *layout, const struct dd_net *net) {
    const size_t convs = (size_t)layout->convs, units = (size_t)net->unit_count;
    layout->layers = dd_calloc(convs, sizeof *layout->layers);
    layout->shapes = dd_calloc(convs, sizeof *layout->shapes);
    layout->raw = dd_calloc(convs, sizeof *layout->raw);
    layout->bn_offset = dd_calloc(convs, sizeof *layout->bn_offset);
    layout->forms = dd_calloc(2 * convs, sizeof *layout->forms);
    layout->form_of = dd_calloc(convs, sizeof *layout->form_of);
    layout->units = dd_calloc(units, sizeof *layout->units);
    layout->tensors = dd_calloc(convs + 5 * units + 16, sizeof *layout->tensors);
    layout->param_offset = dd_calloc((size_t)net->param_count, sizeof *layout->param_offset);
    if (layout->layers == NULL || layout->shapes == NULL || layout->raw == NULL || layout->bn_offset == NULL ||
        layout->forms == NULL || layout->form_of == NULL || layout->units == NULL || layout->tensors == NULL ||
        layout->param_offset == NULL)
        return dd_fail_memory("plan of the network", convs * sizeof *layout->shapes);
    return DD_OK;
}

dd_status dd_layout_make(const struct dd_net *net, const struct dd_device_info *info,
                         const struct dd_plan_options *options, const struct dd_plan_choice *choice,
                         struct dd_layout *layout) {
    *layout = (struct dd_layout){.options = *options, .v = choice->vector, .convs = net->bn_count};
    layout->pooled_winner = layout->stem_gradient = layout->feature_gradient = layout->logit_gradient = -1;
    layout->last_gradient = -1;
    const size_t alignment = info->base_align_bytes > 64 ? info->base_align_bytes : 64;
    layout->granule = (int)(alignment / sizeof(float));
    dd_status status;
    DD_GOTO(status, error, allocate(layout, net));
    list_convolutions(layout, net);
    list_tensors(layout, net);
    int t = live_forward(layout, net, 0);
    if (options->training)
        live_backward(layout, net, t);
    size_workspace(layout, net, info, choice);
    place_params(layout, net);
    dd_forms_place(layout, net, info, choice);
    DD_GOTO(status, error,
            dd_memory_place(layout->tensors, layout->tensor_count, alignment, (size_t)info->max_alloc_bytes,
                            &layout->arenas));
    return DD_OK;
error:
    dd_layout_free(layout);
    return status;
}

void dd_layout_free(struct dd_layout *layout) {
    free(layout->layers);
    free(layout->shapes);
    free(layout->raw);
    free(layout->bn_offset);
    free(layout->forms);
    free(layout->form_of);
    free(layout->units);
    free(layout->tensors);
    free(layout->param_offset);
    *layout = (struct dd_layout){0};
}

uint64_t dd_layout_bytes(const struct dd_layout *layout, const struct dd_net *net) {
    uint64_t bytes = layout->workspace_bytes + 2 * layout->partial_bytes;
    for (int i = 0; i < layout->arenas.count; i++)
        bytes += layout->arenas.bytes[i];
    if (layout->form_count > 0)
        bytes += sizeof(float) * layout->form_floats + dd_weight_table_bytes(layout->form_count);
    const uint64_t sets = layout->options.training ? 3 : 1;
    bytes += sizeof(float) * (sets * layout->param_floats + (DD_BN_WORK_VECTORS + 4) * (uint64_t)layout->bn_floats);
    bytes += sizeof(float) * ((uint64_t)net->channels * net->height * net->width + 6ull * layout->options.batch);
    return bytes;
}
