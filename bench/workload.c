#include "bench/workload.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/philox.h"
#include "ops/gemm.h"
#include "train/model.h"
#include "train/tuning.h"

enum { CHANNELS = 3, CLASSES = 10 };

void dd_bench_options_default(struct dd_bench_options *options) {
    *options = (struct dd_bench_options){.net = "resnet56",
                                         .gate = "none",
                                         .gate_first = "none",
                                         .algorithm = "auto",
                                         .vector = "auto",
                                         .ratios = "0,0.25,0.5,0.75",
                                         .dropout = -1,
                                         .unit_dropout = -1,
                                         .batch = 128,
                                         .image_size = 32,
                                         .warmup = 3,
                                         .seed = 1};
}

dd_status dd_workload_check(const struct dd_bench_options *options, int *vector) {
    if (options->batch < 1 || options->iterations < 0 || options->warmup < 0)
        return dd_fail(DD_ERROR_USAGE,
                       "--batch %d, --iterations %lld, --warmup %d: none may be negative, the batch not 0",
                       options->batch, (long long)options->iterations, options->warmup);
    return dd_plan_parse_vector(options->vector, vector);
}

dd_status dd_workload_open_device(const struct dd_bench_options *options, dd_device **device) {
    const struct dd_device_options chosen = {
        .selector = options->device, .cache_dir = options->cache_dir, .threads = options->threads};
    DD_TRY(dd_device_open(&chosen, device));
    return dd_selftest_ensure(*device);
}

void dd_workload_close_device(dd_device **device) {
    dd_gemm_release_caches();
    dd_device_close(device);
}

static dd_status make_images(struct dd_workload *workload) {
    const struct dd_bench_options *options = workload->options;
    const size_t size = (size_t)options->image_size, bytes = (size_t)options->batch * CHANNELS * size * size;
    workload->images = (struct dd_images){.split = "random",
                                          .count = options->batch,
                                          .channels = CHANNELS,
                                          .height = options->image_size,
                                          .width = options->image_size};
    workload->images.pixels = malloc(bytes);
    workload->images.labels = dd_calloc((size_t)options->batch, sizeof *workload->images.labels);
    workload->samples = dd_calloc((size_t)options->batch, sizeof *workload->samples);
    if (workload->images.pixels == NULL || workload->images.labels == NULL || workload->samples == NULL)
        return dd_fail_memory("random images", bytes);
    uint32_t words[4];
    for (size_t i = 0; i < bytes; i++) {
        if (i % 16 == 0)
            dd_philox(options->seed, (uint32_t)(i / 16), 0, DD_STREAM_BENCH, 0, words);
        workload->images.pixels[i] = (uint8_t)(words[i / 4 % 4] >> i % 4 * 8);
    }
    for (int i = 0; i < options->batch; i++) {
        workload->images.labels[i] = i % CLASSES;
        workload->samples[i] = (struct dd_sample){.index = i};
    }
    return DD_OK;
}

dd_status dd_workload_init(const struct dd_bench_options *options, const char *shortcut, struct dd_workload *workload) {
    *workload = (struct dd_workload){.options = options};
    const struct dd_net_options net = {.name = options->net,
                                       .shortcut = shortcut,
                                       .channels = CHANNELS,
                                       .height = options->image_size,
                                       .width = options->image_size,
                                       .classes = CLASSES};
    return dd_net_create(&net, &workload->net);
}

static dd_status upload_weights(struct dd_workload *workload) {
    const struct dd_net *net = workload->net;
    struct dd_host_params params;
    DD_TRY(dd_host_params_create(net, false, false, &params));
    for (int i = 0; i < net->param_count; i++)
        dd_net_init_param(net, i, workload->options->seed, params.values[i]);
    dd_status status = dd_plan_upload(workload->plan, DD_SET_VALUE, params.values);
    dd_host_params_free(&params);
    return status;
}

dd_status dd_workload_bind(struct dd_workload *workload, dd_device *device) {
    const struct dd_bench_options *options = workload->options;
    struct dd_plan_options plan = {.batch = options->batch,
                                   .training = true,
                                   .algorithm = options->algorithm,
                                   .momentum = 0.9f,
                                   .weight_decay = 1e-4f,
                                   .dropout = workload->dropout,
                                   .unit_dropout = workload->unit_dropout,
                                   .dropout_seed = options->seed};
    workload->device = device;
    DD_TRY(dd_workload_check(options, &plan.vector));
    DD_TRY(dd_tuning_create_plan(device, workload->net, &plan, true, NULL, &workload->plan));
    const size_t pixels = (size_t)CHANNELS * options->image_size * options->image_size;
    float *mean = dd_calloc(pixels, sizeof *mean), std[CHANNELS] = {1, 1, 1};
    if (mean == NULL)
        return dd_fail_memory("mean image", pixels * sizeof *mean);
    for (size_t i = 0; i < pixels; i++)
        mean[i] = 0.5f;
    dd_status status = dd_plan_set_input(workload->plan, mean, std);
    free(mean);
    DD_TRY(status);
    DD_TRY(make_images(workload)); /* behind the plan's look at the device's memory: many large ones take their time */
    DD_TRY(dd_plan_bind(workload->plan, DD_SOURCE_TRAIN, &workload->images));
    return upload_weights(workload);
}

void dd_workload_finish(struct dd_workload *workload) {
    dd_plan_destroy(&workload->plan);
    dd_net_destroy(&workload->net);
    free(workload->images.pixels);
    free(workload->images.labels);
    free(workload->samples);
    *workload = (struct dd_workload){0};
}

static dd_status enqueue_phase(struct dd_workload *workload, enum dd_phase phase, const unsigned char *gates) {
    switch (phase) {
    case DD_PHASE_FORWARD:
        DD_TRY(dd_plan_enqueue_input(workload->plan, gates, workload->samples));
        return dd_plan_enqueue_forward(workload->plan, gates);
    case DD_PHASE_BACKWARD:
        return dd_plan_enqueue_backward(workload->plan, gates);
    default:
        return dd_plan_enqueue_update(workload->plan, 0);
    }
}

dd_status dd_workload_phases(struct dd_workload *workload, const unsigned char *gates, struct dd_phase_times *times) {
    double start = dd_now();
    for (int phase = 0; phase < DD_PHASES; phase++) {
        const uint64_t launches = dd_launch_count();
        DD_TRY(enqueue_phase(workload, phase, gates));
        DD_TRY(dd_device_finish(workload->device));
        const double now = dd_now();
        times->ms[phase] = 1e3 * (now - start);
        times->launches[phase] = dd_launch_count() - launches;
        start = now;
    }
    return DD_OK;
}

dd_status dd_workload_step(struct dd_workload *workload, const unsigned char *gates, double *step_ms,
                           double *enqueue_ms) {
    const double start = dd_now();
    for (int phase = 0; phase < DD_PHASES; phase++)
        DD_TRY(enqueue_phase(workload, phase, gates));
    *enqueue_ms = 1e3 * (dd_now() - start);
    DD_TRY(dd_device_flush(workload->device));
    DD_TRY(dd_device_finish(workload->device));
    *step_ms = 1e3 * (dd_now() - start);
    return DD_OK;
}
