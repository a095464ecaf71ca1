/* What the device can do at best, measured through OpenCL: benchmarks show their figures as fractions of it. */
#ifndef DD_BENCH_PEAK_H
#define DD_BENCH_PEAK_H

#include "rt/launch.h"

struct dd_peak {
    double fma_gflops;    /* multiply-adds from registers, on all compute units; one counts 2 */
    double bandwidth_gbs; /* 1e9 bytes per second, read and written, of a stream far larger than caches */
};

/**
 * Measures both in about a second and keeps the better of what *peak holds (start with zeros) and what was found, so
 * that several calls see the device at its best. Takes and releases up to 512 MiB of device memory.
 */
dd_status dd_peak_measure(dd_device *device, struct dd_peak *peak);

/* The first of these figures again and again, beside something else: a shared machine is now faster, now slower. */
struct dd_fma_probe {
    struct dd_launches list;
    cl_mem out;
    double operations; /* of a run, in 1e9 */
};
/** Finds how much work makes a run of 20 to 40 ms. Release the probe after a failure, too. */
dd_status dd_fma_probe_create(dd_device *device, struct dd_fma_probe *probe);
/** *gflops: of one run, as dd_peak's. Waits for what was queued before. */
dd_status dd_fma_probe_run(dd_device *device, struct dd_fma_probe *probe, double *gflops);
void dd_fma_probe_release(dd_device *device, struct dd_fma_probe *probe);

#endif
