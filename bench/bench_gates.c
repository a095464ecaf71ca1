/*
 * `depthdrop bench gates`: what depth dropout saves, by the paper's timing protocol (IV-A2): forward and backward
 * separately, means after warm-up. All configurations take turns iteration by iteration, on networks that live on the
 * device at once: the baseline has identity shortcuts and no gates, the others the shortcut asked for. The last is the
 * baseline with width dropout, which saves no time (II): what is dropped is computed all the same.
 *
 * The cost model (III-C): with U units of which K are off, primary paths of P and shortcuts of T milliseconds, an
 * iteration saves K P - U T against the baseline. P and T come from the same run: P = (every gate on - every gated unit
 * off) / gated units, T = (every gate on - baseline) / U. A shortcut alone, its unit's gate off, is cheaper than one
 * beside a primary path, which ends in a join: (every gated unit off - the same with identity shortcuts) / U.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "bench/peak.h"
#include "bench/result.h"
#include "bench/workload.h"
#include "report/paper.h"

enum { MAX_CONFIGS = 24, DEFAULT_ITERATIONS = 500, TOTAL = DD_PHASES, SERIES };
enum { PLAIN, GATED, WIDE, WORKLOADS }; /* identity shortcuts; options->shortcut; identity and width dropout */
static const char *const series_names[SERIES] = {"forward", "backward", "update", "total"};
static const double shortcut_worth = 1.0 / 18; /* of a primary path: a 1x1 convolution beside two 3x3 ones */

enum role { ROLE_BASELINE, ROLE_RATIO, ROLE_ALL_ON, ROLE_ALL_OFF, ROLE_PLAIN_OFF, ROLE_WIDTH };

struct config {
    enum role role;
    char policy[40];
    double off;   /* share of the gated units that is off on average */
    int workload; /* PLAIN, ... */
    dd_gate *gate;
    struct dd_series series[SERIES];
    struct dd_figures figures[SERIES];
    double units_run, launches[DD_PHASES]; /* means */
};

struct bench {
    const struct dd_bench_options *options;
    const char *shortcut;
    int iterations, gated, vector;
    dd_device *device;
    struct dd_workload workloads[WORKLOADS];
    int workload_count; /* without WIDE where its ratios are 0 */
    double dropout, unit_dropout;
    unsigned char *gates;
    struct config configs[MAX_CONFIGS];
    int config_count;
    struct dd_peak peak;
};

/* ---- configurations ---- */

static dd_status add_config(struct bench *bench, enum role role, const char *policy, double off) {
    const struct dd_bench_options *options = bench->options;
    if (bench->config_count == MAX_CONFIGS)
        return dd_fail(DD_ERROR_USAGE, "--ratios and --exact name too many configurations: at most %d fit",
                       MAX_CONFIGS - 5);
    struct config *config = &bench->configs[bench->config_count++];
    *config = (struct config){.role = role, .off = off, .workload = GATED};
    if (role == ROLE_BASELINE || role == ROLE_PLAIN_OFF || role == ROLE_WIDTH)
        config->workload = role == ROLE_WIDTH ? WIDE : PLAIN;
    snprintf(config->policy, sizeof config->policy, "%s", policy);
    const struct dd_gate_options gate = {.policy = config->policy, .first = options->gate_first, .seed = options->seed};
    DD_TRY(dd_gate_create(&gate, bench->workloads[config->workload].net, &config->gate));
    for (int s = 0; s < SERIES; s++)
        DD_TRY(dd_series_create(&config->series[s], bench->iterations));
    return DD_OK;
}

/* A configuration for every number of a list "0.25,0.5" (whole ones, if exact); ratio 0 is the baseline, always there.
 */
static dd_status add_list(struct bench *bench, const char *option, const char *list, bool exact) {
    for (const char *at = list; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
        const int length = (int)strcspn(at, ",");
        char text[24], policy[40], *end;
        snprintf(text, sizeof text, "%.*s", length, at);
        const double value = strtod(text, &end);
        if (length == 0 || length >= (int)sizeof text ||
            text[strspn(text, exact ? "0123456789" : "0123456789.")] != '\0' || *end != '\0')
            return dd_fail(DD_ERROR_USAGE, "--%s \"%s\" is not a list like %s", option, list,
                           exact ? "6,12,18" : "0,0.25,0.5,0.75");
        if (!exact && value == 0)
            continue;
        snprintf(policy, sizeof policy, "%s:%s", exact ? "exact" : "uniform", text);
        DD_TRY(add_config(bench, ROLE_RATIO, policy, exact && bench->gated > 0 ? value / bench->gated : value));
    }
    return DD_OK;
}

static dd_status list_configs(struct bench *bench) {
    const struct dd_bench_options *options = bench->options;
    const struct dd_gate_options probe = {.policy = "uniform:0", .first = options->gate_first};
    dd_gate *gate = NULL;
    char all_off[32];
    DD_TRY(dd_gate_create(&probe, bench->workloads[GATED].net, &gate));
    bench->gated = dd_gate_gated_units(gate);
    dd_gate_destroy(&gate);
    DD_TRY(add_config(bench, ROLE_BASELINE, "none", 0));
    DD_TRY(add_list(bench, "ratios", options->ratios, false));
    if (options->exact != NULL)
        DD_TRY(add_list(bench, "exact", options->exact, true));
    DD_TRY(add_config(bench, ROLE_ALL_ON, "none", 0));
    snprintf(all_off, sizeof all_off, "exact:%d", bench->gated);
    DD_TRY(add_config(bench, ROLE_ALL_OFF, all_off, bench->gated > 0 ? 1 : 0));
    DD_TRY(add_config(bench, ROLE_PLAIN_OFF, all_off, bench->gated > 0 ? 1 : 0));
    return bench->workload_count > WIDE ? add_config(bench, ROLE_WIDTH, "none", 0) : DD_OK;
}

static dd_status init_workloads(struct bench *bench) {
    const struct dd_bench_options *options = bench->options;
    bench->dropout = options->dropout < 0 ? 0.5 : options->dropout;
    bench->unit_dropout = options->unit_dropout < 0 ? 0.5 : options->unit_dropout;
    bench->workload_count = bench->dropout > 0 || bench->unit_dropout > 0 ? WORKLOADS : WIDE;
    for (int i = 0; i < bench->workload_count; i++)
        DD_TRY(dd_workload_init(options, i == GATED ? bench->shortcut : "identity", &bench->workloads[i]));
    bench->workloads[WIDE].dropout = bench->dropout;
    bench->workloads[WIDE].unit_dropout = bench->unit_dropout;
    return DD_OK;
}

static dd_status prepare(struct bench *bench) {
    const struct dd_bench_options *options = bench->options;
    int vector;
    bench->shortcut = options->shortcut != NULL ? options->shortcut : "conv";
    bench->iterations = options->iterations > 0 ? (int)options->iterations : DEFAULT_ITERATIONS;
    DD_TRY(dd_workload_check(options, &vector));
    DD_TRY(init_workloads(bench));
    DD_TRY(list_configs(bench));
    bench->gates = dd_calloc((size_t)bench->workloads[GATED].net->unit_count, 1);
    if (bench->gates == NULL)
        return dd_fail_memory("gates", (size_t)bench->workloads[GATED].net->unit_count);
    DD_TRY(dd_workload_open_device(options, &bench->device));
    for (int i = 0; i < bench->workload_count; i++)
        DD_TRY(dd_workload_bind(&bench->workloads[i], bench->device));
    bench->vector = dd_plan_get_choice(bench->workloads[PLAIN].plan)->vector;
    return DD_OK;
}

/* ---- measurement ---- */

static dd_status iterate(struct bench *bench, struct config *config, int64_t iteration, bool counts) {
    struct dd_phase_times times;
    double total = 0;
    dd_gate_draw(config->gate, (uint64_t)iteration, bench->gates);
    DD_TRY(dd_workload_phases(&bench->workloads[config->workload], bench->gates, &times));
    if (!counts)
        return DD_OK;
    for (int phase = 0; phase < DD_PHASES; phase++) {
        total += times.ms[phase];
        dd_series_add(&config->series[phase], times.ms[phase]);
        config->launches[phase] += (double)times.launches[phase] / bench->iterations;
    }
    dd_series_add(&config->series[TOTAL], total);
    for (int u = 0; u < bench->workloads[GATED].net->unit_count; u++)
        config->units_run += (double)bench->gates[u] / bench->iterations;
    return DD_OK;
}

/*
 * Every configuration once. In training a step follows one of the same network and finds in the caches what that left
 * there, so where the network changes a step that does not count comes first.
 */
static dd_status iterate_all(struct bench *bench, int64_t iteration, bool counts) {
    for (int c = 0; c < bench->config_count; c++) {
        struct config *config = &bench->configs[c];
        if (c == 0 || config->workload != config[-1].workload)
            DD_TRY(iterate(bench, config, iteration, false));
        DD_TRY(iterate(bench, config, iteration, counts));
    }
    return DD_OK;
}

static dd_status measure(struct bench *bench) {
    double told = dd_now();
    for (int i = 1 - bench->options->warmup; i <= bench->iterations; i++) {
        DD_TRY(iterate_all(bench, i < 1 ? bench->iterations + 1 - i : i, i >= 1));
        if (i >= 1 && dd_now() - told > 5) {
            told = dd_now();
            dd_info("iteration %d of %d", i, bench->iterations);
        }
    }
    for (int c = 0; c < bench->config_count; c++)
        for (int s = 0; s < SERIES; s++)
            bench->configs[c].figures[s] = dd_series_figures(&bench->configs[c].series[s]);
    for (int i = 0; i < bench->workload_count; i++)
        dd_plan_destroy(&bench->workloads[i].plan); /* makes room for the peaks' buffers */
    return dd_peak_measure(bench->device, &bench->peak);
}

/* ---- figures ---- */

static const struct config *config_of(const struct bench *bench, enum role role) {
    for (int c = 0; c < bench->config_count; c++)
        if (bench->configs[c].role == role)
            return &bench->configs[c];
    return NULL;
}

static double mean_total(const struct bench *bench, enum role role) {
    return config_of(bench, role)->figures[TOTAL].mean;
}

/* What a unit costs in milliseconds, forward, backward and update, and what launches a primary path takes. */
struct costs {
    double primary, shortcut, ratio; /* shortcut beside its primary path; ratio: shortcut / primary */
    double alone, alone_ratio;       /* shortcut where gates are off */
    double launches_forward, launches_backward;
};

static struct costs costs_of(const struct bench *bench) {
    const struct config *on = config_of(bench, ROLE_ALL_ON), *off = config_of(bench, ROLE_ALL_OFF);
    const double units = bench->workloads[GATED].net->unit_count, gated = bench->gated > 0 ? bench->gated : NAN;
    struct costs costs = {
        .primary = (mean_total(bench, ROLE_ALL_ON) - mean_total(bench, ROLE_ALL_OFF)) / gated,
        .shortcut = (mean_total(bench, ROLE_ALL_ON) - mean_total(bench, ROLE_BASELINE)) / units,
        .alone = (mean_total(bench, ROLE_ALL_OFF) - mean_total(bench, ROLE_PLAIN_OFF)) / units,
        .launches_forward = (on->launches[DD_PHASE_FORWARD] - off->launches[DD_PHASE_FORWARD]) / gated,
        .launches_backward = (on->launches[DD_PHASE_BACKWARD] - off->launches[DD_PHASE_BACKWARD]) / gated,
    };
    costs.ratio = costs.shortcut / costs.primary;
    costs.alone_ratio = costs.alone / costs.primary;
    return costs;
}

static double saving(const struct bench *bench, const struct config *config) {
    return 1 - config->figures[TOTAL].mean / mean_total(bench, ROLE_BASELINE);
}

static double saving_median(const struct bench *bench, const struct config *config) {
    return 1 - config->figures[TOTAL].median / config_of(bench, ROLE_BASELINE)->figures[TOTAL].median;
}

/* Whether a shortcut is worth what shortcut_worth says. */
static bool counts_by_operations(const struct bench *bench) {
    return strcmp(bench->shortcut, "conv") == 0 && bench->workloads[GATED].net->units[0].convs == 2;
}

/* The cost model with a shortcut worth 1/18, which holds for 1x1 shortcuts beside two 3x3 convolutions. NaN elsewhere;
 * width dropout saves no operation. */
static double theory(const struct bench *bench, const struct config *config) {
    const struct dd_net *net = bench->workloads[GATED].net;
    if (config->role == ROLE_WIDTH)
        return 0;
    if (config->role == ROLE_BASELINE || !counts_by_operations(bench))
        return NAN;
    return (config->off * bench->gated - shortcut_worth * net->unit_count) / net->unit_count;
}

/* The paper's line for the same net and share of units; NULL if it has none. */
static const struct dd_paper_line *paper_line(const struct bench *bench, const struct config *config) {
    if (config->workload != GATED || config->off == 0 || strcmp(bench->shortcut, "conv") != 0)
        return NULL;
    return dd_paper_line(bench->options->net, config->off);
}

/* ---- output ---- */

static json_t *config_json(const struct bench *bench, const struct config *config) {
    const struct dd_paper_line *line = paper_line(bench, config);
    const struct dd_workload *workload = &bench->workloads[config->workload];
    json_t *row = json_pack("{s:s, s:s, s:o, s:o, s:o}", "shortcut", workload->net->shortcut, "gate", config->policy,
                            "ratio", dd_json_number(config->off), "dropout", dd_json_number(workload->dropout),
                            "unit_dropout", dd_json_number(workload->unit_dropout));
    for (int s = 0; s < SERIES; s++) {
        char key[24];
        snprintf(key, sizeof key, "%s_ms", series_names[s]);
        json_object_set_new(row, key, dd_figures_json(&config->figures[s]));
    }
    json_object_set_new(row, "saving", dd_json_number(saving(bench, config)));
    json_object_set_new(row, "saving_median", dd_json_number(saving_median(bench, config)));
    json_object_set_new(row, "theory", dd_json_number(theory(bench, config)));
    json_object_set_new(row, "paper_theory", dd_json_number(line != NULL ? line->theory : NAN));
    json_object_set_new(row, "paper_measured", dd_json_number(line != NULL ? line->saving : NAN));
    json_object_set_new(row, "units_run_mean", dd_json_number(config->units_run));
    json_object_set_new(row, "launches_forward_mean", dd_json_number(config->launches[DD_PHASE_FORWARD]));
    json_object_set_new(row, "launches_backward_mean", dd_json_number(config->launches[DD_PHASE_BACKWARD]));
    return row;
}

static dd_status print_json(const struct bench *bench, FILE *out) {
    const struct dd_bench_options *options = bench->options;
    const struct costs costs = costs_of(bench);
    json_t *rows = json_array();
    for (int c = 0; c < bench->config_count; c++)
        if (bench->configs[c].role != ROLE_PLAIN_OFF)
            json_array_append_new(rows, config_json(bench, &bench->configs[c]));
    json_t *root =
        json_pack("{s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:o}", "device", bench->device->info.name, "net", options->net,
                  "shortcut", bench->shortcut, "batch", options->batch, "iterations", bench->iterations, "units",
                  bench->workloads[GATED].net->unit_count, "gated_units", bench->gated, "rows", rows);
    json_object_set_new(root, "primary_unit_ms", dd_json_number(costs.primary));
    json_object_set_new(root, "shortcut_unit_ms", dd_json_number(costs.shortcut));
    json_object_set_new(root, "shortcut_ratio", dd_json_number(costs.ratio));
    json_object_set_new(root, "shortcut_alone_ms", dd_json_number(costs.alone));
    json_object_set_new(root, "shortcut_alone_ratio", dd_json_number(costs.alone_ratio));
    json_object_set_new(root, "primary_launches_forward", dd_json_number(costs.launches_forward));
    json_object_set_new(root, "primary_launches_backward", dd_json_number(costs.launches_backward));
    json_object_set_new(root, "vector", json_integer(bench->vector));
    json_object_set_new(root, "fma_gflops", dd_json_number(bench->peak.fma_gflops));
    json_object_set_new(root, "bandwidth_gbs", dd_json_number(bench->peak.bandwidth_gbs));
    return dd_json_line(root, out);
}

/* A percentage in a column, or a dash. */
static void print_percent(double fraction, FILE *out) {
    if (isfinite(fraction))
        fprintf(out, " %8.1f%%", 100 * fraction);
    else
        fprintf(out, " %9s", "-");
}

static void print_row(const struct bench *bench, const struct config *config, FILE *out) {
    const struct dd_paper_line *line = paper_line(bench, config);
    fprintf(out, "%-11s %-14s %6.3f %9.2f %9.2f %8.2f %9.2f", bench->workloads[config->workload].net->shortcut,
            config->role == ROLE_WIDTH ? "width dropout" : config->policy, config->off,
            config->figures[DD_PHASE_FORWARD].mean, config->figures[DD_PHASE_BACKWARD].mean,
            config->figures[DD_PHASE_UPDATE].mean, config->figures[TOTAL].mean);
    print_percent(config->role == ROLE_BASELINE ? NAN : saving(bench, config), out);
    print_percent(theory(bench, config), out);
    print_percent(line != NULL ? line->saving : NAN, out);
    print_percent(line != NULL ? line->theory : NAN, out);
    fputc('\n', out);
}

static void print_table(const struct bench *bench, FILE *out) {
    const struct dd_bench_options *options = bench->options;
    const struct costs costs = costs_of(bench);
    fprintf(out, "%s, batch %d, %dx%d images, V = %d, mean of %d interleaved iterations on %s\n", options->net,
            options->batch, options->image_size, options->image_size, bench->vector, bench->iterations,
            bench->device->info.name);
    fprintf(out, "%d units, %d of them gated; FMA peak %.1f GFLOP/s, memory %.1f GB/s\n\n",
            bench->workloads[GATED].net->unit_count, bench->gated, bench->peak.fma_gflops, bench->peak.bandwidth_gbs);
    fprintf(out, "%-11s %-14s %6s %9s %9s %8s %9s %9s %9s %9s %9s\n", "", "", "share", "forward", "backward", "update",
            "total", "", "", "paper's", "paper's");
    fprintf(out, "%-11s %-14s %6s %9s %9s %8s %9s %9s %9s %9s %9s\n", "shortcut", "gates", "off", "ms", "ms", "ms",
            "ms", "saving", "theory", "saving", "theory");
    for (int c = 0; c < bench->config_count; c++)
        if (bench->configs[c].role != ROLE_PLAIN_OFF)
            print_row(bench, &bench->configs[c], out);
    if (bench->workload_count > WIDE)
        fprintf(out,
                "\nwidth dropout: no gates; %g of the values behind each unit's first ReLU and %g of the features "
                "before\nthe last layer are dropped, and computed all the same\n",
                bench->unit_dropout, bench->dropout);
    if (bench->gated == 0)
        return;
    fprintf(out, "\na primary path takes %.3f ms, a shortcut beside it %.3f ms: ratio %.3f", costs.primary,
            costs.shortcut, costs.ratio);
    if (counts_by_operations(bench))
        fprintf(out, " (by count of operations %.3f)", shortcut_worth);
    fprintf(out, "\nwhere gates are off, a shortcut takes %.3f ms: ratio %.3f\n", costs.alone, costs.alone_ratio);
    fprintf(out, "a primary path takes %.1f launches forward, %.1f backward\n", costs.launches_forward,
            costs.launches_backward);
}

dd_status dd_bench_gates(const struct dd_bench_options *options, FILE *out) {
    struct bench *bench = dd_calloc(1, sizeof *bench);
    dd_status status;
    if (bench == NULL)
        return dd_fail_memory("benchmark", sizeof *bench);
    bench->options = options;
    DD_GOTO(status, done, prepare(bench));
    DD_GOTO(status, done, measure(bench));
    if (options->json)
        status = print_json(bench, out);
    else
        print_table(bench, out);
done:
    for (int c = 0; c < bench->config_count; c++) {
        dd_gate_destroy(&bench->configs[c].gate);
        for (int s = 0; s < SERIES; s++)
            dd_series_free(&bench->configs[c].series[s]);
    }
    for (int i = 0; i < bench->workload_count; i++)
        dd_workload_finish(&bench->workloads[i]);
    dd_workload_close_device(&bench->device);
    free(bench->gates);
    free(bench);
    return status;
}
