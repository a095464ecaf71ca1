/*
 * How kernels spread over a device, see spread.h. The constants were chosen for few launches of even length; results
 * never depend on them.
 */
#include "ops/spread.h"

enum {
    GPU_GROUP = 64,
    CPU_ITEMS_PER_UNIT = 8, /* work-items for each compute unit: evens out the end of a launch */
    CPU_FLOATS_LEAST = 1024 /* of a work-item: starting one costs about as much as this many floats */
};

int dd_group_size(const struct dd_device_info *info, int wanted) {
    int group = 1;
    if (info->type == DD_DEVICE_CPU)
        return 1;
    while (group * 2 <= wanted && (uint64_t)group * 2 <= info->max_work_group)
        group *= 2;
    return group;
}

struct dd_spread dd_spread_over(const struct dd_device_info *info, size_t length, int rows, int v) {
    struct dd_spread spread = {.group = dd_group_size(info, GPU_GROUP), .run = 1};
    if (info->type == DD_DEVICE_CPU) {
        size_t items = (size_t)CPU_ITEMS_PER_UNIT * (info->compute_units > 0 ? info->compute_units : 1);
        size_t run = (length * (size_t)rows + items - 1) / items;
        size_t least = (size_t)(CPU_FLOATS_LEAST / v);
        if (run < least)
            run = least;
        spread.run = (int)(run < length ? run : length);
    }
    return spread;
}

struct dd_kernel_spec dd_spread_spec(struct dd_spread spread, size_t length, int rows) {
    size_t items = (length + (size_t)spread.run - 1) / (size_t)spread.run;
    return (struct dd_kernel_spec){
        .dims = 2, .global = {items, (size_t)rows, 1}, .local = {(size_t)spread.group, 1, 1}};
}
