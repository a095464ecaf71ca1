/* Width dropout: launches of cl/point/dropout.cl. */
#include "ops/dropout.h"

#include <math.h>
#include <stdio.h>

#include "ops/spread.h"

static dd_status add(dd_device *device, const struct dd_dropout *dropout, const char *kernel, cl_mem x, cl_mem target,
                     struct dd_launches *list) {
    char options[64], label[64];
    const struct dd_shape shape = dropout->shape;
    const bool affine = dropout->affine.scale != NULL;
    if ((uint64_t)dd_shape_pixels(shape) * (uint64_t)shape.c > UINT32_MAX)
        return dd_fail(DD_ERROR_USAGE,
                       "width dropout counts at most %u elements, %d images of %dx%dx%d have more; use a smaller batch",
                       UINT32_MAX, shape.n, shape.c, shape.h, shape.w);
    const struct dd_spread spread =
        dd_spread_over(&device->info, dd_shape_pixels(shape), dd_shape_blocks(shape), shape.v);
    struct dd_kernel_spec spec = dd_spread_spec(spread, dd_shape_pixels(shape), dd_shape_blocks(shape));
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d -DAFFINE=%d", shape.v, spread.group, affine);
    snprintf(label, sizeof label, "%s_v%d", kernel, shape.v);
    spec.source = "point/dropout.cl";
    spec.kernel = kernel;
    spec.options = options;
    spec.label = label;
    const uint32_t threshold = (uint32_t)ceil(dropout->ratio * 4294967296.0); /* w < ratio * 2^32 for whole w */
    return DD_ADD(list, device, &spec, DD_INT(0), DD_INT((uint32_t)dropout->seed),
                  DD_INT((uint32_t)(dropout->seed >> 32)), DD_INT(dropout->unit), DD_INT(threshold),
                  DD_FLOAT(1 / (1 - dropout->ratio)), DD_INT(dd_shape_pixels(shape)), DD_INT(spread.run),
                  DD_INT(shape.h * shape.w), DD_INT(shape.c), DD_MEM(x), DD_MEM(dropout->affine.scale),
                  DD_MEM(dropout->affine.shift), DD_MEM(target));
}

dd_status dd_dropout_forward(dd_device *device, const struct dd_dropout *dropout, cl_mem x, cl_mem y,
                             struct dd_launches *list) {
    return add(device, dropout, "dropout_forward", x, y, list);
}

dd_status dd_dropout_backward(dd_device *device, const struct dd_dropout *dropout, cl_mem x, cl_mem g,
                              struct dd_launches *list) {
    return add(device, dropout, "dropout_backward", x, g, list);
}
