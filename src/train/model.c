#include "train/model.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/train.h>

#include "base/mem.h"

enum { MODEL_FORMAT = 1 };
static const char momentum_prefix[] = "optimizer.momentum.", running_prefix[] = "optimizer.running.";

/* ---- host parameters ---- */

static dd_status create_set(const struct dd_net *net, bool wanted, int trainable, float ***set) {
    *set = dd_calloc((size_t)net->param_count, sizeof **set);
    if (*set == NULL)
        return dd_fail_memory("parameters", (size_t)net->param_count * sizeof **set);
    for (int i = 0; wanted && i < net->param_count; i++) {
        if (trainable >= 0 && net->params[i].trainable != (trainable != 0))
            continue;
        (*set)[i] = dd_calloc(net->params[i].count, sizeof(float));
        if ((*set)[i] == NULL)
            return dd_fail_memory(net->params[i].name, net->params[i].count * sizeof(float));
    }
    return DD_OK;
}

dd_status dd_host_params_create(const struct dd_net *net, bool momentum, bool running, struct dd_host_params *params) {
    *params = (struct dd_host_params){.count = net->param_count};
    dd_status status;
    DD_GOTO(status, error, create_set(net, true, -1, &params->values));
    DD_GOTO(status, error, create_set(net, momentum, 1, &params->momentum));
    DD_GOTO(status, error, create_set(net, running, 0, &params->running));
    return DD_OK;
error:
    dd_host_params_free(params);
    return status;
}

void dd_host_params_free(struct dd_host_params *params) {
    float **sets[] = {params->values, params->momentum, params->running};
    for (size_t s = 0; s < 3; s++) {
        for (int i = 0; sets[s] != NULL && i < params->count; i++)
            free(sets[s][i]);
        free(sets[s]);
    }
    *params = (struct dd_host_params){0};
}

/* ---- loading ---- */

static dd_status meta_text(const struct dd_st_file *file, const char *path, const char *key, const char **value) {
    *value = dd_st_meta(file, key);
    if (*value == NULL)
        return dd_fail(DD_ERROR_DATA, "%s is no model of depthdrop: its metadata has no \"%s\"", path, key);
    return DD_OK;
}

static dd_status load_classes(const char *path, const char *text, struct dd_model *model) {
    dd_status status = DD_OK;
    json_t *root = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    model->classes = (int)json_array_size(root);
    model->class_names = dd_calloc((size_t)model->classes + 1, sizeof *model->class_names);
    if (model->classes < 2 || model->class_names == NULL) {
        status = dd_fail(DD_ERROR_DATA, "%s: \"classes\" in its metadata is no JSON list of at least two names", path);
        goto done;
    }
    for (int i = 0; i < model->classes; i++) {
        const char *name = json_string_value(json_array_get(root, (size_t)i));
        model->class_names[i] = dd_strdup(name);
        if (model->class_names[i] == NULL) {
            status = dd_fail(DD_ERROR_DATA, "%s: class %d in its metadata is no string", path, i);
            goto done;
        }
    }
done:
    json_decref(root);
    return status;
}

static dd_status load_meta(const char *path, struct dd_model *model) {
    const struct dd_st_file *file = &model->file;
    const char *net, *shortcut, *gate, *image, *classes, *iteration, *format;
    DD_TRY(meta_text(file, path, "format_version", &format));
    if (atoi(format) != MODEL_FORMAT)
        return dd_fail(DD_ERROR_DATA, "%s is of format version %s, this program reads %d", path, format, MODEL_FORMAT);
    DD_TRY(meta_text(file, path, "net", &net));
    DD_TRY(meta_text(file, path, "shortcut", &shortcut));
    DD_TRY(meta_text(file, path, "gate", &gate));
    DD_TRY(meta_text(file, path, "image", &image));
    DD_TRY(meta_text(file, path, "classes", &classes));
    DD_TRY(meta_text(file, path, "iteration", &iteration));
    DD_TRY(load_classes(path, classes, model));
    struct dd_net_options options = {.name = net, .shortcut = shortcut, .classes = model->classes};
    if (sscanf(image, "%d,%d,%d", &options.channels, &options.height, &options.width) != 3)
        return dd_fail(DD_ERROR_DATA, "%s: \"image\" in its metadata is \"%s\", not C,H,W", path, image);
    if (dd_net_create(&options, &model->net) != DD_OK)
        return dd_fail_prefix(DD_ERROR_DATA, "%s", path);
    snprintf(model->shortcut, sizeof model->shortcut, "%s", shortcut);
    snprintf(model->gate, sizeof model->gate, "%s", gate);
    model->iteration = atoll(iteration);
    return DD_OK;
}

bool dd_model_tensor_fits(const struct dd_st_tensor *tensor, const struct dd_param *param) {
    bool same = tensor->rank == param->rank;
    for (int i = 0; same && i < param->rank; i++)
        same = tensor->dims[i] == param->dims[i];
    return same;
}

/** The tensor called prefix + the parameter's name, of the parameter's shape. */
static dd_status load_tensor(const char *path, const struct dd_st_file *file, const struct dd_param *param,
                             const char *prefix, bool required, float **values) {
    char name[96];
    snprintf(name, sizeof name, "%s%s", prefix, param->name);
    const struct dd_st_tensor *tensor = dd_st_find(file, name);
    *values = NULL;
    if (tensor == NULL)
        return required ? dd_fail(DD_ERROR_DATA, "%s has no tensor %s", path, name) : DD_OK;
    if (!dd_model_tensor_fits(tensor, param))
        return dd_fail(DD_ERROR_DATA, "%s: tensor %s is not of the shape that its network gives it", path, name);
    *values = (float *)(uintptr_t)tensor->data; /* read only: uploads take float *const * */
    return DD_OK;
}

static dd_status load_params(const char *path, struct dd_model *model) {
    const struct dd_net *net = model->net;
    const size_t count = (size_t)net->param_count;
    struct dd_host_params *params = &model->params;
    params->count = net->param_count;
    params->values = dd_calloc(count, sizeof *params->values);
    params->momentum = dd_calloc(count, sizeof *params->momentum);
    params->running = dd_calloc(count, sizeof *params->running);
    if (params->values == NULL || params->momentum == NULL || params->running == NULL)
        return dd_fail_memory("model", count * sizeof *params->values);
    int known = 2; /* input.mean and input.std */
    for (int i = 0; i < net->param_count; i++) {
        const struct dd_param *param = &net->params[i];
        DD_TRY(load_tensor(path, &model->file, param, "", true, &params->values[i]));
        if (param->trainable)
            DD_TRY(load_tensor(path, &model->file, param, momentum_prefix, false, &params->momentum[i]));
        else
            DD_TRY(load_tensor(path, &model->file, param, running_prefix, false, &params->running[i]));
        known += 1 + (params->momentum[i] != NULL) + (params->running[i] != NULL);
    }
    if (known != model->file.tensor_count)
        return dd_fail(DD_ERROR_DATA, "%s holds %d tensors, %d of them unknown for %s with %s shortcuts", path,
                       model->file.tensor_count, model->file.tensor_count - known, net->name, net->shortcut);
    return DD_OK;
}

static dd_status load_input(const char *path, struct dd_model *model) {
    const struct dd_net *net = model->net;
    const size_t plane = (size_t)net->height * net->width, channels = (size_t)net->channels;
    const struct dd_st_tensor *mean = dd_st_find(&model->file, "input.mean"),
                              *std = dd_st_find(&model->file, "input.std");
    if (mean == NULL || std == NULL || std->count != channels ||
        (mean->count != channels && mean->count != channels * plane))
        return dd_fail(DD_ERROR_DATA, "%s: input.mean or input.std is missing or not of the image's shape", path);
    model->mean = dd_calloc(channels * plane, sizeof *model->mean);
    model->std = dd_calloc(channels, sizeof *model->std);
    if (model->mean == NULL || model->std == NULL)
        return dd_fail_memory("input.mean", channels * plane * sizeof *model->mean);
    for (size_t c = 0; c < channels; c++) {
        model->std[c] = std->data[c];
        if (!(std->data[c] > 0))
            return dd_fail(DD_ERROR_DATA, "%s: input.std of channel %zu is not above 0", path, c);
        for (size_t i = 0; i < plane; i++)
            model->mean[c * plane + i] = mean->data[mean->count == channels ? c : c * plane + i];
    }
    return DD_OK;
}

dd_status dd_model_load(const char *path, struct dd_model *model) {
    *model = (struct dd_model){0};
    dd_status status;
    DD_GOTO(status, error, dd_st_read(path, &model->file));
    DD_GOTO(status, error, load_meta(path, model));
    DD_GOTO(status, error, load_params(path, model));
    DD_GOTO(status, error, load_input(path, model));
    return DD_OK;
error:
    dd_model_free(model);
    return status;
}

bool dd_model_recalibrated(const struct dd_model *model) {
    for (int i = 0; i < model->params.count; i++)
        if (model->params.running[i] != NULL)
            return true;
    return false;
}

void dd_model_free(struct dd_model *model) {
    for (int i = 0; model->class_names != NULL && i < model->classes; i++)
        free(model->class_names[i]);
    free(model->class_names);
    free(model->mean);
    free(model->std);
    free(model->params.values); /* the tensors belong to the file */
    free(model->params.momentum);
    free(model->params.running);
    dd_net_destroy(&model->net);
    dd_st_free(&model->file);
    *model = (struct dd_model){0};
}

/* ---- saving ---- */

struct tensor_list {
    struct dd_st_tensor *at;
    char (*names)[96];
    int count;
};

static void append(struct tensor_list *list, const char *prefix, const char *name, int rank, const int *dims,
                   const float *data) {
    struct dd_st_tensor *tensor = &list->at[list->count];
    snprintf(list->names[list->count], sizeof *list->names, "%s%s", prefix, name);
    *tensor = (struct dd_st_tensor){.name = list->names[list->count], .rank = rank, .count = 1, .data = data};
    for (int i = 0; i < rank; i++) {
        tensor->dims[i] = dims[i];
        tensor->count *= (size_t)dims[i];
    }
    list->count++;
}

static void append_set(struct tensor_list *list, const struct dd_net *net, const char *prefix, float *const *set) {
    for (int i = 0; set != NULL && i < net->param_count; i++)
        if (set[i] != NULL)
            append(list, prefix, net->params[i].name, net->params[i].rank, net->params[i].dims, set[i]);
}

static char *classes_json(const struct dd_model_meta *meta) {
    json_t *list = json_array();
    for (int i = 0; i < meta->net->classes; i++)
        json_array_append_new(list, json_string(meta->class_names[i]));
    char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static dd_status write_model(const char *path, const struct dd_model_meta *meta, const struct tensor_list *list) {
    char image[48], iteration[24], format[12];
    snprintf(image, sizeof image, "%d,%d,%d", meta->net->channels, meta->net->height, meta->net->width);
    snprintf(iteration, sizeof iteration, "%lld", (long long)meta->iteration);
    snprintf(format, sizeof format, "%d", MODEL_FORMAT);
    char *classes = classes_json(meta);
    if (classes == NULL)
        return dd_fail(DD_ERROR_DATA, "%s: the class names are not all valid UTF-8", path);
    const char *const keys[] = {"net", "shortcut", "gate", "image", "classes", "iteration", "format_version"};
    const char *const values[] = {meta->net->name, meta->net->shortcut, meta->gate, image, classes, iteration, format};
    dd_status status = dd_st_write(path, list->at, list->count, keys, values, sizeof keys / sizeof *keys);
    free(classes);
    return status;
}

dd_status dd_model_save(const char *path, const struct dd_model_meta *meta, const struct dd_host_params *params) {
    const struct dd_net *net = meta->net;
    const size_t most = 3 * (size_t)net->param_count + 2;
    struct tensor_list list = {.at = dd_calloc(most, sizeof *list.at), .names = dd_calloc(most, sizeof *list.names)};
    dd_status status;
    if (list.at == NULL || list.names == NULL) {
        status = dd_fail_memory("model file", most * sizeof *list.names);
        goto done;
    }
    const int mean_dims[3] = {net->channels, net->height, net->width}, std_dims[3] = {net->channels, 1, 1};
    append_set(&list, net, "", params->values);
    append(&list, "", "input.mean", 3, mean_dims, meta->mean);
    append(&list, "", "input.std", 3, std_dims, meta->std);
    append_set(&list, net, momentum_prefix, params->momentum);
    append_set(&list, net, running_prefix, params->running);
    status = write_model(path, meta, &list);
done:
    free(list.at);
    free(list.names);
    return status;
}

/* ---- info ---- */

dd_status dd_model_read_info(const char *file, struct dd_model_info *info) {
    *info = (struct dd_model_info){0};
    struct dd_model model;
    DD_TRY(dd_model_load(file, &model));
    const struct dd_net *net = model.net;
    *info = (struct dd_model_info){.channels = net->channels,
                                   .height = net->height,
                                   .width = net->width,
                                   .classes = model.classes,
                                   .class_names = model.class_names,
                                   .iteration = model.iteration,
                                   .tensors = (uint64_t)model.file.tensor_count,
                                   .bytes = model.file.size};
    snprintf(info->net, sizeof info->net, "%s", net->name);
    snprintf(info->shortcut, sizeof info->shortcut, "%s", model.shortcut);
    snprintf(info->gate, sizeof info->gate, "%s", model.gate);
    for (int i = 0; i < net->param_count; i++)
        info->has_optimizer = info->has_optimizer || model.params.momentum[i] != NULL;
    model.class_names = NULL; /* the caller's now */
    dd_model_free(&model);
    return DD_OK;
}

void dd_model_info_free(struct dd_model_info *info) {
    for (int i = 0; info->class_names != NULL && i < info->classes; i++)
        free(info->class_names[i]);
    free(info->class_names);
    *info = (struct dd_model_info){0};
}
