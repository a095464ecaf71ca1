/* depthdrop selftest: every kernel against its double-precision reference on the user's own devices. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct selftest_options {
    const char *device, *vector, *algorithm, *cache_dir;
    bool quick, json;
    int threads;
    uint64_t seed;
};
#define FIELD(field) offsetof(struct selftest_options, field)

static const struct args_option options_table[] = {
    {ARGS_TEXT, "device", "SEL|all", "number, cpu, gpu, platform:device or part of a name; all: one after the other",
     "DEPTHDROP_DEVICE, else see devices", FIELD(device), 0, 0},
    {ARGS_CHOICE, "vector", "auto|1|4|8|16", "channels in a block of the layout; auto: all of them", "auto",
     FIELD(vector), 0, 0},
    {ARGS_CHOICE, "algorithm", "auto|gemm|direct|winograd", "convolution algorithm; auto: all of them", "auto",
     FIELD(algorithm), 0, 0},
    {ARGS_FLAG, "quick", NULL, "the short form that runs before a device's first use", NULL, FIELD(quick), 0, 0},
    {ARGS_UINT64, "seed", "N", "of the inputs and of the sampled shapes", "1", FIELD(seed), 0, 0},
    {ARGS_FLAG, "json", NULL, "print one JSON document", NULL, FIELD(json), 0, 0},
    CLI_THREADS("where the driver lets us: threads of a CPU device; 0: all", FIELD(threads)),
    CLI_CACHE_DIR("folder of verdicts and kernel binaries", FIELD(cache_dir)),
    {.kind = ARGS_END},
};

/* One device's test while it runs. */
struct selftest_state {
    json_t *results; /* NULL: a table is printed instead */
    bool no_memory;
    int lines, failed;
};

static void on_result(void *user, const struct dd_selftest_result *r) {
    struct selftest_state *state = user;
    state->lines++;
    state->failed += !r->passed;
    if (state->results) {
        json_t *row = json_pack("{s:o, s:i, s:i, s:o, s:b, s:o}", "kernel", cli_json_text(r->kernel), "vector",
                                r->vector, "cases", r->cases, "worst_error", cli_json_real(r->worst_error), "passed",
                                r->passed, "failure", cli_json_text_or_null(r->failure));
        if (json_array_append_new(state->results, row) != 0)
            state->no_memory = true;
        return;
    }
    printf("%-40s %3d %6d %12.3g  %s\n", r->kernel, r->vector, r->cases, r->worst_error, r->passed ? "ok" : "FAILED");
    if (!r->passed)
        printf("    %s\n", r->failure);
    fflush(stdout);
}

/* Tests the device that selector names; adds its object to devices if that is not NULL. */
static int test_device(const struct args_command *command, const struct selftest_options *options, const char *selector,
                       json_t *devices) {
    struct dd_device_options device_options;
    struct dd_selftest_options test = {.quick = options->quick, .seed = options->seed, .algorithm = options->algorithm};
    struct selftest_state state = {0};
    dd_device *device = NULL;
    dd_device_options_default(&device_options);
    device_options.selector = selector;
    device_options.cache_dir = options->cache_dir;
    device_options.threads = options->threads;
    if (options->vector && strcmp(options->vector, "auto") != 0)
        test.vector = atoi(options->vector);

    dd_status status = dd_device_open(&device_options, &device);
    if (status != DD_OK)
        return cli_failure(command, status);
    const struct dd_device_info *info = dd_device_get_info(device);
    if (devices)
        state.results = json_array();
    else
        printf("%s (%s, driver %s)\n%-40s %3s %6s %12s  %s\n", info->name, info->platform_name, info->driver, "kernel",
               "V", "cases", "error/limit", "result");
    status = dd_selftest_run(device, &test, on_result, &state);
    int code = status;
    if (devices) {
        json_t *entry = json_pack("{s:i, s:o, s:o, s:b, s:o}", "index", info->index, "device",
                                  cli_json_text(info->name), "driver", cli_json_text(info->driver), "passed",
                                  status == DD_OK, "results", state.results);
        if (state.no_memory || json_array_append_new(devices, entry) != 0)
            code = DD_ERROR_MEMORY;
    } else {
        printf("%d of %d passed\n\n", state.lines - state.failed, state.lines);
    }
    if (status != DD_OK)
        cli_failure(command, status);
    dd_device_close(&device);
    return code;
}

/* Every usable device in turn; the exit code of the first that failed, 4 if none is usable. */
static int test_all(const struct args_command *command, const struct selftest_options *options, json_t *devices) {
    struct dd_device_info *list = NULL;
    int count = 0, tested = 0, code = 0;
    dd_status status = dd_device_list(&list, &count);
    if (status != DD_OK)
        return cli_failure(command, status);
    for (int i = 0; i < count; i++) {
        char selector[32];
        if (!list[i].usable) {
            cli_say("%s is left out: %s", list[i].name, list[i].unusable_reason);
            continue;
        }
        snprintf(selector, sizeof selector, "%d:%d", list[i].platform, list[i].device);
        int failed = test_device(command, options, selector, devices);
        code = code == 0 ? failed : code;
        tested++;
    }
    dd_device_list_free(&list);
    if (tested == 0) {
        cli_say("none of the devices is usable; depthdrop devices tells why");
        return DD_ERROR_DEVICE;
    }
    return code;
}

static int run_selftest(const struct args_command *command, int argc, char **argv) {
    struct selftest_options options = {.seed = 1};
    struct args_result args;
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    cli_log_to_stderr(false);
    json_t *devices = options.json ? json_array() : NULL;
    int code = 0;
    if (options.device && strcmp(options.device, "all") == 0)
        code = test_all(command, &options, devices);
    else
        code = test_device(command, &options, options.device, devices);
    if (options.json && json_array_size(devices) > 0) {
        int printed = cli_json_print(json_pack("{s:b, s:o}", "passed", code == 0, "devices", devices), false);
        return code != 0 ? code : printed;
    }
    json_decref(devices);
    return code;
}

const struct args_command cli_selftest = {
    .name = "selftest",
    .summary = "compares every kernel with its reference on a device",
    .description = "The references are plain double-precision loops. Prints a table and remembers the verdict; the "
                   "exit code is 6 if a kernel computes wrong results.",
    .usage = (const char *const[]){"selftest [options]", NULL},
    .examples = (const char *const[]){"selftest", "selftest --device all",
                                      "# one algorithm, one layout, as JSON",
                                      "selftest --algorithm gemm --vector 1 --json", NULL},
    .options = options_table,
    .run = run_selftest,
};
