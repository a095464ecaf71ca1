/*
 * `depthdrop bench step`: training steps without data. Every iteration runs its gates twice: phase by phase, the queue
 * finished at their borders, and in one go, since finishing costs something. A profile takes iterations of its own.
 */
#include <stdlib.h>
#include <sys/resource.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "bench/peak.h"
#include "bench/result.h"
#include "bench/workload.h"
#include "rt/profile.h"

enum { TOTAL = DD_PHASES, STEP, ENQUEUE, SERIES, DEFAULT_ITERATIONS = 20 };
static const char *const names[SERIES] = {"forward", "backward", "update", "total", "step", "enqueue"};

struct bench {
    const struct dd_bench_options *options;
    const char *shortcut;
    int iterations;
    dd_gate *gate;
    dd_device *device;
    struct dd_workload workload;
    unsigned char *gates;
    struct dd_series series[SERIES];
    double units_run, launches[DD_PHASES]; /* means */
    int vector;
    uint64_t device_bytes, resident_bytes; /* at most, before the peaks are measured */
    struct dd_peak peak;
    struct dd_profile_row *kernels; /* [kernel_count], of all iterations; NULL without --profile */
    int kernel_count;
};

static dd_status prepare(struct bench *bench) {
    const struct dd_bench_options *options = bench->options;
    const struct dd_gate_options gate = {.policy = options->gate, .first = options->gate_first, .seed = options->seed};
    int vector;
    bench->shortcut = options->shortcut != NULL ? options->shortcut : "identity";
    bench->iterations = options->iterations > 0 ? (int)options->iterations : DEFAULT_ITERATIONS;
    DD_TRY(dd_workload_check(options, &vector));
    DD_TRY(dd_workload_init(options, bench->shortcut, &bench->workload));
    bench->workload.dropout = options->dropout < 0 ? 0 : options->dropout;
    bench->workload.unit_dropout = options->unit_dropout < 0 ? 0 : options->unit_dropout;
    DD_TRY(dd_gate_create(&gate, bench->workload.net, &bench->gate));
    bench->gates = dd_calloc((size_t)bench->workload.net->unit_count, 1);
    if (bench->gates == NULL)
        return dd_fail_memory("gates", (size_t)bench->workload.net->unit_count);
    for (int s = 0; s < SERIES; s++)
        DD_TRY(dd_series_create(&bench->series[s], bench->iterations));
    DD_TRY(dd_workload_open_device(options, &bench->device));
    DD_TRY(dd_workload_bind(&bench->workload, bench->device));
    bench->vector = dd_plan_get_choice(bench->workload.plan)->vector;
    return DD_OK;
}

/* One iteration both ways, booked unless it is warm-up. */
static dd_status iterate(struct bench *bench, int64_t iteration, bool counts) {
    struct dd_phase_times times;
    double step, enqueue, total = 0;
    dd_gate_draw(bench->gate, (uint64_t)iteration, bench->gates);
    DD_TRY(dd_workload_phases(&bench->workload, bench->gates, &times));
    DD_TRY(dd_workload_step(&bench->workload, bench->gates, &step, &enqueue));
    if (!counts)
        return DD_OK;
    for (int phase = 0; phase < DD_PHASES; phase++) {
        dd_series_add(&bench->series[phase], times.ms[phase]);
        total += times.ms[phase];
        bench->launches[phase] += (double)times.launches[phase] / bench->iterations;
    }
    dd_series_add(&bench->series[TOTAL], total);
    dd_series_add(&bench->series[STEP], step);
    dd_series_add(&bench->series[ENQUEUE], enqueue);
    for (int u = 0; u < bench->workload.net->unit_count; u++)
        bench->units_run += (double)bench->gates[u] / bench->iterations;
    return DD_OK;
}

/* The counted iterations' gates once more, with every kernel timed. */
static dd_status profile(struct bench *bench) {
    double step, enqueue;
    DD_TRY(dd_profile_start(bench->device));
    for (int i = 1; i <= bench->iterations; i++) {
        dd_gate_draw(bench->gate, (uint64_t)i, bench->gates);
        DD_TRY(dd_workload_step(&bench->workload, bench->gates, &step, &enqueue));
    }
    return dd_profile_stop(bench->device, &bench->kernels, &bench->kernel_count);
}

static dd_status measure(struct bench *bench) {
    double told = dd_now();
    for (int i = 1 - bench->options->warmup; i <= bench->iterations; i++) {
        DD_TRY(iterate(bench, i < 1 ? bench->iterations + 1 - i : i, i >= 1));
        if (i >= 1 && dd_now() - told > 2) {
            told = dd_now();
            dd_info("iteration %d of %d, %.1f ms", i, bench->iterations, bench->series[STEP].ms[i - 1]);
        }
    }
    struct rusage usage;
    bench->device_bytes = bench->device->peak_bytes;
    bench->resident_bytes = getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
    if (bench->options->profile)
        DD_TRY(profile(bench));
    dd_plan_destroy(&bench->workload.plan); /* makes room for the peaks' buffers */
    return dd_peak_measure(bench->device, &bench->peak);
}

/*
 * Operations of convolutions and the last layer in a step: forward, by the weights and by the input; the stem's
 * gradient by the images is not computed. A unit that is off counts as the mean of all.
 */
static double step_flops(const struct bench *bench) {
    const struct dd_net *net = bench->workload.net;
    const struct dd_conv_layer *stem = &net->stem;
    struct dd_net_summary sum;
    dd_net_summarize(net, &sum);
    const double skipped = (double)sum.primary_flops * (1 - bench->units_run / net->unit_count);
    const double images = 2.0 * stem->in_c * stem->out_c * stem->kernel * stem->kernel * stem->out_h * stem->out_w;
    return bench->options->batch * (3 * ((double)sum.forward_flops - skipped) - images);
}

static double launches(const struct bench *bench) {
    return bench->launches[DD_PHASE_FORWARD] + bench->launches[DD_PHASE_BACKWARD] + bench->launches[DD_PHASE_UPDATE];
}

static json_t *kernels_json(const struct bench *bench) {
    json_t *kernels = json_array();
    for (int i = 0; i < bench->kernel_count; i++) {
        const struct dd_profile_row *row = &bench->kernels[i];
        json_array_append_new(kernels, json_pack("{s:s, s:o, s:o}", "kernel", row->label, "launches",
                                                 dd_json_number((double)row->launches / bench->iterations), "ms",
                                                 dd_json_number(row->ms / bench->iterations)));
    }
    return kernels;
}

static dd_status print_json(const struct bench *bench, const struct dd_figures figures[SERIES], FILE *out) {
    const struct dd_bench_options *options = bench->options;
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "device", bench->device->info.name, "net", options->net, "shortcut",
                  bench->shortcut, "gate", options->gate, "batch", options->batch, "iterations", bench->iterations);
    for (int s = 0; s <= TOTAL; s++) {
        char key[24];
        snprintf(key, sizeof key, "%s_ms", names[s]);
        json_object_set_new(root, key, dd_figures_json(&figures[s]));
    }
    json_object_set_new(root, "images_per_s", dd_json_number(1e3 * options->batch / figures[STEP].mean));
    json_object_set_new(root, "units_run_mean", dd_json_number(bench->units_run));
    json_object_set_new(root, "device_bytes", json_integer((json_int_t)bench->device_bytes));
    json_object_set_new(root, "step_ms", dd_figures_json(&figures[STEP]));
    json_object_set_new(root, "enqueue_ms", dd_figures_json(&figures[ENQUEUE]));
    json_object_set_new(root, "launches_mean", dd_json_number(launches(bench)));
    json_object_set_new(root, "launches_forward_mean", dd_json_number(bench->launches[DD_PHASE_FORWARD]));
    json_object_set_new(root, "launches_backward_mean", dd_json_number(bench->launches[DD_PHASE_BACKWARD]));
    json_object_set_new(root, "resident_bytes", json_integer((json_int_t)bench->resident_bytes));
    json_object_set_new(root, "vector", json_integer(bench->vector));
    json_object_set_new(root, "dropout", dd_json_number(bench->workload.dropout));
    json_object_set_new(root, "unit_dropout", dd_json_number(bench->workload.unit_dropout));
    json_object_set_new(root, "step_gflops", dd_json_number(1e-6 * step_flops(bench) / figures[STEP].median));
    json_object_set_new(root, "fma_gflops", dd_json_number(bench->peak.fma_gflops));
    json_object_set_new(root, "bandwidth_gbs", dd_json_number(bench->peak.bandwidth_gbs));
    if (options->profile)
        json_object_set_new(root, "kernels", kernels_json(bench));
    return dd_json_line(root, out);
}

static void print_kernels(const struct bench *bench, FILE *out) {
    double sum = 0;
    for (int i = 0; i < bench->kernel_count; i++)
        sum += bench->kernels[i].ms / bench->iterations;
    fprintf(out, "\nkernels of a step by events, which slow it a little: %.2f ms; library calls are not seen\n", sum);
    fprintf(out, "%10s %10s %8s  %s\n", "ms", "launches", "share", "kernel");
    for (int i = 0; i < bench->kernel_count; i++) {
        const struct dd_profile_row *row = &bench->kernels[i];
        const double ms = row->ms / bench->iterations;
        fprintf(out, "%10.3f %10.1f %6.1f %%  %s\n", ms, (double)row->launches / bench->iterations, 100 * ms / sum,
                row->label);
    }
}

static void print_table(const struct bench *bench, const struct dd_figures figures[SERIES], FILE *out) {
    const struct dd_bench_options *options = bench->options;
    const double gflops = 1e-6 * step_flops(bench) / figures[STEP].median;
    fprintf(out, "%s, %s shortcuts, gates %s, batch %d, %dx%d images, %d iterations on %s, V = %d\n", options->net,
            bench->shortcut, options->gate, options->batch, options->image_size, options->image_size, bench->iterations,
            bench->device->info.name, bench->vector);
    fprintf(out, "%-10s %10s %10s %10s %10s\n", "ms", "mean", "median", "min", "launches");
    for (int s = 0; s < SERIES; s++) {
        fprintf(out, "%-10s %10.2f %10.2f %10.2f", names[s], figures[s].mean, figures[s].median, figures[s].min);
        if (s <= TOTAL)
            fprintf(out, " %10.1f", s < TOTAL ? bench->launches[s] : launches(bench));
        fputc('\n', out);
    }
    fprintf(out, "total: phase by phase; step: in one go; enqueue: of it, the calls that queue work\n");
    fprintf(out, "%.1f images/s, %.2f of %d units run, %.1f MiB on the device, %.1f MiB resident\n",
            1e3 * options->batch / figures[STEP].mean, bench->units_run, bench->workload.net->unit_count,
            (double)bench->device_bytes / 1048576, (double)bench->resident_bytes / 1048576);
    fprintf(out,
            "%.1f GFLOP/s by the count of direct convolution: %.2f of the FMA peak of %.1f; memory moves %.1f GB/s\n",
            gflops, gflops / bench->peak.fma_gflops, bench->peak.fma_gflops, bench->peak.bandwidth_gbs);
    if (options->profile)
        print_kernels(bench, out);
}

dd_status dd_bench_step(const struct dd_bench_options *options, FILE *out) {
    struct bench bench = {.options = options};
    struct dd_figures figures[SERIES];
    dd_status status;
    DD_GOTO(status, done, prepare(&bench));
    DD_GOTO(status, done, measure(&bench));
    for (int s = 0; s < SERIES; s++)
        figures[s] = dd_series_figures(&bench.series[s]);
    if (options->json)
        status = print_json(&bench, figures, out);
    else
        print_table(&bench, figures, out);
done:
    for (int s = 0; s < SERIES; s++)
        dd_series_free(&bench.series[s]);
    dd_gate_destroy(&bench.gate);
    dd_workload_finish(&bench.workload);
    dd_workload_close_device(&bench.device);
    free(bench.gates);
    free(bench.kernels);
    return status;
}
