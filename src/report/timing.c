/* Reads what `depthdrop bench gates --json` printed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "report/internal.h"

enum { MAX_FILE = 16 << 20 };

static dd_status take_mean(const json_t *row, const struct dd_json_source *source, const char *key, double *mean) {
    *mean = dd_json_real_or(json_object_get(row, key), "mean", NAN);
    return isfinite(*mean) ? DD_OK : dd_json_wrong(source, key);
}

static dd_status take_row(const json_t *json, const struct dd_json_source *source, struct dd_timing_row *row) {
    DD_TRY(dd_json_text(source, json, "shortcut", row->shortcut, sizeof row->shortcut));
    DD_TRY(dd_json_text(source, json, "gate", row->gate, sizeof row->gate));
    DD_TRY(dd_json_real(source, json, "ratio", &row->ratio));
    row->theory = dd_json_real_or(json, "theory", NAN);
    row->dropout = dd_json_real_or(json, "dropout", 0);
    row->unit_dropout = dd_json_real_or(json, "unit_dropout", 0);
    DD_TRY(take_mean(json, source, "forward_ms", &row->forward));
    DD_TRY(take_mean(json, source, "backward_ms", &row->backward));
    DD_TRY(take_mean(json, source, "update_ms", &row->update));
    DD_TRY(take_mean(json, source, "total_ms", &row->total));
    return row->total > 0 ? DD_OK : dd_json_wrong(source, "total_ms");
}

static bool is_baseline(const struct dd_timing_row *row) {
    return strcmp(row->shortcut, "identity") == 0 && strcmp(row->gate, "none") == 0 && !dd_timing_is_wide(row);
}

static dd_status take(struct dd_timing *timing, const json_t *root, const struct dd_json_source *source) {
    const json_t *rows = json_object_get(root, "rows");
    DD_TRY(dd_json_text(source, root, "net", timing->net, sizeof timing->net));
    DD_TRY(dd_json_text(source, root, "shortcut", timing->shortcut, sizeof timing->shortcut));
    DD_TRY(dd_json_text(source, root, "device", timing->device, sizeof timing->device));
    DD_TRY(dd_json_count(source, root, "batch", &timing->batch));
    DD_TRY(dd_json_count(source, root, "iterations", &timing->iterations));
    DD_TRY(dd_json_count(source, root, "gated_units", &timing->gated));
    timing->primary_ms = dd_json_real_or(root, "primary_unit_ms", NAN);
    if (json_array_size(rows) == 0)
        return dd_json_wrong(source, "rows");
    timing->rows = dd_calloc(json_array_size(rows), sizeof *timing->rows);
    if (timing->rows == NULL)
        return dd_fail_memory(source->path, json_array_size(rows) * sizeof *timing->rows);
    timing->row_count = (int)json_array_size(rows);
    for (int i = 0; i < timing->row_count; i++)
        DD_TRY(take_row(json_array_get(rows, (size_t)i), source, &timing->rows[i]));
    if (!is_baseline(&timing->rows[0]))
        return dd_fail(DD_ERROR_DATA, "%s: its first row is not the baseline, identity shortcuts without gates",
                       source->path);
    return DD_OK;
}

dd_status dd_timing_read(const char *file, struct dd_timing *timing) {
    const struct dd_json_source source = {file, "write the file by: depthdrop bench gates --json > FILE"};
    json_t *root;
    *timing = (struct dd_timing){.file = file};
    DD_TRY(dd_json_load_file(file, MAX_FILE, 0, source.hint, &root));
    const dd_status status = take(timing, root, &source);
    json_decref(root);
    if (status != DD_OK)
        dd_timing_free(timing);
    return status;
}

void dd_timing_free(struct dd_timing *timing) {
    free(timing->rows);
    *timing = (struct dd_timing){0};
}

double dd_timing_saving(const struct dd_timing *timing, double total) {
    return 1 - total / timing->rows[0].total;
}

bool dd_timing_is_wide(const struct dd_timing_row *row) {
    return row->dropout > 0 || row->unit_dropout > 0;
}
