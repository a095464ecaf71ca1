/* report.json: every number of the report. Its keys are documented in docs/formats.md. */
#include <math.h>
#include <stdlib.h>

#include <depthdrop/depthdrop.h>

#include "base/file.h"
#include "base/json.h"
#include "report/internal.h"
#include "report/paper.h"

static json_t *spread_json(const struct dd_spread *spread) {
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o}", "n", spread->n, "mean", dd_json_number(spread->mean), "sd",
                     dd_json_number(spread->sd), "min", dd_json_number(spread->low), "max",
                     dd_json_number(spread->high), "se", dd_json_number(spread->se));
}

static json_t *run_json(const struct dd_report *report, int index) {
    const struct dd_report_run *run = &report->runs[index];
    const struct dd_run_eval *last = dd_report_run_last(run);
    int group = 0;
    for (int g = 0; g < report->group_count; g++)
        for (int i = 0; i < report->groups[g].count; i++)
            if (report->groups[g].runs[i] == index)
                group = g;
    return json_pack("{s:o, s:i, s:I, s:s, s:I, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "folder",
                     dd_json_string(run->folder), "group", group, "seed", (json_int_t)run->seed, "state",
                     run->finished   ? "finished"
                     : run->diverged ? "diverged"
                                     : "unfinished",
                     "iteration", (json_int_t)run->reached, "iterations", (json_int_t)run->iterations, "error",
                     dd_json_number(last != NULL ? last->error : NAN), "error_running",
                     dd_json_number(last != NULL ? last->error_running : NAN), "best",
                     dd_json_number(dd_report_run_best(run)), "images",
                     last != NULL ? json_integer(last->images) : json_null(), "train_s",
                     dd_json_number(dd_report_run_seconds(run)), "images_per_s",
                     dd_json_number(dd_report_run_images_per_s(run)), "device", dd_json_string(run->device), "driver",
                     dd_json_string(run->driver), "version", dd_json_string(run->version));
}

static json_t *group_json(const struct dd_group *group) {
    json_t *json = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "label", dd_json_string(group->label), "net",
        dd_json_string(group->key.text[DD_NET]), "shortcut", dd_json_string(group->key.text[DD_SHORTCUT]), "gate",
        dd_json_string(group->key.text[DD_GATE]), "gate_first", dd_json_string(group->key.text[DD_GATE_FIRST]),
        "bn_recalibrate", json_integer(atoll(group->key.text[DD_RECALIBRATE])), "iterations",
        json_integer(atoll(group->key.text[DD_ITERATIONS])), "runs", group->count, "ratio",
        dd_json_number(group->ratio));
    json_object_set_new(json, "gate_warmup", json_integer(atoll(group->key.text[DD_GATE_WARMUP])));
    json_object_set_new(json, "dropout", json_real(atof(group->key.text[DD_DROPOUT])));
    json_object_set_new(json, "unit_dropout", json_real(atof(group->key.text[DD_UNIT_DROPOUT])));
    json_object_set_new(json, "init_hash", dd_json_string(group->key.text[DD_INIT_HASH]));
    json_object_set_new(json, "error", spread_json(&group->error));
    json_object_set_new(json, "best", spread_json(&group->best));
    json_object_set_new(json, "error_running", spread_json(&group->running));
    json_object_set_new(json, "train_s", spread_json(&group->seconds));
    json_object_set_new(json, "images_per_s", spread_json(&group->images_per_s));
    json_object_set_new(json, "baseline", group->baseline >= 0 ? json_integer(group->baseline) : json_null());
    json_object_set_new(json, "relative_error", dd_json_number(group->relative));
    json_object_set_new(json, "relative_error_se", dd_json_number(group->relative_se));
    json_object_set_new(json, "step_ms", dd_json_number(group->step_ms));
    json_object_set_new(json, "step_modelled", json_boolean(group->timing != NULL && group->modelled));
    json_object_set_new(json, "saving",
                        dd_json_number(group->timing != NULL ? dd_timing_saving(group->timing, group->step_ms) : NAN));
    return json;
}

static json_t *timing_json(const struct dd_timing *timing) {
    json_t *rows = json_array();
    for (int r = 0; r < timing->row_count; r++) {
        const struct dd_timing_row *row = &timing->rows[r];
        json_array_append_new(
            rows, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "shortcut",
                            dd_json_string(row->shortcut), "gate", dd_json_string(row->gate), "ratio",
                            dd_json_number(row->ratio), "dropout", dd_json_number(row->dropout), "unit_dropout",
                            dd_json_number(row->unit_dropout), "forward_ms", dd_json_number(row->forward),
                            "backward_ms", dd_json_number(row->backward), "update_ms", dd_json_number(row->update),
                            "total_ms", dd_json_number(row->total), "saving",
                            dd_json_number(dd_timing_saving(timing, row->total)), "speedup",
                            dd_json_number(timing->rows[0].total / row->total), "theory", dd_json_number(row->theory)));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:i, s:i, s:o}", "file", dd_json_string(timing->file), "net",
                     dd_json_string(timing->net), "shortcut", dd_json_string(timing->shortcut), "device",
                     dd_json_string(timing->device), "batch", timing->batch, "iterations", timing->iterations, "rows",
                     rows);
}

static json_t *figure_json(const struct dd_figure *figure) {
    json_t *lines = json_array();
    for (size_t i = 0; i < figure->line_count; i++) {
        const struct dd_line *line = &figure->lines[i];
        json_t *points = json_array();
        for (size_t p = 0; p < line->count; p++)
            json_array_append_new(points, json_pack("{s:o, s:o, s:o, s:o}", "x", dd_json_number(line->points[p].x), "y",
                                                    dd_json_number(line->points[p].y), "low",
                                                    dd_json_number(line->points[p].low), "high",
                                                    dd_json_number(line->points[p].high)));
        json_array_append_new(lines, json_pack("{s:o, s:o}", "label", dd_json_string(line->label), "points", points));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "name", dd_json_string(figure->name), "title",
                     dd_json_string(figure->title), "x", dd_json_string(figure->x_label), "y",
                     dd_json_string(figure->y_label), "missing",
                     figure->missing[0] != '\0' ? dd_json_string(figure->missing) : json_null(), "lines", lines);
}

static json_t *paper_json(void) {
    json_t *lines = json_array();
    for (int i = 0; i < DD_PAPER_LINES; i++) {
        const struct dd_paper_line *line = &dd_paper_lines[i];
        json_array_append_new(lines,
                              json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "ratio", line->ratio, "error",
                                        line->error, "forward_ms", line->forward_ms, "backward_ms", line->backward_ms,
                                        "total_ms", line->total_ms, "saving", line->saving, "theory", line->theory));
    }
    return lines;
}

dd_status dd_report_write_json(const struct dd_report *report, const char *dir) {
    json_t *runs = json_array(), *groups = json_array(), *benches = json_array(), *figures = json_array();
    for (int r = 0; r < report->run_count; r++)
        json_array_append_new(runs, run_json(report, r));
    for (int g = 0; g < report->group_count; g++)
        json_array_append_new(groups, group_json(&report->groups[g]));
    for (int t = 0; t < report->timing_count; t++)
        json_array_append_new(benches, timing_json(&report->timings[t]));
    for (size_t f = 0; f < report->figure_count; f++)
        json_array_append_new(figures, figure_json(&report->figures[f]));
    json_t *root =
        json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:o}", "format_version", 1, "version", dd_version(), "runs", runs,
                  "groups", groups, "benches", benches, "figures", figures, "paper", paper_json());
    char *path = dd_path_join(dir, "report.json");
    const dd_status status = dd_json_save_file(root, path, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    free(path);
    return status;
}
