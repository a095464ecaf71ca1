/* Model files: a network, its parameters, its classes and its input, as safetensors (docs/formats.md). */
#ifndef DD_TRAIN_MODEL_H
#define DD_TRAIN_MODEL_H

#include <depthdrop/dataset.h>

#include "format/safetensors.h"
#include "net/net.h"
#include "plan/plan.h"

/* Parameters on the host, each entry [params of the net]; absent ones NULL. */
struct dd_host_params {
    int count;
    float **values, **momentum, **running; /* running: training's own statistics where they differ from values */
};

struct dd_model {
    struct dd_st_file file;
    dd_net *net;
    char shortcut[32], gate[128];
    int64_t iteration;
    int classes;
    char **class_names;
    float *mean, *std;            /* [C][H][W], [C] */
    struct dd_host_params params; /* pointers into file */
};

/** Reads and checks a model file against its own metadata. DD_ERROR_DATA names file and tensor. */
dd_status dd_model_load(const char *path, struct dd_model *model);
void dd_model_free(struct dd_model *model); /* also a zeroed one */

/** Whether the statistics are recalibrated ones, with training's own beside them. */
bool dd_model_recalibrated(const struct dd_model *model);

/** Whether a file's tensor is of the parameter's shape. */
bool dd_model_tensor_fits(const struct dd_st_tensor *tensor, const struct dd_param *param);

/** What is written beside the parameters. */
struct dd_model_meta {
    const struct dd_net *net;
    const char *gate;
    char *const *class_names;
    int64_t iteration;
    const float *mean, *std;
};

/** Writes atomically: parameters in the net's order, input.mean, input.std, optimizer.momentum.*, optimizer.running.*.
 */
dd_status dd_model_save(const char *path, const struct dd_model_meta *meta, const struct dd_host_params *params);

/** Host memory for the parameters of net; momentum and running as asked. Freed by dd_host_params_free. */
dd_status dd_host_params_create(const struct dd_net *net, bool momentum, bool running, struct dd_host_params *params);
void dd_host_params_free(struct dd_host_params *params);

#endif
