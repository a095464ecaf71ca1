#include "rt/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "rt/internal.h"

enum { PENDING = 4096 }; /* events between two looks at their times */

struct dd_profile {
    cl_command_queue plain; /* the device's own queue meanwhile */
    struct dd_profile_row *rows;
    size_t row_capacity;
    int row_count, pending_count;
    struct {
        cl_event event;
        int row;
    } pending[PENDING];
};

/** Index of the label's row, made if there is none; -1 without memory. */
static int find_row(struct dd_profile *profile, const char *label) {
    for (int i = 0; i < profile->row_count; i++)
        if (strcmp(profile->rows[i].label, label) == 0)
            return i;
    if (dd_grow(&profile->rows, &profile->row_capacity, (size_t)profile->row_count + 1, sizeof *profile->rows) != DD_OK)
        return -1;
    struct dd_profile_row *row = &profile->rows[profile->row_count];
    *row = (struct dd_profile_row){.launches = 0};
    snprintf(row->label, sizeof row->label, "%s", label);
    return profile->row_count++;
}

static void release(cl_event event) {
    clReleaseEvent(event);
    dd_rt_count(-1);
}

/** Books the times of all pending events, which are waited for, and releases them. */
static dd_status book(struct dd_profile *profile) {
    cl_int code = CL_SUCCESS;
    for (int i = 0; i < profile->pending_count; i++) {
        cl_ulong start = 0, end = 0;
        const cl_event event = profile->pending[i].event;
        if (code == CL_SUCCESS)
            code = clWaitForEvents(1, &event);
        if (code == CL_SUCCESS)
            code = clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_START, sizeof start, &start, NULL);
        if (code == CL_SUCCESS)
            code = clGetEventProfilingInfo(event, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL);
        release(event);
        profile->rows[profile->pending[i].row].launches++;
        profile->rows[profile->pending[i].row].ms += 1e-6 * (double)(end - start);
    }
    profile->pending_count = 0;
    return dd_cl_check(code, "reading the time of a kernel");
}

dd_status dd_profile_record(struct dd_profile *profile, const char *label, cl_event event) {
    dd_rt_count(1);
    const int row = find_row(profile, label);
    if (row < 0) {
        release(event);
        return dd_fail_memory("a profile", sizeof *profile->rows);
    }
    profile->pending[profile->pending_count].event = event;
    profile->pending[profile->pending_count++].row = row;
    return profile->pending_count == PENDING ? book(profile) : DD_OK;
}

dd_status dd_profile_start(dd_device *device) {
    cl_int code;
    DD_TRY(dd_device_finish(device));
    cl_command_queue queue = clCreateCommandQueue(device->context, device->id, CL_QUEUE_PROFILING_ENABLE, &code);
    if (queue == NULL)
        return dd_cl_check(code, "creating an OpenCL queue that measures times on %s", device->info.name);
    struct dd_profile *profile = dd_calloc(1, sizeof *profile);
    if (profile == NULL) {
        clReleaseCommandQueue(queue);
        return dd_fail_memory("a profile", sizeof *profile);
    }
    dd_rt_count(1);
    profile->plain = device->queue;
    device->queue = queue;
    device->profile = profile;
    return DD_OK;
}

static int by_time(const void *a, const void *b) {
    const struct dd_profile_row *x = a, *y = b;
    return (x->ms < y->ms) - (x->ms > y->ms);
}

dd_status dd_profile_stop(dd_device *device, struct dd_profile_row **rows, int *count) {
    struct dd_profile *profile = device->profile;
    *rows = NULL;
    *count = 0;
    if (profile == NULL)
        return dd_fail(DD_ERROR_INTERNAL, "no profile was started");
    dd_status status = dd_device_finish(device);
    if (status == DD_OK)
        status = book(profile);
    if (status == DD_OK) {
        *count = profile->row_count;
        *rows = profile->rows;
        profile->rows = NULL;
        if (*count > 0)
            qsort(*rows, (size_t)*count, sizeof **rows, by_time);
    }
    dd_profile_drop(device);
    return status;
}

void dd_profile_drop(dd_device *device) {
    struct dd_profile *profile = device->profile;
    if (profile == NULL)
        return;
    for (int i = 0; i < profile->pending_count; i++)
        release(profile->pending[i].event);
    clReleaseCommandQueue(device->queue);
    dd_rt_count(-1);
    device->queue = profile->plain;
    device->profile = NULL;
    free(profile->rows);
    free(profile);
}
