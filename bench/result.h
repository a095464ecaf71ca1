/* Series of times and what is quoted of them. */
#ifndef DD_BENCH_RESULT_H
#define DD_BENCH_RESULT_H

#include <jansson.h>
#include <stdio.h>

#include "base/error.h"

struct dd_series {
    double *ms; /* [capacity], freed by dd_series_free */
    int count, capacity;
};

dd_status dd_series_create(struct dd_series *series, int capacity);
void dd_series_free(struct dd_series *series);
/** Ignored beyond the capacity. */
void dd_series_add(struct dd_series *series, double ms);

struct dd_figures {
    double mean, median, min;
};

/** Sorts the series. NaN figures of an empty one. */
struct dd_figures dd_series_figures(struct dd_series *series);

/** {"mean":..,"median":..,"min":..} */
json_t *dd_figures_json(const struct dd_figures *figures);

#endif
