/*
 * The file of --init: weights to start from, of depthdrop or under torchvision's names. What the network has and the
 * file has not keeps its usual initial value; what the file has and the network has not is named and left out.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "train/run.h"

enum { NAMES_TOLD = 4 };

/** Ends name with the suffix? */
static bool ends_with(const char *name, const char *suffix) {
    const size_t length = strlen(name), end = strlen(suffix);
    return length >= end && strcmp(name + length - end, suffix) == 0;
}

/** Tensors that belong to a state of training, or to the data, and not to the network. */
static bool passed_over(const char *name) {
    return strncmp(name, "optimizer.", 10) == 0 || strcmp(name, "input.mean") == 0 || strcmp(name, "input.std") == 0 ||
           ends_with(name, ".num_batches_tracked");
}

static bool is_last_layer(const struct dd_param *param) {
    return param->kind == DD_PARAM_FC_WEIGHT || param->kind == DD_PARAM_FC_BIAS;
}

/** Weight and bias of a last layer for other classes are both left out. */
static bool last_layer_fits(const struct dd_run *run) {
    const struct dd_st_tensor *weight = dd_st_find(&run->initial, "fc.weight"),
                              *bias = dd_st_find(&run->initial, "fc.bias");
    return (weight == NULL || dd_model_tensor_fits(weight, &run->net->params[run->net->fc_weight])) &&
           (bias == NULL || dd_model_tensor_fits(bias, &run->net->params[run->net->fc_bias]));
}

/** The file's tensor for parameter i, NULL if there is none to take. */
static const struct dd_st_tensor *find(const struct dd_run *run, int i, bool last_layer) {
    const struct dd_param *param = &run->net->params[i];
    return is_last_layer(param) && !last_layer ? NULL : dd_st_find(&run->initial, param->name);
}

/* ---- messages ---- */

/** "64x3x7x7" */
static void shape_text(int rank, const int64_t *dims, char *text, size_t size) {
    size_t length = (size_t)snprintf(text, size, "%s", rank == 0 ? "a single number" : "");
    for (int i = 0; i < rank && length < size; i++)
        length += (size_t)snprintf(text + length, size - length, "%s%" PRId64, i > 0 ? "x" : "", dims[i]);
}

static dd_status fail_shape(const struct dd_run *run, const struct dd_st_tensor *tensor, const struct dd_param *param) {
    char theirs[128], ours[128];
    int64_t dims[4];
    for (int i = 0; i < param->rank; i++)
        dims[i] = param->dims[i];
    shape_text(tensor->rank, tensor->dims, theirs, sizeof theirs);
    shape_text(param->rank, dims, ours, sizeof ours);
    return dd_fail(DD_ERROR_DATA, "--init %s: tensor %s is %s, %s with %s shortcuts on %s images needs %s",
                   run->config.init, param->name, theirs, run->net->name, run->net->shortcut, run->config.image, ours);
}

/* The first few names of a list, for a message. */
struct name_list {
    int count;
    char text[NAMES_TOLD * 64];
};

static void add_name(struct name_list *list, const char *name) {
    if (list->count++ >= NAMES_TOLD)
        return;
    const size_t length = strlen(list->text);
    snprintf(list->text + length, sizeof list->text - length, "%s%.60s", length > 0 ? ", " : "", name);
}

static const char *more(const struct name_list *list) {
    return list->count > NAMES_TOLD ? ", ..." : "";
}

/* ---- the three steps ---- */

dd_status dd_initial_read(struct dd_run *run) {
    const dd_status status = dd_st_read_mixed(run->config.init, &run->initial);
    if (status != DD_OK)
        return dd_fail_prefix(status, "--init");
    snprintf(run->config.init_hash, sizeof run->config.init_hash, "%016" PRIx64, run->initial.hash);
    return DD_OK;
}

static dd_status check_tensor(const struct dd_run *run, const struct dd_st_tensor *tensor,
                              const struct dd_param *param) {
    if (!dd_model_tensor_fits(tensor, param))
        return fail_shape(run, tensor, param);
    if (strcmp(tensor->type, "F32") != 0)
        return dd_fail(DD_ERROR_DATA, "--init %s: tensor %s is of type %s; convert the file to 32-bit floats (F32)",
                       run->config.init, param->name, tensor->type);
    for (size_t i = 0; i < tensor->count; i++)
        if (!isfinite(tensor->data[i]))
            return dd_fail(DD_ERROR_DATA, "--init %s: tensor %s holds a value that is not finite", run->config.init,
                           param->name);
    return DD_OK;
}

dd_status dd_initial_check(const struct dd_run *run) {
    const struct dd_net *net = run->net;
    const bool last_layer = last_layer_fits(run);
    struct name_list missing = {0}, unused = {0};
    if (run->initial.bytes == NULL)
        return DD_OK;
    for (int i = 0; i < net->param_count; i++) {
        const struct dd_st_tensor *tensor = find(run, i, last_layer);
        if (tensor != NULL)
            DD_TRY(check_tensor(run, tensor, &net->params[i]));
        else
            add_name(&missing, net->params[i].name);
    }
    for (int i = 0; i < run->initial.tensor_count; i++) {
        const char *name = run->initial.tensors[i].name;
        if (!passed_over(name) && dd_net_find_param(net, name) < 0)
            add_name(&unused, name);
    }
    if (missing.count == net->param_count)
        return dd_fail(DD_ERROR_DATA, "--init %s has none of the tensors of %s, which are named like conv1.weight",
                       run->config.init, net->name);
    char rest[768] = "";
    if (missing.count > 0)
        snprintf(rest, sizeof rest, "; %d keep their initial values: %s%s", missing.count, missing.text,
                 more(&missing));
    const size_t length = strlen(rest);
    if (unused.count > 0)
        snprintf(rest + length, sizeof rest - length, "; %d of the file have no place in the network: %s%s",
                 unused.count, unused.text, more(&unused));
    dd_info("weights from %s: %d of the network's %d tensors%s", run->config.init, net->param_count - missing.count,
            net->param_count, rest);
    return DD_OK;
}

void dd_initial_fill(const struct dd_run *run, float *const *values) {
    const bool last_layer = last_layer_fits(run);
    for (int i = 0; i < run->net->param_count; i++) {
        const struct dd_st_tensor *tensor = find(run, i, last_layer);
        if (tensor != NULL)
            memcpy(values[i], tensor->data, tensor->count * sizeof(float));
    }
}
