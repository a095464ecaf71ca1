/* From options to a run that is ready for its next step: arguments first, then data, then the device; files last. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "ops/gemm.h"
#include "train/run.h"
#include "train/tuning.h"

/* ---- configuration ---- */

static dd_status check_new_folder(const struct dd_train_options *options) {
    if (options->run_dir == NULL)
        return options->dry_run ? DD_OK : dd_fail(DD_ERROR_USAGE, "--run DIR is missing: where the run is kept");
    char *config = dd_path_join(options->run_dir, "config.json");
    if (config == NULL)
        return dd_fail_memory("path", strlen(options->run_dir));
    const bool taken = dd_file_exists(config);
    free(config);
    if (taken)
        return dd_fail(DD_ERROR_USAGE, "%s already holds a run; continue it with --resume %s, or choose another folder",
                       options->run_dir, options->run_dir);
    if (dd_file_exists(options->run_dir) && !dd_is_folder(options->run_dir))
        return dd_fail(DD_ERROR_USAGE, "--run %s is a file, not a folder", options->run_dir);
    return dd_check_folder(options->run_dir);
}

/** What --resume may change. */
static void change_resumed(const struct dd_train_options *options, struct dd_run_config *config) {
    if (options->iterations >= 0) {
        config->iterations = options->iterations;
        config->epochs = -1;
    }
    if (options->epochs >= 0)
        config->epochs = options->epochs;
    if (options->log_every >= 0)
        config->log_every = options->log_every;
    if (options->eval_every >= 0)
        config->eval_every = options->eval_every;
    if (options->save_every >= 0)
        config->save_every = options->save_every;
    if (options->save_minutes >= 0)
        config->save_minutes = options->save_minutes;
}

/** A resumed run's settings were not typed: where they are wrong, config.json is. */
static dd_status blame_config(const struct dd_run *run, dd_status status) {
    if (!run->resumed || status != DD_ERROR_USAGE)
        return status;
    return dd_fail_prefix(DD_ERROR_DATA, "%s/config.json: the run cannot be resumed", run->dir);
}

static dd_status load_config(struct dd_run *run) {
    const struct dd_train_options *options = run->options;
    if (options->resume_dir == NULL) {
        DD_TRY(dd_config_from_options(options, &run->config));
        run->dir = options->run_dir;
        return check_new_folder(options);
    }
    run->resumed = true;
    run->dir = options->resume_dir;
    DD_TRY(dd_config_load(run->dir, &run->config, &run->algorithms));
    if (options->iterations >= 0 && options->epochs >= 0)
        return dd_fail(DD_ERROR_USAGE, "--iterations and --epochs exclude each other");
    run->old_iterations = run->config.iterations;
    run->old_log_every = run->config.log_every;
    change_resumed(options, &run->config);
    DD_TRY(dd_config_check(&run->config));
    if (options->epochs >= 0)
        run->config.iterations = run->config.epochs * run->config.iterations_per_epoch;
    return DD_OK;
}

static struct dd_gate_options gate_options(const struct dd_run_config *config) {
    return (struct dd_gate_options){.policy = config->gate,
                                    .first = config->gate_first,
                                    .seed = (uint64_t)config->seed,
                                    .warmup = (uint64_t)config->gate_warmup};
}

/** Names that can be checked before any data is read; the image's shape is not known yet, 32x32 stands for it. */
static dd_status check_names(const struct dd_run_config *config) {
    dd_net *net = NULL;
    dd_gate *gate = NULL;
    const struct dd_net_options options = {
        .name = config->net, .shortcut = config->shortcut, .channels = 3, .height = 32, .width = 32, .classes = 10};
    const struct dd_gate_options gates = gate_options(config);
    dd_status status = dd_net_create(&options, &net);
    if (status == DD_OK)
        status = dd_gate_create(&gates, net, &gate);
    dd_gate_destroy(&gate);
    dd_net_destroy(&net);
    return status;
}

/**
 * Cuts the log back to the checkpoint. Where the last state is kept with recalibrated statistics and is not, the run
 * ended between its last evaluation and the checkpoint: that evaluation is done again.
 */
static dd_status cut_log(struct dd_run *run, int64_t iteration) {
    const int64_t end = run->config.iterations;
    const struct dd_log_cut cut = {.iteration = iteration,
                                   .evaluated = iteration < end || !dd_run_recalibrates(run) || run->recalibrated,
                                   .stopped = !dd_run_logs(iteration, run->old_log_every, run->old_iterations) &&
                                              iteration != end,
                                   .best_split = run->best_split};
    return dd_runlog_cut(&run->log, &cut);
}

/** Looks at the checkpoint before any data is read: is it this run's, and has it reached its end, last evaluation
 * included. */
static dd_status check_finished(struct dd_run *run) {
    struct dd_model model;
    char *path = dd_path_join(run->dir, "last.safetensors");
    if (path == NULL)
        return dd_fail_memory("path", strlen(run->dir));
    dd_status status = dd_model_load(path, &model);
    if (status == DD_OK)
        status = dd_checkpoint_check_names(run, path, &model);
    const int64_t iteration = model.iteration;
    run->recalibrated = dd_model_recalibrated(&model);
    dd_model_free(&model);
    free(path);
    DD_TRY(status);
    if (iteration != run->config.iterations)
        return DD_OK;
    run->best_split = "test"; /* its name is not needed yet */
    DD_TRY(cut_log(run, iteration));
    run->finished = run->log.last_eval == iteration || iteration == 0;
    if (run->finished)
        dd_info("%s is finished: %lld iterations; train on with more --iterations", run->dir, (long long)iteration);
    return DD_OK;
}

/* ---- data ---- */

static int threads(const struct dd_run *run) {
    return run->options->threads > 0 ? run->options->threads : (int)run->config.threads;
}

static dd_status open_data(struct dd_run *run) {
    struct dd_run_config *config = &run->config;
    DD_TRY(dd_input_find(run));
    const bool elsewhere = run->resumed && config->data_from[0] != '\0';
    const struct dd_dataset_options options = {.spec = config->data,
                                               .base = elsewhere ? config->data_from : NULL,
                                               .image_size = config->image_size[0] != '\0' ? config->image_size : NULL,
                                               .need_train = true,
                                               .need_test = true,
                                               .cache_dir = run->options->cache_dir,
                                               .no_cache = run->options->no_cache || config->no_cache != 0,
                                               .threads = threads(run)};
    DD_TRY(dd_dataset_open(&options, &run->dataset));
    return dd_input_split(run);
}

/** The facts of the data: recorded for a new run, compared for a resumed one. */
static dd_status note_data(struct dd_run *run) {
    struct dd_run_config *config = &run->config;
    const struct dd_images *train = &run->dataset->train;
    char image[32], train_hash[17], test_hash[17];
    snprintf(image, sizeof image, "%d,%d,%d", train->channels, train->height, train->width);
    snprintf(train_hash, sizeof train_hash, "%016" PRIx64, train->hash);
    snprintf(test_hash, sizeof test_hash, "%016" PRIx64, run->dataset->test.hash);
    if (run->dataset->classes < 2)
        return dd_fail(DD_ERROR_DATA, "%s has %d class; at least 2 are needed", config->data, run->dataset->classes);
    if (!run->resumed) {
        strcpy(config->image, image);
        strcpy(config->train_hash, train_hash);
        strcpy(config->test_hash, test_hash);
        config->classes = run->dataset->classes;
        config->train_images = run->train.count;
        config->test_images = run->dataset->test.count;
        return DD_OK;
    }
    if (strcmp(config->image, image) != 0)
        return dd_fail(DD_ERROR_DATA, "the data differ from the run's: images are %s, config.json says %s", image,
                       config->image);
    if (config->train_images != run->train.count || config->test_images != run->dataset->test.count)
        return dd_fail(DD_ERROR_DATA,
                       "the data differ from the run's: %d training and %d test images, config.json says %lld and %lld",
                       run->train.count, run->dataset->test.count, (long long)config->train_images,
                       (long long)config->test_images);
    if (strcmp(config->train_hash, train_hash) != 0 || strcmp(config->test_hash, test_hash) != 0)
        return dd_fail(DD_ERROR_DATA, "the data differ from the run's: the content of the %s images of %s has changed",
                       strcmp(config->train_hash, train_hash) != 0 ? "training" : "test", config->data);
    return DD_OK;
}

static dd_status freeze_schedule(struct dd_run *run) {
    struct dd_run_config *config = &run->config;
    config->iterations_per_epoch = run->train.count / config->batch;
    if (config->iterations_per_epoch == 0)
        return dd_fail(DD_ERROR_DATA, "%s has %d training images, fewer than one batch of %lld%s", config->data,
                       run->train.count, (long long)config->batch,
                       run->resumed ? ", the \"batch\" of config.json" : "; use a smaller --batch");
    if (config->iterations < 0)
        config->iterations = config->epochs >= 0 ? config->epochs * config->iterations_per_epoch : 64000;
    if (config->iterations > (int64_t)UINT32_MAX) /* the generator's counter */
        return dd_fail(DD_ERROR_USAGE,
                       "%lld iterations are more than the %" PRIu32 " that a run can have; give fewer --epochs",
                       (long long)config->iterations, UINT32_MAX);
    DD_TRY(dd_schedule_parse_drops(config->lr_drops[0] != '\0' ? config->lr_drops : NULL, config->iterations,
                                   &run->schedule));
    run->schedule.lr = config->lr;
    run->schedule.warmup = config->lr_warmup;
    if (config->lr_drops[0] == '\0')
        snprintf(config->lr_drops, sizeof config->lr_drops, "%lld,%lld", (long long)run->schedule.drop[0],
                 (long long)run->schedule.drop[1]);
    return DD_OK;
}

/* ---- network ---- */

/** A BN over a single value has no variance. */
static dd_status check_bn_values(const struct dd_run *run) {
    const struct dd_net *net = run->net;
    for (int u = 0; u < net->unit_count; u++)
        if ((int64_t)net->units[u].out_h * net->units[u].out_w * run->config.batch < 2)
            return dd_fail(DD_ERROR_USAGE,
                           "batch normalisation would see a single value: unit %d of %s has %dx%d maps at --batch 1; "
                           "use a larger batch",
                           u, net->name, net->units[u].out_h, net->units[u].out_w);
    return DD_OK;
}

static dd_status make_net(struct dd_run *run) {
    const struct dd_run_config *config = &run->config;
    const struct dd_images *train = &run->train;
    const struct dd_net_options options = {.name = config->net,
                                           .shortcut = config->shortcut,
                                           .channels = train->channels,
                                           .height = train->height,
                                           .width = train->width,
                                           .classes = run->dataset->classes};
    DD_TRY(dd_net_create(&options, &run->net));
    const struct dd_gate_options gates = gate_options(config);
    DD_TRY(dd_gate_create(&gates, run->net, &run->gate));
    DD_TRY(check_bn_values(run));
    const size_t pixels = (size_t)train->channels * train->height * train->width, batch = (size_t)config->batch;
    run->mean = dd_calloc(pixels, sizeof *run->mean);
    run->std = dd_calloc((size_t)train->channels, sizeof *run->std);
    run->order = dd_calloc((size_t)train->count, sizeof *run->order);
    run->samples = dd_calloc(batch, sizeof *run->samples);
    run->gates = dd_calloc((size_t)run->net->unit_count, 1);
    run->log_gates = dd_calloc((size_t)run->net->unit_count, 1);
    if (run->mean == NULL || run->std == NULL || run->order == NULL || run->samples == NULL || run->gates == NULL ||
        run->log_gates == NULL)
        return dd_fail_memory("run", pixels * sizeof *run->mean);
    return dd_input_mean(train, run->mean, run->std);
}

/** What a dry run is made for, and other runs tell by the way. */
static dd_log_level figures_level(const struct dd_run *run) {
    return run->options->dry_run ? DD_LOG_RESULT : DD_LOG_INFO;
}

static void tell_network(const struct dd_run *run) {
    const dd_log_level level = figures_level(run);
    struct dd_net_summary figures;
    dd_net_summarize(run->net, &figures);
    dd_log(level,
           "%s, %s shortcuts, %d units, %llu parameters, %.1f MFLOP forward an image; gates %s (%d gated units, %.2f "
           "units run on average)",
           run->net->name, run->net->shortcut, figures.units, (unsigned long long)figures.parameters,
           (double)figures.forward_flops / 1e6, run->config.gate, dd_gate_gated_units(run->gate),
           dd_gate_expected_run(run->gate));
    if (dd_gate_expected_run(run->gate) < figures.units && run->config.bn_recalibrate == 0)
        dd_info(
            "with gates, running batch-norm statistics fit no evaluation well; --bn-recalibrate 40 estimates them anew "
            "before each (docs/results.md)");
    if (run->config.gate_warmup > 0)
        dd_log(level, "the share of units that are off grows over the first %lld iterations",
               (long long)run->config.gate_warmup);
    dd_log(level, "%s: %d training images%s, %d %s images, %d classes, %s", run->config.data, run->train.count,
           run->val.count > 0 ? " (and the validation split)" : "", run->dataset->test.count, run->dataset->test.split,
           run->dataset->classes, run->config.image);
}

/* ---- device ---- */

static dd_status open_device(struct dd_run *run) {
    struct dd_run_config *config = &run->config;
    const struct dd_device_options options = {.selector = run->options->device,
                                              .name = run->resumed ? config->device_name : NULL,
                                              .platform_name = run->resumed ? config->device_platform : NULL,
                                              .cache_dir = run->options->cache_dir,
                                              .threads = threads(run)};
    DD_TRY(dd_device_open(&options, &run->device));
    const struct dd_device_info *info = dd_device_get_info(run->device);
    if (run->resumed &&
        (strcmp(config->device_name, info->name) != 0 || strcmp(config->device_driver, info->driver) != 0 ||
         strcmp(config->device_platform, info->platform_name) != 0))
        dd_warning("THE DEVICE DIFFERS: the run began on %s (%s, driver %s), this is %s (%s, driver %s); bits are "
                   "promised on the same device alone",
                   config->device_name, config->device_platform, config->device_driver, info->name, info->platform_name,
                   info->driver);
    snprintf(config->device_name, sizeof config->device_name, "%s", info->name);
    snprintf(config->device_driver, sizeof config->device_driver, "%s", info->driver);
    snprintf(config->device_platform, sizeof config->device_platform, "%s", info->platform_name);
    return run->options->dry_run ? DD_OK : dd_selftest_ensure(run->device);
}

static struct dd_plan_options plan_options(const struct dd_run *run) {
    const struct dd_run_config *config = &run->config;
    return (struct dd_plan_options){.batch = (int)config->batch,
                                    .training = true,
                                    .algorithm = config->algorithm,
                                    .vector = dd_config_vector(config),
                                    .momentum = (float)config->momentum,
                                    .weight_decay = (float)config->weight_decay,
                                    .dropout = config->dropout,
                                    .unit_dropout = config->unit_dropout,
                                    .dropout_seed = (uint64_t)config->seed,
                                    .recalibrate = (int)config->bn_recalibrate};
}

static dd_status choose(struct dd_run *run, const struct dd_plan_options *options, struct dd_plan_choice *choice) {
    if (run->resumed) {
        DD_TRY(dd_config_choice(&run->config, run->algorithms, run->net, choice));
        const struct dd_device_info *info = dd_device_get_info(run->device);
        const dd_status status = blame_config(run, dd_plan_check_choice(run->net, info, options, choice));
        if (status != DD_OK)
            free(choice->algorithm);
        return status;
    }
    DD_TRY(dd_tuning_choose(run->device, run->net, options, !run->options->dry_run, run->stop, choice));
    run->config.chosen_vector = choice->vector;
    return DD_OK;
}

/** Binds the images; what the device holds now is kept there alone. */
static dd_status bind_source(struct dd_run *run, enum dd_plan_source source, struct dd_images *images) {
    DD_TRY(dd_plan_bind(run->plan, source, images));
    if (!dd_plan_needs_pixels(run->plan, source)) {
        if (images->pixels == run->dataset->train.pixels) /* not split: the same images */
            run->dataset->train.pixels = NULL;
        free(images->pixels);
        images->pixels = NULL;
    }
    return DD_OK;
}

static dd_status bind_images(struct dd_run *run) {
    DD_TRY(dd_plan_set_input(run->plan, run->mean, run->std));
    DD_TRY(bind_source(run, DD_SOURCE_TRAIN, &run->train));
    DD_TRY(bind_source(run, DD_SOURCE_TEST, &run->dataset->test));
    return run->val.count > 0 ? bind_source(run, DD_SOURCE_VAL, &run->val) : DD_OK;
}

static dd_status make_plan(struct dd_run *run) {
    const struct dd_plan_options options = plan_options(run);
    const struct dd_device_info *info = dd_device_get_info(run->device);
    struct dd_plan_choice choice;
    uint64_t bytes;
    DD_TRY(choose(run, &options, &choice));
    dd_status status = dd_plan_check_size(run->net, info, &options, &choice, &bytes);
    if (status == DD_OK)
        dd_log(figures_level(run),
               "device: %s (%s); %.1f MiB of its %.0f MiB for batches of %lld, V = %d, convolutions by %s", info->name,
               info->platform_name, (double)bytes / 1048576, (double)info->global_bytes / 1048576,
               (long long)run->config.batch, choice.vector, choice.algorithm[1][DD_CONV_FORWARD]->name);
    if (!run->options->dry_run) {
        const double start = dd_now();
        status = dd_plan_create(run->device, run->net, &options, &choice, &run->plan);
        if (status == DD_OK && dd_now() - start > 2)
            dd_info("kernels were built in %.1f s", dd_now() - start);
    }
    free(choice.algorithm);
    return status;
}

/* ---- files ---- */

static dd_status start_new(struct dd_run *run) {
    DD_TRY(dd_make_folder(run->dir));
    DD_TRY(dd_runlog_open(run->dir, &run->log));
    DD_TRY(check_new_folder(run->options)); /* another process may have been quicker */
    DD_TRY(dd_runlog_cut(&run->log, &(struct dd_log_cut){.iteration = -1, .best_split = run->best_split}));
    DD_TRY(dd_checkpoint_write_initial(run));
    return dd_config_save(&run->config, run->net, dd_plan_get_choice(run->plan), run->dir);
}

static dd_status start_resumed(struct dd_run *run) {
    DD_TRY(dd_checkpoint_read(run));
    DD_TRY(cut_log(run, run->iteration));
    if (run->iteration > 0 && run->log.lines == 0)
        dd_warning("%s is missing or empty: training time and the best error begin anew", run->log.path);
    run->train_s = run->log.train_s;
    DD_TRY(dd_config_save(&run->config, run->net, dd_plan_get_choice(run->plan), run->dir));
    dd_info("resumed %s at iteration %lld of %lld", run->dir, (long long)run->iteration,
            (long long)run->config.iterations);
    return DD_OK;
}

/** A signal before the first step: nothing has changed on the disk. */
static dd_status check_stop(const struct dd_run *run) {
    if (!dd_run_stopped(run))
        return DD_OK;
    if (run->resumed)
        return dd_fail(DD_INTERRUPTED, "interrupted before a step was done; %s is as it was", run->dir);
    return dd_fail(DD_INTERRUPTED, "interrupted before the first step; nothing was written");
}

dd_status dd_run_prepare(struct dd_run *run) {
    run->saved = -1;
    DD_TRY(load_config(run));
    DD_TRY(blame_config(run, check_names(&run->config)));
    if (run->resumed) {
        DD_TRY(dd_runlog_open(run->dir, &run->log)); /* the lock first: another process may be training here */
        DD_TRY(check_finished(run));
        if (run->finished)
            return DD_OK;
    }
    if (!run->resumed && run->config.init[0] != '\0')
        DD_TRY(dd_initial_read(run));
    DD_TRY(blame_config(run, open_data(run)));
    DD_TRY(check_stop(run));
    DD_TRY(note_data(run));
    DD_TRY(freeze_schedule(run));
    DD_TRY(blame_config(run, make_net(run)));
    tell_network(run);
    DD_TRY(dd_initial_check(run));
    DD_TRY(open_device(run));
    DD_TRY(check_stop(run));
    DD_TRY(make_plan(run));
    if (run->options->dry_run)
        return DD_OK;
    DD_TRY(bind_images(run));
    DD_TRY(check_stop(run));
    DD_TRY(run->resumed ? start_resumed(run) : start_new(run));
    run->queued = run->saved = run->iteration;
    return DD_OK;
}

void dd_run_finish(struct dd_run *run) {
    dd_plan_destroy(&run->plan);
    dd_gemm_release_caches();
    dd_device_close(&run->device);
    dd_runlog_close(&run->log);
    dd_gate_destroy(&run->gate);
    dd_net_destroy(&run->net);
    if (run->config.val_split > 0) {
        free(run->train.pixels);
        free(run->train.labels);
        free(run->val.pixels);
        free(run->val.labels);
    }
    dd_dataset_close(&run->dataset);
    dd_config_free(&run->algorithms);
    dd_st_free(&run->initial);
    free(run->mean);
    free(run->std);
    free(run->order);
    free(run->samples);
    free(run->gates);
    free(run->log_gates);
}
