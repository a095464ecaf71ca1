/* depthdrop eval: the error of a model file on test images. */
#include <stdio.h>
#include <string.h>

#include "cli.h"
#include "progress.h"

struct eval_options {
    struct dd_model_options model;
    struct dd_dataset_options data;
    bool json, quiet;
};
#define MODEL(field) offsetof(struct eval_options, model.field)
#define DATA(field) offsetof(struct eval_options, data.field)

static const struct args_option options_table[] = {
    {ARGS_TEXT, "model", "FILE", "model file (safetensors) of a run", NULL, MODEL(model), 0, 0},
    {ARGS_TEXT, "data", "SPEC", "data set whose test images are taken, see train --help", NULL, DATA(spec), 0, 0},
    {ARGS_INT, "batch", "N", "images at once", "128", MODEL(batch), 1, 65536},
    {ARGS_FLAG, "json", NULL, "print one JSON document", NULL, offsetof(struct eval_options, json), 0, 0},
    {ARGS_FLAG, "quiet", NULL, "no progress; warnings and errors alone", NULL, offsetof(struct eval_options, quiet), 0,
     0},
    CLI_DEVICE(MODEL(device)),
    CLI_ALGORITHM(MODEL(algorithm)),
    CLI_VECTOR(MODEL(vector)),
    CLI_THREADS("threads that decode images and, where the driver lets us, of a CPU device; 0: all", MODEL(threads)),
    CLI_CACHE_DIR("folder of self-test verdicts, kernel binaries and decoded folders", MODEL(cache_dir)),
    {ARGS_FLAG, "no-cache", NULL, "neither read nor write decoded folders in the cache", NULL, DATA(no_cache), 0, 0},
    {.kind = ARGS_END},
};

static json_t *classes_json(const struct dd_eval_result *result) {
    json_t *classes = json_array();
    for (int i = 0; i < result->classes; i++) {
        const struct dd_class_result *c = &result->per_class[i];
        json_t *row = json_pack("{s:o, s:I, s:o}", "class", cli_json_text(c->name), "images", (json_int_t)c->images,
                                "error", c->images > 0 ? cli_json_real(c->error) : json_null());
        if (json_array_append_new(classes, row) != 0) {
            json_decref(classes);
            return NULL;
        }
    }
    return classes;
}

static int print_json(const struct eval_options *options, const struct dd_eval_result *result) {
    return cli_json_print(json_pack("{s:o, s:o, s:s, s:I, s:o, s:o, s:o, s:o}", "model",
                                    cli_json_text(options->model.model), "data", cli_json_text(options->data.spec),
                                    "split", result->split, "images", (json_int_t)result->images, "error",
                                    cli_json_real(result->error), "error_top5", cli_json_real(result->error_top5),
                                    "loss", cli_json_real(result->loss), "classes", classes_json(result)),
                          false);
}

static int print_table(const struct eval_options *options, const struct dd_eval_result *result) {
    int width = 5;
    for (int i = 0; i < result->classes; i++)
        if ((int)strlen(result->per_class[i].name) > width)
            width = (int)strlen(result->per_class[i].name);
    printf("%s on %s, %lld %s images\n\n", options->model.model, options->data.spec, (long long)result->images,
           result->split);
    printf("%-*s  %8s  %8s\n", width, "class", "images", "error");
    for (int i = 0; i < result->classes; i++) {
        const struct dd_class_result *c = &result->per_class[i];
        if (c->images > 0)
            printf("%-*s  %8lld  %6.2f %%\n", width, c->name, (long long)c->images, 100 * c->error);
        else
            printf("%-*s  %8d  %8s\n", width, c->name, 0, "-");
    }
    printf("\nerror  %6.2f %%\n", 100 * result->error);
    if (result->classes > 5)
        printf("top 5  %6.2f %%\n", 100 * result->error_top5);
    printf("loss   %6.4f\n", result->loss);
    return 0;
}

static int run_eval(const struct args_command *command, int argc, char **argv) {
    struct eval_options options = {.data = {.need_test = true}};
    struct args_result args;
    struct dd_eval_result result = {0};
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    if (!options.model.model)
        return args_usage(command, "--model FILE is missing");
    if (!options.data.spec)
        return args_usage(command, "--data SPEC is missing");
    options.data.threads = options.model.threads;
    options.data.cache_dir = options.model.cache_dir;

    cli_log_to_stderr(options.quiet);
    volatile int *stop = cli_catch_signals();
    progress_start("batch", options.quiet);
    dd_status status = dd_eval(&options.model, &options.data, stop, progress_update, NULL, &result);
    progress_stop();
    if (status != DD_OK)
        return cli_failure(command, status);
    int code = options.json ? print_json(&options, &result) : print_table(&options, &result);
    dd_eval_result_free(&result);
    return code;
}

const struct args_command cli_eval = {
    .name = "eval",
    .summary = "evaluates a model file on test images",
    .description = "Prints error, top-5 error, loss and the error of every class, by the images in the data's test "
                   "(or val) part.",
    .usage = (const char *const[]){"eval --model FILE --data SPEC [options]", NULL},
    .examples = (const char *const[]){"eval --model runs/first/best.safetensors --data shapes",
                                      "eval --model best.safetensors --data cifar10:data/cifar-10-batches-bin --json",
                                      "# a folder that has only test/<class>/ (or val/)",
                                      "eval --model best.safetensors --data folder:photos", NULL},
    .options = options_table,
    .run = run_eval,
};
