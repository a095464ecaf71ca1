#include "bench/result.h"

#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"

dd_status dd_series_create(struct dd_series *series, int capacity) {
    *series = (struct dd_series){.ms = dd_calloc((size_t)capacity, sizeof *series->ms), .capacity = capacity};
    return series->ms != NULL ? DD_OK : dd_fail_memory("times", (size_t)capacity * sizeof *series->ms);
}

void dd_series_free(struct dd_series *series) {
    free(series->ms);
    *series = (struct dd_series){0};
}

void dd_series_add(struct dd_series *series, double ms) {
    if (series->count < series->capacity)
        series->ms[series->count++] = ms;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct dd_figures dd_series_figures(struct dd_series *series) {
    const int n = series->count;
    if (n == 0)
        return (struct dd_figures){NAN, NAN, NAN};
    qsort(series->ms, (size_t)n, sizeof *series->ms, by_size);
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += series->ms[i];
    return (struct dd_figures){sum / n, (series->ms[(n - 1) / 2] + series->ms[n / 2]) / 2, series->ms[0]};
}

json_t *dd_figures_json(const struct dd_figures *figures) {
    return json_pack("{s:o, s:o, s:o}", "mean", dd_json_number(figures->mean), "median",
                     dd_json_number(figures->median), "min", dd_json_number(figures->min));
}
