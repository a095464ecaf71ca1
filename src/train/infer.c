/* Evaluation and prediction with a model file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "ops/gemm.h"
#include "train/run.h"
#include "train/tuning.h"

/* A model bound to a device for images of one set. */
struct inference {
    struct dd_model model;
    dd_device *device;
    dd_plan *plan;
    int batch;
};

static dd_status check_options(const struct dd_model_options *options, int *vector) {
    if (options->batch < 0)
        return dd_fail(DD_ERROR_USAGE, "--batch %d is out of range: it must be at least 1", options->batch);
    DD_TRY(dd_plan_check_algorithm(options->algorithm));
    return dd_plan_parse_vector(options->vector, vector);
}

static dd_status open_device(struct inference *inference, const struct dd_model_options *options) {
    const struct dd_device_options device = {
        .selector = options->device, .cache_dir = options->cache_dir, .threads = options->threads};
    DD_TRY(dd_device_open(&device, &inference->device));
    return dd_selftest_ensure(inference->device);
}

/** A plan for these images; the device is open. */
static dd_status make_plan(struct inference *inference, const struct dd_model_options *options, int vector,
                           const struct dd_images *images) {
    const struct dd_model *model = &inference->model;
    inference->batch = options->batch > 0 ? options->batch : 128;
    if (inference->batch > images->count)
        inference->batch = images->count;
    const struct dd_plan_options plan = {.batch = inference->batch,
                                         .vector = vector,
                                         .algorithm = options->algorithm != NULL ? options->algorithm : "auto"};
    DD_TRY(dd_tuning_create_plan(inference->device, model->net, &plan, false, NULL, &inference->plan));
    DD_TRY(dd_plan_upload(inference->plan, DD_SET_VALUE, model->params.values));
    DD_TRY(dd_plan_set_input(inference->plan, model->mean, model->std));
    return dd_plan_bind(inference->plan, DD_SOURCE_TEST, images);
}

static void finish(struct inference *inference) {
    dd_plan_destroy(&inference->plan);
    dd_gemm_release_caches();
    dd_device_close(&inference->device);
    dd_model_free(&inference->model);
}

/* ---- evaluation ---- */

static dd_status count_classes(const struct dd_model *model, const struct dd_images *images, const int32_t *ranks,
                               struct dd_eval_result *result) {
    const size_t classes = (size_t)model->classes;
    result->classes = model->classes;
    result->per_class = dd_calloc(classes, sizeof *result->per_class);
    result->names = dd_calloc(classes, sizeof *result->names);
    if (result->per_class == NULL || result->names == NULL)
        return dd_fail_memory("evaluation", classes * sizeof *result->per_class);
    for (int i = 0; i < images->count; i++) {
        struct dd_class_result *one = &result->per_class[images->labels[i]];
        one->images++;
        one->error += ranks[i] > 0;
    }
    for (size_t k = 0; k < classes; k++) {
        struct dd_class_result *one = &result->per_class[k];
        result->names[k] = dd_strdup(model->class_names[k]);
        if (result->names[k] == NULL)
            return dd_fail_memory("class names", 1);
        one->name = result->names[k];
        one->error = one->images > 0 ? one->error / (double)one->images : NAN;
    }
    return DD_OK;
}

static dd_status open_eval_data(const struct dd_model *model, const struct dd_dataset_options *data,
                                dd_dataset **dataset) {
    struct dd_dataset_options options = *data;
    options.need_test = true;
    options.need_train = false;
    options.model_classes = model->class_names;
    options.model_class_count = model->classes;
    options.channels = model->net->channels;
    options.height = model->net->height;
    options.width = model->net->width;
    return dd_dataset_open(&options, dataset);
}

static dd_status evaluate_dataset(struct inference *inference, const struct dd_images *test, struct dd_watch *watch,
                                  struct dd_eval_result *result) {
    int32_t *ranks = dd_calloc((size_t)test->count, sizeof *ranks);
    if (ranks == NULL)
        return dd_fail_memory("evaluation", (size_t)test->count * sizeof *ranks);
    struct dd_evaluation figures;
    watch->progress.eval_split = test->split;
    watch->start = dd_now();
    dd_status status = dd_evaluate_source(inference->plan, DD_SOURCE_TEST, test, inference->batch,
                                          DD_STATISTICS_RUNNING, watch, ranks, &figures);
    if (status == DD_OK) {
        *result = (struct dd_eval_result){
            .images = figures.images, .error = figures.error, .error_top5 = figures.error_top5, .loss = figures.loss};
        snprintf(result->split, sizeof result->split, "%s", test->split);
        status = count_classes(&inference->model, test, ranks, result);
    }
    free(ranks);
    return status;
}

static dd_status check_stop(const volatile int *stop) {
    return stop != NULL && *stop != 0 ? dd_fail(DD_INTERRUPTED, "stopped before the evaluation") : DD_OK;
}

dd_status dd_eval(const struct dd_model_options *options, const struct dd_dataset_options *data, volatile int *stop,
                  dd_train_callback callback, void *user, struct dd_eval_result *result) {
    struct inference inference = {0};
    struct dd_watch watch = {
        .stop = stop, .callback = callback, .user = user, .progress = {.phase = "eval", .loss = NAN}};
    dd_dataset *dataset = NULL;
    dd_status status;
    int vector = 0;
    *result = (struct dd_eval_result){0};
    DD_GOTO(status, done, check_options(options, &vector));
    DD_GOTO(status, done, dd_model_load(options->model, &inference.model));
    DD_GOTO(status, done, open_eval_data(&inference.model, data, &dataset));
    DD_GOTO(status, done, check_stop(stop));
    DD_GOTO(status, done, open_device(&inference, options));
    DD_GOTO(status, done, check_stop(stop));
    DD_GOTO(status, done, make_plan(&inference, options, vector, &dataset->test));
    status = evaluate_dataset(&inference, &dataset->test, &watch, result);
done:
    if (status != DD_OK)
        dd_eval_result_free(result);
    finish(&inference);
    dd_dataset_close(&dataset);
    return status;
}

void dd_eval_result_free(struct dd_eval_result *result) {
    for (int k = 0; result->names != NULL && k < result->classes; k++)
        free(result->names[k]);
    free(result->names);
    free(result->per_class);
    *result = (struct dd_eval_result){0};
}

/* ---- prediction ---- */

enum { PREDICT_CHUNK = 512 }; /* files decoded at a time */

/* Files of one chunk. */
struct chunk {
    struct dd_images images; /* those that could be read */
    int32_t *ranks;
    float *losses, *logits;
    char *messages[PREDICT_CHUNK]; /* NULL: read */
    float *probabilities;
    int *order;
};

static dd_status create_chunk(const struct dd_net *net, struct chunk *chunk) {
    const size_t pixels = (size_t)net->channels * net->height * net->width, classes = (size_t)net->classes;
    chunk->images =
        (struct dd_images){.split = "files", .channels = net->channels, .height = net->height, .width = net->width};
    chunk->images.pixels = dd_calloc(PREDICT_CHUNK, pixels);
    chunk->images.labels = dd_calloc(PREDICT_CHUNK, sizeof *chunk->images.labels);
    chunk->ranks = dd_calloc(PREDICT_CHUNK, sizeof *chunk->ranks);
    chunk->losses = dd_calloc(PREDICT_CHUNK, sizeof *chunk->losses);
    chunk->logits = dd_calloc(PREDICT_CHUNK * classes, sizeof *chunk->logits);
    chunk->probabilities = dd_calloc(classes, sizeof *chunk->probabilities);
    chunk->order = dd_calloc(classes, sizeof *chunk->order);
    if (chunk->images.pixels == NULL || chunk->images.labels == NULL || chunk->ranks == NULL || chunk->losses == NULL ||
        chunk->logits == NULL || chunk->probabilities == NULL || chunk->order == NULL)
        return dd_fail_memory("images to predict", PREDICT_CHUNK * pixels);
    return DD_OK;
}

static void clear_messages(struct chunk *chunk) {
    for (int i = 0; i < PREDICT_CHUNK; i++) {
        free(chunk->messages[i]);
        chunk->messages[i] = NULL;
    }
}

static void free_chunk(struct chunk *chunk) {
    clear_messages(chunk);
    free(chunk->images.pixels);
    free(chunk->images.labels);
    free(chunk->ranks);
    free(chunk->losses);
    free(chunk->logits);
    free(chunk->probabilities);
    free(chunk->order);
}

static dd_status read_files(struct chunk *chunk, const char *const *files, int count) {
    const size_t pixels = (size_t)chunk->images.channels * chunk->images.height * chunk->images.width;
    chunk->images.count = 0;
    clear_messages(chunk);
    for (int i = 0; i < count; i++) {
        const dd_status status =
            dd_image_read(files[i], chunk->images.channels, chunk->images.height, chunk->images.width,
                          chunk->images.pixels + (size_t)chunk->images.count * pixels);
        if (status == DD_OK)
            chunk->images.count++;
        else if (status != DD_ERROR_DATA || (chunk->messages[i] = dd_strdup(dd_error_message())) == NULL)
            return status != DD_ERROR_DATA ? status : dd_fail_memory("message", 1);
    }
    return DD_OK;
}

/** Softmax in double, and the labels by falling probability (ties by label). */
static void rank_classes(const float *logits, int classes, float *probabilities, int *order) {
    double largest = -INFINITY, sum = 0;
    for (int k = 0; k < classes; k++)
        largest = logits[k] > largest ? logits[k] : largest;
    for (int k = 0; k < classes; k++)
        sum += exp(logits[k] - largest);
    for (int k = 0; k < classes; k++) {
        probabilities[k] = (float)(exp(logits[k] - largest) / sum);
        int at = k;
        for (; at > 0 && logits[order[at - 1]] < logits[k]; at--)
            order[at] = order[at - 1];
        order[at] = k;
    }
}

static void deliver(const struct inference *inference, struct chunk *chunk, const char *const *files, int count,
                    dd_prediction_callback callback, void *user) {
    const int classes = inference->model.classes;
    const float *logits = chunk->logits;
    for (int i = 0; i < count; i++) {
        struct dd_prediction prediction = {.file = files[i], .status = DD_ERROR_DATA, .message = chunk->messages[i]};
        if (chunk->messages[i] == NULL) {
            rank_classes(logits, classes, chunk->probabilities, chunk->order);
            prediction = (struct dd_prediction){.file = files[i],
                                                .status = DD_OK,
                                                .message = "",
                                                .classes = classes,
                                                .names = (const char *const *)inference->model.class_names,
                                                .logits = logits,
                                                .probabilities = chunk->probabilities,
                                                .order = chunk->order};
            logits += classes;
        }
        callback(user, &prediction);
    }
}

static dd_status predict_chunk(struct inference *inference, const struct dd_model_options *options, int vector,
                               struct chunk *chunk, const char *const *files, int count, int *broken,
                               dd_prediction_callback callback, void *user) {
    DD_TRY(read_files(chunk, files, count));
    *broken += count - chunk->images.count;
    if (chunk->images.count > 0) {
        if (inference->device == NULL)
            DD_TRY(open_device(inference, options));
        DD_TRY(make_plan(inference, options, vector, &chunk->images));
        DD_TRY(dd_plan_evaluate(inference->plan, DD_SOURCE_TEST, 0, chunk->images.count, DD_STATISTICS_RUNNING,
                                chunk->ranks, chunk->losses, chunk->logits));
        dd_plan_destroy(&inference->plan);
    }
    deliver(inference, chunk, files, count, callback, user);
    return DD_OK;
}

dd_status dd_predict(const struct dd_model_options *options, const char *const *files, int count,
                     dd_prediction_callback callback, void *user) {
    struct inference inference = {0};
    struct chunk chunk = {0};
    dd_status status;
    int vector = 0, broken = 0;
    DD_GOTO(status, done, check_options(options, &vector));
    DD_GOTO(status, done, dd_model_load(options->model, &inference.model));
    DD_GOTO(status, done, create_chunk(inference.model.net, &chunk));
    for (int first = 0; first < count; first += PREDICT_CHUNK) {
        const int files_now = count - first < PREDICT_CHUNK ? count - first : PREDICT_CHUNK;
        DD_GOTO(status, done,
                predict_chunk(&inference, options, vector, &chunk, files + first, files_now, &broken, callback, user));
    }
    if (broken > 0)
        status = dd_fail(DD_ERROR_DATA, "%d of %d files could not be read", broken, count);
done:
    free_chunk(&chunk);
    finish(&inference);
    return status;
}

/* ---- memory figures ---- */

uint64_t dd_train_device_bytes(const dd_net *net, int batch, int vector) {
    /* A device without limits: what is asked for is the need itself. */
    struct dd_device_info info = {.type = DD_DEVICE_CPU,
                                  .compute_units = 4,
                                  .global_bytes = UINT64_MAX / 2,
                                  .max_alloc_bytes = (uint64_t)1 << 40,
                                  .local_bytes = 32768,
                                  .max_work_group = 256,
                                  .base_align_bytes = 128,
                                  .float_width = (uint32_t)(vector > 0 ? vector : 1),
                                  .usable = true};
    const struct dd_plan_options options = {.batch = batch, .training = true, .algorithm = "auto", .vector = vector};
    struct dd_plan_choice choice;
    uint64_t bytes = 0;
    if (dd_plan_choose(net, &info, &options, &choice) != DD_OK)
        return 0;
    if (dd_plan_bytes(net, &info, &options, &choice, &bytes) != DD_OK)
        bytes = 0;
    free(choice.algorithm);
    return bytes;
}
