/*
 * Tuning: from networks to jobs (distinct convolutions, forward and backward), through the search, into the store. The
 * quick form at a run's start tries what is not yet known; `depthdrop tune` tries everything.
 */
#include "train/tuning.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/train.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "ops/gemm.h"
#include "train/trial.h"

enum {
    QUICK_ROUNDS = 7,
    FULL_ROUNDS = 15,
    QUICK_IMAGES = 128,        /* whatever the run's batch is: the store's keys hold no batch */
    LARGEST_TENSOR = 32 << 20, /* bytes: larger batches are timed by as many images as fit */
    TELL_SECONDS = 2
};
static const double QUICK_SECONDS = 0.4, FULL_SECONDS = 2; /* of timing, for a convolution */

struct tuning {
    dd_device *device;
    struct dd_tune_store *store;
    volatile int *stop;
    bool full;
    dd_tune_callback callback; /* may be NULL */
    void *user;
    struct dd_trial_job *jobs;
    size_t capacity;
    int count, done;
    double started, told;
};

/* ---- jobs ---- */

static bool same_shape(const struct dd_conv *a, const struct dd_conv *b) {
    return a->kernel == b->kernel && a->stride == b->stride && a->pad == b->pad && a->in.c == b->in.c &&
           a->in.h == b->in.h && a->in.w == b->in.w && a->in.v == b->in.v && a->out.c == b->out.c &&
           a->out.v == b->out.v;
}

static dd_status add_job(struct tuning *tuning, const struct dd_trial_job *job) {
    for (int i = 0; i < tuning->count; i++)
        if (tuning->jobs[i].pass == job->pass && same_shape(&tuning->jobs[i].conv, &job->conv)) {
            tuning->jobs[i].roles |= job->roles;
            tuning->jobs[i].prologue |= job->prologue;
            return DD_OK;
        }
    const struct dd_device_info *info = dd_device_get_info(tuning->device);
    if (dd_trial_count(info, job, tuning->full ? DD_TRIAL_ALL : DD_TRIAL_LIKELY) == 0)
        return DD_OK; /* gemm alone can do it: nothing to choose */
    DD_TRY(dd_grow(&tuning->jobs, &tuning->capacity, (size_t)tuning->count + 1, sizeof *tuning->jobs));
    tuning->jobs[tuning->count++] = *job;
    return DD_OK;
}

/** A layer's forward and backward; roles 0: it reads the images, whose gradient nobody asks for. */
static dd_status add_layer(struct tuning *tuning, const struct dd_conv_layer *layer, int batch, int vi, int v,
                           unsigned roles, bool prologue) {
    struct dd_trial_job job = {.roles = roles, .prologue = prologue};
    struct dd_shape in = {1, layer->in_c, layer->in_h, layer->in_w, vi};
    job.conv = dd_conv_make(in, layer->out_c, v, layer->kernel, layer->stride, layer->pad);
    size_t largest = dd_shape_floats(job.conv.in) * sizeof(float);
    if (dd_shape_floats(job.conv.out) * sizeof(float) > largest)
        largest = dd_shape_floats(job.conv.out) * sizeof(float);
    const size_t images = LARGEST_TENSOR / largest;
    job.conv.in.n = images < 1 ? 1 : images < (size_t)batch ? (int)images : batch;
    job.conv.out.n = job.conv.in.n;
    DD_TRY(add_job(tuning, &job));
    job.pass = roles != 0 ? DD_TRIAL_BACKWARD : DD_TRIAL_BACKWARD_WEIGHTS;
    return add_job(tuning, &job);
}

static dd_status add_net(struct tuning *tuning, const struct dd_net *net, int batch, int v) {
    DD_TRY(add_layer(tuning, &net->stem, batch, 1, v, 0, false));
    for (int u = 0; u < net->unit_count; u++) {
        const struct dd_unit *unit = &net->units[u];
        for (int j = 0; j < unit->convs; j++)
            DD_TRY(add_layer(tuning, &unit->primary[j], batch, v, v, j > 0 ? DD_ROLE_MASKED : DD_ROLE_ADDED, j > 0));
        if (dd_has_shortcut_conv(unit))
            DD_TRY(add_layer(tuning, &unit->shortcut, batch, v, v, DD_ROLE_WRITTEN, false));
    }
    return DD_OK;
}

static bool has_direction(const struct dd_trial_job *job, enum dd_conv_direction direction) {
    return direction == DD_CONV_FORWARD         ? job->pass == DD_TRIAL_FORWARD
           : direction == DD_CONV_BACKWARD_DATA ? job->pass == DD_TRIAL_BACKWARD
                                                : job->pass != DD_TRIAL_FORWARD;
}

static bool is_known(const struct tuning *tuning, const struct dd_trial_job *job) {
    for (int d = 0; d < DD_CONV_DIRECTIONS; d++)
        if (has_direction(job, d) &&
            dd_plan_winner(dd_device_get_info(tuning->device), tuning->store, &job->conv, d) == NULL)
            return false;
    return true;
}

static void drop_known(struct tuning *tuning) {
    int kept = 0;
    for (int i = 0; i < tuning->count; i++)
        if (!is_known(tuning, &tuning->jobs[i]))
            tuning->jobs[kept++] = tuning->jobs[i];
    tuning->count = kept;
}

/* ---- one job ---- */

static const char *pass_name(enum dd_trial_pass pass) {
    return pass == DD_TRIAL_FORWARD ? "forward" : pass == DD_TRIAL_BACKWARD ? "backward" : "backward weights";
}

static void describe(const struct dd_trial_job *job, char *text, size_t size) {
    const struct dd_conv *conv = &job->conv;
    snprintf(text, size, "%dx%d%s %d>%d@%dx%d", conv->kernel, conv->kernel, conv->stride == 2 ? "/2" : "", conv->in.c,
             conv->out.c, conv->in.h, conv->in.w);
}

static dd_status keep(struct tuning *tuning, const struct dd_trial_job *job, const struct dd_trial_entry *winner) {
    char key[DD_TUNE_KEY];
    for (int d = 0; d < DD_CONV_DIRECTIONS; d++)
        if (has_direction(job, d))
            DD_TRY(dd_tune_store_put(tuning->store, dd_plan_tune_key(&job->conv, d, key),
                                     winner->algorithm[d == DD_CONV_BACKWARD_WEIGHTS]->name));
    dd_tune_store_save(tuning->store);
    return DD_OK;
}

static double seconds_left(const struct tuning *tuning) {
    return tuning->done > 0 ? (dd_now() - tuning->started) / tuning->done * (tuning->count - tuning->done) : NAN;
}

static void report(const struct tuning *tuning, const struct dd_trial *trial, const char *shape, int winner) {
    struct dd_tune_time times[DD_TRIAL_CANDIDATES];
    if (tuning->callback == NULL)
        return;
    for (int i = 0; i < trial->count; i++) {
        const struct dd_tune_candidate *candidate = &trial->candidates[i];
        times[i] = (struct dd_tune_time){.candidate = candidate->name,
                                         .ms = candidate->seconds > 0 ? 1e3 * candidate->seconds : NAN,
                                         .given_up = candidate->outcome == DD_TUNE_SLOW,
                                         .failure = candidate->outcome == DD_TUNE_WRONG ? candidate->failure : ""};
    }
    const struct dd_tune_result result = {.device = dd_device_get_info(tuning->device),
                                          .shape = shape,
                                          .pass = pass_name(trial->job.pass),
                                          .vector = trial->job.conv.out.v,
                                          .images = trial->job.conv.in.n,
                                          .times = times,
                                          .count = trial->count,
                                          .winner = winner,
                                          .done = tuning->done,
                                          .total = tuning->count,
                                          .eta_s = seconds_left(tuning),
                                          .kept = dd_tune_store_kept(tuning->store)};
    tuning->callback(tuning->user, &result);
}

/** *winner: -1 if no candidate of this extent is right. */
static dd_status search_among(struct tuning *tuning, const struct dd_trial_job *job, enum dd_trial_extent extent,
                              int *winner) {
    const struct dd_tune_rules rules = {.rounds = tuning->full ? FULL_ROUNDS : QUICK_ROUNDS,
                                        .seconds = tuning->full ? FULL_SECONDS : QUICK_SECONDS,
                                        .time_always = tuning->full,
                                        .stop = tuning->stop};
    struct dd_trial trial;
    char shape[64], what[96];
    describe(job, shape, sizeof shape);
    snprintf(what, sizeof what, "%s %s", shape, pass_name(job->pass));
    dd_status status = dd_trial_open(tuning->device, job, extent, &trial);
    if (status == DD_OK)
        status = dd_tune_search(what, trial.candidates, trial.count, &rules, winner);
    if (status == DD_OK && *winner >= 0)
        status = keep(tuning, job, &trial.entries[*winner]);
    if (status == DD_OK) {
        tuning->done += *winner >= 0;
        report(tuning, &trial, shape, *winner);
    }
    dd_trial_close(&trial);
    return status;
}

static dd_status run_job(struct tuning *tuning, const struct dd_trial_job *job) {
    int winner;
    DD_TRY(search_among(tuning, job, tuning->full ? DD_TRIAL_ALL : DD_TRIAL_LIKELY, &winner));
    if (winner < 0 && !tuning->full)
        DD_TRY(search_among(tuning, job, DD_TRIAL_LAST_RESORT, &winner));
    if (winner >= 0)
        return DD_OK;
    return dd_fail(DD_ERROR_SELFTEST,
                   "no algorithm computes a %dx%d convolution of %d to %d channels rightly on \"%s\"; run `depthdrop "
                   "selftest` and choose another device by --device",
                   job->conv.kernel, job->conv.kernel, job->conv.in.c, job->conv.out.c,
                   dd_device_get_info(tuning->device)->name);
}

static dd_status run_jobs(struct tuning *tuning) {
    tuning->started = tuning->told = dd_now();
    for (int i = 0; i < tuning->count; i++) {
        DD_TRY(run_job(tuning, &tuning->jobs[i]));
        if (dd_now() - tuning->told < TELL_SECONDS || tuning->done == tuning->count)
            continue;
        tuning->told = dd_now();
        dd_info("tuning: %d of %d done, about %.0f s left", tuning->done, tuning->count, ceil(seconds_left(tuning)));
    }
    return DD_OK;
}

/* ---- at the start of a run ---- */

static dd_status search_missing(struct tuning *tuning, const struct dd_net *net, int vector) {
    const double start = dd_now();
    const uint64_t peak = tuning->device->peak_bytes;
    DD_TRY(add_net(tuning, net, QUICK_IMAGES, vector));
    drop_known(tuning);
    if (tuning->count == 0)
        return DD_OK;
    dd_info("tuning %d convolutions of %s on %s (once per device and driver)...", tuning->count, net->name,
            dd_device_get_info(tuning->device)->name);
    DD_TRY(run_jobs(tuning));
    tuning->device->peak_bytes = peak; /* what was used here is free again, and is no part of what a plan takes */
    dd_info("tuned in %.1f s", dd_now() - start);
    return DD_OK;
}

/** A plan that cannot be made is not tuned for. */
static bool fits(const struct dd_net *net, const struct dd_device_info *info, const struct dd_plan_options *options,
                 const struct dd_plan_choice *choice) {
    uint64_t bytes;
    return dd_plan_bytes(net, info, options, choice, &bytes) == DD_OK && bytes <= info->global_bytes;
}

static dd_status choose_tuned(struct tuning *tuning, const struct dd_net *net, const struct dd_plan_options *options,
                              bool search, struct dd_plan_choice *choice) {
    const struct dd_device_info *info = dd_device_get_info(tuning->device);
    DD_TRY(dd_plan_choose(net, info, options, choice));
    if (!search || !dd_tune_store_kept(tuning->store) || !fits(net, info, options, choice))
        return DD_OK;
    const int vector = choice->vector;
    free(choice->algorithm);
    choice->algorithm = NULL;
    DD_TRY(search_missing(tuning, net, vector));
    return dd_plan_choose(net, info, options, choice);
}

dd_status dd_tuning_choose(dd_device *device, const struct dd_net *net, const struct dd_plan_options *options,
                           bool search, volatile int *stop, struct dd_plan_choice *choice) {
    struct tuning tuning = {.device = device, .stop = stop};
    struct dd_plan_options tuned = *options;
    *choice = (struct dd_plan_choice){0};
    if (strcmp(options->algorithm, "auto") != 0)
        return dd_plan_choose(net, dd_device_get_info(device), options, choice);
    DD_TRY(dd_tune_store_open(device->cache_dir, dd_device_get_info(device), &tuning.store));
    tuned.winners = tuning.store;
    const dd_status status = choose_tuned(&tuning, net, &tuned, search, choice);
    free(tuning.jobs);
    dd_tune_store_close(&tuning.store);
    return status;
}

dd_status dd_tuning_create_plan(dd_device *device, const struct dd_net *net, const struct dd_plan_options *options,
                                bool search, volatile int *stop, dd_plan **plan) {
    struct dd_plan_choice choice;
    *plan = NULL;
    DD_TRY(dd_tuning_choose(device, net, options, search, stop, &choice));
    const dd_status status = dd_plan_create(device, net, options, &choice, plan);
    free(choice.algorithm);
    return status;
}

/* ---- depthdrop tune ---- */

/* Every shape of both families, as --all takes them: depth changes no shape, and conv shortcuts have the most. */
static const struct dd_net_options all_nets[] = {
    {.name = "resnet14", .shortcut = "conv", .channels = 3, .height = 32, .width = 32, .classes = 10},
    {.name = "resnet14", .shortcut = "conv", .channels = 1, .height = 28, .width = 28, .classes = 10},
    {.name = "resnet18", .shortcut = "conv", .channels = 3, .height = 224, .width = 224, .classes = 1000},
    {.name = "resnet50", .shortcut = "conv", .channels = 3, .height = 224, .width = 224, .classes = 1000},
};

static dd_status add_named(struct tuning *tuning, const struct dd_net_options *options, int batch, int vector) {
    const struct dd_plan_options plan = {.batch = batch, .training = true, .algorithm = "auto", .vector = vector};
    struct dd_plan_choice choice = {0};
    dd_net *net = NULL;
    DD_TRY(dd_net_create(options, &net));
    dd_status status = dd_plan_choose(net, dd_device_get_info(tuning->device), &plan, &choice); /* for its V */
    if (status == DD_OK)
        status = add_net(tuning, net, batch, choice.vector);
    free(choice.algorithm);
    dd_net_destroy(&net);
    return status;
}

static dd_status add_wanted(struct tuning *tuning, const struct dd_tune_options *options) {
    if (!options->all)
        return add_named(tuning, &options->net, options->batch, options->vector);
    for (size_t i = 0; i < sizeof all_nets / sizeof *all_nets; i++)
        DD_TRY(add_named(tuning, &all_nets[i], options->batch, options->vector));
    return DD_OK;
}

static dd_status check_options(const struct dd_tune_options *options) {
    const int v = options->vector;
    dd_net *net = NULL;
    if (v != 0 && v != 1 && v != 4 && v != 8 && v != 16)
        return dd_fail(DD_ERROR_USAGE, "--vector %d is not auto, 1, 4, 8 or 16", v);
    if (options->batch < 1)
        return dd_fail(DD_ERROR_USAGE, "--batch %d is out of range: it must be at least 1", options->batch);
    if (options->all)
        return DD_OK;
    DD_TRY(dd_net_create(&options->net, &net)); /* before a device is opened */
    dd_net_destroy(&net);
    return DD_OK;
}

dd_status dd_tune(const struct dd_tune_options *options, volatile int *stop, dd_tune_callback callback, void *user) {
    struct tuning tuning = {.stop = stop, .full = true, .callback = callback, .user = user};
    const struct dd_device_options device = {
        .selector = options->device, .cache_dir = options->cache_dir, .threads = options->threads};
    dd_status status;
    DD_TRY(check_options(options));
    DD_TRY(dd_device_open(&device, &tuning.device));
    DD_GOTO(status, done, dd_selftest_ensure(tuning.device));
    DD_GOTO(status, done,
            dd_tune_store_open(tuning.device->cache_dir, dd_device_get_info(tuning.device), &tuning.store));
    DD_GOTO(status, done, add_wanted(&tuning, options));
    if (!dd_tune_store_kept(tuning.store))
        dd_warning("the winners are not kept: there is no cache folder, or DEPTHDROP_NO_CACHE is set");
    status = run_jobs(&tuning);
done:
    free(tuning.jobs);
    dd_tune_store_close(&tuning.store);
    dd_gemm_release_caches();
    dd_device_close(&tuning.device);
    return status;
}

void dd_tune_options_default(struct dd_tune_options *options) {
    *options = (struct dd_tune_options){
        .net = {.name = "resnet56", .shortcut = "identity", .channels = 3, .height = 32, .width = 32, .classes = 10},
        .batch = 128};
}
