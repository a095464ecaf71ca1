/* The tables of the page. */
#include <math.h>
#include <string.h>

#include "report/internal.h"
#include "report/paper.h"

static void text_cell(FILE *page, const char *text) {
    fputs("<td>", page);
    dd_page_text(page, text);
    fputs("</td>", page);
}

/* A number, or a dash; percent: a fraction times 100. */
static void number_cell(FILE *page, double value, int digits, bool percent) {
    if (isfinite(value))
        fprintf(page, "<td class=\"n\">%.*f%s</td>", digits, percent ? 100 * value : value, percent ? " %" : "");
    else
        fputs("<td class=\"n\">-</td>", page);
}

static void error_cell(FILE *page, const struct dd_spread *error, int digits) {
    if (error->n > 0 && isfinite(error->se))
        fprintf(page, "<td class=\"n\">%.*f &plusmn; %.*f %%</td>", digits, 100 * error->mean, digits, 100 * error->se);
    else
        number_cell(page, error->mean, digits, true);
}

/* "h:mm:ss", or a dash. */
static void time_cell(FILE *page, double seconds) {
    if (isfinite(seconds) && seconds < 1e9)
        fprintf(page, "<td class=\"n\">%d:%02d:%02d</td>", (int)seconds / 3600, (int)seconds / 60 % 60,
                (int)seconds % 60);
    else
        fputs("<td class=\"n\">-</td>", page);
}

static void head_cells(FILE *page, const char *const *names, int first_number) {
    fputs("<tr>", page);
    for (int i = 0; names[i] != NULL; i++)
        fprintf(page, "<th%s>%s</th>", i >= first_number ? " class=\"n\"" : "", names[i]);
    fputs("</tr>\n", page);
}

/* ---- summary ---- */

/* The device, driver and version that the runs share, or "several". */
static void provenance_cells(const struct dd_report *report, const struct dd_group *group, FILE *page) {
    const struct dd_report_run *first = &report->runs[group->runs[0]];
    bool device = true, version = true;
    for (int i = 1; i < group->count; i++) {
        const struct dd_report_run *run = &report->runs[group->runs[i]];
        device = device && strcmp(run->device, first->device) == 0 && strcmp(run->driver, first->driver) == 0;
        version = version && strcmp(run->version, first->version) == 0;
    }
    fputs("<td>", page);
    dd_page_text(page, device ? first->device : "several");
    if (device) {
        fputs(" (", page);
        dd_page_text(page, first->driver);
        fputc(')', page);
    }
    fputs("</td>", page);
    text_cell(page, version ? first->version : "several");
}

/* Where no run is finished: how far the farthest is, with its error so far. */
static void unfinished_cells(const struct dd_report *report, const struct dd_group *group, FILE *page) {
    const struct dd_report_run *far = &report->runs[group->runs[0]];
    for (int i = 1; i < group->count; i++)
        if (report->runs[group->runs[i]].reached > far->reached)
            far = &report->runs[group->runs[i]];
    const struct dd_run_eval *last = dd_report_run_last(far);
    fprintf(page, "<td class=\"n\">%lld of %lld%s</td>", (long long)far->reached, (long long)far->iterations,
            far->diverged ? ", diverged" : "");
    if (last != NULL)
        fprintf(page, "<td class=\"n\">(%.2f %% at %lld)</td>", 100 * last->error, (long long)last->iteration);
    else
        fputs("<td class=\"n\">-</td>", page);
    number_cell(page, NAN, 2, true);
    number_cell(page, NAN, 2, true);
    number_cell(page, NAN, 1, true);
    fputs("<td class=\"n\">-</td>", page);
    time_cell(page, dd_report_run_seconds(far));
    number_cell(page, dd_report_run_images_per_s(far), 0, false);
}

static void finished_cells(const struct dd_group *group, bool is_baseline, FILE *page) {
    fputs("<td class=\"n\">", page);
    dd_page_text(page, group->key.text[DD_ITERATIONS]);
    fputs("</td>", page);
    error_cell(page, &group->error, 2);
    number_cell(page, group->best.mean, 2, true);
    error_cell(page, &group->running, 2);
    if (is_baseline)
        fputs("<td class=\"n\">baseline</td>", page);
    else if (isfinite(group->relative))
        fprintf(page, "<td class=\"n\">%+.1f &plusmn; %.1f %%</td>", 100 * group->relative, 100 * group->relative_se);
    else
        fputs("<td class=\"n\">-</td>", page);
    if (group->error.n > 1)
        fprintf(page, "<td class=\"n\">%.2f (%.2f to %.2f)</td>", 100 * group->error.sd, 100 * group->error.low,
                100 * group->error.high);
    else
        fputs("<td class=\"n\">-</td>", page);
    time_cell(page, group->seconds.mean);
    number_cell(page, group->images_per_s.mean, 0, false);
}

void dd_page_summary(const struct dd_report *report, FILE *page) {
    static const char *const names[] = {"runs of",
                                        "ratio",
                                        "seeds",
                                        "iterations",
                                        "final test error",
                                        "best",
                                        "with running statistics",
                                        "relative error",
                                        "sd (range), points",
                                        "training, h:m:s",
                                        "images/s",
                                        "device (driver)",
                                        "version",
                                        NULL};
    fputs("<div class=\"wide\"><table>\n", page);
    head_cells(page, names, 1);
    for (int g = 0; g < report->group_count; g++) {
        const struct dd_group *group = &report->groups[g];
        fputs("<tr>", page);
        text_cell(page, group->label);
        number_cell(page, group->ratio, 3, false);
        if (group->error.n == group->count)
            fprintf(page, "<td class=\"n\">%d</td>", group->count);
        else
            fprintf(page, "<td class=\"n\">%d of %d done</td>", group->error.n, group->count);
        if (group->error.n > 0)
            finished_cells(group, group->baseline == g, page);
        else
            unfinished_cells(report, group, page);
        provenance_cells(report, group, page);
        fputs("</tr>\n", page);
    }
    fputs("</table></div>\n<p class=\"note\">Means over the finished seeds. &plusmn;: standard error, of the mean over "
          "seeds or, for one seed, of its test images. Relative error: error / baseline - 1. A dash: unknown.</p>\n",
          page);
}

/* ---- runs ---- */

void dd_page_runs(const struct dd_report *report, FILE *page) {
    static const char *const names[] = {"folder",  "runs of", "data", "device (driver)",
                                        "version", "state",   "seed", "test images",
                                        "error",   "best",    NULL};
    fputs("<div class=\"wide\"><table>\n", page);
    head_cells(page, names, 6);
    for (int g = 0; g < report->group_count; g++)
        for (int i = 0; i < report->groups[g].count; i++) {
            const struct dd_report_run *run = &report->runs[report->groups[g].runs[i]];
            const struct dd_run_eval *last = dd_report_run_last(run);
            const struct dd_group alone = {.runs = &report->groups[g].runs[i], .count = 1};
            fputs("<tr>", page);
            text_cell(page, run->folder);
            text_cell(page, report->groups[g].label);
            text_cell(page, run->data);
            provenance_cells(report, &alone, page);
            if (run->finished)
                text_cell(page, "finished");
            else
                fprintf(page, "<td>%s at %lld of %lld</td>", run->diverged ? "diverged" : "unfinished",
                        (long long)run->reached, (long long)run->iterations);
            fprintf(page, "<td class=\"n\">%llu</td>", (unsigned long long)run->seed);
            number_cell(page, last != NULL ? (double)last->images : NAN, 0, false);
            number_cell(page, last != NULL ? last->error : NAN, 2, true);
            number_cell(page, dd_report_run_best(run), 2, true);
            fputs("</tr>\n", page);
        }
    fputs("</table></div>\n", page);
}

/* ---- benchmarks ---- */

static void gate_cell(FILE *page, const struct dd_timing_row *row) {
    char text[256];
    if (dd_timing_is_wide(row))
        snprintf(text, sizeof text, "%s; width dropout %.3g, units %.3g", row->gate, row->dropout, row->unit_dropout);
    else
        snprintf(text, sizeof text, "%s", row->gate);
    text_cell(page, text);
}

void dd_page_timing(const struct dd_timing *timing, FILE *page) {
    static const char *const names[] = {
        "shortcut", "gates",         "share off",      "forward",  "backward",  "update",   "total, ms",  "1 - t/t0",
        "t0/t",     "by operations", "paper: forward", "backward", "total, ms", "1 - t/t0", "its theory", NULL};
    fputs("<div class=\"wide\"><table>\n<caption>", page);
    dd_page_text(page, timing->net);
    fprintf(page, ", batch %d, mean of %d iterations on ", timing->batch, timing->iterations);
    dd_page_text(page, timing->device);
    fputs("</caption>\n", page);
    head_cells(page, names, 2);
    for (int r = 0; r < timing->row_count; r++) {
        const struct dd_timing_row *row = &timing->rows[r];
        const bool compares = r == 0 || (strcmp(row->shortcut, "conv") == 0 && row->ratio > 0);
        const struct dd_paper_line *paper = compares ? dd_paper_line(timing->net, row->ratio) : NULL;
        const double own[] = {row->forward, row->backward, row->update, row->total};
        fputs("<tr>", page);
        text_cell(page, row->shortcut);
        gate_cell(page, row);
        number_cell(page, row->ratio, 3, false);
        for (int i = 0; i < 4; i++)
            number_cell(page, own[i], 2, false);
        number_cell(page, dd_timing_saving(timing, row->total), 1, true);
        number_cell(page, timing->rows[0].total / row->total, 2, false);
        number_cell(page, row->theory, 1, true);
        number_cell(page, paper != NULL ? paper->forward_ms : NAN, 1, false);
        number_cell(page, paper != NULL ? paper->backward_ms : NAN, 1, false);
        number_cell(page, paper != NULL ? paper->total_ms : NAN, 1, false);
        number_cell(page, paper != NULL ? paper->saving : NAN, 1, true);
        number_cell(page, paper != NULL && r > 0 ? paper->theory : NAN, 1, true);
        fputs("</tr>\n", page);
    }
    fputs("</table></div>\n", page);
}

/* ---- points of a figure ---- */

void dd_page_points(const struct dd_figure *figure, FILE *page) {
    if (!figure->tabled)
        return;
    fputs("<details><summary>Numbers</summary><div class=\"wide\"><table>\n<tr><th></th><th class=\"n\">", page);
    dd_page_text(page, figure->x_label);
    fputs("</th><th class=\"n\">", page);
    dd_page_text(page, figure->y_label);
    fputs("</th><th class=\"n\">bar from</th><th class=\"n\">to</th></tr>\n", page);
    const double x_scale = figure->x_percent ? 100 : 1, y_scale = figure->y_percent ? 100 : 1;
    for (size_t i = 0; i < figure->line_count; i++)
        for (size_t p = 0; p < figure->lines[i].count; p++) {
            const struct dd_point *point = &figure->lines[i].points[p];
            fputs("<tr>", page);
            text_cell(page, figure->lines[i].label);
            number_cell(page, x_scale * point->x, 3, false);
            number_cell(page, y_scale * point->y, 2, false);
            number_cell(page, y_scale * point->low, 2, false);
            number_cell(page, y_scale * point->high, 2, false);
            fputs("</tr>\n", page);
        }
    fputs("</table></div></details>\n", page);
}
