/*
 * Times of kernels by events, for `bench step --profile`. Events slow a CPU driver's queue a little, so nothing else is
 * measured while they are on.
 */
#ifndef DD_RT_PROFILE_H
#define DD_RT_PROFILE_H

#include <stdint.h>

#include "rt/device.h"

/** All launches with one label. */
struct dd_profile_row {
    char label[64];
    int64_t launches;
    double ms; /* from start to end, summed */
};

struct dd_profile; /* rt/profile.c */

/** Finishes the queue and goes on with one that times every kernel enqueued by dd_launches_enqueue. Library calls are
 * not seen. DD_ERROR_DEVICE if the driver has no such queue. */
dd_status dd_profile_start(dd_device *device);

/**
 * Finishes the queue, returns to an ordinary one and gives the rows, the longest first: *rows [*count], freed by
 * free().
 */
dd_status dd_profile_stop(dd_device *device, struct dd_profile_row **rows, int *count);

/** Drops what was recorded; also without a start. For dd_device_close. */
void dd_profile_drop(dd_device *device);

/** Takes over the event of an enqueued kernel. */
dd_status dd_profile_record(struct dd_profile *profile, const char *label, cl_event event);

#endif
