/* The table of convolution algorithms: an algorithm is one line here, one C file and its kernels. The first is the
 * reference on devices. */
#include "ops/conv.h"

#include <string.h>

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

struct dd_conv dd_conv_make(struct dd_shape in, int out_c, int vo, int kernel, int stride, int pad) {
    const struct dd_shape out = {.n = in.n,
                                 .c = out_c,
                                 .h = dd_window_out(in.h, kernel, stride, pad),
                                 .w = dd_window_out(in.w, kernel, stride, pad),
                                 .v = vo};
    return (struct dd_conv){.in = in, .out = out, .kernel = kernel, .stride = stride, .pad = pad};
}
