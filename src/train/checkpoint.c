/* last.safetensors and best.safetensors: the training state, and nothing that depends on time or place. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "train/run.h"

static dd_status save(struct dd_run *run, const char *name, const struct dd_host_params *params) {
    char *path = dd_path_join(run->dir, name);
    if (path == NULL)
        return dd_fail_memory("path", strlen(run->dir));
    const struct dd_model_meta meta = {.net = run->net,
                                       .gate = run->config.gate,
                                       .class_names = run->dataset->class_names,
                                       .iteration = run->iteration,
                                       .mean = run->mean,
                                       .std = run->std};
    dd_status status = dd_model_save(path, &meta, params);
    free(path);
    return status;
}

/** Drops a tensor of training's own statistics where it equals the one beside it. */
static void drop_equal(const struct dd_net *net, struct dd_host_params *params) {
    for (int i = 0; i < net->param_count; i++) {
        if (params->running[i] == NULL ||
            memcmp(params->running[i], params->values[i], net->params[i].count * sizeof(float)) != 0)
            continue;
        free(params->running[i]);
        params->running[i] = NULL;
    }
}

/** The other way round for the statistics: values as recalibrated, running as training moves them. */
static dd_status read_recalibrated(struct dd_run *run, struct dd_host_params *params) {
    for (int i = 0; i < run->net->param_count; i++)
        if (params->running[i] != NULL)
            memcpy(params->running[i], params->values[i], run->net->params[i].count * sizeof(float));
    DD_TRY(dd_plan_download(run->plan, DD_SET_RECALIBRATED, params->values));
    drop_equal(run->net, params);
    return DD_OK;
}

dd_status dd_checkpoint_write(struct dd_run *run, const char *name, bool recalibrated) {
    struct dd_host_params params;
    dd_status status;
    DD_TRY(dd_host_params_create(run->net, true, recalibrated, &params));
    DD_GOTO(status, done, dd_plan_download(run->plan, DD_SET_VALUE, params.values));
    DD_GOTO(status, done, dd_plan_download(run->plan, DD_SET_MOMENTUM, params.momentum));
    if (recalibrated)
        DD_GOTO(status, done, read_recalibrated(run, &params));
    status = save(run, name, &params);
done:
    dd_host_params_free(&params);
    return status;
}

dd_status dd_checkpoint_write_initial(struct dd_run *run) {
    struct dd_host_params params;
    dd_status status;
    DD_TRY(dd_host_params_create(run->net, true, false, &params));
    for (int i = 0; i < run->net->param_count; i++)
        dd_net_init_param(run->net, i, (uint64_t)run->config.seed, params.values[i]);
    dd_initial_fill(run, params.values);
    DD_GOTO(status, done, dd_plan_upload(run->plan, DD_SET_VALUE, params.values));
    run->iteration = 0;
    status = save(run, "last.safetensors", &params);
done:
    dd_host_params_free(&params);
    return status;
}

/* ---- reading ---- */

dd_status dd_checkpoint_check_names(const struct dd_run *run, const char *path, const struct dd_model *model) {
    const struct {
        const char *what, *file, *config;
    } texts[] = {{"network", model->net->name, run->config.net},
                 {"shortcut kind", model->shortcut, run->config.shortcut},
                 {"gate policy", model->gate, run->config.gate}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].file, texts[i].config) != 0)
            return dd_fail(DD_ERROR_DATA, "%s cannot be resumed: its %s is %s, config.json says %s", path,
                           texts[i].what, texts[i].file, texts[i].config);
    char image[48];
    snprintf(image, sizeof image, "%d,%d,%d", model->net->channels, model->net->height, model->net->width);
    if (strcmp(image, run->config.image) != 0)
        return dd_fail(DD_ERROR_DATA, "%s cannot be resumed: its images are %s, config.json says %s", path, image,
                       run->config.image);
    if (model->iteration < 0 || model->iteration > run->config.iterations)
        return dd_fail(DD_ERROR_USAGE,
                       "%s is at iteration %" PRId64 ", beyond the run's %" PRId64 "; give more --iterations", path,
                       model->iteration, run->config.iterations);
    return DD_OK;
}

/** Refuses a checkpoint that is not this run's, naming the difference. */
static dd_status check_same(const struct dd_run *run, const char *path, const struct dd_model *model) {
    DD_TRY(dd_checkpoint_check_names(run, path, model));
    bool same = model->classes == run->dataset->classes;
    for (int i = 0; same && i < model->classes; i++)
        same = strcmp(model->class_names[i], run->dataset->class_names[i]) == 0;
    if (!same)
        return dd_fail(DD_ERROR_DATA, "%s cannot be resumed: its classes are not those of %s", path, run->config.data);
    const size_t pixels = (size_t)model->net->channels * model->net->height * model->net->width;
    if (memcmp(model->mean, run->mean, pixels * sizeof *run->mean) != 0)
        return dd_fail(DD_ERROR_DATA, "%s cannot be resumed: its input.mean is not the mean of the images of %s", path,
                       run->config.data);
    return DD_OK;
}

static dd_status upload(struct dd_run *run, const char *path, struct dd_model *model) {
    for (int i = 0; i < run->net->param_count; i++) {
        const struct dd_param *param = &run->net->params[i];
        if (param->trainable && model->params.momentum[i] == NULL)
            return dd_fail(DD_ERROR_DATA, "%s cannot be resumed: it has no tensor optimizer.momentum.%s", path,
                           param->name);
        if (model->params.running[i] != NULL)
            model->params.values[i] = model->params.running[i]; /* training goes on from its own statistics */
    }
    DD_TRY(dd_plan_upload(run->plan, DD_SET_VALUE, model->params.values));
    return dd_plan_upload(run->plan, DD_SET_MOMENTUM, model->params.momentum);
}

dd_status dd_checkpoint_read(struct dd_run *run) {
    struct dd_model model = {0};
    dd_status status;
    char *path = dd_path_join(run->dir, "last.safetensors");
    if (path == NULL)
        return dd_fail_memory("path", strlen(run->dir));
    DD_GOTO(status, done, dd_model_load(path, &model));
    DD_GOTO(status, done, check_same(run, path, &model));
    DD_GOTO(status, done, upload(run, path, &model));
    run->iteration = model.iteration;
    run->recalibrated = dd_model_recalibrated(&model);
done:
    dd_model_free(&model);
    free(path);
    return status;
}
