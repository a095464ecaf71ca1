/*
 * Both ResNet families of He et al. (CVPR 2016): the ImageNet form (table 1; basic or bottleneck units, the stride in a
 * bottleneck's 3x3 as in torchvision's v1.5) and the CIFAR form (section 4.2; three stages of n basic units, D = 6n+2).
 * A new depth of the ImageNet form is a line in imagenet_forms.
 */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/layer.h"
#include "tensor/shape.h"

enum {
    MIN_SIDE = 8,
    MAX_SIDE = 16384,
    MAX_CLASSES = 1 << 20,
    MIN_CIFAR_DEPTH = 8,
    MAX_CIFAR_DEPTH = 9998, /* 6n + 2; keeps a unit's index below 5,000 */
    MAX_STAGES = 4,
    BOTTLENECK_EXPANSION = 4,
};

/* Everything that tells one network from another beside its images and classes. */
struct form {
    bool imagenet;
    int stages;
    int units[MAX_STAGES];  /* in each stage */
    int width;              /* channels of the first stage's 3x3 convolutions, doubled from stage to stage */
    bool bottleneck;
};

static const struct {
    int depth;
    struct form form;
} imagenet_forms[] = {
    {18, {true, 4, {2, 2, 2, 2}, 64, false}},  {34, {true, 4, {3, 4, 6, 3}, 64, false}},
    {50, {true, 4, {3, 4, 6, 3}, 64, true}},   {101, {true, 4, {3, 4, 23, 3}, 64, true}},
    {152, {true, 4, {3, 8, 36, 3}, 64, true}},
};

/* The number behind "resnet", at most 4 digits and no leading zero; -1 if name has another form. */
static int parse_depth(const char *name) {
    static const char prefix[] = "resnet";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return -1;
    const char *digits = name + sizeof prefix - 1;
    size_t length = strspn(digits, "0123456789");
    if (length == 0 || length > 4 || digits[length] != '\0' || digits[0] == '0')
        return -1;
    int depth = 0;
    for (size_t i = 0; i < length; i++)
        depth = depth * 10 + (digits[i] - '0');
    return depth;
}

static dd_status find_form(const char *name, struct form *form) {
    int depth = parse_depth(name);
    for (size_t i = 0; i < sizeof imagenet_forms / sizeof imagenet_forms[0]; i++)
        if (imagenet_forms[i].depth == depth) {
            *form = imagenet_forms[i].form;
            return DD_OK;
        }
    if (depth < MIN_CIFAR_DEPTH || depth > MAX_CIFAR_DEPTH || depth % 6 != 2)
        return dd_fail(DD_ERROR_USAGE, "unknown network '%s': networks are resnetD with D = 18, 34, 50, 101, 152 or "
                       "6n + 2 from %d on (8, 14, 20, 26, 32, ... up to %d)", name, MIN_CIFAR_DEPTH, MAX_CIFAR_DEPTH);
    int n = (depth - 2) / 6;
    *form = (struct form){.imagenet = false, .stages = 3, .units = {n, n, n}, .width = 16, .bottleneck = false};
    return DD_OK;
}

static dd_status find_shortcut(const char *name, const struct dd_shortcut_entry **entry) {
    for (const struct dd_shortcut_entry *e = dd_shortcuts; e->name; e++)
        if (!strcmp(e->name, name)) {
            *entry = e;
            return DD_OK;
        }
    char known[128] = "";
    for (const struct dd_shortcut_entry *e = dd_shortcuts; e->name; e++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", e->name);
    }
    return dd_fail(DD_ERROR_USAGE, "unknown shortcut '%s': the kinds are %s", name, known);
}

static dd_status check_range(const char *what, int value, int least, int most) {
    if (value < least || value > most)
        return dd_fail(DD_ERROR_USAGE, "%s is %d, and must be from %d to %d", what, value, least, most);
    return DD_OK;
}

static dd_status check_options(const struct dd_net_options *options) {
    if (!options->name)
        return dd_fail(DD_ERROR_USAGE, "no network named: give one such as resnet20");
    if (options->channels != 1 && options->channels != 3)
        return dd_fail(DD_ERROR_USAGE, "images have %d channels, and must have 1 or 3", options->channels);
    DD_TRY(check_range("image height", options->height, MIN_SIDE, MAX_SIDE));
    DD_TRY(check_range("image width", options->width, MIN_SIDE, MAX_SIDE));
    return check_range("number of classes", options->classes, 2, MAX_CLASSES);
}

/* Convolution number (from 0) of a unit: kernel sizes 3, 3 or 1, 3, 1; the stride in the first 3x3. */
static struct dd_layer_shape primary_shape(const struct dd_unit *unit, const struct form *form, int number, int width) {
    struct dd_layer_shape shape = {.in_c = width, .in_h = unit->out_h, .in_w = unit->out_w, .out_c = width,
                                   .kernel = 3, .stride = 1, .pad = 1};
    int strided = form->bottleneck ? 1 : 0;
    if (number <= strided) {
        shape.in_h = unit->in_h;
        shape.in_w = unit->in_w;
    }
    if (number == strided)
        shape.stride = unit->stride;
    if (number == 0)
        shape.in_c = unit->in_c;
    if (form->bottleneck && number != 1) {
        shape.kernel = 1;
        shape.pad = 0;
    }
    if (number == unit->convs - 1)
        shape.out_c = unit->out_c;
    return shape;
}

/* Adds unit number position (from 0) of stage (from 0), whose input is in_c x in_h x in_w. */
static void add_unit(dd_net *net, const struct form *form, int stage, int position, const int in[3],
                     enum dd_shortcut_kind shortcut) {
    int index = net->unit_count++;
    int width = form->width << stage;
    struct dd_unit *unit = &net->units[index];
    unit->stage = stage + 1;
    unit->position = position;
    unit->first = position == 0;
    unit->in_c = in[0];
    unit->in_h = in[1];
    unit->in_w = in[2];
    unit->stride = stage > 0 && position == 0 ? 2 : 1;
    unit->out_c = form->bottleneck ? width * BOTTLENECK_EXPANSION : width;
    unit->out_h = dd_window_out(unit->in_h, 3, unit->stride, 1);
    unit->out_w = dd_window_out(unit->in_w, 3, unit->stride, 1);
    unit->convs = form->bottleneck ? 3 : 2;
    for (int i = 0; i < unit->convs; i++) {
        char conv[48], bn[48];
        snprintf(conv, sizeof conv, "layer%d.%d.conv%d", unit->stage, position, i + 1);
        snprintf(bn, sizeof bn, "layer%d.%d.bn%d", unit->stage, position, i + 1);
        struct dd_layer_shape shape = primary_shape(unit, form, i, width);
        dd_net_add_conv(net, &(struct dd_layer_name){conv, bn, index, true}, &shape, &unit->primary[i]);
    }
    dd_net_add_shortcut(net, index, shortcut);
}

static void add_stem(dd_net *net, const struct form *form) {
    struct dd_layer_shape shape = {.in_c = net->channels, .in_h = net->height, .in_w = net->width,
                                   .out_c = form->width, .kernel = 3, .stride = 1, .pad = 1};
    if (form->imagenet) {
        shape.kernel = 7;
        shape.stride = 2;
        shape.pad = 3;
    }
    dd_net_add_conv(net, &(struct dd_layer_name){"conv1", "bn1", -1, false}, &shape, &net->stem);
    net->body_h = net->stem.out_h;
    net->body_w = net->stem.out_w;
    if (form->imagenet) {
        net->pool_kernel = 3;
        net->pool_stride = 2;
        net->pool_pad = 1;
        net->body_h = dd_window_out(net->body_h, 3, 2, 1);
        net->body_w = dd_window_out(net->body_w, 3, 2, 1);
    }
}

static void add_body(dd_net *net, const struct form *form, enum dd_shortcut_kind shortcut) {
    int in[3] = {form->width, net->body_h, net->body_w};
    for (int stage = 0; stage < form->stages; stage++)
        for (int position = 0; position < form->units[stage]; position++) {
            add_unit(net, form, stage, position, in, shortcut);
            const struct dd_unit *unit = &net->units[net->unit_count - 1];
            in[0] = unit->out_c;
            in[1] = unit->out_h;
            in[2] = unit->out_w;
        }
    net->features = in[0];
    net->feature_h = in[1];
    net->feature_w = in[2];
}

dd_status dd_net_create(const struct dd_net_options *options, dd_net **net) {
    *net = NULL;
    struct form form = {0};
    const struct dd_shortcut_entry *shortcut = NULL;
    DD_TRY(check_options(options));
    DD_TRY(find_form(options->name, &form));
    DD_TRY(find_shortcut(options->shortcut ? options->shortcut : "identity", &shortcut));

    dd_net *made = dd_calloc(1, sizeof *made);
    if (!made)
        return dd_fail_memory("network description", sizeof *made);
    int units = 0;
    for (int stage = 0; stage < form.stages; stage++)
        units += form.units[stage];
    int per_unit = (form.bottleneck ? 3 : 2) + 1; /* with the shortcut's, if it has one */
    dd_status status = dd_net_reserve(made, units, 1 + units * per_unit);
    if (status != DD_OK) {
        dd_net_destroy(&made);
        return status;
    }
    snprintf(made->name, sizeof made->name, "%s", options->name);
    made->shortcut = shortcut->name;
    made->imagenet = form.imagenet;
    made->channels = options->channels;
    made->height = options->height;
    made->width = options->width;
    made->classes = options->classes;
    add_stem(made, &form);
    add_body(made, &form, shortcut->kind);
    dd_net_add_classifier(made);
    *net = made;
    return DD_OK;
}
