/* The device behind depthdrop/device.h: context, in-order queue, limits, live-object counts. */
#ifndef DD_RT_DEVICE_H
#define DD_RT_DEVICE_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <depthdrop/device.h>

#include "base/error.h"

struct dd_program_cache; /* rt/program.c: programs built in this process, by source and options */
struct dd_profile;       /* rt/profile.c: times of kernels */

struct dd_device {
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;      /* in order */
    cl_mem nothing;              /* a few bytes, bound where a kernel's optional buffer is absent */
    struct dd_device_info info;
    struct dd_program_cache *programs;
    struct dd_profile *profile;  /* NULL: kernels are not timed */
    char *cache_dir;             /* as given to dd_device_open, or NULL */
    uint64_t allocated_bytes, peak_bytes; /* live device memory from dd_buffer_create */
};

/** Floats of a native vector on a CPU, 1 elsewhere: the V that plans choose by themselves. */
static inline int dd_native_vector(const struct dd_device_info *info) {
    return info->type == DD_DEVICE_CPU ? (int)info->float_width : 1;
}

/** Name of an OpenCL error code, for messages. */
const char *dd_cl_error_name(cl_int code);

/**
 * Turns a failed OpenCL call into a status and a message "<what> failed: CL_... (-n); <advice>":
 * CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES and CL_OUT_OF_HOST_MEMORY give DD_ERROR_MEMORY,
 * everything else DD_ERROR_DEVICE. CL_SUCCESS gives DD_OK.
 */
dd_status dd_cl_check(cl_int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Waits for everything queued. */
dd_status dd_device_finish(dd_device *device);
dd_status dd_device_flush(dd_device *device);

/**
 * Live OpenCL objects made through src/rt (buffers, views, kernels, programs, events, queues, contexts): 0 after all is
 * closed.
 */
long dd_rt_live_objects(void);

/**
 * Test hook, compiled only with -DDD_TEST_HOOKS: the countdown-th enqueue or buffer creation from now (counted over the
 * process, 1 = next) fails with code. 0 switches it off. Also read once from the environment:
 * DD_TEST_FAIL_CALL="<countdown>:<code>".
 */
#ifdef DD_TEST_HOOKS
void dd_rt_inject_failure(long countdown, cl_int code);
#endif

#endif
