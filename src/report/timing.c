/* Reads what `depthdrop bench gates --json` printed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "report/internal.h"

enum { MAX_FILE = 16 << 20 };

static dd_status broken(const char *file, const char *key) {
    return dd_fail(DD_ERROR_DATA,
                   "%s: \"%s\" is missing or of the wrong type; write the file by: depthdrop bench gates "
                   "--json > FILE",
                   file, key);
}

static dd_status take_text(const json_t *root, const char *file, const char *key, char *text, size_t size) {
    const char *value = json_string_value(json_object_get(root, key));
    if (value == NULL || strlen(value) >= size)
        return broken(file, key);
    strcpy(text, value);
    return DD_OK;
}

static dd_status take_number(const json_t *root, const char *file, const char *key, int *number) {
    const json_t *value = json_object_get(root, key);
    if (!json_is_integer(value))
        return broken(file, key);
    *number = (int)json_integer_value(value);
    return DD_OK;
}

static dd_status take_mean(const json_t *row, const char *file, const char *key, double *mean) {
    const json_t *value = json_object_get(json_object_get(row, key), "mean");
    if (!json_is_number(value))
        return broken(file, key);
    *mean = json_number_value(value);
    return DD_OK;
}

static double real_or_nan(const json_t *value) {
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static dd_status take_row(const json_t *json, const char *file, struct dd_timing_row *row) {
    DD_TRY(take_text(json, file, "shortcut", row->shortcut, sizeof row->shortcut));
    DD_TRY(take_text(json, file, "gate", row->gate, sizeof row->gate));
    if (!json_is_number(json_object_get(json, "ratio")))
        return broken(file, "ratio");
    row->ratio = json_number_value(json_object_get(json, "ratio"));
    row->theory = real_or_nan(json_object_get(json, "theory"));
    DD_TRY(take_mean(json, file, "forward_ms", &row->forward));
    DD_TRY(take_mean(json, file, "backward_ms", &row->backward));
    DD_TRY(take_mean(json, file, "update_ms", &row->update));
    DD_TRY(take_mean(json, file, "total_ms", &row->total));
    return row->total > 0 ? DD_OK : broken(file, "total_ms");
}

static dd_status take(struct dd_timing *timing, const json_t *root) {
    const char *file = timing->file;
    const json_t *rows = json_object_get(root, "rows");
    DD_TRY(take_text(root, file, "net", timing->net, sizeof timing->net));
    DD_TRY(take_text(root, file, "shortcut", timing->shortcut, sizeof timing->shortcut));
    DD_TRY(take_text(root, file, "device", timing->device, sizeof timing->device));
    DD_TRY(take_number(root, file, "batch", &timing->batch));
    DD_TRY(take_number(root, file, "iterations", &timing->iterations));
    DD_TRY(take_number(root, file, "units", &timing->units));
    DD_TRY(take_number(root, file, "gated_units", &timing->gated));
    timing->primary_ms = real_or_nan(json_object_get(root, "primary_unit_ms"));
    if (json_array_size(rows) == 0)
        return broken(file, "rows");
    timing->rows = dd_calloc(json_array_size(rows), sizeof *timing->rows);
    if (timing->rows == NULL)
        return dd_fail_memory(file, json_array_size(rows) * sizeof *timing->rows);
    timing->row_count = (int)json_array_size(rows);
    for (int i = 0; i < timing->row_count; i++)
        DD_TRY(take_row(json_array_get(rows, (size_t)i), file, &timing->rows[i]));
    if (strcmp(timing->rows[0].shortcut, "identity") != 0 || strcmp(timing->rows[0].gate, "none") != 0)
        return dd_fail(DD_ERROR_DATA, "%s: its first row is not the baseline, identity shortcuts without gates", file);
    return DD_OK;
}

dd_status dd_timing_read(const char *file, struct dd_timing *timing) {
    uint8_t *bytes;
    size_t size;
    json_error_t error;
    *timing = (struct dd_timing){.file = file};
    DD_TRY(dd_file_read(file, MAX_FILE, &bytes, &size));
    json_t *root = json_loadb((const char *)bytes, size, 0, &error);
    free(bytes);
    if (root == NULL)
        return dd_fail(DD_ERROR_DATA, "%s is no output of bench gates --json: line %d: %s", file, error.line,
                       error.text);
    const dd_status status = take(timing, root);
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
