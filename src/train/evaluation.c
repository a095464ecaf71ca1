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

static dd_status evaluate_chunks(dd_plan *plan, enum dd_plan_source source, const struct dd_images *images, int batch,
                                 enum dd_plan_statistics statistics, volatile int *stop, int32_t *ranks, float *losses) {
    for (int done = 0; done < images->count;) {
        if (stop != NULL && *stop != 0)
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
                             enum dd_plan_statistics statistics, volatile int *stop, int32_t *ranks, struct dd_evaluation *result) {
    float *losses = dd_calloc((size_t)images->count, sizeof *losses);
    if (losses == NULL)
        return dd_fail_memory("evaluation", (size_t)images->count * sizeof *losses);
    dd_status status = evaluate_chunks(plan, source, images, batch, statistics, stop, ranks, losses);
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

/** N training batches fixed by the seed, unaugmented; the whole training set is gone through before an image comes twice. */
static dd_status recalibrate_batches(struct dd_run *run, const int32_t *order) {
    const int batch = (int)run->config.batch, count = run->train.count;
    DD_TRY(dd_plan_recalibrate_begin(run->plan));
    for (int64_t b = 0; b < run->config.bn_recalibrate; b++) {
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
    const struct dd_train_progress progress = {
        .phase = "eval", .iteration = run->iteration, .iterations = run->config.iterations,
        .epoch = dd_run_epoch(run, run->iteration), .epochs = dd_run_epoch(run, run->config.iterations),
        .units = run->net->unit_count, .eta_s = NAN, .evaluated = true, .eval_split = split, .eval_error = result->error,
        .eval_loss = result->loss, .eval_best = best};
    run->callback(run->user, &progress);
}

static dd_status evaluate_split(struct dd_run *run, enum dd_plan_source source, const struct dd_images *images,
                                struct dd_evaluation *result) {
    int32_t *ranks = dd_calloc((size_t)images->count, sizeof *ranks);
    if (ranks == NULL)
        return dd_fail_memory("evaluation", (size_t)images->count * sizeof *ranks);
    const enum dd_plan_statistics statistics = dd_run_recalibrates(run) ? DD_STATISTICS_RECALIBRATED : DD_STATISTICS_RUNNING;
    dd_status status =
        dd_evaluate_source(run->plan, source, images, (int)run->config.batch, statistics, run->stop, ranks, result);
    free(ranks);
    return status;
}

static dd_status log_split(struct dd_run *run, const struct dd_images *images, const struct dd_evaluation *result) {
    const struct dd_log_eval line = {.iteration = run->iteration, .split = images->split, .error = result->error,
                                     .loss = result->loss, .images = result->images,
                                     .statistics = dd_run_recalibrates(run) ? "recalibrated" : "running"};
    return dd_runlog_eval(&run->log, &line);
}

dd_status dd_evaluation_run(struct dd_run *run) {
    const bool held_out = run->val.count > 0;
    struct dd_evaluation test, val;
    if (dd_run_recalibrates(run))
        DD_TRY(recalibrate(run));
    if (held_out)
        DD_TRY(evaluate_split(run, DD_SOURCE_VAL, &run->val, &val));
    DD_TRY(evaluate_split(run, DD_SOURCE_TEST, &run->dataset->test, &test));
    const double error = held_out ? val.error : test.error;
    const bool best = error < run->log.best;
    if (held_out) {
        DD_TRY(log_split(run, &run->val, &val));
        report(run, run->val.split, &val, best);
    }
    DD_TRY(log_split(run, &run->dataset->test, &test));
    report(run, run->dataset->test.split, &test, best && !held_out);
    run->log.last_eval = run->iteration;
    if (!best)
        return DD_OK;
    run->log.best = error;
    DD_TRY(dd_runlog_sync(&run->log));
    return dd_checkpoint_write(run, "best.safetensors", dd_run_recalibrates(run));
}
