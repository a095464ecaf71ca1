/* depthdrop: figures and a page from logs of runs. Unstable until 1.0. */
#ifndef DEPTHDROP_REPORT_H
#define DEPTHDROP_REPORT_H

#include <depthdrop/status.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dd_report_options {
    const char *const *runs; /**< [run_count] run folders; unfinished runs are accepted */
    int run_count;
    const char *const *benches; /**< [bench_count] files with the output of `bench gates --json` */
    int bench_count;
    const char *output; /**< folder, made if missing; the page and figures of an earlier report go */
};

/**
 * Writes output/index.html, report.json, figures.gp and each figure as .svg and .png. Figures are drawn by gnuplot, a
 * process of its own. Errors: DD_ERROR_USAGE (nothing to report), DD_ERROR_DATA (a folder without a run, a benchmark of
 * another net, an output that cannot be written), DD_ERROR_INTERNAL (gnuplot is missing or failed; report.json is then
 * there all the same), DD_ERROR_MEMORY.
 */
dd_status dd_report(const struct dd_report_options *options);

#ifdef __cplusplus
}
#endif
#endif
