/* The table of figures, and what their lines are made of. */
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/internal.h"

const char dd_no_timing[] = "no times: give --bench FILE with the output of bench gates --json";

static const struct kind {
    const char *name, *title, *x_label, *y_label, *note;
    bool x_percent, y_percent, from_zero, tabled;
    bool per_timing; /* one for each benchmark */
    dd_figure_builder *build;
} kinds[] = {
    {"error-ratio", "Test error by dropout ratio", "dropout ratio (expected share of the gated units that is off)",
     "test error, %",
     "The paper's Table I, whose errors are those of CIFAR-10. Error bars are standard errors: of the mean over seeds, "
     "or of the test images where there is one seed.",
     false, true, false, true, false, dd_figure_error_ratio},
    {"relative-error", "Relative error by dropout ratio",
     "dropout ratio (expected share of the gated units that is off)", "error / baseline - 1, %",
     "The paper's figure 2 (a), with its errors on CIFAR-10. The baseline is the same net with identity shortcuts and "
     "no gates. Both errors come from the same test images, so the error bars, which take them for independent, are "
     "rather too long.",
     false, true, false, true, false, dd_figure_relative},
    {"time", "Time per iteration by dropout ratio", "dropout ratio (expected share of the gated units that is off)",
     "time per iteration, ms", "The paper's Table II: means of bench gates, forward and backward separately.", false,
     false, true, false, true, dd_figure_time},
    {"saving", "Time saved by dropout ratio", "dropout ratio (expected share of the gated units that is off)",
     "1 - t / t0, %",
     "The paper's figure 2 (b): t is an iteration's time, t0 that of the baseline with identity shortcuts. By "
     "operations: "
     "a shortcut counts 1/18 of a primary path.",
     false, true, false, true, false, dd_figure_saving},
    {"error-saving", "Relative error by time saved", "time saved by bench gates, 1 - t / t0, %",
     "error / baseline - 1, %", "The paper's figure 2 (c), with its errors on CIFAR-10.", true, true, false, true,
     false, dd_figure_error_saving},
    {"error-iteration", "Test error by iteration", "iteration", "test error, %",
     "The paper's figure 3 (a); means over seeds.", false, true, true, false, false, dd_figure_error_iteration},
    {"error-hours", "Test error by hours, iterations times benchmarked time", "hours of training", "test error, %",
     "The paper's figure 3 (b), by its method: iterations times the mean time of bench gates, so other load of the "
     "machine does not matter.",
     false, true, true, false, false, dd_figure_error_hours},
    {"error-hours-measured", "Test error by hours, as measured", "hours of training, evaluation excluded",
     "test error, %", "Time in training as logged (train_s), with whatever else the machine did meanwhile.", false,
     true, true, false, false, dd_figure_error_hours_measured},
    {"loss-iteration", "Training loss by iteration", "iteration", "training loss",
     "Cross-entropy of mini-batches with the gates of their iteration, without weight decay; means over neighbouring "
     "logged iterations and seeds.",
     false, false, true, false, false, dd_figure_loss},
    {"units-run", "Units run per iteration", "residual units that ran their primary path",
     "share of the logged iterations, %", "Each iteration draws its gates anew.", false, true, true, false, false,
     dd_figure_units},
    {"statistics", "Test error by batch-norm statistics",
     "dropout ratio (expected share of the gated units that is off)", "test error, %",
     "The same weights, evaluated with the running statistics of training and with statistics re-estimated with every "
     "gate on (--bn-recalibrate).",
     false, true, false, true, false, dd_figure_statistics},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

dd_status dd_figure_line(struct dd_figure *figure, enum dd_look look, int colour, struct dd_line **line,
                         const char *format, ...) {
    va_list list;
    DD_TRY(dd_grow(&figure->lines, &figure->line_capacity, figure->line_count + 1, sizeof *figure->lines));
    *line = &figure->lines[figure->line_count++];
    **line = (struct dd_line){.look = look, .colour = colour};
    va_start(list, format);
    vsnprintf((*line)->label, sizeof(*line)->label, format, list);
    va_end(list);
    return DD_OK;
}

dd_status dd_line_add(struct dd_line *line, double x, double y, double low, double high) {
    if (!isfinite(x) || !isfinite(y))
        return DD_OK;
    DD_TRY(dd_grow(&line->points, &line->capacity, line->count + 1, sizeof *line->points));
    line->points[line->count++] = (struct dd_point){x, y, low, high};
    return DD_OK;
}

bool dd_figure_is_empty(const struct dd_figure *figure) {
    for (size_t i = 0; i < figure->line_count; i++)
        if (figure->lines[i].count > 0)
            return false;
    return true;
}

void dd_figure_missing(struct dd_figure *figure, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(figure->missing, sizeof figure->missing, format, list);
    va_end(list);
}

static dd_status add_figure(struct dd_report *report, const struct kind *kind, const struct dd_timing *timing) {
    DD_TRY(dd_grow(&report->figures, &report->figure_capacity, report->figure_count + 1, sizeof *report->figures));
    struct dd_figure *figure = &report->figures[report->figure_count++];
    *figure = (struct dd_figure){.x_label = kind->x_label,
                                 .y_label = kind->y_label,
                                 .note = kind->note,
                                 .x_percent = kind->x_percent,
                                 .y_percent = kind->y_percent,
                                 .from_zero = kind->from_zero,
                                 .tabled = kind->tabled};
    if (timing != NULL) {
        snprintf(figure->name, sizeof figure->name, "%s-%s-%s", kind->name, timing->net, timing->shortcut);
        snprintf(figure->title, sizeof figure->title, "%s: %s, %s shortcuts", kind->title, timing->net,
                 timing->shortcut);
    } else {
        snprintf(figure->name, sizeof figure->name, "%s", kind->name);
        snprintf(figure->title, sizeof figure->title, "%s", kind->title);
    }
    return kind->build(report, timing, figure);
}

dd_status dd_report_figures(struct dd_report *report) {
    for (int k = 0; k < KINDS; k++) {
        if (!kinds[k].per_timing || report->timing_count == 0)
            DD_TRY(add_figure(report, &kinds[k], NULL));
        for (int t = 0; kinds[k].per_timing && t < report->timing_count; t++)
            DD_TRY(add_figure(report, &kinds[k], &report->timings[t]));
    }
    return DD_OK;
}

bool dd_figure_is_name(const char *name) {
    for (int k = 0; k < KINDS; k++) {
        const size_t length = strlen(kinds[k].name);
        if (strncmp(name, kinds[k].name, length) != 0)
            continue;
        const char *rest = name + length; /* of a benchmark: -NET-SHORTCUT */
        if (*rest == '\0' || (kinds[k].per_timing && *rest == '-' && strchr(rest + 1, '-') != NULL))
            return true;
    }
    return false;
}

void dd_report_figures_free(struct dd_report *report) {
    for (size_t f = 0; f < report->figure_count; f++) {
        for (size_t i = 0; i < report->figures[f].line_count; i++)
            free(report->figures[f].lines[i].points);
        free(report->figures[f].lines);
    }
    free(report->figures);
}
