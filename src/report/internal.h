/*
 * The parts of a report: runs and benchmarks are read, runs that differ in nothing but the seed become groups, groups
 * become figures, and figures are drawn, listed and written as JSON by the same few functions. A new figure is a line
 * in the table of figure.c and a function that fills its series.
 */
#ifndef DD_REPORT_INTERNAL_H
#define DD_REPORT_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <depthdrop/report.h>

#include "base/error.h"

/* ---- values out of JSON (read.c) ---- */

/** Where they come from, for the messages of DD_ERROR_DATA. */
struct dd_json_source {
    const char *path;
    const char *hint; /* how such a file comes about */
};

/** DD_ERROR_DATA: the key is missing, or has a value of another type. */
dd_status dd_json_wrong(const struct dd_json_source *source, const char *key);

/* Each takes a key that must be there, of the right type and range. DD_ERROR_DATA. */
dd_status dd_json_text(const struct dd_json_source *source, const json_t *object, const char *key, char *text,
                       size_t size);
dd_status dd_json_as_text(const struct dd_json_source *source, const json_t *object, const char *key, char *text,
                          size_t size); /**< a number, too */
dd_status dd_json_integer(const struct dd_json_source *source, const json_t *object, const char *key, int64_t *number);
dd_status dd_json_count(const struct dd_json_source *source, const json_t *object, const char *key, int *number);
dd_status dd_json_real(const struct dd_json_source *source, const json_t *object, const char *key, double *number);
double dd_json_real_or(const json_t *object, const char *key, double otherwise); /**< otherwise: it is no number */

/* ---- runs (run.c) ---- */

/** What must be equal for two runs to be repetitions of one another, as text; from config.json. */
enum dd_attribute {
    DD_NET,
    DD_SHORTCUT,
    DD_GATE,
    DD_GATE_FIRST,
    DD_GATE_WARMUP,
    DD_RECALIBRATE,
    DD_ITERATIONS,
    DD_BATCH,
    DD_LR,
    DD_WARMUP,
    DD_MOMENTUM,
    DD_WEIGHT_DECAY,
    DD_AUGMENT,
    DD_VAL_SPLIT,
    DD_RECIPE,
    DD_LR_DROPS,
    DD_DROPOUT,
    DD_UNIT_DROPOUT,
    DD_INIT_HASH, /* empty: weights drawn */
    DD_DATA,      /* hashes of training and test images */
    DD_ATTRIBUTES
};
struct dd_key {
    char text[DD_ATTRIBUTES][136];
};

struct dd_run_step {
    int64_t iteration;
    double loss, images_per_s, train_s; /* loss NaN: not finite */
    int64_t units_run;
};
struct dd_run_eval {
    int64_t iteration, images;
    double error, error_running; /* fractions; error_running NaN: not in the log */
    double train_s;              /* training time so far, from the step lines around it */
};

struct dd_report_run {
    const char *folder; /* as given */
    struct dd_key key;
    char data[256], device[128], driver[128], version[32];
    int64_t seed, iterations, batch, log_every;
    int64_t reached;         /* last iteration in the log */
    bool finished, diverged; /* finished: evaluated after its last iteration */
    int units, gated;        /* residual units; those that the policy may switch off */
    double off;              /* expected share of the gated units that is off: the ratio; after a gate warm-up */
    double run_expected;     /* expected number of units run; after a gate warm-up */
    double dropout, unit_dropout;
    struct dd_run_step *steps;
    struct dd_run_eval *evals; /* of the test images; of held-out ones where the log has no others */
    size_t step_count, step_capacity, eval_count, eval_capacity;
};

/** Reads a run folder. DD_ERROR_DATA names the folder or file and what is wrong. Freed by dd_report_run_free. */
dd_status dd_report_run_read(const char *folder, struct dd_report_run *run);
void dd_report_run_free(struct dd_report_run *run);

double dd_report_run_best(const struct dd_report_run *run);         /**< lowest error, NaN without an evaluation */
double dd_report_run_seconds(const struct dd_report_run *run);      /**< training time so far, NaN without a step */
double dd_report_run_images_per_s(const struct dd_report_run *run); /**< over all logged steps, NaN without one */
/** Last evaluation, NULL without one. */
const struct dd_run_eval *dd_report_run_last(const struct dd_report_run *run);

/* ---- benchmarks (timing.c) ---- */

struct dd_timing_row {
    char shortcut[32], gate[128];
    double ratio, forward, backward, update, total; /* means in milliseconds */
    double theory;                                  /* saving by count of operations, NaN: none */
    double dropout, unit_dropout;                   /* width dropout; 0 but in a row that shows what it costs */
};
struct dd_timing {
    const char *file; /* as given */
    char net[32], shortcut[32], device[128];
    int batch, iterations, gated;
    double primary_ms; /* a primary path; NaN if no unit is gated */
    struct dd_timing_row *rows;
    int row_count; /* at least 1; row 0 is the baseline */
};

/** Reads what `bench gates --json` printed. DD_ERROR_DATA. Freed by dd_timing_free. */
dd_status dd_timing_read(const char *file, struct dd_timing *timing);
void dd_timing_free(struct dd_timing *timing);
/** Has the row width dropout? Such a row stands in the table alone. */
bool dd_timing_is_wide(const struct dd_timing_row *row);
/** 1 - t / t0 of a total time in milliseconds. */
double dd_timing_saving(const struct dd_timing *timing, double total);

/* ---- groups (group.c) ---- */

enum { DD_LABEL = 512 };

/** Over the finished runs of a group. */
struct dd_spread {
    int n;
    double mean, sd, low, high; /* sd: with n - 1, NaN for n < 2 */
    double se;                  /* errors alone: standard error of the mean */
};

struct dd_group {
    struct dd_key key;
    char label[DD_LABEL];
    int *runs; /* [count] indices */
    int count;
    int64_t images; /* test images */
    double ratio;   /* expected share of the gated units that is off */
    struct dd_spread error, best, running, seconds, images_per_s;
    int baseline;                   /* group with identity shortcuts, no gates, no width dropout; -1: none finished */
    double relative, relative_se;   /* error / baseline - 1; NaN without a baseline */
    const struct dd_timing *timing; /* benchmark of this net, shortcut, batch and width dropout; NULL */
    double step_ms;                 /* an iteration by timing; NaN */
    bool modelled;                  /* step_ms by the times of the paths, as the policy itself was not timed */
};

/** Groups that differ in the ratio alone: a line in the figures over the ratio. */
struct dd_family {
    struct dd_key key; /* the gate without its arguments */
    char label[DD_LABEL];
    int *groups; /* [count] by rising ratio */
    int count;
};

struct dd_report {
    struct dd_report_run *runs;
    int run_count;
    struct dd_timing *timings;
    int timing_count;
    struct dd_group *groups;
    int group_count;
    struct dd_family *families;
    int family_count;
    struct dd_figure *figures;
    size_t figure_count, figure_capacity;
};

/** Fills groups and families from runs and timings; all lie in the order of the tables. DD_ERROR_MEMORY. */
dd_status dd_report_group(struct dd_report *report);
void dd_report_group_free(struct dd_report *report);

/* ---- figures (figure.c, figure_error.c, figure_curve.c, figure_time.c) ---- */

enum dd_look { DD_LOOK_LINE, DD_LOOK_POINTS, DD_LOOK_ERROR_BARS, DD_LOOK_DASHED };

struct dd_point {
    double x, y, low, high; /* low, high: ends of the error bar or of the range over seeds, NaN: none */
};
struct dd_line {
    char label[DD_LABEL + 96];
    enum dd_look look;
    int colour; /* lines of one subject share it; -1: the paper's grey */
    struct dd_point *points;
    size_t count, capacity;
};
struct dd_figure {
    char name[96], title[160]; /* name: of the files */
    const char *x_label, *y_label, *note;
    bool x_percent, y_percent; /* shown times 100; points are fractions */
    bool from_zero;            /* the y axis begins at 0 */
    bool tabled;               /* its points are few enough for a table on the page */
    char missing[320];         /* why it cannot be drawn; "": it can */
    struct dd_line *lines;
    size_t line_count, line_capacity;
};

dd_status dd_report_figures(struct dd_report *report);
void dd_report_figures_free(struct dd_report *report);
/** Could a report have drawn a figure of this name? */
bool dd_figure_is_name(const char *name);
/** Why the figures over time are missing without a benchmark. */
extern const char dd_no_timing[];

/** Appends a line without points; *line is valid until the next call. */
dd_status dd_figure_line(struct dd_figure *figure, enum dd_look look, int colour, struct dd_line **line,
                         const char *format, ...) __attribute__((format(printf, 5, 6)));
dd_status dd_line_add(struct dd_line *line, double x, double y, double low, double high);
/** Has it a point at all? */
bool dd_figure_is_empty(const struct dd_figure *figure);
void dd_figure_missing(struct dd_figure *figure, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Each fills the lines of one figure, or says why not. */
typedef dd_status dd_figure_builder(const struct dd_report *report, const struct dd_timing *timing,
                                    struct dd_figure *figure);
dd_figure_builder dd_figure_error_ratio, dd_figure_relative, dd_figure_error_saving, dd_figure_statistics;
dd_figure_builder dd_figure_error_iteration, dd_figure_error_hours, dd_figure_error_hours_measured;
dd_figure_builder dd_figure_loss, dd_figure_units;
dd_figure_builder dd_figure_time, dd_figure_saving; /* time: of one benchmark */

/* ---- output ---- */

/** Removes the page and the pictures of an earlier report, which would be mistaken for this one's. DD_ERROR_DATA. */
dd_status dd_report_remove_old(const char *dir);
/** Draws every figure that can be drawn as DIR/<name>.svg and .png. DD_ERROR_DATA, DD_ERROR_INTERNAL (no gnuplot). */
dd_status dd_report_draw(const struct dd_report *report, const char *dir);
/** Writes DIR/report.json. */
dd_status dd_report_write_json(const struct dd_report *report, const char *dir);
/** Writes DIR/index.html with the drawn figures in it. */
dd_status dd_report_write_page(const struct dd_report *report, const char *dir);

/* The parts of the page: reading.c, what the numbers say in words; tables.c, the rest. */
void dd_page_reading(const struct dd_report *report, FILE *page);
void dd_page_summary(const struct dd_report *report, FILE *page);
void dd_page_runs(const struct dd_report *report, FILE *page);
void dd_page_timing(const struct dd_timing *timing, FILE *page);
void dd_page_points(const struct dd_figure *figure, FILE *page); /* nothing for curves */

/** Writes text with & < > " escaped. */
void dd_page_text(FILE *page, const char *text);

#endif
