/* Figures over a run's course: error, loss and the units that ran. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/internal.h"

enum x_axis { BY_ITERATION, BY_BENCH, BY_CLOCK };
enum { LOSS_POINTS = 100, LOSS_LINES = 5 }; /* at most so many points, each of at least so many logged lines */

/* ", 3 seeds" and ", stopped at 2220 of 4000" where they apply. */
static void describe(const struct dd_report *report, const struct dd_group *group, char *text, size_t size) {
    int64_t reached = 0, of = 0;
    text[0] = '\0';
    if (group->count > 1)
        snprintf(text, size, ", %d seeds", group->count);
    for (int i = 0; i < group->count; i++) {
        const struct dd_report_run *run = &report->runs[group->runs[i]];
        if (run->finished)
            return;
        reached = run->reached > reached ? run->reached : reached;
        of = run->iterations;
    }
    const size_t length = strlen(text);
    snprintf(text + length, size - length, ", %lld of %lld", (long long)reached, (long long)of);
}

static dd_status add_group_line(const struct dd_report *report, int g, struct dd_figure *figure,
                                struct dd_line **line) {
    char more[64];
    describe(report, &report->groups[g], more, sizeof more);
    return dd_figure_line(figure, DD_LOOK_LINE, g, line, "%s%s", report->groups[g].label, more);
}

/* ---- error ---- */

static const struct dd_run_eval *eval_at(const struct dd_report_run *run, int64_t iteration) {
    for (size_t i = 0; i < run->eval_count; i++)
        if (run->evals[i].iteration == iteration)
            return &run->evals[i];
    return NULL;
}

/* The run of the group with most evaluations: the others' are averaged with its, iteration by iteration. */
static const struct dd_report_run *longest(const struct dd_report *report, const struct dd_group *group) {
    const struct dd_report_run *found = &report->runs[group->runs[0]];
    for (int i = 1; i < group->count; i++)
        if (report->runs[group->runs[i]].eval_count > found->eval_count)
            found = &report->runs[group->runs[i]];
    return found;
}

static dd_status add_mean(const struct dd_report *report, const struct dd_group *group, int64_t iteration,
                          enum x_axis axis, struct dd_line *line) {
    double sum = 0, seconds = 0, low = NAN, high = NAN;
    int n = 0;
    for (int i = 0; i < group->count; i++) {
        const struct dd_run_eval *eval = eval_at(&report->runs[group->runs[i]], iteration);
        if (eval == NULL || !isfinite(eval->error))
            continue;
        sum += eval->error;
        seconds += eval->train_s;
        low = fmin(low, eval->error);
        high = fmax(high, eval->error);
        n++;
    }
    const double x = axis == BY_ITERATION ? (double)iteration
                     : axis == BY_BENCH   ? (double)iteration * group->step_ms / 3.6e6
                                          : seconds / n / 3600;
    return n > 0 ? dd_line_add(line, x, sum / n, n > 1 ? low : NAN, n > 1 ? high : NAN) : DD_OK;
}

static dd_status add_errors(const struct dd_report *report, struct dd_figure *figure, enum x_axis axis) {
    struct dd_line *line;
    for (int g = 0; g < report->group_count; g++) {
        const struct dd_group *group = &report->groups[g];
        const struct dd_report_run *run = longest(report, group);
        if (axis == BY_BENCH && group->timing == NULL)
            continue;
        DD_TRY(add_group_line(report, g, figure, &line));
        for (size_t i = 0; i < run->eval_count; i++)
            DD_TRY(add_mean(report, group, run->evals[i].iteration, axis, line));
    }
    if (dd_figure_is_empty(figure))
        dd_figure_missing(figure, "no run has been evaluated yet");
    return DD_OK;
}

dd_status dd_figure_error_iteration(const struct dd_report *report, const struct dd_timing *timing,
                                    struct dd_figure *figure) {
    (void)timing;
    return add_errors(report, figure, BY_ITERATION);
}

dd_status dd_figure_error_hours(const struct dd_report *report, const struct dd_timing *timing,
                                struct dd_figure *figure) {
    (void)timing;
    DD_TRY(add_errors(report, figure, BY_BENCH));
    if (report->timing_count == 0)
        dd_figure_missing(figure, "%s", dd_no_timing);
    else if (figure->line_count == 0)
        dd_figure_missing(figure, "no run has a benchmark of its net, shortcuts, batch and width dropout");
    return DD_OK;
}

dd_status dd_figure_error_hours_measured(const struct dd_report *report, const struct dd_timing *timing,
                                         struct dd_figure *figure) {
    (void)timing;
    return add_errors(report, figure, BY_CLOCK);
}

/* ---- loss ---- */

static dd_status add_losses(const struct dd_report *report, const struct dd_group *group, struct dd_line *line) {
    const struct dd_report_run *first = &report->runs[group->runs[0]];
    int64_t width = (first->iterations + LOSS_POINTS - 1) / LOSS_POINTS;
    if (width < LOSS_LINES * first->log_every)
        width = LOSS_LINES * first->log_every;
    if (width < 1)
        width = 1;
    const size_t bins = (size_t)(first->iterations / width) + 1;
    struct bin {
        double loss, iteration;
        int n;
    } *all = dd_calloc(bins, sizeof *all);
    if (all == NULL)
        return dd_fail_memory("losses", bins * sizeof *all);
    for (int i = 0; i < group->count; i++) {
        const struct dd_report_run *run = &report->runs[group->runs[i]];
        for (size_t s = 0; s < run->step_count; s++) {
            const struct dd_run_step *step = &run->steps[s];
            if (!isfinite(step->loss) || step->iteration < 1 || step->iteration > run->iterations)
                continue;
            struct bin *bin = &all[(step->iteration - 1) / width];
            bin->loss += step->loss;
            bin->iteration += (double)step->iteration;
            bin->n++;
        }
    }
    dd_status status = DD_OK;
    for (size_t b = 0; b < bins && status == DD_OK; b++)
        if (all[b].n > 0)
            status = dd_line_add(line, all[b].iteration / all[b].n, all[b].loss / all[b].n, NAN, NAN);
    free(all);
    return status;
}

dd_status dd_figure_loss(const struct dd_report *report, const struct dd_timing *timing, struct dd_figure *figure) {
    (void)timing;
    struct dd_line *line;
    for (int g = 0; g < report->group_count; g++) {
        DD_TRY(add_group_line(report, g, figure, &line));
        DD_TRY(add_losses(report, &report->groups[g], line));
    }
    if (dd_figure_is_empty(figure))
        dd_figure_missing(figure, "no run has logged a step yet");
    return DD_OK;
}

/* ---- units ---- */

static dd_status add_units(const struct dd_report *report, const struct dd_group *group, struct dd_line *line) {
    const int units = report->runs[group->runs[0]].units;
    double *counts = dd_calloc((size_t)units + 1, sizeof *counts), all = 0;
    dd_status status = DD_OK;
    if (counts == NULL)
        return dd_fail_memory("units", (size_t)units * sizeof *counts);
    for (int i = 0; i < group->count; i++) {
        const struct dd_report_run *run = &report->runs[group->runs[i]];
        for (size_t s = 0; s < run->step_count; s++)
            if (run->steps[s].units_run >= 0 && run->steps[s].units_run <= units) {
                counts[run->steps[s].units_run]++;
                all++;
            }
    }
    int first = 0, last = units;
    while (first < last && counts[first] == 0)
        first++;
    while (last > first && counts[last] == 0)
        last--;
    for (int u = first; u <= last && status == DD_OK; u++)
        if (all > 0)
            status = dd_line_add(line, u, counts[u] / all, NAN, NAN);
    free(counts);
    return status;
}

dd_status dd_figure_units(const struct dd_report *report, const struct dd_timing *timing, struct dd_figure *figure) {
    (void)timing;
    struct dd_line *line;
    for (int g = 0; g < report->group_count; g++) {
        const struct dd_report_run *run = &report->runs[report->groups[g].runs[0]];
        if (run->gated == 0)
            continue;
        DD_TRY(dd_figure_line(figure, DD_LOOK_POINTS, g, &line, "%s (%.4g of %d expected)", report->groups[g].label,
                              run->run_expected, run->units));
        DD_TRY(add_units(report, &report->groups[g], line));
    }
    if (figure->line_count == 0)
        dd_figure_missing(figure, "no run has gates");
    else if (dd_figure_is_empty(figure))
        dd_figure_missing(figure, "no run with gates has logged a step yet");
    return DD_OK;
}
