/* A training run while it runs; shared by the files of this folder alone. */
#ifndef DD_TRAIN_RUN_H
#define DD_TRAIN_RUN_H

#include <depthdrop/gate.h>
#include <depthdrop/train.h>

#include "plan/plan.h"
#include "train/config.h"
#include "train/model.h"
#include "train/runlog.h"

struct dd_run {
    const struct dd_train_options *options;
    const char *dir;
    bool resumed, finished; /* finished: resumed, and nothing is left to do */
    bool recalibrated;      /* resumed: the checkpoint's statistics are recalibrated ones */
    int64_t old_iterations, old_log_every; /* resumed: before the options changed them */
    struct dd_run_config config;
    struct dd_config_algorithms *algorithms; /* resumed */
    struct dd_schedule schedule;
    dd_dataset *dataset;
    struct dd_images train, val; /* with --val-split their own memory, else train is the data set's */
    const char *best_split;      /* "val", "test", ... */
    dd_net *net;
    dd_gate *gate;
    struct dd_st_file initial; /* --init's; empty without it, and when resumed */
    float *mean, *std;         /* [C][H][W], [C] */
    dd_device *device;
    dd_plan *plan;
    struct dd_runlog log;
    int64_t iteration; /* last one whose result was collected */
    int64_t queued;    /* last one queued */
    int64_t started;   /* the one this process began after */
    int64_t saved;     /* iteration of the last checkpoint; -1: none */
    int32_t *order;    /* the epoch's permutation */
    int64_t order_epoch;
    struct dd_sample *samples;        /* [batch] */
    unsigned char *gates, *log_gates; /* [units], of the queued and of the collected iteration */
    double train_s, clock, saved_at;  /* training time so far; when the clock last ran; time of the last checkpoint */
    /* since the last line */
    double loss_sum, wrong_sum, units_sum, line_s;
    int64_t line_count;
    struct dd_step_result last; /* of iteration */

    volatile int *stop;
    dd_train_callback callback;
    void *user;
};

/* prepare.c: everything up to the first step. */
dd_status dd_run_prepare(struct dd_run *run);
void dd_run_finish(struct dd_run *run);

/* input.c: where the data are, the images that are trained on, and their mean. */
/**
 * Sets config.data_from, where the data are in a relative folder: the current folder for a new run; a resumed one keeps
 * its own as long as the data are there. DD_ERROR_DATA: a resumed run's are in neither.
 */
dd_status dd_input_find(struct dd_run *run);
dd_status dd_input_split(struct dd_run *run);
dd_status dd_input_mean(const struct dd_images *images, float *mean, float *std);

/* initial.c: the file of --init. */
/** Reads the file that config.init names and notes its hash. DD_ERROR_DATA. */
dd_status dd_initial_read(struct dd_run *run);
/** Compares it with run->net and says what is taken from it. DD_ERROR_DATA names the tensor that does not fit. */
dd_status dd_initial_check(const struct dd_run *run);
/** Overwrites values [params of the net] with what the file has of them. */
void dd_initial_fill(const struct dd_run *run, float *const *values);

/* checkpoint.c */
dd_status dd_checkpoint_write_initial(struct dd_run *run);
/** Writes DIR/<name> from the device's state; recalibrated: statistics as recalibrated, training's own beside them. */
dd_status dd_checkpoint_write(struct dd_run *run, const char *name, bool recalibrated);
/** Refuses a checkpoint that config.json does not describe, naming the difference; needs no data. */
dd_status dd_checkpoint_check_names(const struct dd_run *run, const char *path, const struct dd_model *model);
/** Reads DIR/last.safetensors into the plan and sets run->iteration. */
dd_status dd_checkpoint_read(struct dd_run *run);

/* evaluation.c */
bool dd_evaluation_due(const struct dd_run *run, int64_t iteration);
/** Evaluates (after recalibration if asked for), logs, keeps the best. DD_INTERRUPTED if stopped midway: nothing was
 * logged then. */
dd_status dd_evaluation_run(struct dd_run *run);

/* Who is told how far an evaluation is, and who may stop it. */
struct dd_watch {
    volatile int *stop;         /* may be NULL */
    dd_train_callback callback; /* may be NULL */
    void *user;
    struct dd_train_progress progress; /* what holds throughout */
    double start;                      /* when it began */
};

/** Error (fraction) and mean loss of a source; looks at watch->stop and reports between chunks. */
struct dd_evaluation {
    int64_t images;
    double error, error_top5, loss;
};
dd_status dd_evaluate_source(dd_plan *plan, enum dd_plan_source source, const struct dd_images *images, int batch,
                             enum dd_plan_statistics statistics, const struct dd_watch *watch, int32_t *ranks,
                             struct dd_evaluation *result);

static inline bool dd_run_stopped(const struct dd_run *run) {
    return run->stop != NULL && *run->stop != 0;
}
static inline bool dd_run_recalibrates(const struct dd_run *run) {
    return run->config.bn_recalibrate > 0;
}
/** Whether a step has a line in the log of a run that nobody stops. */
static inline bool dd_run_logs(int64_t iteration, int64_t log_every, int64_t iterations) {
    return iteration % log_every == 0 || iteration == 1 || iteration == iterations;
}
static inline int64_t dd_run_epoch(const struct dd_run *run, int64_t iteration) {
    return (iteration - 1) / run->config.iterations_per_epoch + 1;
}

#endif
