/*
 * `depthdrop bench conv`: every distinct convolution of a network, fused as the network uses it or plain. Algorithms
 * for the same convolution take turns with each other and with the FMA peak, so that they meet the same machine.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "bench/conv_job.h"
#include "bench/peak.h"
#include "bench/workload.h"
#include "rt/profile.h"
#include "train/tuning.h"

/* A CPU driver's workers sleep between launches, and the system may wake two of them on one core: what is queued right
 * behind each other, as in a step, shows the kernel's own time. A burst takes about as long as a run of the FMA probe,
 * so that both lose the same part of their time to the start. */
enum { DEFAULT_ITERATIONS = 20, MAX_CANDIDATES = 32, MOST_IN_BURST = 64, PROFILED = 10 };
static const double burst_s = 0.03;
static const char *const form_names[] = {"stem", "first", "inner", "shortcut", "shortcut+relu", "plain"};

/* A convolution that occurs count times in the net; index and name are those of the first one. */
struct entry {
    struct dd_conv conv;
    enum dd_conv_form form;
    bool stem; /* of the images, whose gradient nobody asks for */
    int index, count;
    const char *name;
};

struct row {
    const struct entry *entry;
    const struct dd_conv_algorithm *algorithm;
    int job, launches;
    bool chosen; /* by the plan */
    struct dd_figures figures;
    double fma_gflops; /* the device's peak beside the row: a median */
    double kernel_ms;  /* of the list's long kernels, by events; NaN where a library call may be longer */
    struct dd_conv_verdict verdict;
};

struct candidate {
    const struct dd_conv_algorithm *algorithm;
    int job;
    bool chosen;
    cl_mem kept; /* form of the weights */
    struct dd_launches list;
    int burst; /* runs of the list in a burst */
    struct dd_series series;
};

struct bench {
    const struct dd_bench_options *options;
    const char *shortcut;
    int iterations;
    struct dd_workload workload; /* the net alone; no plan is made */
    dd_device *device;
    struct dd_plan_choice choice;
    struct entry *entries;
    struct row *rows;
    size_t row_capacity;
    int entry_count, row_count;
    struct dd_peak peak; /* the best that was met */
    struct dd_fma_probe probe;
};

/* ---- what there is to measure ---- */

static bool same_conv(const struct dd_conv *a, const struct dd_conv *b) {
    return a->in.c == b->in.c && a->in.h == b->in.h && a->in.w == b->in.w && a->in.v == b->in.v &&
           a->out.c == b->out.c && a->kernel == b->kernel && a->stride == b->stride && a->pad == b->pad;
}

/* used: the form in the network. */
static void add_entry(struct bench *bench, const struct dd_conv_layer *layer, enum dd_conv_form used) {
    const enum dd_conv_form form = bench->options->plain ? DD_FORM_PLAIN : used;
    const bool stem = used == DD_FORM_STEM;
    const int v = bench->choice.vector;
    const struct dd_shape in = {bench->options->batch, layer->in_c, layer->in_h, layer->in_w, stem ? 1 : v};
    const struct dd_conv conv = dd_conv_make(in, layer->out_c, v, layer->kernel, layer->stride, layer->pad);
    for (int i = 0; i < bench->entry_count; i++)
        if (bench->entries[i].form == form && same_conv(&bench->entries[i].conv, &conv)) {
            bench->entries[i].count++;
            return;
        }
    bench->entries[bench->entry_count++] =
        (struct entry){conv, form, stem, layer->bn, 1, bench->workload.net->params[layer->weight].name};
}

static dd_status list_entries(struct bench *bench) {
    const struct dd_net *net = bench->workload.net;
    bench->entries = dd_calloc((size_t)net->bn_count, sizeof *bench->entries);
    if (bench->entries == NULL)
        return dd_fail_memory("convolutions", (size_t)net->bn_count * sizeof *bench->entries);
    add_entry(bench, &net->stem, DD_FORM_STEM);
    for (int u = 0; u < net->unit_count; u++) {
        const struct dd_unit *unit = &net->units[u];
        for (int j = 0; j < unit->convs; j++)
            add_entry(bench, &unit->primary[j], j == 0 ? DD_FORM_FIRST : DD_FORM_INNER);
        const bool relu = unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN_RELU;
        if (dd_has_shortcut_conv(unit))
            add_entry(bench, &unit->shortcut, relu ? DD_FORM_SHORTCUT_RELU : DD_FORM_SHORTCUT);
    }
    return DD_OK;
}

/* The plan's choice for a job; NULL: it runs no such job. Where both backward directions can go together, they do. */
static const struct dd_conv_algorithm *chosen_for(const struct bench *bench, const struct entry *entry, int job) {
    const struct dd_conv_algorithm *const *algorithm = bench->choice.algorithm[entry->index];
    const struct dd_conv_algorithm *data = algorithm[DD_CONV_BACKWARD_DATA],
                                   *weights = algorithm[DD_CONV_BACKWARD_WEIGHTS];
    const bool both = data == weights && data->backward != NULL && !entry->stem;
    if (job == DD_CONV_FORWARD)
        return algorithm[DD_CONV_FORWARD];
    if (job == DD_CONV_BACKWARD)
        return both ? data : NULL;
    return both ? NULL : algorithm[job];
}

static int list_candidates(const struct bench *bench, const struct entry *entry,
                           struct candidate candidates[MAX_CANDIDATES]) {
    const struct dd_conv_algorithm *algorithm;
    int count = 0;
    for (int job = 0; job < DD_CONV_JOBS; job++) {
        if (entry->stem && (job == DD_CONV_BACKWARD_DATA || job == DD_CONV_BACKWARD))
            continue;
        for (int i = 0; (algorithm = dd_conv_algorithm_at(i)) != NULL && count < MAX_CANDIDATES; i++) {
            const bool chosen = algorithm == chosen_for(bench, entry, job);
            if (chosen ||
                (bench->options->all && dd_conv_job_supported(&bench->device->info, algorithm, &entry->conv, job)))
                candidates[count++] = (struct candidate){.algorithm = algorithm, .job = job, .chosen = chosen};
        }
    }
    return count;
}

/* ---- measurement ---- */

static dd_status prepare_candidates(struct bench *bench, const struct entry *entry, struct candidate *candidates,
                                    int count, struct dd_conv_data *data) {
    struct dd_conv_needs most = {0};
    for (int i = 0; i < count; i++) {
        const struct dd_conv_needs needs =
            dd_conv_job_needs(&bench->device->info, candidates[i].algorithm, &entry->conv, candidates[i].job);
        most.workspace = needs.workspace > most.workspace ? needs.workspace : most.workspace;
        most.slices = needs.slices > most.slices ? needs.slices : most.slices;
    }
    DD_TRY(dd_conv_data_create(bench->device, &entry->conv, most, bench->options->seed, data));
    for (int i = 0; i < count; i++) {
        DD_TRY(dd_series_create(&candidates[i].series, bench->iterations));
        DD_TRY(dd_conv_job_add(bench->device, candidates[i].algorithm, &entry->conv, entry->form, candidates[i].job,
                               data, &candidates[i].kept, &candidates[i].list));
    }
    return DD_OK;
}

/* Milliseconds of one of `runs` runs of the list, right behind each other. */
static dd_status time_burst(dd_device *device, const struct dd_launches *list, int runs, double *ms) {
    const double start = dd_now();
    for (int i = 0; i < runs; i++)
        DD_TRY(dd_launches_enqueue(device, list));
    DD_TRY(dd_device_finish(device));
    *ms = 1e3 * (dd_now() - start) / runs;
    return DD_OK;
}

/* A first run lets the driver compile, a second one tells how long a burst has to be. */
static dd_status size_burst(dd_device *device, struct candidate *candidate) {
    double ms;
    DD_TRY(time_burst(device, &candidate->list, 1, &ms));
    DD_TRY(time_burst(device, &candidate->list, 2, &ms));
    candidate->burst = (int)fmin(ceil(1e3 * burst_s / fmax(ms, 1e-6)), MOST_IN_BURST);
    return DD_OK;
}

/* Round after round, a burst of each candidate and the FMA peak. */
static dd_status time_candidates(struct bench *bench, struct candidate *candidates, int count,
                                 struct dd_series *peaks) {
    for (int i = 0; i < count; i++)
        DD_TRY(size_burst(bench->device, &candidates[i]));
    for (int round = -bench->options->warmup; round < bench->iterations; round++) {
        double gflops;
        DD_TRY(dd_fma_probe_run(bench->device, &bench->probe, &gflops));
        if (round >= 0)
            dd_series_add(peaks, gflops);
        for (int i = 0; i < count; i++) {
            double ms;
            DD_TRY(time_burst(bench->device, &candidates[i].list, candidates[i].burst, &ms));
            if (round >= 0)
                dd_series_add(&candidates[i].series, ms);
        }
    }
    return DD_OK;
}

/* The convolution's own kernels without the short ones (below a tenth of the longest) that prepare and finish it. */
static dd_status time_kernel(dd_device *device, const struct dd_launches *list, double *ms) {
    struct dd_profile_row *rows;
    int count;
    *ms = NAN;
    for (int i = 0; i < list->count; i++)
        if (list->at[i].kernel == NULL)
            return DD_OK;
    DD_TRY(dd_profile_start(device));
    for (int k = 0; k < PROFILED; k++)
        DD_TRY(dd_launches_enqueue(device, list));
    DD_TRY(dd_profile_stop(device, &rows, &count));
    *ms = 0;
    for (int i = 0; i < count && rows[i].ms >= 0.1 * rows[0].ms; i++)
        *ms += rows[i].ms / PROFILED;
    free(rows);
    return DD_OK;
}

static dd_status keep_rows(struct bench *bench, const struct entry *entry, struct candidate *candidates, int count,
                           double fma_gflops) {
    DD_TRY(dd_grow(&bench->rows, &bench->row_capacity, (size_t)(bench->row_count + count), sizeof *bench->rows));
    for (int i = 0; i < count; i++) {
        struct candidate *candidate = &candidates[i];
        struct row *row = &bench->rows[bench->row_count++];
        *row = (struct row){.entry = entry,
                            .algorithm = candidate->algorithm,
                            .job = candidate->job,
                            .launches = candidate->list.count,
                            .chosen = candidate->chosen,
                            .figures = dd_series_figures(&candidate->series),
                            .fma_gflops = fma_gflops};
        DD_TRY(time_kernel(bench->device, &candidate->list, &row->kernel_ms));
        DD_TRY(dd_conv_job_check(bench->device, row->algorithm, &entry->conv, entry->form, row->job,
                                 bench->options->seed, &row->verdict));
    }
    return DD_OK;
}

static dd_status measure_entry(struct bench *bench, const struct entry *entry) {
    struct candidate candidates[MAX_CANDIDATES] = {0};
    struct dd_conv_data data = {0};
    struct dd_series peaks = {0};
    dd_status status;
    const int count = list_candidates(bench, entry, candidates);
    dd_info("%s: %d of %d convolutions", entry->name, (int)(entry - bench->entries) + 1, bench->entry_count);
    DD_GOTO(status, done, prepare_candidates(bench, entry, candidates, count, &data));
    DD_GOTO(status, done, dd_series_create(&peaks, bench->iterations));
    DD_GOTO(status, done, time_candidates(bench, candidates, count, &peaks));
    status = keep_rows(bench, entry, candidates, count, dd_series_figures(&peaks).median);
done:
    dd_series_free(&peaks);
    for (int i = 0; i < count; i++) {
        dd_launches_clear(&candidates[i].list);
        dd_buffer_release(bench->device, &candidates[i].kept);
        dd_series_free(&candidates[i].series);
    }
    dd_conv_data_release(bench->device, &data);
    return status;
}

static dd_status prepare(struct bench *bench) {
    const struct dd_bench_options *options = bench->options;
    struct dd_plan_options plan = {.batch = options->batch, .training = true, .algorithm = options->algorithm};
    bench->shortcut = options->shortcut != NULL ? options->shortcut : "identity";
    bench->iterations = options->iterations > 0 ? (int)options->iterations : DEFAULT_ITERATIONS;
    DD_TRY(dd_workload_check(options, &plan.vector));
    DD_TRY(dd_workload_init(options, bench->shortcut, &bench->workload));
    DD_TRY(dd_workload_open_device(options, &bench->device));
    DD_TRY(dd_tuning_choose(bench->device, bench->workload.net, &plan, true, NULL, &bench->choice));
    return list_entries(bench);
}

static dd_status measure(struct bench *bench) {
    DD_TRY(dd_peak_measure(bench->device, &bench->peak));
    DD_TRY(dd_fma_probe_create(bench->device, &bench->probe));
    for (int i = 0; i < bench->entry_count; i++)
        DD_TRY(measure_entry(bench, &bench->entries[i]));
    return dd_peak_measure(bench->device, &bench->peak);
}

/* ---- output ---- */

static double row_gflops(const struct row *row) {
    return 1e-6 * dd_conv_job_flops(&row->entry->conv, row->job) / row->figures.median;
}

static double kernel_fraction(const struct row *row) {
    return 1e-6 * dd_conv_job_flops(&row->entry->conv, row->job) / row->kernel_ms / row->fma_gflops;
}

/* Milliseconds of all convolutions of the net by the chosen algorithms, forward or backward. */
static double sum_ms(const struct bench *bench, bool forward) {
    double sum = 0;
    for (int i = 0; i < bench->row_count; i++)
        if (bench->rows[i].chosen && (bench->rows[i].job == DD_CONV_FORWARD) == forward)
            sum += bench->rows[i].entry->count * bench->rows[i].figures.median;
    return sum;
}

static json_t *row_json(const struct row *row) {
    const struct dd_conv *conv = &row->entry->conv;
    const struct dd_conv_verdict *verdict = &row->verdict;
    const double gflops = row_gflops(row);
    return json_pack(
        "{s:s, s:s, s:i, s:[iii], s:[iii], s:i, s:i, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:o, "
        "s:b}",
        "convolution", row->entry->name, "form", form_names[row->entry->form], "count", row->entry->count, "input",
        conv->in.c, conv->in.h, conv->in.w, "output", conv->out.c, conv->out.h, conv->out.w, "kernel", conv->kernel,
        "stride", conv->stride, "direction", dd_conv_job_names[row->job], "algorithm", row->algorithm->name, "chosen",
        row->chosen, "ms", dd_figures_json(&row->figures), "gflops", dd_json_number(gflops), "fma_gflops",
        dd_json_number(row->fma_gflops), "peak_fraction", dd_json_number(gflops / row->fma_gflops), "kernel_ms",
        dd_json_number(row->kernel_ms), "kernel_peak_fraction", dd_json_number(kernel_fraction(row)), "launches",
        row->launches, "error", dd_json_number(verdict->error), "bound", dd_json_number(verdict->bound), "worst_error",
        dd_json_number(verdict->worst), "passed", verdict->worst <= 1);
}

static dd_status print_json(const struct bench *bench, FILE *out) {
    const struct dd_bench_options *options = bench->options;
    json_t *rows = json_array();
    for (int i = 0; rows != NULL && i < bench->row_count; i++)
        if (json_array_append_new(rows, row_json(&bench->rows[i])) != 0) {
            json_decref(rows);
            rows = NULL;
        }
    return dd_json_line(json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "device",
                                  bench->device->info.name, "net", options->net, "shortcut", bench->shortcut, "batch",
                                  options->batch, "vector", bench->choice.vector, "iterations", bench->iterations,
                                  "fma_gflops", dd_json_number(bench->peak.fma_gflops), "bandwidth_gbs",
                                  dd_json_number(bench->peak.bandwidth_gbs), "forward_ms",
                                  dd_json_number(sum_ms(bench, true)), "backward_ms",
                                  dd_json_number(sum_ms(bench, false)), "rows", rows),
                        out);
}

static void print_row(const struct row *row, FILE *out) {
    const struct dd_conv *conv = &row->entry->conv;
    const double gflops = row_gflops(row);
    char shape[48];
    snprintf(shape, sizeof shape, "%dx%dx%d>%d %dx%d/%d", conv->in.c, conv->in.h, conv->in.w, conv->out.c, conv->kernel,
             conv->kernel, conv->stride);
    fprintf(out, "%-23s %-13s %5d  %-16s %c%-9s %9.3f %8.1f %6.2f %6.2f %8d  %8.1e %8.1e%s\n", shape,
            form_names[row->entry->form], row->entry->count, dd_conv_job_names[row->job], row->chosen ? '*' : ' ',
            row->algorithm->name, row->figures.median, gflops, gflops / row->fma_gflops, kernel_fraction(row),
            row->launches, row->verdict.error, row->verdict.bound, row->verdict.worst <= 1 ? "" : "  WRONG");
}

static void print_table(const struct bench *bench, FILE *out) {
    const struct dd_bench_options *options = bench->options;
    fprintf(out, "%s, %s shortcuts, batch %d, V = %d, %d rounds on %s\n", options->net, bench->shortcut, options->batch,
            bench->choice.vector, bench->iterations, bench->device->info.name);
    fprintf(out, "FMA peak up to %.1f GFLOP/s, memory %.1f GB/s\n\n", bench->peak.fma_gflops,
            bench->peak.bandwidth_gbs);
    fprintf(out, "%-23s %-13s %5s  %-16s %-10s %9s %8s %6s %6s %8s  %8s %8s\n", "convolution", "form", "count",
            "direction", " algorithm", "ms", "GFLOP/s", "peak", "kernel", "launches", "error", "bound");
    for (int i = 0; i < bench->row_count; i++)
        print_row(&bench->rows[i], out);
    fprintf(
        out,
        "\nms: median; GFLOP/s: by the count of direct convolution; peak: as a fraction of the FMA peak\n"
        "in turns with it, a median too; kernel: the same by events, without kernels below a tenth of the longest;\n"
        "error: largest, relative to the sum of the products' magnitudes, and what is allowed; *: chosen\n");
    fprintf(out, "all convolutions of the net: forward %.1f ms, backward %.1f ms\n", sum_ms(bench, true),
            sum_ms(bench, false));
}

static dd_status verdict(const struct bench *bench) {
    for (int i = 0; i < bench->row_count; i++) {
        const struct row *row = &bench->rows[i];
        if (!(row->verdict.worst <= 1))
            return dd_fail(DD_ERROR_SELFTEST,
                           "%s %s of %s is wrong on %s: its error is %.3g times what is allowed; use "
                           "another --algorithm and report this",
                           row->algorithm->name, dd_conv_job_names[row->job], row->entry->name,
                           bench->device->info.name, row->verdict.worst);
    }
    return DD_OK;
}

dd_status dd_bench_conv(const struct dd_bench_options *options, FILE *out) {
    struct bench bench = {.options = options};
    dd_status status;
    DD_GOTO(status, done, prepare(&bench));
    DD_GOTO(status, done, measure(&bench));
    if (options->json)
        DD_GOTO(status, done, print_json(&bench, out));
    else
        print_table(&bench, out);
    status = verdict(&bench);
done:
    free(bench.choice.algorithm);
    free(bench.entries);
    free(bench.rows);
    if (bench.device != NULL)
        dd_fma_probe_release(bench.device, &bench.probe);
    dd_workload_finish(&bench.workload);
    dd_workload_close_device(&bench.device);
    return status;
}
