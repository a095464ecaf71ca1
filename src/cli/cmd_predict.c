/* depthdrop predict: classes of image files. */
#include <stdio.h>

#include "cli.h"

enum { TOP = 5 };

struct predict_options {
    struct dd_model_options model;
    bool json, quiet;
};
#define MODEL(field) offsetof(struct predict_options, model.field)

static const struct args_option options_table[] = {
    {ARGS_TEXT, "model", "FILE", "model file (safetensors) of a run", NULL, MODEL(model), 0, 0},
    {ARGS_FLAG, "json", NULL, "print a line of JSON for each image", NULL, offsetof(struct predict_options, json), 0,
     0},
    {ARGS_INT, "batch", "N", "images at once", "128", MODEL(batch), 1, 65536},
    {ARGS_FLAG, "quiet", NULL, "warnings and errors alone on stderr", NULL, offsetof(struct predict_options, quiet), 0,
     0},
    CLI_DEVICE(MODEL(device)),
    CLI_ALGORITHM(MODEL(algorithm)),
    CLI_VECTOR(MODEL(vector)),
    CLI_THREADS("where the driver lets us: threads of a CPU device; 0: all", MODEL(threads)),
    CLI_CACHE_DIR("folder of self-test verdicts and kernel binaries", MODEL(cache_dir)),
    {.kind = ARGS_END},
};

/* What the callback sees and leaves behind. */
struct predict_state {
    bool json;
    int unreadable; /* files reported on stderr */
    int code;       /* first failure of our own output, 0: none */
};

static int print_json(const struct dd_prediction *p) {
    json_t *top = json_array(), *logits = json_array();
    int first = p->order[0];
    bool failed = false;
    for (int i = 0; i < p->classes && i < TOP; i++)
        failed |= json_array_append_new(top, json_pack("{s:o, s:o}", "class", cli_json_text(p->names[p->order[i]]),
                                                       "probability",
                                                       cli_json_real(p->probabilities[p->order[i]]))) != 0;
    for (int i = 0; i < p->classes; i++)
        failed |= json_array_append_new(logits, cli_json_real(p->logits[i])) != 0;
    if (failed) {
        json_decref(top);
        json_decref(logits);
        return cli_json_print(NULL, true);
    }
    return cli_json_print(json_pack("{s:o, s:o, s:o, s:o, s:o}", "file", cli_json_text(p->file), "class",
                                    cli_json_text(p->names[first]), "probability",
                                    cli_json_real(p->probabilities[first]), "top", top, "logits", logits),
                          true);
}

static void print_line(const struct dd_prediction *p) {
    int first = p->order[0];
    printf("%s: %s %.1f %%", p->file, p->names[first], 100 * (double)p->probabilities[first]);
    for (int i = 1; i < p->classes && i < TOP; i++)
        printf("%s%s %.1f %%", i == 1 ? "  (" : ", ", p->names[p->order[i]],
               100 * (double)p->probabilities[p->order[i]]);
    puts(p->classes > 1 ? ")" : "");
}

static void on_prediction(void *user, const struct dd_prediction *prediction) {
    struct predict_state *state = user;
    int code = 0;
    if (prediction->status != DD_OK) {
        fflush(stdout);
        cli_say("%s", prediction->message);
        state->unreadable++;
    } else if (state->json) {
        code = print_json(prediction);
    } else {
        print_line(prediction);
    }
    if (state->code == 0)
        state->code = code;
}

static int run_predict(const struct args_command *command, int argc, char **argv) {
    struct predict_options options = {0};
    struct args_result args;
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    if (!options.model.model)
        return args_usage(command, "--model FILE is missing");
    if (args.count == 0)
        return args_usage(command, "no image is given");

    cli_log_to_stderr(options.quiet);
    struct predict_state state = {.json = options.json};
    dd_status status = dd_predict(&options.model, (const char *const *)args.positional, args.count, on_prediction,
                                  &state);
    if (status == DD_ERROR_DATA && state.unreadable > 0) {
        if (args.count > 1)
            cli_say("%d of %d images could not be read", state.unreadable, args.count);
        return DD_ERROR_DATA;
    }
    return status != DD_OK ? cli_failure(command, status) : state.code;
}

const struct args_command cli_predict = {
    .name = "predict",
    .summary = "tells the class of image files (JPEG or PNG)",
    .description = "A file that cannot be read is named and left out; the exit code is then 3.",
    .usage = (const char *const[]){"predict --model FILE [options] IMAGE...", NULL},
    .examples = (const char *const[]){"predict --model runs/first/best.safetensors cat.png dog.jpg",
                                      "predict --model best.safetensors --json photos/*.jpg", NULL},
    .options = options_table,
    .positional = true,
    .run = run_predict,
};
