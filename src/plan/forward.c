/*
 * Forward launches. What is kept of a unit is each convolution's raw output and the unit's output; batch norm and ReLU
 * between convolutions are the next convolution's prologue.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "ops/join.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/pool.h"
#include "plan/internal.h"

/** Moves the statistics: training by 0.1 as PyTorch, recalibration as a plain average of its batches. */
static void statistics_rule(const struct dd_plan *plan, enum dd_pass_mode mode, int bn, struct dd_bn_vectors *vectors,
                            float *keep, float *gain) {
    *vectors = plan->store.bn[bn].vectors;
    *keep = 0.9f;
    *gain = 0.1f;
    if (mode == DD_PASS_RECALIBRATE) {
        vectors->running_mean = plan->store.bn[bn].recalibrated_mean;
        vectors->running_var = plan->store.bn[bn].recalibrated_var;
        *keep = 1.0f;
        *gain = 1.0f / (float)plan->layout.options.recalibrate;
    }
}

static struct dd_conv_forward_args forward_args(const struct dd_plan *plan, int conv, int n, enum dd_pass_mode mode,
                                                cl_mem x, struct dd_affine prologue) {
    struct dd_conv_forward_args args = {.x = x,
                                        .prologue = prologue,
                                        .w = plan->store.weight[conv],
                                        .form = dd_form(plan, conv, DD_CONV_FORWARD),
                                        .y = dd_raw(plan, conv),
                                        .workspace = plan->workspace};
    if (mode == DD_PASS_TRAIN || mode == DD_PASS_RECALIBRATE) {
        const struct dd_conv shape = dd_conv_at(&plan->layout, conv, n);
        struct dd_conv_needs needs = {0};
        plan->choice.algorithm[conv][DD_CONV_FORWARD]->needs(&plan->device->info, &shape, DD_CONV_FORWARD, &needs);
        args.stats = (struct dd_partials){.sums = plan->partials, .slices = needs.slices};
    }
    return args;
}

/** The merge of what convolution conv has left in partials. */
static struct dd_forward_layer layer_of(const struct dd_plan *plan, int conv, enum dd_pass_mode mode,
                                        struct dd_partials partials) {
    struct dd_forward_layer layer = {.shape = plan->layout.shapes[conv].out, .partials = partials};
    statistics_rule(plan, mode, conv, &layer.vectors, &layer.keep, &layer.gain);
    return layer;
}

/** Scale and shift of convolution conv's batch norm, unless they come from the running statistics. */
static dd_status add_finish(struct dd_plan *plan, int conv, enum dd_pass_mode mode, struct dd_partials partials,
                            struct dd_launches *list) {
    if (partials.sums == NULL)
        return DD_OK;
    const struct dd_forward_layer layer = layer_of(plan, conv, mode, partials);
    return dd_finish_forward(plan->device, &layer, 1, 1.0f, list);
}

/** The shortcut's convolution alone, cut as it is beside the first one where that takes it along (dd_unit_pairs):
 * whether a gate is on then makes no difference to a bit of it. */
static dd_status add_shortcut(struct dd_plan *plan, int u, int n, enum dd_pass_mode mode, struct dd_conv_source input,
                              struct dd_launches *list) {
    const struct dd_unit *unit = &plan->net->units[u];
    const int first = unit->primary[0].bn, side = unit->shortcut.bn;
    const struct dd_conv beside = dd_conv_at(&plan->layout, first, n), shape = dd_conv_at(&plan->layout, side, n);
    struct dd_conv_forward_args args = forward_args(plan, side, n, mode, input.x, input.prologue);
    if (args.stats.sums != NULL && dd_unit_pairs(plan, u, DD_CONV_FORWARD)) {
        plan->choice.algorithm[first][DD_CONV_FORWARD]->forward_cut(&plan->device->info, &beside, &args.cut);
        args.stats.slices = args.cut.slices;
    }
    DD_TRY(plan->choice.algorithm[side][DD_CONV_FORWARD]->forward(plan->device, &shape, &args, list));
    return add_finish(plan, side, mode, args.stats, list);
}

/** Convolution `conv` of x and its batch norm's finish. */
static dd_status add_conv(struct dd_plan *plan, int conv, int n, enum dd_pass_mode mode, cl_mem x,
                          struct dd_affine prologue, struct dd_launches *list) {
    const struct dd_conv shape = dd_conv_at(&plan->layout, conv, n);
    const struct dd_conv_forward_args args = forward_args(plan, conv, n, mode, x, prologue);
    DD_TRY(plan->choice.algorithm[conv][DD_CONV_FORWARD]->forward(plan->device, &shape, &args, list));
    return add_finish(plan, conv, mode, args.stats, list);
}

/** The same for a unit's first convolution and its shortcut's in one kernel. */
static dd_status add_conv_pair(struct dd_plan *plan, const struct dd_unit *unit, int n, enum dd_pass_mode mode,
                               struct dd_conv_source input, struct dd_launches *list) {
    const int conv = unit->primary[0].bn, side = unit->shortcut.bn;
    const struct dd_conv shape = dd_conv_at(&plan->layout, conv, n);
    const struct dd_conv_forward_args args = forward_args(plan, conv, n, mode, input.x, input.prologue);
    struct dd_conv_forward_args side_args = forward_args(plan, side, n, mode, input.x, input.prologue);
    side_args.stats = args.stats;
    if (args.stats.sums != NULL)
        side_args.stats.sums = plan->side_partials;
    DD_TRY(plan->choice.algorithm[conv][DD_CONV_FORWARD]->forward_with(plan->device, &shape, &args, &side_args, list));
    if (args.stats.sums == NULL)
        return DD_OK;
    const struct dd_forward_layer layers[] = {layer_of(plan, conv, mode, args.stats),
                                              layer_of(plan, side, mode, side_args.stats)};
    return dd_finish_forward(plan->device, layers, 2, 1.0f, list);
}

static dd_status build_stem(struct dd_plan *plan, int n, enum dd_pass_mode mode, struct dd_launches *list) {
    const struct dd_net *net = plan->net;
    DD_TRY(add_conv(plan, 0, n, mode, plan->tensors[plan->layout.images], (struct dd_affine){0}, list));
    const struct dd_shape raw = dd_conv_at(&plan->layout, 0, n).out;
    cl_mem body = plan->tensors[plan->layout.body];
    if (net->imagenet) {
        struct dd_shape pooled = raw;
        pooled.h = net->body_h;
        pooled.w = net->body_w;
        return dd_maxpool_forward(plan->device, raw, pooled, net->pool_kernel, net->pool_stride, net->pool_pad,
                                  dd_raw(plan, 0), dd_bn_affine(plan, 0, true), body,
                                  plan->tensors[plan->layout.pooled_winner], list);
    }
    struct dd_join join = {.out = raw, .main = dd_raw(plan, 0), .main_affine = dd_bn_affine(plan, 0, false)};
    return dd_join_forward(plan->device, &join, body, list);
}

/** o = ReLU(a f + t): `gate` says whether f is there at all. */
static dd_status add_join(struct dd_plan *plan, int u, int n, bool gate, struct dd_launches *list) {
    const struct dd_unit *unit = &plan->net->units[u];
    const int last = unit->primary[unit->convs - 1].bn;
    struct dd_join join = {.out = dd_conv_at(&plan->layout, last, n).out};
    if (gate) {
        join.main = dd_raw(plan, last);
        join.main_affine = dd_bn_affine(plan, last, false);
    }
    switch (unit->shortcut_op) {
    case DD_SHORTCUT_OP_NONE:
        join.kind = DD_JOIN_IDENTITY;
        join.x = dd_unit_input(plan, u);
        break;
    case DD_SHORTCUT_OP_SUBSAMPLE:
        join.kind = DD_JOIN_SUBSAMPLE;
        join.x = dd_unit_input(plan, u);
        join.x_shape = (struct dd_shape){n, unit->in_c, unit->in_h, unit->in_w, plan->layout.v};
        join.stride = unit->stride;
        break;
    case DD_SHORTCUT_OP_CONV_BN:
    case DD_SHORTCUT_OP_CONV_BN_RELU:
        join.kind = DD_JOIN_AFFINE;
        join.x = dd_raw(plan, unit->shortcut.bn);
        join.shortcut = dd_bn_affine(plan, unit->shortcut.bn, unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN_RELU);
        break;
    }
    return dd_join_forward(plan->device, &join, plan->tensors[plan->layout.units[u].output], list);
}

static dd_status build_unit(struct dd_plan *plan, int u, int n, enum dd_pass_mode mode, bool gate,
                            enum dd_unit_read read, struct dd_unit_lists *lists) {
    const struct dd_unit *unit = &plan->net->units[u];
    const struct dd_conv_source input = dd_unit_source(plan, u, read);
    struct dd_launches *list = &lists->at[gate][read];
    const bool pair = gate && dd_unit_pairs(plan, u, DD_CONV_FORWARD);
    cl_mem x = input.x;
    struct dd_affine prologue = input.prologue;
    for (int j = 0; gate && j < unit->convs; j++) {
        const int conv = unit->primary[j].bn;
        if (j == 0 && pair)
            DD_TRY(add_conv_pair(plan, unit, n, mode, input, list));
        else
            DD_TRY(add_conv(plan, conv, n, mode, x, prologue, list));
        x = dd_raw(plan, conv);
        prologue = dd_bn_affine(plan, conv, true);
        lists->gate_launch = list->count - 1; /* the same in all lists that have one */
        if (j == 0 && mode == DD_PASS_TRAIN && plan->layout.units[u].dropped >= 0) {
            DD_TRY(dd_plan_drop_unit(plan, u, list));
            x = plan->tensors[plan->layout.units[u].dropped];
            prologue = (struct dd_affine){0};
        }
    }
    if (dd_has_shortcut_conv(unit) && !pair)
        DD_TRY(add_shortcut(plan, u, n, mode, input, list));
    return gate || !dd_unit_leaves_raw(plan->net, u) ? add_join(plan, u, n, gate, list) : DD_OK;
}

/** The lists of one unit: in training for both gates and every input, else for gates on. */
static dd_status build_lists(struct dd_plan *plan, int u, int n, enum dd_pass_mode mode, struct dd_unit_lists *lists) {
    const bool training = mode == DD_PASS_TRAIN;
    const int reads = training && dd_unit_leaves_raw(plan->net, u - 1) ? DD_UNIT_READS : 1;
    for (int gate = training ? 0 : 1; gate < 2; gate++)
        for (int read = 0; read < reads; read++)
            DD_TRY(build_unit(plan, u, n, mode, gate, (enum dd_unit_read)read, lists));
    return DD_OK;
}

static dd_status build_head(struct dd_plan *plan, int n, enum dd_pass_mode mode, struct dd_launches *list) {
    const struct dd_net *net = plan->net;
    const struct dd_layout *layout = &plan->layout;
    if (mode == DD_PASS_RECALIBRATE)
        return DD_OK; /* only the statistics are wanted */
    struct dd_shape shape = {n, net->features, net->feature_h, net->feature_w, layout->v};
    cl_mem features = plan->tensors[layout->features], logits = plan->tensors[layout->logits];
    DD_TRY(dd_gap_forward(plan->device, shape, dd_unit_input(plan, net->unit_count), features, list));
    if (mode == DD_PASS_TRAIN)
        DD_TRY(dd_plan_drop_features(plan, list));
    struct dd_linear linear = {.classes = net->classes, .features = net->features, .n = n};
    DD_TRY(dd_linear_forward(plan->device, &linear, features, plan->store.fc_weight, plan->store.fc_bias, logits,
                             plan->workspace, list));
    struct dd_loss loss = {.classes = net->classes,
                           .n = n,
                           .logits = logits,
                           .labels = plan->labels,
                           .dlogits = mode == DD_PASS_TRAIN ? plan->tensors[layout->logit_gradient] : NULL,
                           .sample_loss = plan->sample_loss,
                           .sample_rank = plan->sample_rank,
                           .metrics = plan->metrics};
    return dd_loss_add(plan->device, &loss, list);
}

dd_status dd_forward_build(struct dd_plan *plan, int n, enum dd_pass_mode mode, struct dd_forward_pass *pass) {
    pass->n = n;
    pass->units = dd_calloc((size_t)plan->net->unit_count, sizeof *pass->units);
    if (pass->units == NULL)
        return dd_fail_memory("forward launches", (size_t)plan->net->unit_count * sizeof *pass->units);
    DD_TRY(build_stem(plan, n, mode, &pass->stem));
    for (int u = 0; u < plan->net->unit_count; u++)
        DD_TRY(build_lists(plan, u, n, mode, &pass->units[u]));
    return build_head(plan, n, mode, &pass->head);
}

void dd_unit_lists_clear(struct dd_unit_lists *lists) {
    for (int gate = 0; gate < 2; gate++)
        for (int source = 0; source < DD_UNIT_READS; source++)
            dd_launches_clear(&lists->at[gate][source]);
}

void dd_forward_free(struct dd_plan *plan, struct dd_forward_pass *pass) {
    dd_launches_clear(&pass->stem);
    dd_launches_clear(&pass->head);
    for (int u = 0; pass->units != NULL && u < plan->net->unit_count; u++)
        dd_unit_lists_clear(&pass->units[u]);
    free(pass->units);
    *pass = (struct dd_forward_pass){0};
}
