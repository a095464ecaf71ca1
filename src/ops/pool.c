/* Max pooling and global average pooling: launches of cl/pool/pool.cl. */
#include <stdio.h>

#include "ops/pool.h"
#include "ops/spread.h"

dd_status dd_maxpool_forward(dd_device *device, struct dd_shape in, struct dd_shape out, int kernel, int stride,
                             int pad, cl_mem x, struct dd_affine prologue, cl_mem y, cl_mem winner,
                             struct dd_launches *list) {
    char options[128], label[64];
    bool affine = prologue.scale != NULL;
    struct dd_spread spread = dd_spread_over(&device->info, dd_shape_pixels(out), dd_shape_blocks(out), out.v);
    struct dd_kernel_spec spec = dd_spread_spec(spread, dd_shape_pixels(out), dd_shape_blocks(out));
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d -DPROLOGUE=%d -DPROLOGUE_RELU=%d", out.v, spread.group, affine,
             affine && prologue.relu);
    snprintf(label, sizeof label, "maxpool_forward_%dx%d_v%d", kernel, kernel, out.v);
    spec.source = "pool/pool.cl";
    spec.kernel = "maxpool_forward";
    spec.options = options;
    spec.label = label;
    return DD_ADD(list, device, &spec, DD_MEM(x), DD_AFFINE_ARGS(&prologue), DD_INT(in.n), DD_INT(spread.run),
                  DD_INT(in.h), DD_INT(in.w), DD_INT(out.h), DD_INT(out.w), DD_INT(kernel), DD_INT(stride), DD_INT(pad),
                  DD_MEM(y), DD_MEM(winner));
}

dd_status dd_maxpool_backward(dd_device *device, struct dd_shape in, struct dd_shape out, int kernel, int stride,
                              int pad, cl_mem dy, cl_mem winner, cl_mem dx, struct dd_launches *list) {
    char options[64], label[64];
    struct dd_spread spread = dd_spread_over(&device->info, dd_shape_pixels(in), dd_shape_blocks(in), in.v);
    struct dd_kernel_spec spec = dd_spread_spec(spread, dd_shape_pixels(in), dd_shape_blocks(in));
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d", in.v, spread.group);
    snprintf(label, sizeof label, "maxpool_backward_%dx%d_v%d", kernel, kernel, in.v);
    spec.source = "pool/pool.cl";
    spec.kernel = "maxpool_backward";
    spec.options = options;
    spec.label = label;
    return DD_ADD(list, device, &spec, DD_MEM(dy), DD_MEM(winner), DD_INT(in.n), DD_INT(spread.run), DD_INT(in.h),
                  DD_INT(in.w), DD_INT(out.h), DD_INT(out.w), DD_INT(kernel), DD_INT(stride), DD_INT(pad), DD_MEM(dx));
}

dd_status dd_gap_forward(dd_device *device, struct dd_shape in, cl_mem x, cl_mem y, struct dd_launches *list) {
    char options[64], label[64];
    struct dd_spread spread = {.group = dd_group_size(&device->info, 64), .run = 1};
    struct dd_kernel_spec spec = dd_spread_spec(spread, (size_t)in.n, dd_shape_blocks(in));
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d", in.v, spread.group);
    snprintf(label, sizeof label, "gap_forward_v%d", in.v);
    spec.source = "pool/pool.cl";
    spec.kernel = "gap_forward";
    spec.options = options;
    spec.label = label;
    return DD_ADD(list, device, &spec, DD_MEM(x), DD_INT(in.n), DD_INT(in.h * in.w), DD_INT(in.c), DD_MEM(y));
}

dd_status dd_gap_backward(dd_device *device, struct dd_shape in, cl_mem dy, cl_mem keep, cl_mem dx,
                          struct dd_launches *list) {
    char options[64], label[64];
    struct dd_spread spread = dd_spread_over(&device->info, dd_shape_pixels(in), dd_shape_blocks(in), in.v);
    struct dd_kernel_spec spec = dd_spread_spec(spread, dd_shape_pixels(in), dd_shape_blocks(in));
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d", in.v, spread.group);
    snprintf(label, sizeof label, "gap_backward_v%d", in.v);
    spec.source = "pool/pool.cl";
    spec.kernel = "gap_backward";
    spec.options = options;
    spec.label = label;
    return DD_ADD(list, device, &spec, DD_MEM(dy), DD_INT(in.n), DD_INT(spread.run), DD_INT(in.h * in.w), DD_INT(in.c),
                  DD_MEM(keep), DD_MEM(dx));
}
