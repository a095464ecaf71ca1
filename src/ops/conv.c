/* The table of convolution algorithms: an algorithm is one line here, one C file and its kernels. The first is the
 * reference on devices. */
#include "ops/conv.h"

#include <stdio.h>
#include <string.h>

#include "ops/finish.h"

const char *const dd_conv_direction_names[DD_CONV_DIRECTIONS] = {"forward", "backward data", "backward weights"};

static const struct dd_conv_algorithm *const algorithms[] = {
    &dd_conv_gemm,
    &dd_conv_direct,
    &dd_conv_winograd,
};

const struct dd_conv_algorithm *dd_conv_algorithm_at(int index) {
    const int count = (int)(sizeof algorithms / sizeof *algorithms);
    return index >= 0 && index < count ? algorithms[index] : NULL;
}

const struct dd_conv_algorithm *dd_conv_algorithm_find(const char *name) {
    const struct dd_conv_algorithm *algorithm;
    for (int i = 0; (algorithm = dd_conv_algorithm_at(i)) != NULL; i++)
        if (strcmp(algorithm->name, name) == 0)
            return algorithm;
    return NULL;
}

bool dd_conv_form(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                  enum dd_conv_direction direction, struct dd_weight_form *form) {
    return algorithm->form != NULL && algorithm->form(conv, direction, form);
}

bool dd_conv_spaced(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv, bool accumulate) {
    return conv->stride > 1 && (accumulate ? algorithm->spaced : conv->kernel == 1);
}

size_t dd_conv_weight_bytes(const struct dd_conv *conv) {
    return dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v) * sizeof(float);
}

dd_status dd_conv_make_form(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                            enum dd_conv_direction direction, cl_mem w, cl_mem *form) {
    struct dd_weight_form wanted;
    struct dd_launches list = {.at = NULL};
    *form = NULL;
    if (!dd_conv_form(algorithm, conv, direction, &wanted) || !dd_weight_form_kept(&wanted))
        return DD_OK;
    DD_TRY(dd_buffer_create(device, dd_weight_form_floats(&wanted) * sizeof(float), "a form of weights", form));
    dd_status status = dd_weight_add_one(device, &wanted, w, *form, &list);
    if (status == DD_OK)
        status = dd_launches_enqueue(device, &list);
    if (status == DD_OK)
        status = dd_device_finish(device);
    dd_launches_clear(&list);
    if (status != DD_OK)
        dd_buffer_release(device, form);
    return status;
}

struct dd_conv dd_conv_make(struct dd_shape in, int out_c, int vo, int kernel, int stride, int pad) {
    const struct dd_shape out = {.n = in.n,
                                 .c = out_c,
                                 .h = dd_window_out(in.h, kernel, stride, pad),
                                 .w = dd_window_out(in.w, kernel, stride, pad),
                                 .v = vo};
    return (struct dd_conv){.in = in, .out = out, .kernel = kernel, .stride = stride, .pad = pad};
}

struct dd_conv dd_conv_beside(const struct dd_conv *conv) {
    return dd_conv_make(conv->in, conv->out.c, conv->out.v, 1, 1, 0);
}

dd_status dd_conv_add_slices(dd_device *device, const struct dd_conv *conv,
                             const struct dd_conv_backward_weights_args *args, size_t first, int slices,
                             struct dd_launches *list) {
    const struct dd_weight_sum sum = {
        .conv = *conv, .workspace = args->workspace, .dw = args->dw, .first = first, .slices = slices};
    if (args->finish == NULL)
        return dd_finish_backward(device, &(struct dd_backward_finish){.sums = {sum}, .sum_count = 1}, 1.0f, list);
    args->finish->sums[args->finish->sum_count++] = sum;
    return DD_OK;
}
