/* depthdrop train: a new run or the continuation of one. What an option means is the library's: dd_train_options. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "progress.h"

struct train_options {
    struct dd_train_options run;
    bool quiet;
};
#define RUN(field) offsetof(struct train_options, run.field)

static const struct args_option options_table[] = {
    {.kind = ARGS_GROUP, .name = "Run"},
    {ARGS_TEXT, "run", "DIR", "folder of a new run; must not hold one yet", NULL, RUN(run_dir), 0, 0},
    {ARGS_TEXT, "resume", "DIR",
     "goes on with the run in DIR. Everything comes from its config.json; only --iterations, --epochs, --eval-every, "
     "--log-every, --save-every, --save-minutes, --device, --threads, --cache-dir, --no-cache and --quiet may be given",
     NULL, RUN(resume_dir), 0, 0},
    {ARGS_FLAG, "dry-run", NULL, "check everything, print parameters, FLOPs and memory, write nothing", NULL,
     RUN(dry_run), 0, 0},
    {.kind = ARGS_GROUP, .name = "Data"},
    {ARGS_TEXT, "data", "SPEC", "images to train and test on, see Data sources", NULL, RUN(data), 0, 0},
    {ARGS_TEXT, "image-size", "S|HxW", "size that images of a folder are brought to", "the first image's",
     RUN(image_size), 0, 0},
    {ARGS_CHOICE, "augment", "standard|none", "pad-and-crop and mirror training images", "standard", RUN(augment), 0,
     0},
    {ARGS_INT, "val-split", "N", "hold N training images out and choose the best state on them", "0", RUN(val_split), 0,
     1e9},
    {ARGS_FLAG, "no-cache", NULL, "neither read nor write decoded folders in the cache", NULL, RUN(no_cache), 0, 0},
    {.kind = ARGS_GROUP, .name = "Network and gates"},
    {ARGS_TEXT, "net", "NAME",
     "resnetD: 18, 34, 50, 101, 152 in ImageNet form, other D = 6n + 2 from 8 on in CIFAR form", NULL, RUN(net), 0, 0},
    {ARGS_TEXT, "shortcut", "KIND",
     "identity, projection (1x1 convolution where dimensions change) or conv (1x1 on every unit)", "identity",
     RUN(shortcut), 0, 0},
    {ARGS_TEXT, "gate", "POLICY", "which units to skip in an iteration, see Gate policies", "none", RUN(gate), 0, 0},
    {ARGS_CHOICE, "gate-first", "none|stage1|all", "gate the first units of stages too", "none", RUN(gate_first), 0, 0},
    {ARGS_INT64, "gate-warmup", "ITER",
     "raise the ratio of the gate policy linearly over the first ITER iterations: iteration 1 sees 1/ITER of it", "0",
     RUN(gate_warmup), 0, 4294967295.0},
    {ARGS_DOUBLE, "dropout", "P", "width dropout: drop each feature before the last layer with probability P", "0",
     RUN(dropout), 0, DD_MAX_DROPOUT},
    {ARGS_DOUBLE, "unit-dropout", "P", "width dropout: the same with each value behind a unit's first ReLU", "0",
     RUN(unit_dropout), 0, DD_MAX_DROPOUT},
    {ARGS_INT, "bn-recalibrate", "N",
     "before each evaluation, estimate the BN statistics anew from N training batches with all gates on", "0",
     RUN(bn_recalibrate), 0, 1e6},
    {.kind = ARGS_GROUP, .name = "Optimization"},
    {ARGS_INT, "batch", "N", "images in a mini-batch", "128", RUN(batch), 1, 65536},
    {ARGS_INT64, "iterations", "N", "length of the run; 0 writes the initial weights and stops", "the recipe's",
     RUN(iterations), 0, 4294967295.0},
    {ARGS_INT64, "epochs", "N", "the same in passes over the data", NULL, RUN(epochs), 0, 1e9},
    {ARGS_TEXT, "recipe", "NAME", "defaults of a training protocol; cifar: 64000 iterations", "cifar", RUN(recipe), 0,
     0},
    {ARGS_DOUBLE, "lr", "R", "learning rate", "0.1", RUN(lr), 0, 1e38},
    {ARGS_DOUBLE, "momentum", "M", "momentum of SGD", "0.9", RUN(momentum), 0, 1},
    {ARGS_DOUBLE, "weight-decay", "W", "L2 penalty on all trainable parameters", "0.0001", RUN(weight_decay), 0, 1e6},
    {ARGS_TEXT, "lr-drops", "I,J|none", "iterations after which the rate is divided by 10", "1/2 and 3/4 of the run",
     RUN(lr_drops), 0, 0},
    {ARGS_INT64, "lr-warmup", "N", "raise the rate from R/N to R over the first N iterations", "0", RUN(lr_warmup), 0,
     1e15},
    {ARGS_TEXT, "init", "FILE",
     "start from the weights of a model file, also one of torchvision in the safetensors format; what it lacks, or a "
     "last layer for other classes, starts as usual",
     NULL, RUN(init), 0, 0},
    {ARGS_UINT64, "seed", "N", "of weights, order, augmentation, gates and dropout", "1", RUN(seed), 0, 0},
    {.kind = ARGS_GROUP, .name = "Evaluation, log and checkpoints"},
    {ARGS_DOUBLE, "eval-every", "EPOCHS", "evaluate so often; 0: only at the end", "1", RUN(eval_every), 0, 1e9},
    {ARGS_INT, "log-every", "N", "iterations between two lines of log.jsonl", "20", RUN(log_every), 1, 1e9},
    {ARGS_INT64, "save-every", "N", "save the state every N iterations; 0: never", "0", RUN(save_every), 0, 1e15},
    {ARGS_DOUBLE, "save-minutes", "M", "save the state every M minutes; 0: never", "10", RUN(save_minutes), 0, 1e6},
    {ARGS_FLAG, "quiet", NULL, "no progress; warnings and errors alone", NULL, offsetof(struct train_options, quiet), 0,
     0},
    {.kind = ARGS_GROUP, .name = "Device"},
    CLI_DEVICE(RUN(device)),
    CLI_ALGORITHM(RUN(algorithm)),
    CLI_VECTOR(RUN(vector)),
    CLI_THREADS("threads that decode images and, where the driver lets us, of a CPU device; 0: all", RUN(threads)),
    CLI_CACHE_DIR("folder of self-test verdicts, kernel binaries and decoded folders", RUN(cache_dir)),
    {.kind = ARGS_END},
};

/* What may stand beside --resume; the rest is fixed by the run's config.json. */
static const char *const resumable[] = {
    "resume",       "iterations", "epochs",  "eval-every", "log-every", "save-every",
    "save-minutes", "device",     "threads", "cache-dir",  "no-cache",  "quiet",
};

static void print_tables(FILE *out) {
    fputs("\nData sources (SPEC):\n", out);
    for (int i = 0; dd_dataset_source_help(i); i++) {
        const struct dd_source_help *source = dd_dataset_source_help(i);
        args_print_term(out, source->form, 24, source->description);
    }
    fputs("\nGate policies (POLICY):\n", out);
    for (int i = 0; dd_gate_policy_help(i); i++) {
        const struct dd_gate_policy_help *policy = dd_gate_policy_help(i);
        char text[256];
        snprintf(text, sizeof text, "%s (%s)", policy->description, policy->source);
        args_print_term(out, policy->form, 24, text);
    }
}

/* The first option of the command line that --resume does not allow, or NULL. */
static const char *refused_by_resume(const struct args_command *command, const struct args_result *args) {
    for (const struct args_option *option = command->options; option->kind != ARGS_END; option++) {
        bool allowed = option->kind == ARGS_GROUP || !args_given(command, args, option->name);
        for (size_t i = 0; i < sizeof resumable / sizeof resumable[0] && !allowed; i++)
            allowed = strcmp(resumable[i], option->name) == 0;
        if (!allowed)
            return option->name;
    }
    return NULL;
}

/* Rules between options; 0 or the exit code. */
static int check_combination(const struct args_command *command, const struct args_result *args,
                             const struct dd_train_options *run) {
    if (run->run_dir && run->resume_dir)
        return args_usage(command, "--run begins a run and --resume continues one: give one of them");
    if (run->resume_dir) {
        const char *refused = refused_by_resume(command, args);
        if (refused)
            return args_usage(command, "--%s cannot be given with --resume, which goes by %s/config.json", refused,
                              run->resume_dir);
    } else {
        if (!run->run_dir && !run->dry_run)
            return args_usage(command, "--run DIR (a new run) or --resume DIR is missing");
        if (!run->data)
            return args_usage(command, "--data SPEC is missing");
        if (!run->net)
            return args_usage(command, "--net NAME is missing");
    }
    if (args_given(command, args, "iterations") && args_given(command, args, "epochs"))
        return args_usage(command, "--iterations and --epochs both give the length of the run: give one of them");
    return 0;
}

/* Is there a run to resume? A signal may have come before the first file was written. */
static bool holds_run(const char *folder) {
    char path[PATH_MAX];
    return snprintf(path, sizeof path, "%s/config.json", folder) < (int)sizeof path && access(path, F_OK) == 0;
}

/* The folder as a shell takes it: quoted unless it is plain. */
static void print_resume_command(const char *folder) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+,:@%";
    fputs("resume with: depthdrop train --resume ", stderr);
    if (folder[strspn(folder, plain)] == '\0') {
        fputs(folder, stderr);
    } else {
        fputc('\'', stderr);
        for (; *folder != '\0'; folder++)
            fputs(*folder == '\'' ? "'\\''" : (char[]){*folder, '\0'}, stderr);
        fputc('\'', stderr);
    }
    fputc('\n', stderr);
}

static int run_train(const struct args_command *command, int argc, char **argv) {
    struct train_options options = {0};
    struct args_result args;
    dd_train_options_default(&options.run);
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    int code = check_combination(command, &args, &options.run);
    if (code != 0)
        return code;

    cli_log_to_stderr(options.quiet);
    volatile int *stop = cli_catch_signals();
    progress_start("iteration", options.quiet);
    dd_status status = dd_train(&options.run, stop, progress_update, NULL);
    progress_stop();
    if (status == DD_INTERRUPTED) {
        cli_say("%s", dd_error_message());
        const char *folder = options.run.resume_dir ? options.run.resume_dir : options.run.run_dir;
        if (folder && holds_run(folder))
            print_resume_command(folder);
        return DD_INTERRUPTED;
    }
    return status == DD_OK ? 0 : cli_failure(command, status);
}

const struct args_command cli_train = {
    .name = "train",
    .summary = "trains a residual network",
    .description = "A run folder keeps config.json, log.jsonl, last.safetensors and best.safetensors. Ctrl-C finishes "
                   "the step and saves; a second one quits at once.",
    .usage = (const char *const[]){"train --data SPEC --net NAME --run DIR [options]", "train --resume DIR [options]",
                                   NULL},
    .examples = (const char *const[]){
        "# ResNet-14 on the built-in data set, half of the gated units skipped",
        "train --data shapes --net resnet14 --shortcut conv --gate uniform:0.5 \\\n"
        "    --epochs 3 --bn-recalibrate 20 --run runs/first",
        "# the paper's ResNet-56 on CIFAR-10",
        "train --data cifar10:data/cifar-10-batches-bin --net resnet56 \\\n"
        "    --shortcut conv --gate uniform:0.5 --run runs/paper",
        "# go on after Ctrl-C, a crash or a power failure",
        "train --resume runs/paper", NULL},
    .options = options_table,
    .extra_help = print_tables,
    .run = run_train,
};
