/*
 * Backward launches, in the reverse of forward.c's order. Whoever writes last to the gradient by a unit's output masks
 * it, so that it is the gradient behind the unit's ReLU; a shortcut that keeps the shape passes it on in place and the
 * primary path adds to it.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "ops/join.h"
#include "ops/linear.h"
#include "ops/pool.h"
#include "ops/sgd.h"
#include "plan/internal.h"

/** The gradient at convolution conv's raw output, given g behind its batch norm (and ReLU if relu). */
static struct dd_gradient raw_gradient(const struct dd_plan *plan, int conv, cl_mem g, bool relu) {
    const struct dd_bn_views *bn = &plan->store.bn[conv];
    struct dd_gradient gradient = {.g = g, .z = dd_raw(plan, conv), .k1 = bn->k1, .k2 = bn->k2, .k3 = bn->k3};
    if (relu)
        gradient.relu = dd_bn_affine(plan, conv, true);
    return gradient;
}

/** Has the batch norm of convolution conv merged from partial sums. */
static void want_layer(const struct dd_plan *plan, int conv, struct dd_partials partials,
                       struct dd_backward_finish *finish) {
    const struct dd_bn_views *bn = &plan->store.bn[conv];
    finish->layers[finish->layer_count++] = (struct dd_backward_layer){.shape = plan->layout.shapes[conv].out,
                                                                       .partials = partials,
                                                                       .gamma = bn->vectors.gamma,
                                                                       .mean = bn->vectors.mean,
                                                                       .invstd = bn->vectors.invstd,
                                                                       .dgamma = bn->dgamma,
                                                                       .dbeta = bn->dbeta,
                                                                       .k1 = bn->k1,
                                                                       .k2 = bn->k2,
                                                                       .k3 = bn->k3};
}

/** What a join's backward reduces for the batch norm of convolution conv. */
static struct dd_join_sums join_sums(const struct dd_plan *plan, int conv, bool relu, cl_mem sums) {
    struct dd_join_sums wanted = {.z = dd_raw(plan, conv), .mean = plan->store.bn[conv].vectors.mean};
    if (relu)
        wanted.relu = dd_bn_affine(plan, conv, true);
    wanted.partials =
        (struct dd_partials){.sums = sums, .slices = dd_bn_slices(&plan->device->info, plan->layout.shapes[conv].out)};
    return wanted;
}

/* What backward of a convolution reads and writes beside its own raw output. */
struct conv_input {
    struct dd_conv_source from; /* as the forward pass read it */
    cl_mem dx;                  /* NULL: not wanted (the images) */
    bool accumulate;
    bool spaced; /* as in dd_conv_backward_data_args */
    bool last;   /* nobody adds to dx afterwards: it is masked, and reduced for the BN before if there is one */
};

/* Arguments of both gradients of a convolution. */
struct conv_backward {
    struct dd_conv_backward_data_args data;
    struct dd_conv_backward_weights_args weights;
    bool both; /* by one function of one algorithm */
};

static struct conv_backward backward_args(const struct dd_plan *plan, int conv, struct dd_gradient dz,
                                          const struct conv_input *input) {
    const struct dd_conv *shape = &plan->layout.shapes[conv];
    const struct dd_conv_algorithm *data_by = plan->choice.algorithm[conv][DD_CONV_BACKWARD_DATA],
                                   *weights_by = plan->choice.algorithm[conv][DD_CONV_BACKWARD_WEIGHTS];
    const struct dd_conv_source *from = &input->from;
    struct conv_backward args = {.weights = {.x = from->x,
                                             .prologue = from->prologue,
                                             .dz = dz,
                                             .dw = plan->store.weight_gradient[conv],
                                             .workspace = plan->workspace}};
    if (input->dx == NULL)
        return args;
    args.data = (struct dd_conv_backward_data_args){.dz = dz,
                                                    .w = plan->store.weight[conv],
                                                    .form = dd_form(plan, conv, DD_CONV_BACKWARD_DATA),
                                                    .dx = input->dx,
                                                    .accumulate = input->accumulate,
                                                    .spaced = input->spaced,
                                                    .workspace = plan->workspace};
    args.both = data_by == weights_by && data_by->backward != NULL;
    if (input->last && from->bn < 0)
        args.data.keep = from->x;
    if (input->last && from->bn >= 0) {
        struct dd_conv_needs needs = {0};
        data_by->needs(&plan->device->info, shape, DD_CONV_BACKWARD_DATA, &needs);
        args.data.mask_z = from->x;
        args.data.mask = from->prologue;
        args.data.sums =
            (struct dd_partials){.sums = plan->partials, .slices = args.both ? needs.both_slices : needs.slices};
        args.data.mean = plan->store.bn[from->bn].vectors.mean;
    }
    return args;
}

/** Weight gradient and data gradient of convolution conv from dz; what they, and the BN before it if that is due, leave
 * to be merged goes to finish. */
static dd_status add_gradients(struct dd_plan *plan, int conv, struct dd_gradient dz, const struct conv_input *input,
                               struct dd_backward_finish *finish, struct dd_launches *list) {
    const struct dd_conv *shape = &plan->layout.shapes[conv];
    const struct dd_conv_algorithm *data_by = plan->choice.algorithm[conv][DD_CONV_BACKWARD_DATA],
                                   *weights_by = plan->choice.algorithm[conv][DD_CONV_BACKWARD_WEIGHTS];
    struct conv_backward args = backward_args(plan, conv, dz, input);
    if (args.both) {
        args.weights.finish = finish;
        DD_TRY(data_by->backward(plan->device, shape, &args.data, &args.weights, list));
    } else { /* nothing is left in the workspace, which the other algorithm uses as it likes */
        DD_TRY(weights_by->backward_weights(plan->device, shape, &args.weights, list));
        if (input->dx != NULL)
            DD_TRY(data_by->backward_data(plan->device, shape, &args.data, list));
    }
    if (args.data.mask_z != NULL)
        want_layer(plan, input->from.bn, args.data.sums, finish);
    return DD_OK;
}

/** The same with the merges. */
static dd_status add_conv_backward(struct dd_plan *plan, int conv, struct dd_gradient dz,
                                   const struct conv_input *input, struct dd_launches *list) {
    struct dd_backward_finish finish = {.sum_count = 0};
    DD_TRY(add_gradients(plan, conv, dz, input, &finish, list));
    return dd_finish_backward(plan->device, &finish, 1.0f, list);
}

/* A unit's backward at work. */
struct unit_backward {
    int u;
    bool gate;
    bool spaced; /* the shortcut writes only the pixels that it has read, and the primary path counts on no others */
    struct dd_conv_source input;
    cl_mem g, dx; /* gradient behind the unit's ReLU; by its input */
    struct dd_launches *list;
};

/** The gradient at the raw output of the shortcut's convolution. A ReLU of its own masks where the gate is on; where it
 * is off, it is the unit's, and g is masked. */
static struct dd_gradient shortcut_gradient(const struct dd_plan *plan, const struct unit_backward *b) {
    const struct dd_unit *unit = &plan->net->units[b->u];
    return raw_gradient(plan, unit->shortcut.bn, b->g, b->gate && unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN_RELU);
}

/** g -> the shortcut's part of the gradient by the unit's input, whole unless spaced, in place where dx is g. */
static dd_status add_shortcut(struct dd_plan *plan, const struct unit_backward *b) {
    const struct dd_unit *unit = &plan->net->units[b->u];
    const int n = plan->layout.options.batch, v = plan->layout.v;
    if (unit->shortcut_op == DD_SHORTCUT_OP_NONE)
        return DD_OK; /* g itself, masked already: o is positive where x is */
    if (unit->shortcut_op == DD_SHORTCUT_OP_SUBSAMPLE)
        return dd_join_expand(plan->device, (struct dd_shape){n, unit->in_c, unit->in_h, unit->in_w, v},
                              (struct dd_shape){n, unit->out_c, unit->out_h, unit->out_w, v}, unit->stride, b->g,
                              b->gate ? NULL : b->input.x, b->spaced, b->dx, b->list);
    const struct conv_input input = {.from = b->input, .dx = b->dx, .spaced = b->spaced, .last = !b->gate};
    return add_conv_backward(plan, unit->shortcut.bn, shortcut_gradient(plan, b), &input, b->list);
}

/** Behind width dropout the second convolution read a tensor of its own: its gradient goes back through the dropout. */
static dd_status add_dropped(struct dd_plan *plan, const struct unit_backward *b, cl_mem g) {
    const struct dd_unit *unit = &plan->net->units[b->u];
    const struct conv_input input = {.from = {.x = plan->tensors[plan->layout.units[b->u].dropped], .bn = -1},
                                     .dx = plan->tensors[plan->layout.units[b->u].inner[1]]};
    struct dd_backward_finish finish = {.sum_count = 0};
    struct dd_partials sums;
    const int conv = unit->primary[1].bn;
    DD_TRY(add_gradients(plan, conv, raw_gradient(plan, conv, g, false), &input, &finish, b->list));
    DD_TRY(dd_plan_drop_unit_backward(plan, b->u, input.dx, &sums, b->list));
    want_layer(plan, unit->primary[0].bn, sums, &finish);
    return dd_finish_backward(plan->device, &finish, 1.0f, b->list);
}

/** Primary convolution j: adds to dx if it is the first, else writes the gradient before it. *g: the gradient behind
 * its batch norm, whose finish is queued; then the one before it. */
static dd_status add_primary(struct dd_plan *plan, const struct unit_backward *b, int j, cl_mem *g) {
    const struct dd_unit *unit = &plan->net->units[b->u];
    const int conv = unit->primary[j].bn, before = j > 0 ? unit->primary[j - 1].bn : -1;
    struct conv_input input = {.from = b->input, .dx = b->dx, .accumulate = true, .spaced = b->spaced, .last = true};
    if (j > 0)
        input = (struct conv_input){
            .from = {.x = dd_raw(plan, before), .prologue = dd_bn_affine(plan, before, true), .bn = before},
            .dx = plan->tensors[plan->layout.units[b->u].inner[j]],
            .last = true};
    if (j == 1 && plan->layout.units[b->u].dropped >= 0)
        DD_TRY(add_dropped(plan, b, *g));
    else
        DD_TRY(add_conv_backward(plan, conv, raw_gradient(plan, conv, *g, false), &input, b->list));
    *g = input.dx;
    return DD_OK;
}

/** The shortcut, in place, and the first primary convolution in one kernel; g: behind the latter's batch norm. */
static dd_status add_pair(struct dd_plan *plan, const struct unit_backward *b, cl_mem g) {
    const struct dd_unit *unit = &plan->net->units[b->u];
    const int conv = unit->primary[0].bn, side = unit->shortcut.bn;
    const struct conv_input input = {.from = b->input, .dx = b->dx, .accumulate = true, .last = true},
                            side_input = {.from = b->input, .dx = b->dx};
    struct dd_backward_finish finish = {.sum_count = 0};
    struct conv_backward args = backward_args(plan, conv, raw_gradient(plan, conv, g, false), &input),
                         side_args = backward_args(plan, side, shortcut_gradient(plan, b), &side_input);
    args.weights.finish = side_args.weights.finish = &finish;
    DD_TRY(plan->choice.algorithm[conv][DD_CONV_BACKWARD_DATA]->backward_with(
        plan->device, &plan->layout.shapes[conv], &args.data, &args.weights, &side_args.data, &side_args.weights,
        b->list));
    if (args.data.mask_z != NULL)
        want_layer(plan, b->input.bn, args.data.sums, &finish);
    return dd_finish_backward(plan->device, &finish, 1.0f, b->list);
}

/** The reductions of the unit's join and the finishes of the batch norms that end in it; none are left to do where the
 * unit's output was its reader's prologue. */
static dd_status add_join(struct dd_plan *plan, const struct unit_backward *b, int *gate_launch) {
    const struct dd_unit *unit = &plan->net->units[b->u];
    const int last = unit->primary[unit->convs - 1].bn;
    struct dd_backward_finish finish = {.sum_count = 0};
    struct dd_join_sums main = {0}, side = {0};
    if (b->gate)
        main = join_sums(plan, last, false, plan->partials);
    if (dd_has_shortcut_conv(unit) && (b->gate || !dd_unit_leaves_raw(plan->net, b->u)))
        side =
            join_sums(plan, unit->shortcut.bn, unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN_RELU, plan->side_partials);
    if (main.z != NULL || side.z != NULL)
        DD_TRY(dd_join_backward(plan->device, plan->layout.shapes[last].out, b->g, &main, &side, b->list));
    if (main.z != NULL)
        want_layer(plan, last, main.partials, &finish);
    if (side.z != NULL)
        want_layer(plan, unit->shortcut.bn, side.partials, &finish);
    DD_TRY(dd_finish_backward(plan->device, &finish, 1.0f, b->list));
    if (b->gate)
        *gate_launch = b->list->count - 1;
    return DD_OK;
}

/** Whether unit u's first primary convolution has its stride, and an algorithm that adds to every stride-th pixel. */
static bool adds_spaced(const struct dd_plan *plan, int u) {
    const struct dd_unit *unit = &plan->net->units[u];
    const int first = unit->primary[0].bn;
    return unit->stride > 1 && plan->layout.shapes[first].stride == unit->stride &&
           plan->choice.algorithm[first][DD_CONV_BACKWARD_DATA]->spaced;
}

/** The first primary convolution comes last, behind the shortcut: it adds to and masks what the shortcut wrote, which
 * may lie in g's place. */
static dd_status build_unit(struct dd_plan *plan, int u, bool gate, enum dd_unit_read read,
                            struct dd_unit_lists *lists) {
    const struct dd_layout *layout = &plan->layout;
    const int go = u + 1 < plan->net->unit_count ? layout->units[u + 1].gradient : layout->last_gradient;
    const struct unit_backward b = {.u = u,
                                    .gate = gate,
                                    .spaced = gate && adds_spaced(plan, u),
                                    .input = dd_unit_source(plan, u, read),
                                    .g = plan->tensors[go],
                                    .dx = plan->tensors[layout->units[u].gradient],
                                    .list = &lists->at[gate][read]};
    cl_mem inner = b.g;
    DD_TRY(add_join(plan, &b, &lists->gate_launch));
    for (int j = plan->net->units[u].convs - 1; gate && j > 0; j--)
        DD_TRY(add_primary(plan, &b, j, &inner));
    if (gate && b.dx == b.g && dd_unit_pairs(plan, u, DD_CONV_BACKWARD_DATA))
        return add_pair(plan, &b, inner);
    DD_TRY(add_shortcut(plan, &b));
    return gate ? add_primary(plan, &b, 0, &inner) : DD_OK;
}

static dd_status build_lists(struct dd_plan *plan, int u, struct dd_unit_lists *lists) {
    const int reads = dd_unit_leaves_raw(plan->net, u - 1) ? DD_UNIT_READS : 1;
    for (int gate = 0; gate < 2; gate++)
        for (int read = 0; read < reads; read++)
            DD_TRY(build_unit(plan, u, gate, (enum dd_unit_read)read, lists));
    return DD_OK;
}

static dd_status build_head(struct dd_plan *plan, struct dd_launches *list) {
    const struct dd_net *net = plan->net;
    const struct dd_layout *layout = &plan->layout;
    const struct dd_linear linear = {.classes = net->classes, .features = net->features, .n = layout->options.batch};
    DD_TRY(dd_linear_backward(plan->device, &linear, plan->tensors[layout->features], plan->store.fc_weight,
                              plan->tensors[layout->logit_gradient], plan->tensors[layout->feature_gradient],
                              plan->store.fc_weight_gradient, plan->store.fc_bias_gradient, plan->workspace, list));
    DD_TRY(dd_plan_drop_features_backward(plan, list));
    const struct dd_shape shape = {layout->options.batch, net->features, net->feature_h, net->feature_w, layout->v};
    return dd_gap_backward(plan->device, shape, plan->tensors[layout->feature_gradient],
                           dd_unit_input(plan, net->unit_count), plan->tensors[layout->last_gradient], list);
}

static dd_status build_stem(struct dd_plan *plan, struct dd_launches *list) {
    const struct dd_net *net = plan->net;
    const struct dd_layout *layout = &plan->layout;
    const struct dd_shape raw = layout->shapes[0].out;
    cl_mem g = plan->tensors[layout->units[0].gradient];
    if (net->imagenet) {
        struct dd_shape pooled = raw;
        pooled.h = net->body_h;
        pooled.w = net->body_w;
        cl_mem spread = plan->tensors[layout->stem_gradient];
        DD_TRY(dd_maxpool_backward(plan->device, raw, pooled, net->pool_kernel, net->pool_stride, net->pool_pad, g,
                                   plan->tensors[layout->pooled_winner], spread, list));
        g = spread; /* masked as g was: a window's maximum is positive where its winner is */
    }
    const struct dd_join_sums sums = join_sums(plan, 0, false, plan->partials);
    DD_TRY(dd_join_backward(plan->device, raw, g, &sums, &(struct dd_join_sums){0}, list));
    struct dd_backward_finish finish = {.sum_count = 0};
    want_layer(plan, 0, sums.partials, &finish);
    DD_TRY(dd_finish_backward(plan->device, &finish, 1.0f, list));
    const struct conv_input input = {.from = {.x = plan->tensors[layout->images], .bn = -1}};
    return add_conv_backward(plan, 0, raw_gradient(plan, 0, g, false), &input, list);
}

static dd_status build_update(struct dd_plan *plan, struct dd_launches *list) {
    const struct dd_layout *layout = &plan->layout;
    const struct dd_sgd sgd = {.granules = (int)(layout->param_floats / (size_t)layout->granule),
                               .granule = layout->granule,
                               .w = plan->store.values,
                               .m = plan->store.momentum,
                               .g = plan->store.gradients,
                               .owner = plan->store.owner,
                               .active = plan->store.active,
                               .momentum = layout->options.momentum,
                               .weight_decay = layout->options.weight_decay};
    return dd_sgd_add(plan->device, &sgd, list);
}

dd_status dd_backward_build(struct dd_plan *plan) {
    plan->backward_units = dd_calloc((size_t)plan->net->unit_count, sizeof *plan->backward_units);
    if (plan->backward_units == NULL)
        return dd_fail_memory("backward launches", (size_t)plan->net->unit_count * sizeof *plan->backward_units);
    DD_TRY(build_head(plan, &plan->backward_head));
    for (int u = 0; u < plan->net->unit_count; u++)
        DD_TRY(build_lists(plan, u, &plan->backward_units[u]));
    DD_TRY(build_stem(plan, &plan->backward_stem));
    return build_update(plan, &plan->update);
}

void dd_backward_free(struct dd_plan *plan) {
    dd_launches_clear(&plan->backward_head);
    dd_launches_clear(&plan->backward_stem);
    dd_launches_clear(&plan->update);
    for (int u = 0; plan->backward_units != NULL && u < plan->net->unit_count; u++)
        dd_unit_lists_clear(&plan->backward_units[u]);
    free(plan->backward_units);
    plan->backward_units = NULL;
}
