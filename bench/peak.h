/* What the device can do at best, measured through OpenCL: benchmarks show their figures as fractions of it. */
#ifndef DD_BENCH_PEAK_H
#define DD_BENCH_PEAK_H

#include "rt/device.h"

struct dd_peak {
    double fma_gflops;    /* multiply-adds from registers, on all compute units; one counts 2 */
    double bandwidth_gbs; /* 1e9 bytes per second, read and written, of a stream far larger than caches */
};

/**
 * Measures both in about a second and keeps the better of what *peak holds (start with zeros) and what was found, so that
 * several calls see the device at its best. Takes and releases up to 512 MiB of device memory.
 */
dd_status dd_peak_measure(dd_device *device, struct dd_peak *peak);

#endif
