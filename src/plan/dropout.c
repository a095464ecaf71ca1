/*
 * Width dropout in a plan (training alone): before the last layer in place, and behind a unit's first ReLU into a
 * tensor of its own, which the next convolution then reads without a prologue. Its launches take the iteration anew in
 * every step; they are listed for that.
 */
#include "ops/dropout.h"

#include "base/mem.h"
#include "plan/internal.h"

/** Notes the list's last launch: its iteration is set by dd_plan_drop_at. list must stay where it is. */
static dd_status note(struct dd_plan *plan, struct dd_launches *list) {
    DD_TRY(dd_grow(&plan->drops, &plan->drop_capacity, (size_t)plan->drop_count + 1, sizeof *plan->drops));
    plan->drops[plan->drop_count++] = (struct dd_drop){.list = list, .launch = list->count - 1};
    return DD_OK;
}

static struct dd_dropout unit_dropout(const struct dd_plan *plan, int u) {
    const int conv = plan->net->units[u].primary[0].bn;
    return (struct dd_dropout){.shape = plan->layout.shapes[conv].out,
                               .seed = plan->layout.options.dropout_seed,
                               .unit = u,
                               .ratio = plan->layout.options.unit_dropout,
                               .affine = dd_bn_affine(plan, conv, true)};
}

/** The pooled features [C][N], counted as unit number `units`. */
static struct dd_dropout head_dropout(const struct dd_plan *plan) {
    return (struct dd_dropout){.shape = {plan->layout.options.batch, plan->net->features, 1, 1, 1},
                               .seed = plan->layout.options.dropout_seed,
                               .unit = plan->net->unit_count,
                               .ratio = plan->layout.options.dropout};
}

dd_status dd_plan_drop_unit(struct dd_plan *plan, int u, struct dd_launches *list) {
    const struct dd_dropout dropout = unit_dropout(plan, u);
    DD_TRY(dd_dropout_forward(plan->device, &dropout, dd_raw(plan, plan->net->units[u].primary[0].bn),
                              plan->tensors[plan->layout.units[u].dropped], list));
    return note(plan, list);
}

dd_status dd_plan_drop_unit_backward(struct dd_plan *plan, int u, cl_mem g, struct dd_partials *sums,
                                     struct dd_launches *list) {
    const struct dd_dropout dropout = unit_dropout(plan, u);
    const int conv = plan->net->units[u].primary[0].bn;
    const struct dd_gradient gradient = {.g = g, .z = dd_raw(plan, conv)};
    DD_TRY(dd_dropout_backward(plan->device, &dropout, gradient.z, g, list));
    DD_TRY(note(plan, list));
    *sums = (struct dd_partials){.sums = plan->partials, .slices = dd_bn_slices(&plan->device->info, dropout.shape)};
    return dd_bn_backward_partials(plan->device, dropout.shape, &gradient, plan->store.bn[conv].vectors.mean, *sums,
                                   list);
}

dd_status dd_plan_drop_features(struct dd_plan *plan, struct dd_launches *list) {
    const struct dd_dropout dropout = head_dropout(plan);
    cl_mem features = plan->tensors[plan->layout.features];
    if (dropout.ratio == 0)
        return DD_OK;
    DD_TRY(dd_dropout_forward(plan->device, &dropout, features, features, list));
    return note(plan, list);
}

dd_status dd_plan_drop_features_backward(struct dd_plan *plan, struct dd_launches *list) {
    const struct dd_dropout dropout = head_dropout(plan);
    if (dropout.ratio == 0)
        return DD_OK;
    DD_TRY(dd_dropout_backward(plan->device, &dropout, plan->tensors[plan->layout.features],
                               plan->tensors[plan->layout.feature_gradient], list));
    return note(plan, list);
}

dd_status dd_plan_drop_at(struct dd_plan *plan, uint64_t iteration) {
    for (int i = 0; i < plan->drop_count; i++)
        DD_TRY(dd_launch_set(plan->device, &plan->drops[i].list->at[plan->drops[i].launch], DD_DROPOUT_ITERATION_ARG,
                             DD_INT((uint32_t)iteration)));
    return DD_OK;
}
