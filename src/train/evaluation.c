/* Evaluations during a run, with re-estimated statistics where the run asks for them. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/philox.h"
#include "train/run.h"

enum { CHUNK_BATCHES = 8 }; /* between two looks at *stop */

bool dd_evaluation_due(const struct dd_run *run, int64_t iteration) {
    if (iteration == run->config.iterations)
        return true;
    if (run->config.eval_every == 0)
        return false;
    int64_t interval = llround(run->config.eval_every * (double)run->config.iterations_per_epoch);
    return iteration % (interval > 0 ? interval : 1) == 0;
}

/* ---- one source ---- */

/** Tells that `done` batches of `count` are through. */
static void tell(const struct dd_watch *watch, int64_t done, int64_t count) {
    if (watch->callback == NULL)
        return;
    struct dd_train_progress progress = watch->progress;
    progress.done = done;
    progress.count = count;
    progress.eta_s = done > 0 ? (dd_now() - watch->start) * (double)(count - done) / (double)done : NAN;
    watch->callback(watch->user, &progress);
}

static dd_status evaluate_chunks(dd_plan *plan, enum dd_plan_source source, const struct dd_images *images, int batch,
                                 enum dd_plan_statistics statistics, const struct dd_watch *watch, int32_t *ranks,
                                 float *losses) {
    const int batches = (images->count + batch - 1) / batch;
    for (int done = 0; done < images->count;) {
        tell(watch, done / batch, batches);
        if (watch->stop != NULL && *watch->stop != 0)
            return dd_fail(DD_INTERRUPTED, "stopped during an evaluation");
        int count = images->count - done;
        if (count > CHUNK_BATCHES * batch)
            count = CHUNK_BATCHES * batch;
        DD_TRY(dd_plan_evaluate(plan, source, done, count, statistics, ranks + done, losses + done, NULL));
        done += count;
    }
    return DD_OK;
}

dd_status dd_evaluate_source(dd_plan *plan, enum dd_plan_source source, const struct dd_images *images, int batch,
                             enum dd_plan_statistics statistics, const struct dd_watch *watch, int32_t *ranks,
                             struct dd_evaluation *result) {
    float *losses = dd_calloc((size_t)images->count, sizeof *losses);
    if (losses == NULL)
        return dd_fail_memory("evaluation", (size_t)images->count * sizeof *losses);
    dd_status status = evaluate_chunks(plan, source, images, batch, statistics, watch, ranks, losses);
    *result = (struct dd_evaluation){.images = images->count};
    int64_t wrong = 0, wrong_top5 = 0;
    for (int i = 0; status == DD_OK && i < images->count; i++) {
        wrong += ranks[i] > 0;
        wrong_top5 += ranks[i] > 4;
        result->loss += losses[i];
    }
    result->error = (double)wrong / images->count;
    result->error_top5 = (double)wrong_top5 / images->count;
    result->loss /= images->count;
    free(losses);
    return status;
}

/* ---- recalibration ---- */

/** The watch of a part of the run; split NULL: of a recalibration. */
static struct dd_watch watch_run(const struct dd_run *run, const char *split) {
    return (struct dd_watch){.stop = run->stop,
                             .callback = run->callback,
                             .user = run->user,
                             .start = dd_now(),
                             .progress = {.phase = split != NULL ? "eval" : "recalibrate",
                                          .iteration = run->iteration,
                                          .iterations = run->config.iterations,
                                          .epoch = dd_run_epoch(run, run->iteration),
                                          .epochs = dd_run_epoch(run, run->config.iterations),
                                          .loss = NAN,
                                          .units = run->net->unit_count,
                                          .eval_split = split}};
}

/** N training batches fixed by the seed, unaugmented; the whole training set is gone through before an image comes
 * twice. */
static dd_status recalibrate_batches(struct dd_run *run, const int32_t *order) {
    const int batch = (int)run->config.batch, count = run->train.count;
    const struct dd_watch watch = watch_run(run, NULL);
    DD_TRY(dd_plan_recalibrate_begin(run->plan));
    for (int64_t b = 0; b < run->config.bn_recalibrate; b++) {
        tell(&watch, b, run->config.bn_recalibrate);
        if (dd_run_stopped(run))
            return dd_fail(DD_INTERRUPTED, "stopped during a recalibration");
        for (int i = 0; i < batch; i++)
            run->samples[i] = (struct dd_sample){.index = order[(b * batch + i) % count]};
        DD_TRY(dd_plan_recalibrate_batch(run->plan, run->samples));
    }
    return dd_device_finish(run->device);
}

static dd_status recalibrate(struct dd_run *run) {
    int32_t *order = dd_calloc((size_t)run->train.count, sizeof *order);
    if (order == NULL)
        return dd_fail_memory("recalibration", (size_t)run->train.count * sizeof *order);
    dd_status status =
        dd_draw_subset((uint64_t)run->config.seed, DD_STREAM_RECALIBRATE, run->train.count, run->train.count, order);
    if (status == DD_OK)
        status = recalibrate_batches(run, order);
    free(order);
    return status;
}

/* ---- the run's evaluations ---- */

static void report(struct dd_run *run, const char *split, const struct dd_evaluation *result, bool best) {
    if (run->callback == NULL)
        return;
    struct dd_train_progress progress = watch_run(run, split).progress;
    progress.eta_s = NAN;
    progress.evaluated = true;
    progress.eval_error = result->error;
    progress.eval_loss = result->loss;
    progress.eval_best = best;
    run->callback(run->user, &progress);
}

/** With the run's statistics; where these are recalibrated, with training's own as well (else *running = *result). */
static dd_status evaluate_split(struct dd_run *run, enum dd_plan_source source, const struct dd_images *images,
                                struct dd_evaluation *result, struct dd_evaluation *running) {
    int32_t *ranks = dd_calloc((size_t)images->count, sizeof *ranks);
    if (ranks == NULL)
        return dd_fail_memory("evaluation", (size_t)images->count * sizeof *ranks);
    const int batch = (int)run->config.batch;
    struct dd_watch watch = watch_run(run, images->split);
    dd_status status =
        dd_evaluate_source(run->plan, source, images, batch, DD_STATISTICS_RUNNING, &watch, ranks, running);
    *result = *running;
    if (status == DD_OK && dd_run_recalibrates(run)) {
        watch.start = dd_now();
        status =
            dd_evaluate_source(run->plan, source, images, batch, DD_STATISTICS_RECALIBRATED, &watch, ranks, result);
    }
    free(ranks);
    return status;
}

static dd_status log_split(struct dd_run *run, const struct dd_images *images, const struct dd_evaluation *result,
                           const struct dd_evaluation *running) {
    const struct dd_log_eval line = {.iteration = run->iteration,
                                     .split = images->split,
                                     .error = result->error,
                                     .loss = result->loss,
                                     .images = result->images,
                                     .error_running = running->error,
                                     .loss_running = running->loss,
                                     .statistics = dd_run_recalibrates(run) ? "recalibrated" : "running"};
    return dd_runlog_eval(&run->log, &line);
}

dd_status dd_evaluation_run(struct dd_run *run) {
    const bool held_out = run->val.count > 0;
    struct dd_evaluation test, test_running, val, val_running;
    if (dd_run_recalibrates(run))
        DD_TRY(recalibrate(run));
    if (held_out)
        DD_TRY(evaluate_split(run, DD_SOURCE_VAL, &run->val, &val, &val_running));
    DD_TRY(evaluate_split(run, DD_SOURCE_TEST, &run->dataset->test, &test, &test_running));
    const double error = held_out ? val.error : test.error;
    const bool best = error < run->log.best;
    if (best) /* before the log tells of it: a run killed in between evaluates again when resumed */
        DD_TRY(dd_checkpoint_write(run, "best.safetensors", dd_run_recalibrates(run)));
    if (held_out) {
        DD_TRY(log_split(run, &run->val, &val, &val_running));
        report(run, run->val.split, &val, best);
    }
    DD_TRY(log_split(run, &run->dataset->test, &test, &test_running));
    report(run, run->dataset->test.split, &test, best && !held_out);
    run->log.last_eval = run->iteration;
    run->log.best = best ? error : run->log.best;
    return DD_OK;
}
