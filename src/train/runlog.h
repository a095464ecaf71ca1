/* log.jsonl: one JSON object a line, appended while training; its end follows the last checkpoint. */
#ifndef DD_TRAIN_RUNLOG_H
#define DD_TRAIN_RUNLOG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/error.h"

struct dd_runlog {
    FILE *file; /* locked: one process at a time uses a run folder */
    char *path;
    double train_s;    /* of the last line kept: training time before this process */
    double best;       /* lowest error on best_split so far; infinity: none */
    int64_t last_eval; /* iteration of the last evaluation kept; -1: none */
};

/** Creates or opens DIR/log.jsonl and locks it. DD_ERROR_USAGE if another process holds it; DD_ERROR_DATA. */
dd_status dd_runlog_open(const char *dir, struct dd_runlog *log);
void dd_runlog_close(struct dd_runlog *log); /* also a zeroed one */

/**
 * Cuts the log back to lines up to iteration (a broken last line goes too; without evaluated, evaluations of iteration
 * itself go as well) and fills train_s, best (over evaluations of best_split) and last_eval from what is kept.
 */
dd_status dd_runlog_cut(struct dd_runlog *log, int64_t iteration, bool evaluated, const char *best_split);

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
