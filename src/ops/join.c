/* Residual add with ReLU, its reductions, and the subsampling shortcut: launches of cl/point/join*.cl. */
#include <stdio.h>

#include "ops/join.h"
#include "ops/spread.h"

enum { SUMS_GROUP = 128 }; /* work-items of a reducing group on a GPU */

static const char *const shortcut_names[] = {"none", "identity", "subsample", "affine"};

dd_status dd_join_forward(dd_device *device, const struct dd_join *join, cl_mem o, struct dd_launches *list) {
    char options[128], label[64];
    const struct dd_shape out = join->out, x = join->kind == DD_JOIN_SUBSAMPLE ? join->x_shape : join->out;
    const int pixels = (int)dd_shape_pixels(out), blocks = dd_shape_blocks(out);
    bool relu = join->kind == DD_JOIN_AFFINE && join->shortcut.relu;
    struct dd_spread spread = dd_spread_over(&device->info, (size_t)pixels, blocks, out.v);
    struct dd_kernel_spec spec = dd_spread_spec(spread, (size_t)pixels, blocks);
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d -DMAIN=%d -DSHORTCUT=%d", out.v, spread.group,
             join->main != NULL, (int)join->kind);
    snprintf(label, sizeof label, "join_forward_%s%s%s_v%d", shortcut_names[join->kind], relu ? "_relu" : "",
             join->main ? "" : "_alone", out.v);
    spec.source = "point/join.cl";
    spec.kernel = "join_forward";
    spec.options = options;
    spec.label = label;
    return DD_ADD(list, device, &spec, DD_MEM(join->main), DD_AFFINE_ARGS(&join->main_affine), DD_MEM(join->x),
                  DD_AFFINE_ARGS(&join->shortcut), DD_INT(relu), DD_INT(pixels), DD_INT(spread.run), DD_INT(out.h),
                  DD_INT(out.w), DD_INT(dd_shape_blocks(x)), DD_INT(x.h), DD_INT(x.w), DD_INT(join->stride), DD_MEM(o));
}

dd_status dd_join_backward(dd_device *device, struct dd_shape out, cl_mem g, const struct dd_join_sums *main,
                           const struct dd_join_sums *side, struct dd_launches *list) {
    char options[96], label[64];
    const int kind = side->z == NULL ? 0 : side->relu.relu ? 2 : 1;
    const int slices = main->z != NULL ? main->partials.slices : side->partials.slices;
    const int group = dd_group_size(&device->info, SUMS_GROUP);
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d -DMAIN=%d -DSIDE=%d", out.v, group, main->z != NULL, kind);
    snprintf(label, sizeof label, "join_backward%s%s_v%d", main->z != NULL ? "_main" : "", kind ? "_side" : "", out.v);
    const struct dd_kernel_spec spec = {.source = "point/join_bwd.cl",
                                        .kernel = "join_backward",
                                        .options = options,
                                        .label = label,
                                        .dims = 3,
                                        .global = {(size_t)group, (size_t)dd_shape_blocks(out), (size_t)slices},
                                        .local = {(size_t)group, 1, 1}};
    return DD_ADD(list, device, &spec, DD_MEM(g), DD_MEM(main->z), DD_MEM(main->mean), DD_MEM(main->partials.sums),
                  DD_MEM(side->z), DD_MEM(side->mean), DD_AFFINE_ARGS(&side->relu), DD_MEM(side->partials.sums),
                  DD_INT(dd_shape_pixels(out)), DD_INT(slices));
}

dd_status dd_join_expand(dd_device *device, struct dd_shape in, struct dd_shape out, int stride, cl_mem g, cl_mem keep,
                         bool spaced, cl_mem dx, struct dd_launches *list) {
    char options[64], label[64];
    const int rows = in.n * in.h, blocks = dd_shape_blocks(in);
    struct dd_spread spread = dd_spread_over(&device->info, (size_t)rows, blocks, in.v * in.w);
    struct dd_kernel_spec spec = dd_spread_spec(spread, (size_t)rows, blocks);
    snprintf(options, sizeof options, "-DV=%d -DGROUP=%d -DKEEP=%d -DSPACED=%d", in.v, spread.group, keep != NULL,
             spaced);
    snprintf(label, sizeof label, "join_expand_v%d", in.v);
    spec.source = "point/join.cl";
    spec.kernel = "join_expand";
    spec.options = options;
    spec.label = label;
    return DD_ADD(list, device, &spec, DD_MEM(g), DD_INT(rows), DD_INT(spread.run), DD_INT(in.c), DD_INT(in.h),
                  DD_INT(in.w), DD_INT(out.h), DD_INT(out.w), DD_INT(stride), DD_MEM(keep), DD_MEM(dx));
}
