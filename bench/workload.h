/* A network with random images on a device, ready for timed training steps. */
#ifndef DD_BENCH_WORKLOAD_H
#define DD_BENCH_WORKLOAD_H

#include <depthdrop/gate.h>

#include "bench/bench.h"
#include "plan/plan.h"

enum dd_phase { DD_PHASE_FORWARD, DD_PHASE_BACKWARD, DD_PHASE_UPDATE, DD_PHASES };

struct dd_workload {
    const struct dd_bench_options *options;
    dd_net *net;
    double dropout, unit_dropout; /* 0 unless set before dd_workload_bind */
    struct dd_images images;      /* and samples: from dd_workload_bind on */
    struct dd_sample *samples;
    dd_device *device; /* the caller's */
    dd_plan *plan;
};

/** --vector as a number, 0 for auto; --batch, --iterations, --warmup checked. DD_ERROR_USAGE. */
dd_status dd_workload_check(const struct dd_bench_options *options, int *vector);

/** Opens the device and lets its self-test run if it has to. Closed by dd_workload_close_device. */
dd_status dd_workload_open_device(const struct dd_bench_options *options, dd_device **device);
void dd_workload_close_device(dd_device **device);

/** The network, without a device: finds usage errors. Released by dd_workload_finish, also after a failure. */
dd_status dd_workload_init(const struct dd_bench_options *options, const char *shortcut, struct dd_workload *workload);
/** The plan, with weights and images on the device. */
dd_status dd_workload_bind(struct dd_workload *workload, dd_device *device);
void dd_workload_finish(struct dd_workload *workload);

struct dd_phase_times {
    double ms[DD_PHASES];
    uint64_t launches[DD_PHASES]; /* kernels and library calls enqueued */
};

/**
 * One step, the queue finished at the borders of its phases. gates [units]. The update has rate 0: the same work, and
 * the weights stay sane. The step begins with the images' augmentation, which belongs to the forward phase.
 */
dd_status dd_workload_phases(struct dd_workload *workload, const unsigned char *gates, struct dd_phase_times *times);

/** One step in one go: until it is complete, and of that the time in the calls that enqueue. */
dd_status dd_workload_step(struct dd_workload *workload, const unsigned char *gates, double *step_ms,
                           double *enqueue_ms);

#endif
