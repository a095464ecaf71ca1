/*
 * The device's peaks (cl/bench/peak.cl). A CPU gets one work-item per work-group, at its native vector width, any other
 * device scalar work-items in groups of 64.
 */
#include "bench/peak.h"

#include <stdio.h>

#include "base/file.h"
#include "rt/buffer.h"
#include "rt/launch.h"

enum {
    ACCUMULATORS = 12,
    RUNS = 12,              /* timed launches; the best counts */
    CPU_ITEMS_PER_UNIT = 8, /* several, so that a worker that is late has less to do */
    GPU_ITEMS_PER_UNIT = 2048,
    GPU_GROUP = 64
};
static const double least_s = 0.02; /* length of a timed launch: its start is lost in it */
static const size_t stream_bytes = (size_t)256 << 20;

/* How the kernels run on the device. */
struct shape {
    int v;
    size_t items, group;
    char options[64];
};

static struct shape shape_for(const struct dd_device_info *info) {
    struct shape shape = {.v = dd_native_vector(info)};
    const bool single = info->type == DD_DEVICE_CPU;
    const size_t units = info->compute_units > 0 ? info->compute_units : 1;
    shape.items = units * (single ? CPU_ITEMS_PER_UNIT : GPU_ITEMS_PER_UNIT);
    shape.group = single ? 1 : GPU_GROUP;
    if (shape.group > info->max_work_group)
        shape.group = (size_t)info->max_work_group;
    snprintf(shape.options, sizeof shape.options, "-DV=%d -DACCUMULATORS=%d%s", shape.v, ACCUMULATORS,
             single ? " -DSINGLE" : "");
    return shape;
}

static struct dd_kernel_spec spec_of(const struct shape *shape, const char *kernel) {
    return (struct dd_kernel_spec){.source = "bench/peak.cl",
                                   .kernel = kernel,
                                   .options = shape->options,
                                   .label = kernel,
                                   .dims = 1,
                                   .global = {shape->items},
                                   .local = {shape->group}};
}

/* Seconds of one run of the list. */
static dd_status time_launch(dd_device *device, const struct dd_launches *list, double *seconds) {
    const double start = dd_now();
    DD_TRY(dd_launches_enqueue(device, list));
    DD_TRY(dd_device_finish(device));
    *seconds = dd_now() - start;
    return DD_OK;
}

static dd_status best_of(dd_device *device, const struct dd_launches *list, double *best) {
    *best = 0;
    for (int run = 0; run < RUNS; run++) {
        double seconds;
        DD_TRY(time_launch(device, list, &seconds));
        if (run == 0 || seconds < *best)
            *best = seconds;
    }
    return DD_OK;
}

dd_status dd_fma_probe_create(dd_device *device, struct dd_fma_probe *probe) {
    const struct shape shape = shape_for(&device->info);
    const struct dd_kernel_spec spec = spec_of(&shape, "peak_fma");
    int repeats = 256;
    double seconds;
    *probe = (struct dd_fma_probe){0};
    DD_TRY(dd_buffer_create(device, shape.items * (size_t)shape.v * sizeof(float), "peak measurement", &probe->out));
    DD_TRY(DD_ADD(&probe->list, device, &spec, DD_MEM(probe->out), DD_FLOAT(0.5f), DD_FLOAT(1.0f), DD_INT(repeats)));
    DD_TRY(time_launch(device, &probe->list, &seconds)); /* the driver may compile now */
    for (;;) {
        DD_TRY(time_launch(device, &probe->list, &seconds));
        if (seconds >= least_s || repeats >= 1 << 26)
            break;
        repeats *= 2;
        DD_TRY(dd_launch_set(device, &probe->list.at[0], 3, DD_INT(repeats)));
    }
    probe->operations = 2e-9 * (double)shape.items * shape.v * ACCUMULATORS * repeats;
    return DD_OK;
}

dd_status dd_fma_probe_run(dd_device *device, struct dd_fma_probe *probe, double *gflops) {
    double seconds;
    DD_TRY(dd_device_finish(device));
    DD_TRY(time_launch(device, &probe->list, &seconds));
    *gflops = probe->operations / seconds;
    return DD_OK;
}

void dd_fma_probe_release(dd_device *device, struct dd_fma_probe *probe) {
    dd_launches_clear(&probe->list);
    dd_buffer_release(device, &probe->out);
}

static dd_status measure_fma(dd_device *device, double *gflops) {
    struct dd_fma_probe probe;
    double seconds;
    dd_status status;
    DD_GOTO(status, done, dd_fma_probe_create(device, &probe));
    DD_GOTO(status, done, best_of(device, &probe.list, &seconds));
    *gflops = probe.operations / seconds;
done:
    dd_fma_probe_release(device, &probe);
    return status;
}

/* Bytes of one of the stream's two buffers: a whole number of vectors for every work-item. */
static size_t stream_size(const struct dd_device_info *info, const struct shape *shape) {
    const size_t granule = shape->items * (size_t)shape->v * sizeof(float);
    size_t bytes = stream_bytes;
    if (bytes > info->max_alloc_bytes)
        bytes = (size_t)info->max_alloc_bytes;
    if (bytes > info->global_bytes / 8)
        bytes = (size_t)(info->global_bytes / 8);
    return bytes < granule ? granule : bytes / granule * granule;
}

static dd_status measure_stream(dd_device *device, const struct shape *shape, double *gbs) {
    const size_t bytes = stream_size(&device->info, shape),
                 count = bytes / (shape->items * (size_t)shape->v * sizeof(float));
    const bool runs_of_own = shape->group == 1;
    struct dd_launches list = {0};
    cl_mem x = NULL, y = NULL;
    dd_status status;
    double seconds;
    DD_GOTO(status, done, dd_buffer_create(device, bytes, "bandwidth measurement", &x));
    DD_GOTO(status, done, dd_buffer_create(device, bytes, "bandwidth measurement", &y));
    const struct dd_kernel_spec spec = spec_of(shape, "peak_stream");
    DD_GOTO(status, done,
            DD_ADD(&list, device, &spec, DD_MEM(x), DD_MEM(y), DD_FLOAT(1.0f), DD_INT(count),
                   DD_INT(runs_of_own ? count : 1), DD_INT(runs_of_own ? 1 : shape->items)));
    DD_GOTO(status, done, time_launch(device, &list, &seconds));
    DD_GOTO(status, done, best_of(device, &list, &seconds));
    *gbs = 2e-9 * (double)bytes / seconds;
done:
    dd_launches_clear(&list);
    dd_buffer_release(device, &x);
    dd_buffer_release(device, &y);
    return status;
}

dd_status dd_peak_measure(dd_device *device, struct dd_peak *peak) {
    const struct shape shape = shape_for(&device->info);
    double gflops = 0, gbs = 0;
    DD_TRY(measure_fma(device, &gflops));
    DD_TRY(measure_stream(device, &shape, &gbs));
    if (gflops > peak->fma_gflops)
        peak->fma_gflops = gflops;
    if (gbs > peak->bandwidth_gbs)
        peak->bandwidth_gbs = gbs;
    return DD_OK;
}
