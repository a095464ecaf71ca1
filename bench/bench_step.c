/* `depthdrop bench step`: a training step without data, phase by phase. */
#include <stdlib.h>
#include <string.h>

#include <depthdrop/gate.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/philox.h"
#include "bench/bench.h"
#include "bench/result.h"
#include "ops/gemm.h"
#include "plan/plan.h"

enum { CHANNELS = 3, CLASSES = 10 };
enum phase { FORWARD, BACKWARD, UPDATE, TOTAL, PHASES };
static const char *const phase_names[PHASES] = {"forward", "backward", "update", "total"};

struct bench {
    const struct dd_bench_step_options *options;
    dd_net *net;
    dd_gate *gate;
    dd_device *device;
    dd_plan *plan;
    struct dd_images images;
    struct dd_sample *samples;
    unsigned char *gates;
    struct dd_series series[PHASES];
    double units_run;
};

void dd_bench_step_options_default(struct dd_bench_step_options *options) {
    *options = (struct dd_bench_step_options){.net = "resnet56", .shortcut = "identity", .gate = "none", .gate_first = "none",
                                              .algorithm = "auto", .vector = "auto", .batch = 128, .iterations = 20,
                                              .image_size = 32, .warmup = 3, .seed = 1};
}

/* ---- preparation ---- */

static dd_status check_options(const struct dd_bench_step_options *options, int *vector) {
    if (options->batch < 1 || options->iterations < 1 || options->warmup < 0)
        return dd_fail(DD_ERROR_USAGE, "--batch %d, --iterations %lld: each must be at least 1", options->batch,
                       (long long)options->iterations);
    *vector = strcmp(options->vector, "auto") == 0 ? 0 : atoi(options->vector);
    if (strcmp(options->vector, "auto") != 0 && *vector != 1 && *vector != 4 && *vector != 8 && *vector != 16)
        return dd_fail(DD_ERROR_USAGE, "--vector \"%s\" is not auto, 1, 4, 8 or 16", options->vector);
    return DD_OK;
}

static dd_status make_images(struct bench *bench) {
    const struct dd_bench_step_options *options = bench->options;
    const size_t size = (size_t)options->image_size, bytes = (size_t)options->batch * CHANNELS * size * size;
    bench->images = (struct dd_images){.split = "random", .count = options->batch, .channels = CHANNELS,
                                       .height = options->image_size, .width = options->image_size};
    bench->images.pixels = malloc(bytes);
    bench->images.labels = dd_calloc((size_t)options->batch, sizeof *bench->images.labels);
    bench->samples = dd_calloc((size_t)options->batch, sizeof *bench->samples);
    if (bench->images.pixels == NULL || bench->images.labels == NULL || bench->samples == NULL)
        return dd_fail_memory("random images", bytes);
    uint32_t words[4];
    for (size_t i = 0; i < bytes; i++) {
        if (i % 16 == 0)
            dd_philox(options->seed, (uint32_t)(i / 16), 0, DD_STREAM_BENCH, 0, words);
        bench->images.pixels[i] = (uint8_t)(words[i / 4 % 4] >> i % 4 * 8);
    }
    for (int i = 0; i < options->batch; i++) {
        bench->images.labels[i] = i % CLASSES;
        bench->samples[i] = (struct dd_sample){.index = i};
    }
    return DD_OK;
}

static dd_status make_net(struct bench *bench) {
    const struct dd_bench_step_options *options = bench->options;
    const struct dd_net_options net = {.name = options->net, .shortcut = options->shortcut, .channels = CHANNELS,
                                       .height = options->image_size, .width = options->image_size, .classes = CLASSES};
    DD_TRY(dd_net_create(&net, &bench->net));
    const struct dd_gate_options gate = {.policy = options->gate, .first = options->gate_first, .seed = options->seed};
    DD_TRY(dd_gate_create(&gate, bench->net, &bench->gate));
    bench->gates = dd_calloc((size_t)bench->net->unit_count, 1);
    return bench->gates != NULL ? DD_OK : dd_fail_memory("gates", (size_t)bench->net->unit_count);
}

static dd_status initialise(struct bench *bench) {
    const struct dd_net *net = bench->net;
    float **values = dd_calloc((size_t)net->param_count, sizeof *values);
    dd_status status = values != NULL ? DD_OK : dd_fail_memory("weights", (size_t)net->param_count * sizeof *values);
    for (int i = 0; status == DD_OK && i < net->param_count; i++) {
        values[i] = dd_calloc(net->params[i].count, sizeof **values);
        if (values[i] == NULL)
            status = dd_fail_memory("weights", net->params[i].count * sizeof **values);
        else
            dd_net_init_param(net, i, bench->options->seed, values[i]);
    }
    if (status == DD_OK)
        status = dd_plan_upload(bench->plan, DD_SET_VALUE, values);
    for (int i = 0; values != NULL && i < net->param_count; i++)
        free(values[i]);
    free(values);
    return status;
}

static dd_status make_plan(struct bench *bench, int vector) {
    const struct dd_bench_step_options *options = bench->options;
    const struct dd_device_options device = {.selector = options->device, .cache_dir = options->cache_dir,
                                             .threads = options->threads};
    DD_TRY(dd_device_open(&device, &bench->device));
    DD_TRY(dd_selftest_ensure(bench->device));
    const struct dd_plan_options plan = {.batch = options->batch, .training = true, .algorithm = options->algorithm,
                                         .vector = vector, .momentum = 0.9f, .weight_decay = 1e-4f};
    DD_TRY(dd_plan_create(bench->device, bench->net, &plan, NULL, &bench->plan));
    const size_t pixels = (size_t)CHANNELS * options->image_size * options->image_size;
    float *mean = dd_calloc(pixels, sizeof *mean), std[CHANNELS] = {1, 1, 1};
    if (mean == NULL)
        return dd_fail_memory("mean image", pixels * sizeof *mean);
    for (size_t i = 0; i < pixels; i++)
        mean[i] = 0.5f;
    dd_status status = dd_plan_set_input(bench->plan, mean, std);
    free(mean);
    DD_TRY(status);
    DD_TRY(dd_plan_bind(bench->plan, DD_SOURCE_TRAIN, &bench->images));
    return initialise(bench);
}

/* ---- measurement ---- */

static dd_status timed_step(struct bench *bench, int64_t iteration, double ms[PHASES]) {
    double at[4];
    dd_gate_draw(bench->gate, (uint64_t)iteration, bench->gates);
    at[0] = dd_now();
    DD_TRY(dd_plan_enqueue_input(bench->plan, bench->gates, bench->samples));
    DD_TRY(dd_plan_enqueue_forward(bench->plan, bench->gates));
    DD_TRY(dd_device_finish(bench->device));
    at[1] = dd_now();
    DD_TRY(dd_plan_enqueue_backward(bench->plan, bench->gates));
    DD_TRY(dd_device_finish(bench->device));
    at[2] = dd_now();
    DD_TRY(dd_plan_enqueue_update(bench->plan, 0)); /* rate 0: the work is the same and the weights stay sane */
    DD_TRY(dd_device_finish(bench->device));
    at[3] = dd_now();
    for (int phase = FORWARD; phase < TOTAL; phase++)
        ms[phase] = 1e3 * (at[phase + 1] - at[phase]);
    ms[TOTAL] = 1e3 * (at[3] - at[0]);
    return DD_OK;
}

static dd_status measure(struct bench *bench) {
    const struct dd_bench_step_options *options = bench->options;
    double ms[PHASES], told = dd_now();
    for (int p = 0; p < PHASES; p++)
        if ((bench->series[p].ms = dd_calloc((size_t)options->iterations, sizeof(double))) == NULL)
            return dd_fail_memory("times", (size_t)options->iterations * sizeof(double));
    for (int64_t i = 1 - options->warmup; i <= options->iterations; i++) {
        DD_TRY(timed_step(bench, i < 1 ? options->iterations + 1 - i : i, ms));
        if (i < 1)
            continue;
        for (int p = 0; p < PHASES; p++)
            bench->series[p].ms[bench->series[p].count++] = ms[p];
        for (int u = 0; u < bench->net->unit_count; u++)
            bench->units_run += bench->gates[u];
        if (dd_now() - told > 2) {
            told = dd_now();
            dd_info("step %lld of %lld, %.1f ms", (long long)i, (long long)options->iterations, ms[TOTAL]);
        }
    }
    bench->units_run /= (double)options->iterations;
    return DD_OK;
}

/* ---- output ---- */

static dd_status print_json(const struct bench *bench, const struct dd_figures figures[PHASES], FILE *out) {
    const struct dd_bench_step_options *options = bench->options;
    json_t *root = json_pack("{s:s, s:s, s:s, s:s, s:i, s:I}", "device", bench->device->info.name, "net", options->net, "shortcut",
                             options->shortcut, "gate", options->gate, "batch", options->batch, "iterations",
                             (json_int_t)options->iterations);
    for (int p = 0; p < PHASES; p++) {
        char key[24];
        snprintf(key, sizeof key, "%s_ms", phase_names[p]);
        json_object_set_new(root, key, dd_figures_json(&figures[p]));
    }
    json_object_set_new(root, "images_per_s", json_real(1e3 * options->batch / figures[TOTAL].mean));
    json_object_set_new(root, "units_run_mean", json_real(bench->units_run));
    json_object_set_new(root, "device_bytes", json_integer((json_int_t)bench->device->peak_bytes));
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(root);
    if (text == NULL)
        return dd_fail_memory("result", 1024);
    fprintf(out, "%s\n", text);
    free(text);
    return DD_OK;
}

static void print_table(const struct bench *bench, const struct dd_figures figures[PHASES], FILE *out) {
    const struct dd_bench_step_options *options = bench->options;
    fprintf(out, "%s, %s shortcuts, gates %s, batch %d, %dx%d images, %lld iterations on %s\n", options->net, options->shortcut,
            options->gate, options->batch, options->image_size, options->image_size, (long long)options->iterations,
            bench->device->info.name);
    fprintf(out, "%-10s %10s %10s %10s  ms\n", "", "mean", "median", "min");
    for (int p = 0; p < PHASES; p++)
        fprintf(out, "%-10s %10.2f %10.2f %10.2f\n", phase_names[p], figures[p].mean, figures[p].median, figures[p].min);
    fprintf(out, "%.1f images/s, %.2f of %d units run, %.1f MiB on the device\n", 1e3 * options->batch / figures[TOTAL].mean,
            bench->units_run, bench->net->unit_count, (double)bench->device->peak_bytes / 1048576);
}

static void finish(struct bench *bench) {
    for (int p = 0; p < PHASES; p++)
        free(bench->series[p].ms);
    dd_plan_destroy(&bench->plan);
    dd_gemm_release_caches();
    dd_device_close(&bench->device);
    dd_gate_destroy(&bench->gate);
    dd_net_destroy(&bench->net);
    free(bench->images.pixels);
    free(bench->images.labels);
    free(bench->samples);
    free(bench->gates);
}

dd_status dd_bench_step(const struct dd_bench_step_options *options, FILE *out) {
    struct bench bench = {.options = options};
    struct dd_figures figures[PHASES];
    dd_status status;
    int vector = 0;
    DD_GOTO(status, done, check_options(options, &vector));
    DD_GOTO(status, done, make_net(&bench));
    DD_GOTO(status, done, make_images(&bench));
    DD_GOTO(status, done, make_plan(&bench, vector));
    DD_GOTO(status, done, measure(&bench));
    for (int p = 0; p < PHASES; p++)
        figures[p] = dd_series_figures(&bench.series[p]);
    if (options->json)
        status = print_json(&bench, figures, out);
    else
        print_table(&bench, figures, out);
done:
    finish(&bench);
    return status;
}
