/* SGD over all parameters in one launch: cl/optim/sgd.cl. */
#include <stdio.h>

#include "ops/sgd.h"
#include "ops/spread.h"

/* The widest vector that divides a granule: as wide as the device's registers is enough on CPUs, float4 elsewhere. */
static int vector_width(const struct dd_device_info *info, int granule) {
    int width = info->type == DD_DEVICE_CPU ? 16 : 4;
    while (width > 1 && (granule % width != 0 || width == 2))
        width /= 2;
    return width;
}

dd_status dd_sgd_add(dd_device *device, const struct dd_sgd *sgd, struct dd_launches *list) {
    char options[64];
    const int v = vector_width(&device->info, sgd->granule);
    const int per_granule = sgd->granule / v;
    const size_t vectors = (size_t)sgd->granules * (size_t)per_granule;
    struct dd_spread spread = dd_spread_over(&device->info, vectors, 1, v);
    struct dd_kernel_spec spec = dd_spread_spec(spread, vectors, 1);
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d", v, spread.group);
    spec.source = "optim/sgd.cl";
    spec.kernel = "sgd_update";
    spec.options = options;
    spec.label = "sgd_update";
    return DD_ADD(list, device, &spec, DD_FLOAT(0), DD_FLOAT(sgd->momentum), DD_FLOAT(sgd->weight_decay),
                  DD_INT(vectors), DD_INT(per_granule), DD_INT(spread.run), DD_MEM(sgd->owner), DD_MEM(sgd->active),
                  DD_MEM(sgd->g), DD_MEM(sgd->m), DD_MEM(sgd->w));
}
