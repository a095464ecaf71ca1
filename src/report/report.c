/* `depthdrop report`: reads, groups, draws and writes. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "report/internal.h"

static dd_status check_options(const struct dd_report_options *options) {
    if (options->output == NULL)
        return dd_fail(DD_ERROR_USAGE, "--output is missing: the folder that the page and its figures go to");
    if (options->run_count == 0 && options->bench_count == 0)
        return dd_fail(DD_ERROR_USAGE, "there is nothing to report: name run folders, or a benchmark by --bench");
    return DD_OK;
}

static bool same_folder(const char *a, const char *b) {
    char *left = realpath(a, NULL), *right = realpath(b, NULL);
    const bool same = left != NULL && right != NULL && strcmp(left, right) == 0;
    free(left);
    free(right);
    return same;
}

static dd_status read_runs(const struct dd_report_options *options, struct dd_report *report) {
    report->runs = dd_calloc((size_t)options->run_count + 1, sizeof *report->runs);
    if (report->runs == NULL)
        return dd_fail_memory("runs", (size_t)options->run_count * sizeof *report->runs);
    for (int r = 0; r < options->run_count; r++) {
        for (int earlier = 0; earlier < r; earlier++)
            if (same_folder(options->runs[r], options->runs[earlier]))
                return dd_fail(DD_ERROR_USAGE, "the run %s is named twice", options->runs[r]);
        DD_TRY(dd_report_run_read(options->runs[r], &report->runs[r]));
        report->run_count++;
    }
    return DD_OK;
}

/* Each belongs to the net of a run, and none to the same net and shortcuts as another. */
static dd_status check_timing(const struct dd_report *report, const struct dd_timing *timing) {
    bool known = report->run_count == 0;
    for (int r = 0; r < report->run_count && !known; r++)
        known = strcmp(report->runs[r].key.text[DD_NET], timing->net) == 0;
    if (!known)
        return dd_fail(DD_ERROR_DATA, "%s is a benchmark of %s, but no run is of that net", timing->file, timing->net);
    for (int t = 0; t < report->timing_count; t++)
        if (strcmp(report->timings[t].net, timing->net) == 0 &&
            strcmp(report->timings[t].shortcut, timing->shortcut) == 0)
            return dd_fail(DD_ERROR_DATA, "%s and %s are both benchmarks of %s with %s shortcuts: give one of them",
                           report->timings[t].file, timing->file, timing->net, timing->shortcut);
    return DD_OK;
}

static dd_status read_timings(const struct dd_report_options *options, struct dd_report *report) {
    report->timings = dd_calloc((size_t)options->bench_count + 1, sizeof *report->timings);
    if (report->timings == NULL)
        return dd_fail_memory("benchmarks", (size_t)options->bench_count * sizeof *report->timings);
    for (int t = 0; t < options->bench_count; t++) {
        struct dd_timing *timing = &report->timings[t];
        DD_TRY(dd_timing_read(options->benches[t], timing));
        const dd_status status = check_timing(report, timing);
        if (status != DD_OK) {
            dd_timing_free(timing);
            return status;
        }
        report->timing_count++;
    }
    return DD_OK;
}

dd_status dd_report(const struct dd_report_options *options) {
    struct dd_report report = {0};
    dd_status status;
    DD_TRY(check_options(options));
    DD_GOTO(status, done, read_runs(options, &report));
    DD_GOTO(status, done, read_timings(options, &report));
    DD_GOTO(status, done, dd_report_group(&report));
    DD_GOTO(status, done, dd_report_figures(&report));
    DD_GOTO(status, done, dd_make_folder(options->output));
    DD_GOTO(status, done, dd_report_remove_old(options->output));
    DD_GOTO(status, done, dd_report_write_json(&report, options->output));
    DD_GOTO(status, done, dd_report_draw(&report, options->output));
    status = dd_report_write_page(&report, options->output);
done:
    dd_report_figures_free(&report);
    dd_report_group_free(&report);
    for (int r = 0; r < report.run_count; r++)
        dd_report_run_free(&report.runs[r]);
    for (int t = 0; t < report.timing_count; t++)
        dd_timing_free(&report.timings[t]);
    free(report.runs);
    free(report.timings);
    return status;
}
