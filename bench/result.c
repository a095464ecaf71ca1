#include "bench/result.h"

#include <math.h>
#include <stdlib.h>

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
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
    return json_pack("{s:f, s:f, s:f}", "mean", figures->mean, "median", figures->median, "min", figures->min);
}
