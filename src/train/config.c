/* config.json: one table of fields serves reading and writing. */
#include "train/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/depthdrop.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

enum { CONFIG_FORMAT = 1 };

enum field_type { FIELD_TEXT, FIELD_INTEGER, FIELD_REAL };

static const struct field {
    const char *key;
    enum field_type type;
    size_t offset, size;
    bool optional; /* younger than the format: absent means 0 or empty */
} fields[] = {
#define TEXT(key)                                                                                                      \
    { #key, FIELD_TEXT, offsetof(struct dd_run_config, key), sizeof(((struct dd_run_config *)0)->key), false }
#define INTEGER(key)                                                                                                   \
    { #key, FIELD_INTEGER, offsetof(struct dd_run_config, key), 0, false }
#define REAL(key)                                                                                                      \
    { #key, FIELD_REAL, offsetof(struct dd_run_config, key), 0, false }
#define LATER_TEXT(key)                                                                                                \
    { #key, FIELD_TEXT, offsetof(struct dd_run_config, key), sizeof(((struct dd_run_config *)0)->key), true }
#define LATER_REAL(key)                                                                                                \
    { #key, FIELD_REAL, offsetof(struct dd_run_config, key), 0, true }
#define LATER_INTEGER(key)                                                                                             \
    { #key, FIELD_INTEGER, offsetof(struct dd_run_config, key), 0, true }
    TEXT(data),
    LATER_TEXT(data_from),
    TEXT(image_size),
    TEXT(net),
    TEXT(shortcut),
    TEXT(gate),
    TEXT(gate_first),
    LATER_INTEGER(gate_warmup),
    LATER_REAL(dropout),
    LATER_REAL(unit_dropout),
    INTEGER(batch),
    INTEGER(iterations),
    INTEGER(epochs),
    TEXT(recipe),
    TEXT(augment),
    REAL(lr),
    REAL(momentum),
    REAL(weight_decay),
    TEXT(lr_drops),
    INTEGER(lr_warmup),
    LATER_TEXT(init),
    INTEGER(seed),
    REAL(eval_every),
    INTEGER(bn_recalibrate),
    INTEGER(val_split),
    INTEGER(log_every),
    INTEGER(save_every),
    REAL(save_minutes),
    TEXT(algorithm),
    TEXT(vector),
    INTEGER(threads),
    LATER_INTEGER(no_cache),
    TEXT(image),
    INTEGER(classes),
    INTEGER(train_images),
    INTEGER(test_images),
    INTEGER(iterations_per_epoch),
    TEXT(train_hash),
    TEXT(test_hash),
    LATER_TEXT(init_hash),
    TEXT(device_name),
    TEXT(device_driver),
    TEXT(device_platform),
    INTEGER(chosen_vector),
#undef LATER_REAL
#undef TEXT
#undef INTEGER
#undef REAL
#undef LATER_TEXT
#undef LATER_INTEGER
};
enum { FIELD_COUNT = sizeof fields / sizeof *fields };

static const char *const direction_names[DD_CONV_DIRECTIONS] = {"forward", "backward_data", "backward_weights"};

/* ---- from options ---- */

static dd_status copy_text(char *target, size_t size, const char *option, const char *value) {
    const char *text = value != NULL ? value : "";
    if (strlen(text) >= size)
        return dd_fail(DD_ERROR_USAGE, "%s is longer than %zu characters", option, size - 1);
    if (!dd_is_utf8(text)) /* config.json holds nothing else */
        return dd_fail(DD_ERROR_USAGE, "%s \"%s\" is not valid UTF-8", option, text);
    strcpy(target, text);
    return DD_OK;
}

/** What a number is after its way through config.json: 9 significant digits, which name every float32 uniquely. */
static double stored(double value) {
    char text[40];
    snprintf(text, sizeof text, "%.9g", value);
    return strtod(text, NULL);
}

static dd_status check_range(const char *option, double value, double low, double high) {
    if (value >= low && value <= high)
        return DD_OK;
    return dd_fail(DD_ERROR_USAGE, "%s %.9g is out of range: it must be from %.9g to %.9g", option, value, low, high);
}

static dd_status check_ranges(const struct dd_run_config *config) {
    const double most = 1e15;
    DD_TRY(check_range("--batch", (double)config->batch, 1, 1 << 20));
    DD_TRY(check_range("--iterations", (double)config->iterations, config->iterations == -1 ? -1 : 0, 4294967295.0));
    DD_TRY(check_range("--epochs", (double)config->epochs, config->epochs == -1 ? -1 : 0, 1e9));
    DD_TRY(check_range("--gate-warmup", (double)config->gate_warmup, 0, 4294967295.0));
    DD_TRY(check_range("--dropout", config->dropout, 0, DD_MAX_DROPOUT));
    DD_TRY(check_range("--unit-dropout", config->unit_dropout, 0, DD_MAX_DROPOUT));
    DD_TRY(check_range("--lr", config->lr, 0, 1e38));
    DD_TRY(check_range("--momentum", config->momentum, 0, 1));
    DD_TRY(check_range("--weight-decay", config->weight_decay, 0, 1e6));
    DD_TRY(check_range("--lr-warmup", (double)config->lr_warmup, 0, most));
    DD_TRY(check_range("--eval-every", config->eval_every, 0, 1e9));
    DD_TRY(check_range("--bn-recalibrate", (double)config->bn_recalibrate, 0, 1e6));
    DD_TRY(check_range("--val-split", (double)config->val_split, 0, 1e9));
    DD_TRY(check_range("--log-every", (double)config->log_every, 1, most));
    DD_TRY(check_range("--save-every", (double)config->save_every, 0, most));
    DD_TRY(check_range("--save-minutes", config->save_minutes, 0, 1e9));
    DD_TRY(check_range("--threads", (double)config->threads, 0, 4096));
    return check_range("--no-cache", (double)config->no_cache, 0, 1);
}

static dd_status check_names(const struct dd_run_config *config) {
    if (strcmp(config->recipe, "cifar") != 0)
        return dd_fail(DD_ERROR_USAGE, "unknown recipe \"%s\"; known: cifar", config->recipe);
    if (strcmp(config->augment, "standard") != 0 && strcmp(config->augment, "none") != 0)
        return dd_fail(DD_ERROR_USAGE, "--augment \"%s\" is neither standard nor none", config->augment);
    int vector;
    DD_TRY(dd_plan_check_algorithm(config->algorithm));
    return dd_plan_parse_vector(config->vector, &vector);
}

dd_status dd_config_check(const struct dd_run_config *config) {
    DD_TRY(check_ranges(config));
    return check_names(config);
}

static dd_status copy_texts(const struct dd_train_options *options, struct dd_run_config *config) {
#define COPY(field, option, value) DD_TRY(copy_text(config->field, sizeof config->field, option, value))
    COPY(data, "--data", options->data);
    COPY(image_size, "--image-size", options->image_size);
    COPY(net, "--net", options->net);
    COPY(shortcut, "--shortcut", options->shortcut != NULL ? options->shortcut : "identity");
    COPY(gate, "--gate", options->gate != NULL ? options->gate : "none");
    COPY(gate_first, "--gate-first", options->gate_first != NULL ? options->gate_first : "none");
    COPY(init, "--init", options->init);
    COPY(recipe, "--recipe", options->recipe != NULL ? options->recipe : "cifar");
    COPY(augment, "--augment", options->augment != NULL ? options->augment : "standard");
    COPY(lr_drops, "--lr-drops", options->lr_drops);
    COPY(algorithm, "--algorithm", options->algorithm != NULL ? options->algorithm : "auto");
    COPY(vector, "--vector", options->vector != NULL ? options->vector : "auto");
#undef COPY
    return DD_OK;
}

dd_status dd_config_from_options(const struct dd_train_options *options, struct dd_run_config *config) {
    *config = (struct dd_run_config){.gate_warmup = options->gate_warmup,
                                     .dropout = stored(options->dropout),
                                     .unit_dropout = stored(options->unit_dropout),
                                     .batch = options->batch,
                                     .iterations = options->iterations,
                                     .epochs = options->epochs,
                                     .lr = stored(options->lr),
                                     .momentum = stored(options->momentum),
                                     .weight_decay = stored(options->weight_decay),
                                     .lr_warmup = options->lr_warmup,
                                     .seed = (int64_t)options->seed,
                                     .eval_every = options->eval_every < 0 ? 1 : stored(options->eval_every),
                                     .bn_recalibrate = options->bn_recalibrate,
                                     .val_split = options->val_split,
                                     .log_every = options->log_every < 0 ? 20 : options->log_every,
                                     .save_every = options->save_every < 0 ? 0 : options->save_every,
                                     .save_minutes = options->save_minutes < 0 ? 10 : stored(options->save_minutes),
                                     .threads = options->threads,
                                     .no_cache = options->no_cache};
    if (options->data == NULL || options->net == NULL)
        return dd_fail(DD_ERROR_USAGE, "%s is missing", options->data == NULL ? "--data" : "--net");
    if (options->iterations >= 0 && options->epochs >= 0)
        return dd_fail(DD_ERROR_USAGE, "--iterations and --epochs exclude each other");
    DD_TRY(copy_texts(options, config));
    DD_TRY(dd_config_check(config));
    struct dd_schedule schedule;
    return dd_schedule_parse_drops(config->lr_drops[0] != '\0' ? config->lr_drops : NULL, 0, &schedule);
}

int dd_config_vector(const struct dd_run_config *config) {
    return strcmp(config->vector, "auto") == 0 ? 0 : atoi(config->vector);
}

/* ---- writing ---- */

static json_t *field_value(const struct field *field, const struct dd_run_config *config) {
    const char *place = (const char *)config + field->offset;
    switch (field->type) {
    case FIELD_TEXT:
        return json_string(place);
    case FIELD_INTEGER:
        return json_integer(*(const int64_t *)(const void *)place);
    case FIELD_REAL:
        return json_real(*(const double *)(const void *)place);
    }
    return NULL;
}

/** By the names of the convolutions; NULL: out of memory. */
static json_t *algorithms_json(const struct dd_net *net, const struct dd_plan_choice *choice) {
    json_t *all = json_object();
    int failed = 0;
    for (int i = 0; i < choice->convs; i++) {
        json_t *one = json_object();
        for (int d = 0; d < DD_CONV_DIRECTIONS; d++)
            if (choice->algorithm[i][d] != NULL)
                failed |= json_object_set_new(one, direction_names[d], json_string(choice->algorithm[i][d]->name));
        failed |= json_object_set_new(all, net->params[net->bns[i].conv_weight].name, one);
    }
    if (failed == 0)
        return all;
    json_decref(all);
    return NULL;
}

/** NULL: out of memory. */
static json_t *config_json(const struct dd_run_config *config, const struct dd_net *net,
                           const struct dd_plan_choice *choice) {
    json_t *root = json_pack("{s:i, s:s}", "format_version", CONFIG_FORMAT, "version", dd_version());
    int failed = 0;
    for (int i = 0; i < FIELD_COUNT; i++)
        failed |= json_object_set_new(root, fields[i].key, field_value(&fields[i], config));
    failed |= json_object_set_new(root, "algorithms", algorithms_json(net, choice));
    if (failed == 0)
        return root;
    json_decref(root);
    return NULL;
}

dd_status dd_config_save(const struct dd_run_config *config, const struct dd_net *net,
                         const struct dd_plan_choice *choice, const char *dir) {
    char *path = dd_path_join(dir, "config.json");
    const dd_status status =
        dd_json_save_file(config_json(config, net, choice), path, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    free(path);
    return status;
}

/* ---- reading ---- */

struct dd_config_algorithms {
    json_t *root;
};

static dd_status read_field(const struct field *field, const json_t *root, const char *path,
                            struct dd_run_config *config) {
    char *place = (char *)config + field->offset;
    const json_t *value = json_object_get(root, field->key);
    if (value == NULL && field->optional)
        return DD_OK;
    if (field->type == FIELD_TEXT && json_is_string(value) && json_string_length(value) < field->size)
        strcpy(place, json_string_value(value));
    else if (field->type == FIELD_INTEGER && json_is_integer(value))
        *(int64_t *)(void *)place = json_integer_value(value);
    else if (field->type == FIELD_REAL && json_is_number(value))
        *(double *)(void *)place = json_number_value(value);
    else
        return dd_fail(DD_ERROR_DATA, "%s: \"%s\" is missing or of the wrong type; the run cannot be resumed", path,
                       field->key);
    return DD_OK;
}

static dd_status read_root(const char *path, json_t **root) {
    DD_TRY(dd_json_load_file(path, 64 << 20, JSON_REJECT_DUPLICATES, NULL, root));
    const json_t *format = json_object_get(*root, "format_version");
    if (!json_is_integer(format) || json_integer_value(format) != CONFIG_FORMAT)
        return dd_fail(DD_ERROR_DATA, "%s is of format version %lld, this program reads %d", path,
                       json_is_integer(format) ? (long long)json_integer_value(format) : -1, CONFIG_FORMAT);
    return DD_OK;
}

/** What was open before a run began and is settled in its file. */
static dd_status check_settled(const struct dd_run_config *config) {
    struct dd_schedule schedule;
    const int64_t v = config->chosen_vector;
    if (v != 1 && v != 4 && v != 8 && v != 16)
        return dd_fail(DD_ERROR_USAGE, "\"chosen_vector\" %lld is none of 1, 4, 8 and 16", (long long)v);
    DD_TRY(check_range("iterations", (double)config->iterations, 0, 4294967295.0));
    DD_TRY(check_range("iterations_per_epoch", (double)config->iterations_per_epoch, 1, 4294967295.0));
    return dd_schedule_parse_drops(config->lr_drops, config->iterations, &schedule);
}

/** Somebody may have edited the file. */
static dd_status check_loaded(const char *path, const struct dd_run_config *config) {
    dd_status status = dd_config_check(config);
    if (status == DD_OK)
        status = check_settled(config);
    return status == DD_ERROR_USAGE ? dd_fail_prefix(DD_ERROR_DATA, "%s: the run cannot be resumed", path) : status;
}

dd_status dd_config_load(const char *dir, struct dd_run_config *config, struct dd_config_algorithms **algorithms) {
    dd_status status;
    json_t *root = NULL;
    *config = (struct dd_run_config){0};
    *algorithms = NULL;
    char *path = dd_path_join(dir, "config.json");
    if (path == NULL)
        return dd_fail_memory("path", strlen(dir));
    if (!dd_file_exists(path)) {
        status = dd_fail(DD_ERROR_DATA, "%s is no run folder: there is no config.json in it", dir);
        goto done;
    }
    DD_GOTO(status, done, read_root(path, &root));
    for (int i = 0; i < FIELD_COUNT; i++)
        DD_GOTO(status, done, read_field(&fields[i], root, path, config));
    DD_GOTO(status, done, check_loaded(path, config));
    *algorithms = dd_calloc(1, sizeof **algorithms);
    if (*algorithms == NULL) {
        status = dd_fail_memory("configuration", sizeof **algorithms);
        goto done;
    }
    (*algorithms)->root = root;
    root = NULL;
done:
    json_decref(root);
    free(path);
    return status;
}

void dd_config_free(struct dd_config_algorithms **algorithms) {
    if (*algorithms == NULL)
        return;
    json_decref((*algorithms)->root);
    free(*algorithms);
    *algorithms = NULL;
}

dd_status dd_config_choice(const struct dd_run_config *config, const struct dd_config_algorithms *algorithms,
                           const struct dd_net *net, struct dd_plan_choice *choice) {
    *choice = (struct dd_plan_choice){.vector = (int)config->chosen_vector, .convs = net->bn_count};
    choice->algorithm = dd_calloc((size_t)net->bn_count, sizeof *choice->algorithm);
    if (choice->algorithm == NULL)
        return dd_fail_memory("algorithm choice", (size_t)net->bn_count * sizeof *choice->algorithm);
    const json_t *all = json_object_get(algorithms->root, "algorithms");
    for (int i = 0; i < net->bn_count; i++) {
        const char *name = net->params[net->bns[i].conv_weight].name;
        const json_t *one = json_object_get(all, name);
        for (int d = 0; d < DD_CONV_DIRECTIONS; d++) {
            const char *chosen = json_string_value(json_object_get(one, direction_names[d]));
            choice->algorithm[i][d] = chosen != NULL ? dd_conv_algorithm_find(chosen) : NULL;
            if (choice->algorithm[i][d] == NULL && !(i == 0 && d == DD_CONV_BACKWARD_DATA)) {
                free(choice->algorithm);
                choice->algorithm = NULL;
                return dd_fail(DD_ERROR_DATA,
                               "config.json names no known algorithm for %s %s; the run cannot be resumed", name,
                               direction_names[d]);
            }
        }
    }
    return DD_OK;
}
