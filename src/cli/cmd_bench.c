/* depthdrop bench: the benchmarks of bench/, which meson runs too. */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "cli.h"

#define FIELD(field) offsetof(struct dd_bench_step_options, field)

static const struct args_option options_table[] = {
    {ARGS_TEXT, "net", "NAME", "network, see train --help", "resnet56", FIELD(net), 0, 0},
    {ARGS_TEXT, "shortcut", "KIND", "identity, projection or conv", "identity", FIELD(shortcut), 0, 0},
    {ARGS_TEXT, "gate", "POLICY", "gate policy, see train --help", "none", FIELD(gate), 0, 0},
    {ARGS_CHOICE, "gate-first", "none|stage1|all", "gate the first units of stages too", "none", FIELD(gate_first), 0,
     0},
    {ARGS_INT, "batch", "N", "images in a mini-batch", "128", FIELD(batch), 1, 65536},
    {ARGS_INT64, "iterations", "N", "timed iterations", "20", FIELD(iterations), 1, 1e9},
    {ARGS_INT, "warmup", "N", "iterations before them that are not counted", "3", FIELD(warmup), 0, 1e6},
    {ARGS_INT, "image-size", "S", "rows and columns of the random images", "32", FIELD(image_size), 8, 4096},
    {ARGS_UINT64, "seed", "N", "of images, weights and gates", "1", FIELD(seed), 0, 0},
    {ARGS_FLAG, "json", NULL, "print one JSON document", NULL, FIELD(json), 0, 0},
    {ARGS_TEXT, "device", "SEL", "number, cpu, gpu, platform:device or part of a name",
     "DEPTHDROP_DEVICE, else see devices", FIELD(device), 0, 0},
    {ARGS_CHOICE, "algorithm", "auto|gemm|direct|winograd", "convolution algorithm", "auto", FIELD(algorithm), 0, 0},
    {ARGS_CHOICE, "vector", "auto|1|4|8|16", "channels in a block of the device's layout", "auto", FIELD(vector), 0, 0},
    {ARGS_INT, "threads", "N", "where the driver lets us: threads of a CPU device; 0: all", "0", FIELD(threads), 0,
     4096},
    {ARGS_TEXT, "cache-dir", "DIR", "folder of self-test verdicts and kernel binaries", "$XDG_CACHE_HOME/depthdrop",
     FIELD(cache_dir), 0, 0},
    {.kind = ARGS_END},
};

static int run_bench(const struct args_command *command, int argc, char **argv) {
    static const char *const names[] = {"step"};
    struct dd_bench_step_options options;
    struct args_result args;
    dd_bench_step_options_default(&options);
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    if (args.count == 0)
        return args_usage(command, "the benchmark's name is missing: step");
    if (strcmp(args.positional[0], names[0]) != 0)
        return args_usage(command, "unknown benchmark '%s': there is step", args.positional[0]);
    if (args.count > 1)
        return args_usage(command, "unexpected argument '%s'", args.positional[1]);
    cli_log_to_stderr(false);
    dd_status status = dd_bench_step(&options, stdout);
    return status == DD_OK ? 0 : cli_failure(command, status);
}

const struct args_command cli_bench = {
    .name = "bench",
    .summary = "times training steps",
    .description = "step: the forward pass, the backward pass and the update on random images; no data is read.",
    .usage = (const char *const[]){"bench step [options]", NULL},
    .examples = (const char *const[]){"bench step --net resnet20 --iterations 10",
                                      "# what depth dropout saves",
                                      "bench step --net resnet56 --shortcut conv --gate uniform:0.5 --json", NULL},
    .options = options_table,
    .positional = true,
    .run = run_bench,
};
