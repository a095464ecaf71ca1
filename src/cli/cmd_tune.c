/* depthdrop tune: the fastest right algorithm of each convolution on a device, kept for later runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct tune_options {
    struct dd_tune_options tune;
    const char *image_size, *vector;
    bool json;
};
#define FIELD(field) offsetof(struct tune_options, field)

static const struct args_option options_table[] = {
    {ARGS_TEXT, "net", "NAME", "network whose convolutions are tuned, see train --help", NULL, FIELD(tune.net.name), 0,
     0},
    {ARGS_TEXT, "shortcut", "KIND", "identity, projection or conv", "identity", FIELD(tune.net.shortcut), 0, 0},
    {ARGS_TEXT, "image-size", "S|HxW", "rows and columns of an image", "32", FIELD(image_size), 0, 0},
    {ARGS_INT, "channels", "C", "channels of an image", "3", FIELD(tune.net.channels), 1, 3},
    {ARGS_FLAG, "all", NULL, "every shape of both families of networks, at 32x32, 28x28 and 224x224", NULL,
     FIELD(tune.all), 0, 0},
    {ARGS_INT, "batch", "N", "images at once; fewer where tensors would exceed 32 MiB", "128", FIELD(tune.batch), 1,
     65536},
    {ARGS_FLAG, "json", NULL, "print one JSON document", NULL, FIELD(json), 0, 0},
    CLI_DEVICE(FIELD(tune.device)),
    CLI_VECTOR(FIELD(vector)),
    CLI_THREADS("where the driver lets us: threads of a CPU device; 0: all", FIELD(tune.threads)),
    CLI_CACHE_DIR("folder where the winners are kept", FIELD(tune.cache_dir)),
    {.kind = ARGS_END},
};

/* What has been reported so far. */
struct tune_state {
    json_t *results; /* NULL: a table is printed instead */
    char device[128];
    bool kept, no_memory;
    int lines;
};

static json_t *time_json(const struct dd_tune_time *time) {
    return json_pack("{s:s, s:o, s:b, s:o}", "candidate", time->candidate, "ms", cli_json_real(time->ms), "given_up",
                     time->given_up, "failure", cli_json_text_or_null(time->failure));
}

static json_t *result_json(const struct dd_tune_result *r) {
    json_t *times = json_array();
    for (int i = 0; i < r->count; i++)
        if (json_array_append_new(times, time_json(&r->times[i])) != 0) {
            json_decref(times);
            return NULL;
        }
    return json_pack("{s:s, s:s, s:i, s:i, s:o, s:o}", "shape", r->shape, "pass", r->pass, "vector", r->vector,
                     "images", r->images, "candidates", times, "winner",
                     cli_json_text_or_null(r->winner >= 0 ? r->times[r->winner].candidate : ""));
}

static void print_row(const struct dd_tune_result *r) {
    printf("%-22s %-17s %2d %4d  %-16s", r->shape, r->pass, r->vector, r->images,
           r->winner >= 0 ? r->times[r->winner].candidate : "none");
    for (int i = 0; i < r->count; i++) {
        printf("%s%s ", i > 0 ? ", " : " ", r->times[i].candidate);
        if (isfinite(r->times[i].ms))
            printf("%.3f", r->times[i].ms);
        else
            printf("%s", r->times[i].failure[0] != '\0' ? "wrong" : "-");
    }
    putchar('\n');
    fflush(stdout);
}

static void on_result(void *user, const struct dd_tune_result *r) {
    struct tune_state *state = user;
    state->kept = r->kept;
    if (state->results) {
        snprintf(state->device, sizeof state->device, "%s", r->device->name);
        if (json_array_append_new(state->results, result_json(r)) != 0)
            state->no_memory = true;
        return;
    }
    if (state->lines++ == 0)
        printf("%s (%s, driver %s)\n%-22s %-17s %2s %4s  %-16s %s\n", r->device->name, r->device->platform_name,
               r->device->driver, "convolution", "pass", "V", "N", "winner", "candidates, best time in ms");
    print_row(r);
}

static int finish(const struct args_command *command, dd_status status, struct tune_state *state) {
    if (status != DD_OK)
        cli_failure(command, status);
    if (!state->results) {
        if (status == DD_OK && state->lines == 0)
            puts("nothing to tune: one algorithm alone can run these convolutions on this device");
        return (int)status;
    }
    if (status != DD_OK && json_array_size(state->results) == 0) {
        json_decref(state->results);
        return (int)status;
    }
    json_t *root = state->no_memory ? NULL
                                    : json_pack("{s:o, s:b, s:o}", "device", cli_json_text_or_null(state->device),
                                                "kept", state->kept, "results", state->results);
    const int printed = cli_json_print(root, false);
    return status != DD_OK ? (int)status : printed;
}

static int run_tune(const struct args_command *command, int argc, char **argv) {
    static const char *const of_net[] = {"shortcut", "image-size", "channels"};
    struct tune_options options = {0};
    struct tune_state state = {0};
    struct args_result args;
    dd_tune_options_default(&options.tune);
    options.tune.net.name = NULL;
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    if (options.tune.all == (options.tune.net.name != NULL))
        return args_usage(command, "give one of --net NAME and --all");
    for (size_t i = 0; options.tune.all && i < sizeof of_net / sizeof of_net[0]; i++)
        if (args_given(command, &args, of_net[i]))
            return args_usage(command, "--%s goes with --net", of_net[i]);
    if (options.image_size && !args_image_size(options.image_size, &options.tune.net.height, &options.tune.net.width))
        return args_usage(command, "--image-size must be S or HxW in pixels, not '%s'", options.image_size);
    if (options.vector && strcmp(options.vector, "auto") != 0)
        options.tune.vector = atoi(options.vector);
    cli_log_to_stderr(false);
    if (options.json)
        state.results = json_array();
    volatile int *stop = cli_catch_signals();
    return finish(command, dd_tune(&options.tune, stop, on_result, &state), &state);
}

const struct args_command cli_tune = {
    .name = "tune",
    .summary = "finds the fastest algorithm of each convolution on a device",
    .description =
        "Checks every candidate against its double-precision reference, times those that are right in turns, and "
        "keeps the winners in the cache folder, where later runs find them. A run's first start does the same in "
        "short; this is for the whole search, ahead of time.",
    .usage = (const char *const[]){"tune --net NAME [options]", "tune --all [options]", NULL},
    .examples = (const char *const[]){"tune --net resnet56",
                                      "tune --net resnet18 --shortcut projection --image-size 224 --batch 32 --json",
                                      "# both families, some minutes", "tune --all", NULL},
    .options = options_table,
    .run = run_tune,
};
