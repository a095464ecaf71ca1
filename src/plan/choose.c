/* Which V and which convolution algorithms a plan uses when nothing else says so, and where one takes another along. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/internal.h"

/* Preference of "auto", best first. */
static const char *const preference[] = {"winograd", "direct", "gemm"};

static int choose_vector(const struct dd_device_info *info, const struct dd_plan_options *options) {
    if (options->vector != 0)
        return options->vector;
    bool vector_kernels = dd_conv_algorithm_find("direct") != NULL && strcmp(options->algorithm, "gemm") != 0;
    return vector_kernels ? dd_native_vector(info) : 1; /* CLBlast alone: [C][N][H][W] needs no packing */
}

const char *dd_plan_tune_key(const struct dd_conv *conv, enum dd_conv_direction direction, char key[DD_TUNE_KEY]) {
    snprintf(key, DD_TUNE_KEY, "conv %dx%d stride %d pad %d, %dx%dx%d to %d, V %d to %d, %s", conv->kernel,
             conv->kernel, conv->stride, conv->pad, conv->in.c, conv->in.h, conv->in.w, conv->out.c, conv->in.v,
             conv->out.v, dd_conv_direction_names[direction]);
    return key;
}

const struct dd_conv_algorithm *dd_plan_preferred(int index) {
    const int count = (int)(sizeof preference / sizeof *preference);
    return index >= 0 && index < count ? dd_conv_algorithm_find(preference[index]) : NULL;
}

const struct dd_conv_algorithm *dd_plan_winner(const struct dd_device_info *info, const struct dd_tune_store *winners,
                                               const struct dd_conv *conv, enum dd_conv_direction direction) {
    char key[DD_TUNE_KEY];
    const char *name = winners != NULL ? dd_tune_store_find(winners, dd_plan_tune_key(conv, direction, key)) : NULL;
    const struct dd_conv_algorithm *algorithm = name != NULL ? dd_conv_algorithm_find(name) : NULL;
    return algorithm != NULL && algorithm->supports(info, conv, direction) ? algorithm : NULL;
}

static const struct dd_conv_algorithm *choose_algorithm(const struct dd_device_info *info,
                                                        const struct dd_plan_options *options,
                                                        const struct dd_conv *conv, enum dd_conv_direction direction) {
    const char *wanted = options->algorithm;
    if (strcmp(wanted, "auto") == 0) {
        const struct dd_conv_algorithm *winner = dd_plan_winner(info, options->winners, conv, direction);
        if (winner != NULL)
            return winner;
    }
    size_t start = 0;
    const size_t count = sizeof preference / sizeof *preference;
    for (size_t i = 0; i < count; i++)
        if (strcmp(wanted, preference[i]) == 0)
            start = i;
    for (size_t i = start; i < count; i++) {
        const struct dd_conv_algorithm *algorithm = dd_conv_algorithm_find(preference[i]);
        if (algorithm != NULL && algorithm->supports(info, conv, direction))
            return algorithm;
    }
    return NULL;
}

dd_status dd_plan_parse_vector(const char *text, int *vector) {
    static const struct {
        const char *text;
        int vector;
    } known[] = {{"auto", 0}, {"1", 1}, {"4", 4}, {"8", 8}, {"16", 16}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(text != NULL ? text : "auto", known[i].text) == 0) {
            *vector = known[i].vector;
            return DD_OK;
        }
    return dd_fail(DD_ERROR_USAGE, "--vector \"%s\" is not auto, 1, 4, 8 or 16", text);
}

dd_status dd_plan_check_algorithm(const char *name) {
    if (name == NULL || strcmp(name, "auto") == 0 || dd_conv_algorithm_find(name) != NULL)
        return DD_OK;
    return dd_fail(DD_ERROR_USAGE, "unknown convolution algorithm \"%s\"; known: auto, gemm, direct, winograd", name);
}

/** A choice of no algorithm, and a layout by it: for its shapes; whether it fits is dd_plan_check_size's question. */
static dd_status make_shapes(const struct dd_net *net, const struct dd_device_info *info,
                             const struct dd_plan_options *options, int vector, struct dd_plan_choice *choice,
                             struct dd_layout *layout) {
    struct dd_device_info unlimited = *info;
    unlimited.max_alloc_bytes = DD_UNLIMITED_BYTES;
    *layout = (struct dd_layout){.v = vector};
    *choice = (struct dd_plan_choice){.vector = vector, .convs = net->bn_count};
    choice->algorithm = dd_calloc((size_t)net->bn_count, sizeof *choice->algorithm);
    if (choice->algorithm == NULL)
        return dd_fail_memory("algorithm choice", (size_t)net->bn_count * sizeof *choice->algorithm);
    return dd_layout_make(net, &unlimited, options, choice, layout);
}

dd_status dd_plan_check_choice(const struct dd_net *net, const struct dd_device_info *info,
                               const struct dd_plan_options *options, const struct dd_plan_choice *choice) {
    struct dd_device_info cpu = *info;
    cpu.type = DD_DEVICE_CPU;
    struct dd_plan_choice none;
    struct dd_layout layout;
    dd_status status = make_shapes(net, info, options, choice->vector, &none, &layout);
    for (int i = 0; status == DD_OK && i < net->bn_count; i++)
        for (int d = 0; d < DD_CONV_DIRECTIONS && status == DD_OK; d++) {
            const struct dd_conv_algorithm *algorithm = choice->algorithm[i][d];
            if (algorithm != NULL && !algorithm->supports(&cpu, &layout.shapes[i], d))
                status = dd_fail(DD_ERROR_USAGE, "%s cannot compute %s at V = %d: choose another algorithm",
                                 algorithm->name, net->params[net->bns[i].conv_weight].name, choice->vector);
        }
    dd_layout_free(&layout);
    free(none.algorithm);
    return status;
}

/* gemm takes every convolution, an image at a time if it must. */
static dd_status fail_too_large(const struct dd_device_info *info, const struct dd_conv *conv) {
    return dd_fail(DD_ERROR_MEMORY,
                   "no algorithm has room for a %dx%d convolution of %d channels of %dx%d: one image of it exceeds the "
                   "%llu MiB that %s allows a buffer; use smaller images",
                   conv->kernel, conv->kernel, conv->in.c, conv->in.h, conv->in.w,
                   (unsigned long long)info->max_alloc_bytes >> 20, info->name);
}

dd_status dd_plan_choose(const struct dd_net *net, const struct dd_device_info *info,
                         const struct dd_plan_options *options, struct dd_plan_choice *choice) {
    struct dd_layout layout;
    *choice = (struct dd_plan_choice){.convs = net->bn_count};
    DD_TRY(dd_plan_check_algorithm(options->algorithm));
    dd_status status = make_shapes(net, info, options, choose_vector(info, options), choice, &layout);
    for (int i = 0; status == DD_OK && i < net->bn_count; i++)
        for (int d = 0; d < DD_CONV_DIRECTIONS && status == DD_OK; d++) {
            if (i == 0 && d == DD_CONV_BACKWARD_DATA)
                continue; /* nobody asks for the gradient by the images */
            choice->algorithm[i][d] = choose_algorithm(info, options, &layout.shapes[i], d);
            if (choice->algorithm[i][d] == NULL)
                status = fail_too_large(info, &layout.shapes[i]);
        }
    dd_layout_free(&layout);
    if (status != DD_OK) {
        free(choice->algorithm);
        choice->algorithm = NULL;
    }
    return status;
}

/** Whether both directions of a gradient, or the forward pass, of convolution conv are by `algorithm`. */
static bool computed_by(const struct dd_plan *plan, int conv, enum dd_conv_direction direction,
                        const struct dd_conv_algorithm *algorithm) {
    const struct dd_conv_algorithm **by = plan->choice.algorithm[conv];
    return by[direction] == algorithm && (direction == DD_CONV_FORWARD || by[DD_CONV_BACKWARD_WEIGHTS] == algorithm);
}

bool dd_unit_pairs(const struct dd_plan *plan, int u, enum dd_conv_direction direction) {
    const struct dd_unit *unit = &plan->net->units[u];
    const int first = unit->primary[0].bn, side = unit->shortcut.bn;
    if (!dd_has_shortcut_conv(unit) || unit->shortcut.kernel != 1 || unit->stride != 1)
        return false;
    const struct dd_conv *conv = &plan->layout.shapes[first], *beside = &plan->layout.shapes[side];
    const struct dd_conv_algorithm *algorithm = plan->choice.algorithm[first][direction];
    return conv->stride == 1 && conv->out.c == beside->out.c && computed_by(plan, first, direction, algorithm) &&
           computed_by(plan, side, direction, &dd_conv_direct) && algorithm->takes != NULL &&
           algorithm->takes(&plan->device->info, conv, direction);
}
