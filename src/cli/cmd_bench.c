/* depthdrop bench: the benchmarks of bench/, which meson runs too. */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "cli.h"

#define FIELD(field) offsetof(struct dd_bench_options, field)

static const struct args_option options_table[] = {
    {ARGS_TEXT, "net", "NAME", "network, see train --help", "resnet56", FIELD(net), 0, 0},
    {ARGS_TEXT, "shortcut", "KIND", "identity, projection or conv", "identity; gates: conv", FIELD(shortcut), 0, 0},
    {ARGS_TEXT, "gate", "POLICY", "step: gate policy, see train --help", "none", FIELD(gate), 0, 0},
    {ARGS_CHOICE, "gate-first", "none|stage1|all", "step, gates: gate the first units of stages too", "none",
     FIELD(gate_first), 0, 0},
    {ARGS_TEXT, "ratios", "P,P,...", "gates: ratios of uniform gates; the baseline is always timed", "0,0.25,0.5,0.75",
     FIELD(ratios), 0, 0},
    {ARGS_TEXT, "exact", "K,K,...", "gates: also with exactly K gated units off", NULL, FIELD(exact), 0, 0},
    {ARGS_DOUBLE, "dropout", "P", "step, gates: width dropout before the last layer, in gates of the row that has it",
     "0; gates: 0.5", FIELD(dropout), 0, DD_MAX_DROPOUT},
    {ARGS_DOUBLE, "unit-dropout", "P", "step, gates: the same behind each unit's first ReLU", "0; gates: 0.5",
     FIELD(unit_dropout), 0, DD_MAX_DROPOUT},
    {ARGS_FLAG, "all", NULL, "conv: every algorithm that supports a convolution, not only the chosen one", NULL,
     FIELD(all), 0, 0},
    {ARGS_FLAG, "plain", NULL,
     "conv: nothing fused with the convolutions, as libraries' benchmarks have them: no batch norm, ReLU, sum or mask",
     NULL, FIELD(plain), 0, 0},
    {ARGS_FLAG, "profile", NULL, "step: also the time of every kernel, by events, in further iterations of its own",
     NULL, FIELD(profile), 0, 0},
    {ARGS_INT, "batch", "N", "images in a mini-batch", "128", FIELD(batch), 1, 65536},
    {ARGS_INT64, "iterations", "N", "timed iterations", "20; gates: 500", FIELD(iterations), 1, 1e9},
    {ARGS_INT, "warmup", "N", "iterations before them that are not counted", "3", FIELD(warmup), 0, 1e6},
    {ARGS_INT, "image-size", "S", "rows and columns of the random images", "32", FIELD(image_size), 8, 4096},
    {ARGS_UINT64, "seed", "N", "of images, weights and gates", "1", FIELD(seed), 0, 0},
    {ARGS_FLAG, "json", NULL, "print one JSON document", NULL, FIELD(json), 0, 0},
    CLI_DEVICE(FIELD(device)),
    CLI_ALGORITHM(FIELD(algorithm)),
    CLI_VECTOR(FIELD(vector)),
    CLI_THREADS("where the driver lets us: threads of a CPU device; 0: all", FIELD(threads)),
    CLI_CACHE_DIR("folder of self-test verdicts and kernel binaries", FIELD(cache_dir)),
    {.kind = ARGS_END},
};

static const struct benchmark {
    const char *name;
    dd_status (*run)(const struct dd_bench_options *options, FILE *out);
    const char *not_taken[8]; /* options without a meaning for it */
} benchmarks[] = {
    {"step", dd_bench_step, {"ratios", "exact", "all", "plain"}},
    {"conv", dd_bench_conv, {"ratios", "exact", "gate", "gate-first", "profile", "dropout", "unit-dropout"}},
    {"gates", dd_bench_gates, {"gate", "all", "plain", "profile"}},
};
enum { BENCHMARKS = sizeof benchmarks / sizeof *benchmarks };

static void print_notes(FILE *out) {
    fputs("\nBenchmarks:\n", out);
    args_print_term(out, "step", 9,
                    "training steps on random images: forward, backward and update, timed by finishing the queue at "
                    "their borders, and whole steps in one go, in turns");
    args_print_term(out, "conv", 9,
                    "each distinct convolution of the network by itself, fused as the network uses it or --plain: "
                    "time, rate, fraction of the device's FMA peak, error against the double-precision reference with "
                    "its bound");
    args_print_term(out, "gates", 9,
                    "what depth dropout saves, by the paper's timing protocol: all ratios in turns, against a baseline "
                    "with identity shortcuts and every unit on. A primary path's time P is the difference between all "
                    "gates on and all gated units off, by the number of gated units; a shortcut's time T is the "
                    "difference between all gates on and the baseline, by the number of units. With K of U units off "
                    "an iteration saves K P - U T, so the ratio T / P decides the saving. A shortcut whose unit is off "
                    "costs less, since nothing is joined: measured against identity shortcuts with the same gates off. "
                    "The last row is the baseline with width dropout, which saves no time");
}

static int unknown_benchmark(const struct args_command *command, const char *name) {
    const char *names[BENCHMARKS];
    for (int i = 0; i < BENCHMARKS; i++)
        names[i] = benchmarks[i].name;
    const char *nearest = args_nearest(name, names, BENCHMARKS);
    if (nearest)
        return args_usage(command, "unknown benchmark '%s' (did you mean %s?): there are step, conv and gates", name,
                          nearest);
    return args_usage(command, "unknown benchmark '%s': there are step, conv and gates", name);
}

static const struct benchmark *find_benchmark(const char *name) {
    for (int i = 0; i < BENCHMARKS; i++)
        if (strcmp(benchmarks[i].name, name) == 0)
            return &benchmarks[i];
    return NULL;
}

static int run_bench(const struct args_command *command, int argc, char **argv) {
    struct dd_bench_options options;
    struct args_result args;
    dd_bench_options_default(&options);
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    if (args.count == 0)
        return args_usage(command, "the benchmark's name is missing: step, conv or gates");
    const struct benchmark *benchmark = find_benchmark(args.positional[0]);
    if (!benchmark)
        return unknown_benchmark(command, args.positional[0]);
    if (args.count > 1)
        return args_usage(command, "unexpected argument '%s'", args.positional[1]);
    for (size_t i = 0; i < sizeof benchmark->not_taken / sizeof *benchmark->not_taken && benchmark->not_taken[i]; i++)
        if (args_given(command, &args, benchmark->not_taken[i]))
            return args_usage(command, "bench %s takes no --%s", benchmark->name, benchmark->not_taken[i]);
    cli_log_to_stderr(false);
    dd_status status = benchmark->run(&options, stdout);
    return status == DD_OK ? 0 : cli_failure(command, status);
}

const struct args_command cli_bench = {
    .name = "bench",
    .summary = "times training steps, convolutions and gates",
    .description = "No data is read. Every benchmark measures the device's FMA peak and memory bandwidth in the same "
                   "run and shows its figures as fractions of them.",
    .usage = (const char *const[]){"bench step|conv|gates [options]", NULL},
    .examples = (const char *const[]){"bench step --net resnet20 --iterations 10", "bench conv --net resnet56 --all",
                                      "# the paper's Table II, and exactly 6, 12 and 18 units off",
                                      "bench gates --exact 6,12,18 --iterations 100", NULL},
    .options = options_table,
    .positional = true,
    .extra_help = print_notes,
    .run = run_bench,
};
