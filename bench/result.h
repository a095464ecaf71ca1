/* Series of times and what is quoted of them. */
#ifndef DD_BENCH_RESULT_H
#define DD_BENCH_RESULT_H

#include <jansson.h>

struct dd_series {
    double *ms;
    int count;
};

struct dd_figures { double mean, median, min; };

/** Sorts the series. NaN figures of an empty one. */
struct dd_figures dd_series_figures(struct dd_series *series);

/** {"mean":..,"median":..,"min":..} */
json_t *dd_figures_json(const struct dd_figures *figures);

#endif
