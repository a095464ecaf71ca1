/* depthdrop info: what a network costs, or what a model file says of itself. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli.h"

struct info_options {
    const char *net, *shortcut, *image_size, *gate, *gate_first, *model;
    int channels, classes, batch;
    bool json;
};
#define FIELD(field) offsetof(struct info_options, field)

static const struct args_option options_table[] = {
    {ARGS_TEXT, "net", "NAME", "network, see train --help", NULL, FIELD(net), 0, 0},
    {ARGS_TEXT, "model", "FILE", "model file (safetensors) of a run", NULL, FIELD(model), 0, 0},
    {ARGS_TEXT, "shortcut", "KIND", "identity, projection or conv", "identity", FIELD(shortcut), 0, 0},
    {ARGS_TEXT, "gate", "POLICY", "gate policy, see train --help", "none", FIELD(gate), 0, 0},
    {ARGS_CHOICE, "gate-first", "none|stage1|all", "gate the first units of stages too", "none", FIELD(gate_first), 0,
     0},
    {ARGS_TEXT, "image-size", "S|HxW", "rows and columns of an image", "32", FIELD(image_size), 0, 0},
    {ARGS_INT, "channels", "C", "channels of an image", "3", FIELD(channels), 1, 3},
    {ARGS_INT, "classes", "N", "classes", "10", FIELD(classes), 2, 1e6},
    {ARGS_INT, "batch", "N", "mini-batch that memory is told for", "128", FIELD(batch), 1, 65536},
    {ARGS_FLAG, "json", NULL, "print one JSON document", NULL, FIELD(json), 0, 0},
    {.kind = ARGS_END},
};

static const int vectors[] = {1, 4, 8, 16};
enum { VECTORS = sizeof vectors / sizeof vectors[0] };

/* The network with its gates and figures. */
struct figures {
    const struct info_options *options;
    int height, width;
    dd_net *net;
    dd_gate *gate;
    struct dd_net_summary sum;
};

static dd_status collect(struct figures *f) {
    const struct info_options *o = f->options;
    struct dd_net_options net = {.name = o->net, .shortcut = o->shortcut, .channels = o->channels, .height = f->height,
                                 .width = f->width, .classes = o->classes};
    struct dd_gate_options gate = {.policy = o->gate, .first = o->gate_first, .seed = 1};
    dd_status status = dd_net_create(&net, &f->net);
    if (status != DD_OK)
        return status;
    status = dd_gate_create(&gate, f->net, &f->gate);
    if (status != DD_OK)
        return status;
    dd_net_summarize(f->net, &f->sum);
    return DD_OK;
}

static json_t *unit_json(const struct dd_unit_summary *u) {
    return json_pack("{s:i, s:i, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:I, s:I}", "stage", u->stage, "position",
                     u->position, "first", u->first, "in_channels", u->in_channels, "in_height", u->in_height,
                     "in_width", u->in_width, "out_channels", u->out_channels, "out_height", u->out_height, "out_width",
                     u->out_width, "stride", u->stride, "primary_flops", (json_int_t)u->primary_flops, "shortcut_flops",
                     (json_int_t)u->shortcut_flops);
}

static json_t *units_json(const struct figures *f) {
    json_t *units = json_array();
    for (int i = 0; i < f->sum.units; i++) {
        struct dd_unit_summary unit;
        if (dd_net_unit(f->net, i, &unit) != DD_OK || json_array_append_new(units, unit_json(&unit)) != 0) {
            json_decref(units);
            return NULL;
        }
    }
    return units;
}

static json_t *memory_json(const struct figures *f) {
    json_t *memory = json_object();
    for (int i = 0; i < VECTORS; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", vectors[i]);
        uint64_t bytes = dd_train_device_bytes(f->net, f->options->batch, vectors[i]);
        if (json_object_set_new(memory, key, json_integer((json_int_t)bytes)) != 0) {
            json_decref(memory);
            return NULL;
        }
    }
    return memory;
}

static int print_net_json(const struct figures *f) {
    const struct info_options *o = f->options;
    const struct dd_net_summary *s = &f->sum;
    char image[64];
    snprintf(image, sizeof image, "%d,%d,%d", o->channels, f->height, f->width);
    return cli_json_print(
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:f, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
                  "net", o->net, "shortcut", o->shortcut ? o->shortcut : "identity", "gate", o->gate ? o->gate : "none",
                  "gate_first", o->gate_first ? o->gate_first : "none", "image", image, "classes", o->classes, "batch",
                  o->batch, "units", s->units, "gated_units", dd_gate_gated_units(f->gate), "units_run_expected",
                  dd_gate_expected_run(f->gate), "convolutions", s->convolutions, "parameters",
                  (json_int_t)s->parameters, "primary_parameters", (json_int_t)s->primary_parameters,
                  "shortcut_parameters", (json_int_t)s->shortcut_parameters, "forward_flops",
                  (json_int_t)s->forward_flops, "primary_flops", (json_int_t)s->primary_flops, "shortcut_flops",
                  (json_int_t)s->shortcut_flops, "device_bytes", memory_json(f), "unit_table", units_json(f)),
        false);
}

static int print_net_table(const struct figures *f) {
    const struct info_options *o = f->options;
    const struct dd_net_summary *s = &f->sum;
    char text[32];
    printf("%s, %s shortcuts, images %d,%d,%d, %d classes\n\n", o->net, o->shortcut ? o->shortcut : "identity",
           o->channels, f->height, f->width, o->classes);
    printf("%-16s %d (%d gated by %s: %.4g run on average)\n", "residual units", s->units, dd_gate_gated_units(f->gate),
           o->gate ? o->gate : "none", dd_gate_expected_run(f->gate));
    printf("%-16s %d\n", "convolutions", s->convolutions);
    printf("%-16s %s", "parameters", cli_grouped(s->parameters, text));
    printf(" (primary paths %s", cli_grouped(s->primary_parameters, text));
    printf(", shortcuts %s)\n", cli_grouped(s->shortcut_parameters, text));
    printf("%-16s %s", "forward FLOPs", cli_grouped(s->forward_flops, text));
    printf(" an image (primary paths %.1f %%, shortcuts %.1f %%)\n",
           100 * (double)s->primary_flops / (double)s->forward_flops,
           100 * (double)s->shortcut_flops / (double)s->forward_flops);
    printf("%-16s", "device memory");
    for (int i = 0; i < VECTORS; i++)
        printf("%s %s with V = %d", i > 0 ? "," : "",
               cli_bytes(dd_train_device_bytes(f->net, o->batch, vectors[i]), text), vectors[i]);
    printf(" (training, batch %d)\n\n", o->batch);
    printf("%-12s %-18s %-18s %6s %14s %14s\n", "unit", "input", "output", "stride", "primary MFLOP", "shortcut MFLOP");
    for (int i = 0; i < s->units; i++) {
        struct dd_unit_summary u;
        char name[32], in[48], out[48];
        if (dd_net_unit(f->net, i, &u) != DD_OK)
            return DD_ERROR_INTERNAL;
        snprintf(name, sizeof name, "layer%d.%d", u.stage, u.position);
        snprintf(in, sizeof in, "%dx%dx%d", u.in_channels, u.in_height, u.in_width);
        snprintf(out, sizeof out, "%dx%dx%d", u.out_channels, u.out_height, u.out_width);
        printf("%-12s %-18s %-18s %6d %14.3f %14.3f\n", name, in, out, u.stride, 1e-6 * (double)u.primary_flops,
               1e-6 * (double)u.shortcut_flops);
    }
    return 0;
}

static int info_net(const struct args_command *command, const struct info_options *options) {
    struct figures f = {.options = options, .height = 32, .width = 32};
    if (options->image_size && !args_image_size(options->image_size, &f.height, &f.width))
        return args_usage(command, "--image-size must be S or HxW in pixels, not '%s'", options->image_size);
    dd_status status = collect(&f);
    int code = 0;
    if (status != DD_OK)
        code = cli_failure(command, status);
    else
        code = options->json ? print_net_json(&f) : print_net_table(&f);
    dd_gate_destroy(&f.gate);
    dd_net_destroy(&f.net);
    return code;
}

static int print_model_json(const char *file, const struct dd_model_info *info) {
    char image[64];
    json_t *classes = json_array();
    snprintf(image, sizeof image, "%d,%d,%d", info->channels, info->height, info->width);
    for (int i = 0; i < info->classes; i++)
        if (json_array_append_new(classes, cli_json_text(info->class_names[i])) != 0) {
            json_decref(classes);
            return cli_json_print(NULL, false);
        }
    return cli_json_print(json_pack("{s:o, s:o, s:o, s:o, s:s, s:o, s:I, s:I, s:I, s:b}", "model", cli_json_text(file),
                                    "net", cli_json_text(info->net), "shortcut", cli_json_text(info->shortcut), "gate",
                                    cli_json_text(info->gate), "image", image, "classes", classes, "iteration",
                                    (json_int_t)info->iteration, "tensors", (json_int_t)info->tensors, "bytes",
                                    (json_int_t)info->bytes, "optimizer", info->has_optimizer),
                          false);
}

static void print_model_table(const char *file, const struct dd_model_info *info) {
    char text[32];
    printf("%-10s %s\n%-10s %s\n%-10s %s\n%-10s %s\n", "model", file, "net", info->net, "shortcut", info->shortcut,
           "gate", info->gate);
    printf("%-10s %d,%d,%d\n%-10s %" PRId64 "\n", "image", info->channels, info->height, info->width, "iteration",
           info->iteration);
    printf("%-10s %" PRIu64 " in %s%s\n", "tensors", info->tensors, cli_bytes(info->bytes, text),
           info->has_optimizer ? ", with the optimizer's state" : "");
    int column = printf("%-10s", "classes");
    column += printf(" %d:", info->classes);
    for (int i = 0; i < info->classes; i++) {
        if (column + (int)strlen(info->class_names[i]) + 2 > 80)
            column = printf("\n%10s", "") - 1;
        column += printf(" %s%s", info->class_names[i], i + 1 < info->classes ? "," : "");
    }
    putchar('\n');
}

static int info_model(const struct args_command *command, const struct info_options *options) {
    struct dd_model_info info = {0};
    int code = 0;
    dd_status status = dd_model_read_info(options->model, &info);
    if (status != DD_OK)
        return cli_failure(command, status);
    if (options->json)
        code = print_model_json(options->model, &info);
    else
        print_model_table(options->model, &info);
    dd_model_info_free(&info);
    return code;
}

static int run_info(const struct args_command *command, int argc, char **argv) {
    static const char *const of_net[] = {
        "shortcut", "gate", "gate-first", "image-size", "channels", "classes", "batch",
    };
    struct info_options options = {.channels = 3, .classes = 10, .batch = 128};
    struct args_result args;
    enum args_outcome outcome = args_parse(command, argc, argv, &options, &args);
    if (outcome != ARGS_OK)
        return outcome == ARGS_HELP_SHOWN ? 0 : DD_ERROR_USAGE;
    if (!options.net == !options.model)
        return args_usage(command, "give one of --net NAME and --model FILE");
    for (size_t i = 0; options.model && i < sizeof of_net / sizeof of_net[0]; i++)
        if (args_given(command, &args, of_net[i]))
            return args_usage(command, "--%s goes with --net: a model file says it itself", of_net[i]);
    cli_log_to_stderr(false);
    return options.net ? info_net(command, &options) : info_model(command, &options);
}

const struct args_command cli_info = {
    .name = "info",
    .summary = "describes a network or a model file",
    .description = "Parameters, FLOPs, device memory and units of a network, or what a model file says of itself.",
    .usage = (const char *const[]){"info --net NAME [options]", "info --model FILE [--json]", NULL},
    .examples = (const char *const[]){"info --net resnet56 --shortcut conv --gate uniform:0.5",
                                      "info --net resnet18 --image-size 224 --classes 1000 --batch 64 --json",
                                      "info --model runs/first/best.safetensors", NULL},
    .options = options_table,
    .run = run_info,
};
