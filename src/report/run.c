/* Reads run folders: config.json and log.jsonl, as docs/formats.md describes them. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/gate.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "report/internal.h"

enum { CONFIG_FORMAT = 1, MAX_CONFIG = 64 << 20, MAX_LOG = 1 << 30 };

static const char *const attribute_keys[DD_DATA] = {
    [DD_NET] = "net",
    [DD_SHORTCUT] = "shortcut",
    [DD_GATE] = "gate",
    [DD_GATE_FIRST] = "gate_first",
    [DD_GATE_WARMUP] = "gate_warmup",
    [DD_RECALIBRATE] = "bn_recalibrate",
    [DD_ITERATIONS] = "iterations",
    [DD_BATCH] = "batch",
    [DD_LR] = "lr",
    [DD_WARMUP] = "lr_warmup",
    [DD_MOMENTUM] = "momentum",
    [DD_WEIGHT_DECAY] = "weight_decay",
    [DD_AUGMENT] = "augment",
    [DD_VAL_SPLIT] = "val_split",
    [DD_RECIPE] = "recipe",
    [DD_LR_DROPS] = "lr_drops",
    [DD_DROPOUT] = "dropout",
    [DD_UNIT_DROPOUT] = "unit_dropout",
    [DD_INIT_HASH] = "init_hash",
};
/* Keys that runs of earlier versions lack, and what these did. */
static const char *const attribute_defaults[DD_DATA] = {
    [DD_GATE_WARMUP] = "0",
    [DD_DROPOUT] = "0",
    [DD_UNIT_DROPOUT] = "0",
    [DD_INIT_HASH] = "",
};

/* ---- config.json ---- */

/* Units and the expected ratio, from the same code as training's. */
static dd_status expect_gates(struct dd_report_run *run, const char *path, const char *image, int classes) {
    int channels, height, width;
    if (sscanf(image, "%d,%d,%d", &channels, &height, &width) != 3)
        return dd_fail(DD_ERROR_DATA, "%s: \"image\" is \"%s\", not \"C,H,W\"", path, image);
    const struct dd_net_options options = {.name = run->key.text[DD_NET],
                                           .shortcut = run->key.text[DD_SHORTCUT],
                                           .channels = channels,
                                           .height = height,
                                           .width = width,
                                           .classes = classes};
    const struct dd_gate_options policy = {.policy = run->key.text[DD_GATE], .first = run->key.text[DD_GATE_FIRST]};
    dd_net *net = NULL;
    dd_gate *gate = NULL;
    dd_status status = dd_net_create(&options, &net);
    if (status == DD_OK)
        status = dd_gate_create(&policy, net, &gate);
    if (status == DD_OK) {
        struct dd_net_summary summary;
        dd_net_summarize(net, &summary);
        run->units = summary.units;
        run->gated = dd_gate_gated_units(gate);
        run->run_expected = dd_gate_expected_run(gate);
        run->off = run->gated > 0 ? (run->units - run->run_expected) / run->gated : 0;
    }
    dd_gate_destroy(&gate);
    dd_net_destroy(&net);
    return status == DD_ERROR_USAGE ? dd_fail_prefix(DD_ERROR_DATA, "%s", path) : status;
}

static dd_status take_attribute(struct dd_report_run *run, const json_t *root, const struct dd_json_source *source,
                                int attribute) {
    const char *key = attribute_keys[attribute], *otherwise = attribute_defaults[attribute];
    char *text = run->key.text[attribute];
    if (otherwise == NULL || json_object_get(root, key) != NULL)
        return dd_json_as_text(source, root, key, text, sizeof run->key.text[attribute]);
    strcpy(text, otherwise);
    return DD_OK;
}

static dd_status take_config(struct dd_report_run *run, const json_t *root, const struct dd_json_source *source) {
    char image[64], train_hash[64], test_hash[64];
    int64_t format = 0;
    int classes = 0;
    DD_TRY(dd_json_integer(source, root, "format_version", &format));
    if (format != CONFIG_FORMAT)
        return dd_fail(DD_ERROR_DATA, "%s is of format version %" PRId64 ", this program reads %d", source->path,
                       format, CONFIG_FORMAT);
    for (int a = 0; a < DD_DATA; a++)
        DD_TRY(take_attribute(run, root, source, a));
    DD_TRY(dd_json_as_text(source, root, "train_hash", train_hash, sizeof train_hash));
    DD_TRY(dd_json_as_text(source, root, "test_hash", test_hash, sizeof test_hash));
    snprintf(run->key.text[DD_DATA], sizeof run->key.text[DD_DATA], "%s %s", train_hash, test_hash);
    DD_TRY(dd_json_as_text(source, root, "data", run->data, sizeof run->data));
    DD_TRY(dd_json_as_text(source, root, "image", image, sizeof image));
    DD_TRY(dd_json_as_text(source, root, "version", run->version, sizeof run->version));
    DD_TRY(dd_json_as_text(source, root, "device_name", run->device, sizeof run->device));
    DD_TRY(dd_json_as_text(source, root, "device_driver", run->driver, sizeof run->driver));
    DD_TRY(dd_json_count(source, root, "classes", &classes));
    DD_TRY(dd_json_integer(source, root, "seed", &run->seed));
    DD_TRY(dd_json_integer(source, root, "iterations", &run->iterations));
    DD_TRY(dd_json_integer(source, root, "batch", &run->batch));
    DD_TRY(dd_json_integer(source, root, "log_every", &run->log_every));
    run->dropout = dd_json_real_or(root, "dropout", 0);
    run->unit_dropout = dd_json_real_or(root, "unit_dropout", 0);
    if (run->iterations < 0 || run->batch < 1 || run->log_every < 1)
        return dd_fail(DD_ERROR_DATA, "%s: \"iterations\" is negative, or \"batch\" or \"log_every\" is not positive",
                       source->path);
    return expect_gates(run, source->path, image, classes);
}

static dd_status read_config(struct dd_report_run *run, const char *path) {
    const struct dd_json_source source = {path, "it should be the config.json of a run that train --run made"};
    json_t *root;
    DD_TRY(dd_json_load_file(path, MAX_CONFIG, 0, source.hint, &root));
    const dd_status status = take_config(run, root, &source);
    json_decref(root);
    return status;
}

/* ---- log.jsonl ---- */

static int64_t integer_of(const json_t *line, const char *key) {
    return json_integer_value(json_object_get(line, key));
}

static dd_status take_step(struct dd_report_run *run, const json_t *line) {
    DD_TRY(dd_grow(&run->steps, &run->step_capacity, run->step_count + 1, sizeof *run->steps));
    struct dd_run_step *step = &run->steps[run->step_count++];
    *step = (struct dd_run_step){.iteration = integer_of(line, "iteration"),
                                 .loss = dd_json_real_or(line, "loss", NAN),
                                 .images_per_s = dd_json_real_or(line, "images_per_s", NAN),
                                 .train_s = dd_json_real_or(line, "train_s", NAN),
                                 .units_run = integer_of(line, "units_run")};
    run->diverged = !isfinite(step->loss);
    return DD_OK;
}

static dd_status take_eval(struct dd_report_run *run, const json_t *line, bool *has_test) {
    const char *split = json_string_value(json_object_get(line, "split"));
    const bool test = split != NULL && strcmp(split, "test") == 0;
    if (!test && *has_test)
        return DD_OK;
    if (test && !*has_test)
        run->eval_count = 0; /* those so far are of held-out images */
    *has_test = test;
    if (run->eval_count > 0 && run->evals[run->eval_count - 1].iteration == integer_of(line, "iteration"))
        run->eval_count--; /* held-out and test images of a folder whose test images are in val/ */
    DD_TRY(dd_grow(&run->evals, &run->eval_capacity, run->eval_count + 1, sizeof *run->evals));
    run->evals[run->eval_count++] = (struct dd_run_eval){.iteration = integer_of(line, "iteration"),
                                                         .images = integer_of(line, "images"),
                                                         .error = dd_json_real_or(line, "error", NAN),
                                                         .error_running = dd_json_real_or(line, "error_running", NAN),
                                                         .train_s = NAN};
    return DD_OK;
}

static dd_status take_line(struct dd_report_run *run, const json_t *line, bool *has_test) {
    const char *event = json_string_value(json_object_get(line, "event"));
    const int64_t iteration = integer_of(line, "iteration");
    if (event == NULL || !json_is_integer(json_object_get(line, "iteration")))
        return dd_fail(DD_ERROR_DATA, "no event with an iteration");
    if (iteration > run->reached)
        run->reached = iteration;
    if (strcmp(event, "step") == 0)
        return take_step(run, line);
    return strcmp(event, "eval") == 0 ? take_eval(run, line, has_test) : DD_OK;
}

/* A last line without its end is that of a run that goes on, or was killed: it is left out. */
static dd_status take_log(struct dd_report_run *run, const char *path, char *text) {
    bool has_test = false;
    int number = 0;
    for (char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
        *end = '\0';
        number++;
        json_t *line = json_loads(text, 0, NULL);
        dd_status status = DD_ERROR_DATA;
        if (json_is_object(line))
            status = take_line(run, line, &has_test);
        else
            dd_fail(DD_ERROR_DATA, "no JSON object");
        json_decref(line);
        if (status != DD_OK)
            return dd_fail_prefix(status, "%s, line %d", path, number);
    }
    return DD_OK;
}

/* Training time at iteration, between the two logged steps around it. */
static double seconds_at(const struct dd_report_run *run, int64_t iteration) {
    const struct dd_run_step *before = NULL;
    for (size_t i = 0; i < run->step_count; i++) {
        const struct dd_run_step *step = &run->steps[i];
        if (step->iteration >= iteration) {
            if (before == NULL || step->iteration == iteration)
                return step->train_s;
            const double share =
                (double)(iteration - before->iteration) / (double)(step->iteration - before->iteration);
            return before->train_s + share * (step->train_s - before->train_s);
        }
        before = step;
    }
    return before != NULL ? before->train_s : NAN;
}

static dd_status read_log(struct dd_report_run *run, const char *path) {
    uint8_t *bytes;
    size_t size;
    if (!dd_file_exists(path))
        return DD_OK; /* stopped before its first line */
    DD_TRY(dd_file_read(path, MAX_LOG, &bytes, &size));
    const dd_status status = take_log(run, path, (char *)bytes);
    free(bytes);
    for (size_t i = 0; i < run->eval_count; i++)
        run->evals[i].train_s = seconds_at(run, run->evals[i].iteration);
    const struct dd_run_eval *last = dd_report_run_last(run);
    run->finished = !run->diverged && last != NULL && last->iteration >= run->iterations && isfinite(last->error);
    return status;
}

dd_status dd_report_run_read(const char *folder, struct dd_report_run *run) {
    dd_status status = DD_ERROR_MEMORY;
    *run = (struct dd_report_run){.folder = folder};
    char *config = dd_path_join(folder, "config.json"), *log = dd_path_join(folder, "log.jsonl");
    if (config == NULL || log == NULL)
        dd_fail_memory("path", strlen(folder));
    else if (!dd_file_exists(config))
        status = dd_fail(DD_ERROR_DATA,
                         "%s is no run folder: there is no config.json in it; name the folders that "
                         "train --run made",
                         folder);
    else if ((status = read_config(run, config)) == DD_OK)
        status = read_log(run, log);
    free(config);
    free(log);
    if (status != DD_OK)
        dd_report_run_free(run);
    return status;
}

void dd_report_run_free(struct dd_report_run *run) {
    free(run->steps);
    free(run->evals);
    *run = (struct dd_report_run){0};
}

/* ---- figures of a run ---- */

const struct dd_run_eval *dd_report_run_last(const struct dd_report_run *run) {
    return run->eval_count > 0 ? &run->evals[run->eval_count - 1] : NULL;
}

double dd_report_run_best(const struct dd_report_run *run) {
    double best = NAN;
    for (size_t i = 0; i < run->eval_count; i++)
        best = fmin(best, run->evals[i].error); /* of a NaN and a number, the number */
    return best;
}

double dd_report_run_seconds(const struct dd_report_run *run) {
    return run->step_count > 0 ? run->steps[run->step_count - 1].train_s : NAN;
}

double dd_report_run_images_per_s(const struct dd_report_run *run) {
    if (run->step_count == 0)
        return NAN;
    const struct dd_run_step *last = &run->steps[run->step_count - 1];
    return (double)(last->iteration * run->batch) / last->train_s;
}
