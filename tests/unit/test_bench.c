/* What benchmarks quote of their times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "bench/bench.h"
#include "bench/result.h"
#include "bench/workload.h"

static struct dd_figures figures_of(const double *values, int count) {
    struct dd_series series;
    assert_int_equal(dd_series_create(&series, count > 0 ? count : 1), DD_OK);
    for (int i = 0; i < count; i++)
        dd_series_add(&series, values[i]);
    assert_int_equal(series.count, count);
    const struct dd_figures figures = dd_series_figures(&series);
    dd_series_free(&series);
    assert_null(series.ms);
    return figures;
}

static void test_figures(void **state) {
    (void)state;
    const struct dd_figures odd = figures_of((const double[]){9, 1, 2}, 3);
    assert_float_equal(odd.mean, 4, 1e-12);
    assert_float_equal(odd.median, 2, 0);
    assert_float_equal(odd.min, 1, 0);
    const struct dd_figures even = figures_of((const double[]){8, 1, 4, 3}, 4);
    assert_float_equal(even.mean, 4, 1e-12);
    assert_float_equal(even.median, 3.5, 1e-12);
    assert_float_equal(even.min, 1, 0);
    const struct dd_figures one = figures_of((const double[]){0.25}, 1);
    assert_float_equal(one.mean, 0.25, 0);
    assert_float_equal(one.median, 0.25, 0);
    assert_float_equal(one.min, 0.25, 0);
    const struct dd_figures none = figures_of(NULL, 0);
    assert_true(isnan(none.mean) && isnan(none.median) && isnan(none.min));
}

/* More than 2^31 apart, equal and tiny differences: the order must not depend on a cast. */
static void test_order(void **state) {
    (void)state;
    const struct dd_figures figures = figures_of((const double[]){1e12, 1e-9, 2e-9, 1e-9, 5}, 5);
    assert_float_equal(figures.median, 2e-9, 1e-15);
    assert_float_equal(figures.min, 1e-9, 1e-15);
}

static void test_capacity(void **state) {
    (void)state;
    struct dd_series series;
    assert_int_equal(dd_series_create(&series, 2), DD_OK);
    for (int i = 1; i <= 3; i++)
        dd_series_add(&series, i);
    assert_int_equal(series.count, 2);
    assert_float_equal(dd_series_figures(&series).mean, 1.5, 1e-12);
    dd_series_free(&series);
}

static void test_json(void **state) {
    (void)state;
    const struct dd_figures figures = {0.1, NAN, 3};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    assert_int_equal(dd_json_line(dd_figures_json(&figures), out), DD_OK);
    fclose(out);
    assert_string_equal(text, "{\"mean\":0.1,\"median\":null,\"min\":3.0}\n");
    free(text);
    assert_int_equal(dd_json_line(NULL, stderr), DD_ERROR_MEMORY);
}

/* Values that no command line can hold are refused too. */
static void test_options(void **state) {
    (void)state;
    struct dd_bench_options options;
    int vector = -1;
    dd_bench_options_default(&options);
    assert_int_equal(dd_workload_check(&options, &vector), DD_OK);
    assert_int_equal(vector, 0);
    options.vector = "16";
    assert_int_equal(dd_workload_check(&options, &vector), DD_OK);
    assert_int_equal(vector, 16);
    options.vector = "3";
    assert_int_equal(dd_workload_check(&options, &vector), DD_ERROR_USAGE);
    options.vector = "auto";
    options.batch = 0;
    assert_int_equal(dd_workload_check(&options, &vector), DD_ERROR_USAGE);
    options.batch = 1;
    options.iterations = -1;
    assert_int_equal(dd_workload_check(&options, &vector), DD_ERROR_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_figures), cmocka_unit_test(test_order),
                                       cmocka_unit_test(test_capacity), cmocka_unit_test(test_json),
                                       cmocka_unit_test(test_options)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
