/* Parameters, gradients, momentum and statistics on the device, and their way to and from the file's order. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/internal.h"

/* ---- buffers and views ---- */

static dd_status view(struct dd_plan *plan, cl_mem parent, size_t offset_floats, size_t floats, cl_mem *out) {
    struct dd_param_store *store = &plan->store;
    DD_TRY(dd_grow(&store->views, &store->view_capacity, (size_t)store->view_count + 1, sizeof *store->views));
    DD_TRY(dd_buffer_view(plan->device, parent, offset_floats * sizeof(float), floats * sizeof(float), out));
    store->views[store->view_count++] = *out;
    return DD_OK;
}

static dd_status create(struct dd_plan *plan, size_t floats, const char *what, cl_mem *out) {
    return dd_buffer_create(plan->device, floats * sizeof(float), what, out);
}

static dd_status create_buffers(struct dd_plan *plan) {
    const struct dd_layout *layout = &plan->layout;
    struct dd_param_store *store = &plan->store;
    DD_TRY(create(plan, layout->param_floats, "parameters", &store->values));
    if (layout->options.training) {
        DD_TRY(create(plan, layout->param_floats, "gradients", &store->gradients));
        DD_TRY(create(plan, layout->param_floats, "momentum", &store->momentum));
    }
    DD_TRY(create(plan, layout->param_floats / (size_t)layout->granule, "owners of the parameters", &store->owner));
    DD_TRY(create(plan, (size_t)plan->net->unit_count, "gates", &store->active));
    DD_TRY(create(plan, 2 * layout->bn_floats, "running statistics", &store->running));
    DD_TRY(create(plan, 2 * layout->bn_floats, "recalibrated statistics", &store->recalibrated));
    return create(plan, DD_BN_WORK_VECTORS * layout->bn_floats, "batch statistics", &store->bn_work);
}

static dd_status bn_views(struct dd_plan *plan, size_t channel, size_t floats, struct dd_bn_views *bn) {
    const struct dd_layout *layout = &plan->layout;
    const struct dd_param_store *store = &plan->store;
    const size_t total = layout->bn_floats;
    DD_TRY(view(plan, store->values, layout->gamma_base + channel, floats, &bn->vectors.gamma));
    DD_TRY(view(plan, store->values, layout->beta_base + channel, floats, &bn->vectors.beta));
    DD_TRY(view(plan, store->running, channel, floats, &bn->vectors.running_mean));
    DD_TRY(view(plan, store->running, total + channel, floats, &bn->vectors.running_var));
    DD_TRY(view(plan, store->recalibrated, channel, floats, &bn->recalibrated_mean));
    DD_TRY(view(plan, store->recalibrated, total + channel, floats, &bn->recalibrated_var));
    cl_mem *work[DD_BN_WORK_VECTORS] = {
        &bn->vectors.mean, &bn->vectors.invstd, &bn->vectors.scale, &bn->vectors.shift, &bn->k1, &bn->k2, &bn->k3};
    for (size_t i = 0; i < DD_BN_WORK_VECTORS; i++)
        DD_TRY(view(plan, store->bn_work, i * total + channel, floats, work[i]));
    if (layout->options.training) {
        DD_TRY(view(plan, store->gradients, layout->gamma_base + channel, floats, &bn->dgamma));
        DD_TRY(view(plan, store->gradients, layout->beta_base + channel, floats, &bn->dbeta));
    }
    return DD_OK;
}

static dd_status weight_views(struct dd_plan *plan) {
    const struct dd_layout *layout = &plan->layout;
    struct dd_param_store *store = &plan->store;
    for (int i = 0; i < layout->convs; i++) {
        const struct dd_conv *conv = &layout->shapes[i];
        const size_t offset = layout->param_offset[layout->layers[i]->weight];
        const size_t floats = dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v);
        DD_TRY(view(plan, store->values, offset, floats, &store->weight[i]));
        if (layout->options.training)
            DD_TRY(view(plan, store->gradients, offset, floats, &store->weight_gradient[i]));
        DD_TRY(bn_views(plan, layout->bn_offset[i], (size_t)dd_shape_padded_c(conv->out), &store->bn[i]));
    }
    const struct dd_net *net = plan->net;
    const size_t w = layout->param_offset[net->fc_weight], b = layout->param_offset[net->fc_bias];
    DD_TRY(view(plan, store->values, w, net->params[net->fc_weight].count, &store->fc_weight));
    DD_TRY(view(plan, store->values, b, net->params[net->fc_bias].count, &store->fc_bias));
    if (layout->options.training) {
        DD_TRY(view(plan, store->gradients, w, net->params[net->fc_weight].count, &store->fc_weight_gradient));
        DD_TRY(view(plan, store->gradients, b, net->params[net->fc_bias].count, &store->fc_bias_gradient));
    }
    return DD_OK;
}

/** All BN layers as one long one, for the inference form. */
static dd_status all_views(struct dd_plan *plan) {
    struct dd_bn_views all = {0};
    DD_TRY(bn_views(plan, 0, plan->layout.bn_floats, &all));
    plan->store.all = all.vectors;
    plan->store.all_recalibrated = all.vectors;
    plan->store.all_recalibrated.running_mean = all.recalibrated_mean;
    plan->store.all_recalibrated.running_var = all.recalibrated_var;
    return DD_OK;
}

/** Which unit's gate decides over each granule of the parameter buffer; -1: always updated. */
static dd_status write_owners(struct dd_plan *plan) {
    const struct dd_layout *layout = &plan->layout;
    const size_t granule = (size_t)layout->granule, granules = layout->param_floats / granule;
    int32_t *owner = dd_calloc(granules, sizeof *owner);
    if (owner == NULL)
        return dd_fail_memory("owners of the parameters", granules * sizeof *owner);
    for (size_t i = 0; i < granules; i++)
        owner[i] = -1;
    for (int i = 0; i < layout->convs; i++) {
        const struct dd_conv *conv = &layout->shapes[i];
        const struct dd_param *weight = &plan->net->params[layout->layers[i]->weight];
        if (!weight->primary)
            continue;
        const size_t starts[3] = {layout->param_offset[layout->layers[i]->weight],
                                  layout->gamma_base + layout->bn_offset[i], layout->beta_base + layout->bn_offset[i]};
        const size_t channels = (size_t)dd_shape_padded_c(conv->out);
        const size_t counts[3] = {dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v),
                                  channels, channels};
        for (int part = 0; part < 3; part++)
            for (size_t g = starts[part] / granule; g * granule < starts[part] + counts[part]; g++)
                owner[g] = weight->unit;
    }
    dd_status status = dd_buffer_write(plan->device, plan->store.owner, 0, granules * sizeof *owner, owner);
    free(owner);
    return status;
}

dd_status dd_store_create(struct dd_plan *plan) {
    struct dd_param_store *store = &plan->store;
    const size_t convs = (size_t)plan->layout.convs;
    store->weight = dd_calloc(convs, sizeof *store->weight);
    store->weight_gradient = dd_calloc(convs, sizeof *store->weight_gradient);
    store->bn = dd_calloc(convs, sizeof *store->bn);
    if (store->weight == NULL || store->weight_gradient == NULL || store->bn == NULL)
        return dd_fail_memory("parameters", convs * sizeof *store->bn);
    DD_TRY(create_buffers(plan));
    DD_TRY(weight_views(plan));
    DD_TRY(all_views(plan));
    return write_owners(plan);
}

void dd_store_destroy(struct dd_plan *plan) {
    struct dd_param_store *store = &plan->store;
    for (int i = store->view_count - 1; i >= 0; i--)
        dd_buffer_release(plan->device, &store->views[i]);
    cl_mem *owners[] = {&store->values, &store->gradients, &store->momentum,     &store->owner,
                        &store->active, &store->running,   &store->recalibrated, &store->bn_work};
    for (size_t i = 0; i < sizeof owners / sizeof *owners; i++)
        dd_buffer_release(plan->device, owners[i]);
    free(store->views);
    free(store->weight);
    free(store->weight_gradient);
    free(store->bn);
    *store = (struct dd_param_store){0};
}

/* ---- to and from the file's order ---- */

/** The buffer that holds the trainable parameters, or the statistics, of `set`, or NULL if there is none. */
static cl_mem set_buffer(const struct dd_plan *plan, bool trainable, enum dd_plan_set set) {
    if (trainable)
        return set == DD_SET_VALUE ? plan->store.values : set == DD_SET_MOMENTUM ? plan->store.momentum : NULL;
    return set == DD_SET_VALUE ? plan->store.running : set == DD_SET_RECALIBRATED ? plan->store.recalibrated : NULL;
}

/** The convolution whose weight parameter index is; -1: none. */
static int conv_of(const struct dd_plan *plan, int index) {
    const struct dd_param *param = &plan->net->params[index];
    if (param->kind != DD_PARAM_CONV)
        return -1;
    for (int i = 0; i < plan->layout.convs; i++)
        if (plan->layout.layers[i]->weight == index)
            return i;
    return -1;
}

/** Copies parameter index between the file's order and a host image of its device buffer. */
static void convert(const struct dd_plan *plan, int index, float *device_image, float *values, bool to_device) {
    float *place = device_image + plan->layout.param_offset[index];
    const int c = conv_of(plan, index);
    if (c >= 0) {
        const struct dd_conv *conv = &plan->layout.shapes[c];
        if (to_device)
            dd_weight_pack(values, conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v, place);
        else
            dd_weight_unpack(place, conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v, values);
        return;
    }
    const size_t bytes = plan->net->params[index].count * sizeof(float);
    memcpy(to_device ? place : values, to_device ? values : place, bytes);
}

static size_t set_floats(const struct dd_plan *plan, bool trainable) {
    return trainable ? plan->layout.param_floats : 2 * plan->layout.bn_floats;
}

/** Moves all parameters of one kind (trainable or statistics) of a set. */
static dd_status transfer(struct dd_plan *plan, enum dd_plan_set set, bool trainable, float *const *values,
                          bool to_device) {
    const struct dd_net *net = plan->net;
    cl_mem buffer = set_buffer(plan, trainable, set);
    if (buffer == NULL)
        return DD_OK;
    const size_t bytes = set_floats(plan, trainable) * sizeof(float);
    float *image = malloc(bytes);
    if (image == NULL)
        return dd_fail_memory("parameters on their way to the device", bytes);
    dd_status status;
    DD_GOTO(status, done, dd_buffer_read(plan->device, buffer, 0, bytes, image));
    for (int i = 0; i < net->param_count; i++)
        if (net->params[i].trainable == trainable && values[i] != NULL)
            convert(plan, i, image, values[i], to_device);
    if (to_device)
        status = dd_buffer_write(plan->device, buffer, 0, bytes, image);
done:
    free(image);
    return status;
}

dd_status dd_plan_upload(dd_plan *plan, enum dd_plan_set set, float *const *values) {
    plan->forms_current = false;
    DD_TRY(transfer(plan, set, true, values, true));
    return transfer(plan, set, false, values, true);
}

dd_status dd_plan_download(dd_plan *plan, enum dd_plan_set set, float *const *values) {
    DD_TRY(transfer(plan, set, true, values, false));
    return transfer(plan, set, false, values, false);
}
