/* Batches from bytes: cl/data/augment.cl. */
#include <stdio.h>

#include "ops/augment.h"
#include "ops/spread.h"

dd_status dd_augment_add(dd_device *device, const struct dd_augment *augment, cl_mem images, struct dd_launches *list) {
    char options[64];
    const struct dd_shape out = augment->out;
    struct dd_spread spread = dd_spread_over(&device->info, dd_shape_pixels(out), out.c, 1);
    struct dd_kernel_spec spec = dd_spread_spec(spread, dd_shape_pixels(out), out.c);
    snprintf(options, sizeof options, "-DGROUP=%d", spread.group);
    spec.source = "data/augment.cl";
    spec.kernel = "augment";
    spec.options = options;
    spec.label = "augment";
    return DD_ADD(list, device, &spec, DD_MEM(augment->bytes), DD_MEM(augment->samples), DD_MEM(augment->mean),
                  DD_MEM(augment->inverse_std), DD_INT(out.n), DD_INT(spread.run), DD_INT(out.h), DD_INT(out.w),
                  DD_MEM(images));
}
