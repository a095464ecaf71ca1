/* Figures of the final test error: over the ratio, relative to the baseline, over the time saved. */
#include <math.h>
#include <string.h>

#include "report/internal.h"
#include "report/paper.h"

static const char no_final[] = "no run is finished: the error counts after the last iteration (the paper, IV-A)";

static bool compares_with_paper(const struct dd_report *report) {
    for (int r = 0; r < report->run_count; r++)
        if (dd_paper_compares(report->runs[r].key.text[DD_NET], report->runs[r].data))
            return true;
    return false;
}

/* The paper's line, where a run is of its net and data; value picks y, x the ratio or, with saved, the saving. */
static dd_status add_paper(const struct dd_report *report, struct dd_figure *figure, bool relative, bool saved) {
    struct dd_line *line;
    if (dd_figure_is_empty(figure) || !compares_with_paper(report))
        return DD_OK;
    DD_TRY(dd_figure_line(figure, DD_LOOK_DASHED, -1, &line, "the paper: %s, conv, CIFAR-10, %d iterations",
                          dd_paper_net, DD_PAPER_ITERATIONS));
    for (int i = 0; i < DD_PAPER_LINES; i++) {
        const struct dd_paper_line *paper = &dd_paper_lines[i];
        DD_TRY(dd_line_add(line, saved ? paper->saving : paper->ratio,
                           relative ? paper->error / dd_paper_lines[0].error - 1 : paper->error, NAN, NAN));
    }
    return DD_OK;
}

static bool any_finished(const struct dd_report *report) {
    for (int g = 0; g < report->group_count; g++)
        if (report->groups[g].error.n > 0)
            return true;
    return false;
}

static dd_status add_spread(struct dd_line *line, double x, const struct dd_spread *error) {
    return dd_line_add(line, x, error->mean, error->mean - error->se, error->mean + error->se);
}

dd_status dd_figure_error_ratio(const struct dd_report *report, const struct dd_timing *timing,
                                struct dd_figure *figure) {
    (void)timing;
    struct dd_line *line;
    for (int f = 0; f < report->family_count; f++) {
        const struct dd_family *family = &report->families[f];
        DD_TRY(dd_figure_line(figure, DD_LOOK_ERROR_BARS, f, &line, "%s", family->label));
        for (int i = 0; i < family->count; i++)
            DD_TRY(add_spread(line, report->groups[family->groups[i]].ratio, &report->groups[family->groups[i]].error));
    }
    if (dd_figure_is_empty(figure))
        dd_figure_missing(figure, "%s", no_final);
    return add_paper(report, figure, false, false);
}

static dd_status add_relative(const struct dd_report *report, struct dd_figure *figure, bool saved) {
    struct dd_line *line;
    for (int f = 0; f < report->family_count; f++) {
        const struct dd_family *family = &report->families[f];
        DD_TRY(dd_figure_line(figure, DD_LOOK_ERROR_BARS, f, &line, "%s", family->label));
        for (int i = 0; i < family->count; i++) {
            const struct dd_group *group = &report->groups[family->groups[i]];
            const double x = !saved                  ? group->ratio
                             : group->timing != NULL ? dd_timing_saving(group->timing, group->step_ms)
                                                     : NAN;
            DD_TRY(dd_line_add(line, x, group->relative, group->relative - group->relative_se,
                               group->relative + group->relative_se));
        }
    }
    return DD_OK;
}

static const char no_baseline[] =
    "no finished run has a finished baseline: the same net, data, batch and iterations with identity shortcuts and no "
    "gates";

dd_status dd_figure_relative(const struct dd_report *report, const struct dd_timing *timing, struct dd_figure *figure) {
    (void)timing;
    DD_TRY(add_relative(report, figure, false));
    if (dd_figure_is_empty(figure))
        dd_figure_missing(figure, "%s", any_finished(report) ? no_baseline : no_final);
    return add_paper(report, figure, true, false);
}

dd_status dd_figure_error_saving(const struct dd_report *report, const struct dd_timing *timing,
                                 struct dd_figure *figure) {
    (void)timing;
    DD_TRY(add_relative(report, figure, true));
    if (dd_figure_is_empty(figure))
        dd_figure_missing(figure, "%s",
                          report->timing_count == 0 ? dd_no_timing
                          : !any_finished(report)   ? no_final
                                                    : "no finished run with a finished baseline has a "
                                                      "benchmark of its net, shortcuts, batch and width dropout");
    return add_paper(report, figure, true, true);
}

dd_status dd_figure_statistics(const struct dd_report *report, const struct dd_timing *timing,
                               struct dd_figure *figure) {
    (void)timing;
    struct dd_line *line;
    for (int f = 0; f < report->family_count; f++) {
        const struct dd_family *family = &report->families[f];
        for (int running = 0; running < 2; running++) {
            DD_TRY(dd_figure_line(figure, running ? DD_LOOK_DASHED : DD_LOOK_ERROR_BARS, f, &line, "%s: %s",
                                  family->label, running ? "running" : "re-estimated"));
            for (int i = 0; i < family->count; i++) {
                const struct dd_group *group = &report->groups[family->groups[i]];
                if (group->running.n > 0)
                    DD_TRY(add_spread(line, group->ratio, running ? &group->running : &group->error));
            }
            if (line->count == 0)
                figure->line_count--; /* of a family without such runs; it owns nothing */
        }
    }
    if (dd_figure_is_empty(figure))
        dd_figure_missing(figure, "no finished run logged the error of both statistics (train --bn-recalibrate N)");
    return DD_OK;
}
