/* The training loop: queues steps ahead, collects their results in order, logs, evaluates, saves. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "train/run.h"

void dd_train_options_default(struct dd_train_options *options) {
    *options = (struct dd_train_options){.batch = 128,
                                         .iterations = -1,
                                         .epochs = -1,
                                         .lr = 0.1,
                                         .momentum = 0.9,
                                         .weight_decay = 1e-4,
                                         .seed = 1,
                                         .eval_every = -1,
                                         .log_every = -1,
                                         .save_every = -1,
                                         .save_minutes = -1};
}

/* ---- the clock: training time without evaluations and saves ---- */

static void clock_start(struct dd_run *run) {
    run->clock = dd_now();
}

static void clock_stop(struct dd_run *run) {
    const double now = dd_now();
    run->train_s += now - run->clock;
    run->line_s += now - run->clock;
    run->clock = now;
}

/* ---- queueing ---- */

static void fill_samples(struct dd_run *run, int64_t iteration) {
    const int64_t epoch = dd_run_epoch(run, iteration), batch = run->config.batch;
    const uint64_t seed = (uint64_t)run->config.seed;
    if (epoch != run->order_epoch) {
        dd_draw_order(seed, (uint64_t)epoch, run->train.count, run->order);
        run->order_epoch = epoch;
    }
    const int64_t first = (iteration - 1) % run->config.iterations_per_epoch * batch;
    const bool augment = strcmp(run->config.augment, "standard") == 0;
    for (int64_t i = 0; i < batch; i++)
        run->samples[i] = dd_draw_sample(seed, (uint64_t)epoch, run->order[first + i], 4, augment);
}

static dd_status queue_step(struct dd_run *run) {
    const int64_t iteration = run->queued + 1;
    fill_samples(run, iteration);
    dd_gate_draw(run->gate, (uint64_t)iteration, run->gates);
    DD_TRY(dd_plan_step(run->plan, (uint64_t)iteration, run->gates, run->samples,
                        dd_schedule_rate(&run->schedule, iteration)));
    run->queued = iteration;
    return DD_OK;
}

/* ---- results ---- */

/** NaN after the first step of this process: drivers compile kernels in it. */
static double seconds_left(const struct dd_run *run) {
    const double left = (double)(run->config.iterations - run->iteration);
    return run->iteration > run->started + 1 ? left * run->line_s / (double)run->line_count : NAN;
}

static void report(const struct dd_run *run, bool logged) {
    if (run->callback == NULL)
        return;
    const double count = (double)run->line_count, batch = (double)run->config.batch;
    const struct dd_train_progress progress = {.phase = "train",
                                               .iteration = run->iteration,
                                               .iterations = run->config.iterations,
                                               .epoch = dd_run_epoch(run, run->iteration),
                                               .epochs = dd_run_epoch(run, run->config.iterations),
                                               .loss = run->loss_sum / count,
                                               .error = run->wrong_sum / (count * batch),
                                               .images_per_s = run->line_s > 0 ? count * batch / run->line_s : NAN,
                                               .units_run = run->units_sum / count,
                                               .units = run->net->unit_count,
                                               .eta_s = seconds_left(run),
                                               .logged = logged};
    run->callback(run->user, &progress);
}

static dd_status write_line(struct dd_run *run, const struct dd_step_result *step) {
    dd_gate_draw(run->gate, step->iteration, run->log_gates);
    const double images = (double)(run->line_count * run->config.batch);
    const struct dd_log_step line = {.iteration = (int64_t)step->iteration,
                                     .epoch = dd_run_epoch(run, run->iteration),
                                     .loss = step->loss,
                                     .lr = dd_schedule_rate(&run->schedule, run->iteration),
                                     .gates = run->log_gates,
                                     .units = run->net->unit_count,
                                     .units_run = step->units_run,
                                     .images_per_s = run->line_s > 0 ? images / run->line_s : NAN,
                                     .train_s = run->train_s};
    return dd_runlog_step(&run->log, &line);
}

/** Takes one result into account; a loss that is not finite ends the run with the last checkpoint as it is. */
static dd_status take_result(struct dd_run *run, const struct dd_step_result *step) {
    run->iteration = (int64_t)step->iteration;
    clock_stop(run);
    run->loss_sum += step->loss;
    run->wrong_sum += step->wrong;
    run->units_sum += step->units_run;
    run->line_count++;
    run->last = *step;
    const bool finite = isfinite(step->loss);
    const bool logged = dd_run_logs(run->iteration, run->config.log_every, run->config.iterations) || !finite;
    if (logged)
        DD_TRY(write_line(run, step));
    report(run, logged);
    if (logged) {
        run->loss_sum = run->wrong_sum = run->units_sum = run->line_s = 0;
        run->line_count = 0;
    }
    if (finite)
        return DD_OK;
    return dd_fail(DD_ERROR_DIVERGED,
                   "training diverged: the loss of iteration %" PRId64
                   " is not finite; %s/last.safetensors keeps the state of iteration %" PRId64 "; %s",
                   run->iteration, run->dir, run->saved,
                   run->resumed ? "a smaller --lr or some --lr-warmup takes a new run (--run)"
                                : "try a smaller --lr or some --lr-warmup");
}

/** Collects finished steps; all: waits until none is queued; else makes room for one more. */
static dd_status collect(struct dd_run *run, bool all) {
    for (;;) {
        struct dd_step_result step;
        bool got;
        const bool wait = all || dd_plan_outstanding(run->plan) == DD_RUN_AHEAD;
        DD_TRY(dd_plan_collect(run->plan, wait, &step, &got));
        if (!got)
            return DD_OK;
        DD_TRY(take_result(run, &step));
    }
}

/* ---- saving ---- */

/** All losses so far are known to be finite. */
static dd_status save(struct dd_run *run) {
    const bool last = run->iteration == run->config.iterations && run->log.last_eval == run->iteration;
    DD_TRY(dd_runlog_sync(&run->log));
    DD_TRY(dd_checkpoint_write(run, "last.safetensors", last && dd_run_recalibrates(run)));
    run->saved = run->iteration;
    run->saved_at = dd_now();
    return DD_OK;
}

static bool save_due(const struct dd_run *run, int64_t iteration) {
    const struct dd_run_config *config = &run->config;
    return (config->save_every > 0 && iteration % config->save_every == 0) ||
           (config->save_minutes > 0 && dd_now() - run->saved_at > 60 * config->save_minutes);
}

/** After iteration run->queued: whatever is due there. */
static dd_status pause_for_duties(struct dd_run *run) {
    const bool evaluate = dd_evaluation_due(run, run->queued);
    if (!evaluate && !save_due(run, run->queued))
        return DD_OK;
    DD_TRY(collect(run, true));
    clock_stop(run);
    if (evaluate)
        DD_TRY(dd_evaluation_run(run));
    DD_TRY(save(run));
    clock_start(run);
    return DD_OK;
}

/** A stop by a signal: what is queued is finished, logged for its time, and saved. */
static dd_status stop(struct dd_run *run) {
    DD_TRY(collect(run, true));
    if (run->line_count > 0)
        DD_TRY(write_line(run, &run->last));
    DD_TRY(run->saved != run->iteration ? save(run) : dd_runlog_sync(&run->log));
    return dd_fail(DD_INTERRUPTED, "interrupted after iteration %" PRId64 " of %" PRId64 "; the state is saved in %s",
                   run->iteration, run->config.iterations, run->dir);
}

/* ---- the loop ---- */

static dd_status loop(struct dd_run *run) {
    run->saved_at = dd_now();
    run->started = run->iteration;
    clock_start(run);
    if (run->iteration > 0 && dd_evaluation_due(run, run->iteration) && run->log.last_eval != run->iteration)
        DD_TRY(pause_for_duties(run)); /* stopped between a save and the evaluation due there */
    while (run->queued < run->config.iterations) {
        if (dd_run_stopped(run))
            return DD_INTERRUPTED;
        DD_TRY(collect(run, false));
        DD_TRY(queue_step(run));
        DD_TRY(pause_for_duties(run));
    }
    return DD_OK;
}

dd_status dd_train(const struct dd_train_options *options, volatile int *stop_flag, dd_train_callback callback,
                   void *user) {
    struct dd_run run = {.options = options, .stop = stop_flag, .callback = callback, .user = user};
    dd_status status = dd_run_prepare(&run);
    if (status == DD_OK && !run.finished && !options->dry_run) {
        status = loop(&run);
        if (status == DD_INTERRUPTED)
            status = stop(&run); /* perhaps midway in an evaluation, with nothing saved yet */
    }
    dd_run_finish(&run);
    return status;
}
