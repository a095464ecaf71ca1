/* Figures of bench gates: the paper's Table II and figure 2 (b). */
#include <math.h>
#include <string.h>

#include "report/internal.h"
#include "report/paper.h"

/* Rows on the curve over the ratio: Bernoulli gates, every gate on, every gated unit off (exact:K with all K gated
 * units, ratio 1). Other exact:K and width dropout stand in the table. */
static bool on_curve(const struct dd_timing *timing, int index) {
    const struct dd_timing_row *row = &timing->rows[index];
    return index > 0 && !dd_timing_is_wide(row) &&
           (strcmp(row->gate, "none") == 0 || strncmp(row->gate, "uniform:", 8) == 0 || row->ratio >= 1);
}

/* By rising ratio: every gate on comes behind the ratios in the file. */
static int next_row(const struct dd_timing *timing, double behind) {
    int next = -1;
    for (int r = 1; r < timing->row_count; r++)
        if (on_curve(timing, r) && timing->rows[r].ratio > behind &&
            (next < 0 || timing->rows[r].ratio < timing->rows[next].ratio))
            next = r;
    return next;
}

static dd_status add_phase(struct dd_figure *figure, const struct dd_timing *timing, int colour, const char *name,
                           size_t offset) {
    struct dd_line *line;
    DD_TRY(dd_figure_line(figure, DD_LOOK_POINTS, colour, &line, "%s, %s shortcuts", name, timing->shortcut));
    for (int r = next_row(timing, -1); r >= 0; r = next_row(timing, timing->rows[r].ratio)) {
        const double *ms = (const double *)(const void *)((const char *)&timing->rows[r] + offset);
        DD_TRY(dd_line_add(line, timing->rows[r].ratio, *ms, NAN, NAN));
    }
    return DD_OK;
}

/* Its milliseconds are those of another machine: scaled so that both begin at the same baseline. */
static dd_status add_scaled_paper(struct dd_figure *figure, const struct dd_timing *timing) {
    const double scale = timing->rows[0].total / dd_paper_lines[0].total_ms;
    struct dd_line *line;
    DD_TRY(dd_figure_line(figure, DD_LOOK_DASHED, -1, &line, "the paper's total, scaled to this baseline"));
    for (int i = 0; i < DD_PAPER_LINES; i++)
        DD_TRY(dd_line_add(line, dd_paper_lines[i].ratio, scale * dd_paper_lines[i].total_ms, NAN, NAN));
    return DD_OK;
}

dd_status dd_figure_time(const struct dd_report *report, const struct dd_timing *timing, struct dd_figure *figure) {
    (void)report;
    struct dd_line *line;
    if (timing == NULL) {
        dd_figure_missing(figure, "%s", dd_no_timing);
        return DD_OK;
    }
    DD_TRY(add_phase(figure, timing, 0, "forward", offsetof(struct dd_timing_row, forward)));
    DD_TRY(add_phase(figure, timing, 1, "backward", offsetof(struct dd_timing_row, backward)));
    DD_TRY(add_phase(figure, timing, 2, "total with update", offsetof(struct dd_timing_row, total)));
    if (dd_paper_line(timing->net, 0) != NULL && strcmp(timing->shortcut, "conv") == 0)
        DD_TRY(add_scaled_paper(figure, timing));
    DD_TRY(dd_figure_line(figure, DD_LOOK_POINTS, 3, &line, "total, identity shortcuts, no gates (baseline)"));
    return dd_line_add(line, 0, timing->rows[0].total, NAN, NAN);
}

static dd_status add_saving(struct dd_figure *figure, const struct dd_timing *timing, int colour, bool theory) {
    struct dd_line *line;
    DD_TRY(dd_figure_line(figure, theory ? DD_LOOK_DASHED : DD_LOOK_POINTS, colour, &line, "%s, %s: %s", timing->net,
                          timing->shortcut, theory ? "by operations" : "measured"));
    for (int r = next_row(timing, -1); r >= 0; r = next_row(timing, timing->rows[r].ratio))
        DD_TRY(dd_line_add(line, timing->rows[r].ratio,
                           theory ? timing->rows[r].theory : dd_timing_saving(timing, timing->rows[r].total), NAN,
                           NAN));
    if (line->count == 0)
        figure->line_count--; /* no theory for these shortcuts; it owns nothing */
    return DD_OK;
}

dd_status dd_figure_saving(const struct dd_report *report, const struct dd_timing *timing, struct dd_figure *figure) {
    (void)timing;
    struct dd_line *line;
    bool paper = false;
    for (int t = 0; t < report->timing_count; t++) {
        DD_TRY(add_saving(figure, &report->timings[t], t, false));
        DD_TRY(add_saving(figure, &report->timings[t], t, true));
        paper = paper || dd_paper_line(report->timings[t].net, 0) != NULL;
    }
    if (report->timing_count == 0)
        dd_figure_missing(figure, "%s", dd_no_timing);
    for (int theory = 0; paper && theory < 2; theory++) {
        DD_TRY(dd_figure_line(figure, theory ? DD_LOOK_DASHED : DD_LOOK_POINTS, -1, &line, "the paper: %s",
                              theory ? "its theory" : "measured"));
        for (int i = theory; i < DD_PAPER_LINES; i++) /* its theory has no p = 0 */
            DD_TRY(dd_line_add(line, dd_paper_lines[i].ratio,
                               theory ? dd_paper_lines[i].theory : dd_paper_lines[i].saving, NAN, NAN));
    }
    return DD_OK;
}
