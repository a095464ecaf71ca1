/* log.jsonl: one JSON object a line, appended while training; its end follows the last checkpoint. */
#ifndef DD_TRAIN_RUNLOG_H
#define DD_TRAIN_RUNLOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/error.h"

struct dd_runlog {
    FILE *file; /* locked: one process at a time uses a run folder */
    char *path;
    int64_t lines;     /* kept */
    double train_s;    /* at the checkpoint: training time before this process */
    double best;       /* lowest error on best_split so far; infinity: none */
    int64_t last_eval; /* iteration of the last evaluation kept; -1: none */
    off_t replace;     /* where the line that the next one replaces begins; -1: none */
};

/** Creates or opens DIR/log.jsonl and locks it. DD_ERROR_USAGE if another process holds it; DD_ERROR_DATA. */
dd_status dd_runlog_open(const char *dir, struct dd_runlog *log);
void dd_runlog_close(struct dd_runlog *log); /* also a zeroed one */

/* What to keep of a log. */
struct dd_log_cut {
    int64_t iteration;      /* the checkpoint's: lines up to it */
    bool evaluated;         /* evaluations of iteration itself, too */
    bool stopped;           /* the step line of iteration, the last, is there because of a stop: the next replaces it */
    const char *best_split; /* whose evaluations count for best */
};

/**
 * Cuts the log back, a torn last line included, and fills lines, train_s, best and last_eval from what is kept; train_s
 * at an iteration without a line is interpolated to the next one if there is any. DD_ERROR_DATA also for a damaged line
 * that others follow: the log is as it was then.
 */
dd_status dd_runlog_cut(struct dd_runlog *log, const struct dd_log_cut *cut);

struct dd_log_step {
    int64_t iteration, epoch;
    double loss, lr;
    const unsigned char *gates;
    int units, units_run;
    double images_per_s, train_s;
};
dd_status dd_runlog_step(struct dd_runlog *log, const struct dd_log_step *step);

struct dd_log_eval {
    int64_t iteration;
    const char *split;
    double error, loss;
    int64_t images;
    const char *statistics; /* "running" or "recalibrated" */
    double error_running, loss_running; /* with training's own statistics, where `statistics` are others */
};
dd_status dd_runlog_eval(struct dd_runlog *log, const struct dd_log_eval *eval);

/** Flushes and syncs: before a checkpoint is written. */
dd_status dd_runlog_sync(struct dd_runlog *log);

#endif
