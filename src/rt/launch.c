/* Ready launches: kernels with their arguments, and library calls, enqueued in order. */
#include "rt/launch.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/integer.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/internal.h"
#include "rt/profile.h"

static atomic_uint_fast64_t launch_count;

uint64_t dd_launch_count(void) {
    return atomic_load(&launch_count);
}

static dd_status set_arg(dd_device *device, const struct dd_launch *launch, int index, struct dd_arg arg) {
    cl_int code = CL_INVALID_VALUE;
    cl_mem mem;
    switch (arg.kind) {
    case DD_ARG_MEM:
        mem = arg.as.mem ? arg.as.mem : device->nothing;
        code = clSetKernelArg(launch->kernel, (cl_uint)index, sizeof mem, &mem);
        break;
    case DD_ARG_INT:
        code = clSetKernelArg(launch->kernel, (cl_uint)index, sizeof arg.as.i, &arg.as.i);
        break;
    case DD_ARG_FLOAT:
        code = clSetKernelArg(launch->kernel, (cl_uint)index, sizeof arg.as.f, &arg.as.f);
        break;
    }
    return dd_cl_check(code, "setting argument %d of %s", index, launch->label);
}

static dd_status set_args(dd_device *device, struct dd_launch *launch, const struct dd_arg *args, int count) {
    cl_uint wanted = 0;
    DD_TRY(dd_cl_check(clGetKernelInfo(launch->kernel, CL_KERNEL_NUM_ARGS, sizeof wanted, &wanted, NULL),
                       "asking for the arguments of %s", launch->label));
    if (wanted != (cl_uint)count)
        return dd_fail(DD_ERROR_INTERNAL, "%s takes %u arguments, %d are given", launch->label, (unsigned)wanted,
                       count);
    launch->buffers = dd_calloc((size_t)count, sizeof *launch->buffers);
    if (launch->buffers == NULL)
        return dd_fail_memory("a kernel's arguments", (size_t)count * sizeof *launch->buffers);
    launch->arguments = count;
    for (int i = 0; i < count; i++) {
        DD_TRY(set_arg(device, launch, i, args[i]));
        launch->buffers[i] = args[i].kind == DD_ARG_MEM ? args[i].as.mem : NULL;
    }
    return DD_OK;
}

/** Work-items that one group of the kernel may have. */
static dd_status group_limit(const dd_device *device, const struct dd_launch *launch, size_t *limit) {
    *limit = 0;
    cl_int code =
        clGetKernelWorkGroupInfo(launch->kernel, device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof *limit, limit, NULL);
    DD_TRY(dd_cl_check(code, "asking for the work-group limit of %s", launch->label));
    /* rusticl of Mesa 22.3 answers with its SIMD width, but runs groups up to the device's limit */
    if (!strcmp(device->info.platform_name, "rusticl") && *limit < device->info.max_work_group)
        *limit = (size_t)device->info.max_work_group;
    return DD_OK;
}

/** Work-items in a group against the kernel's limit on this device, and its local memory. */
static dd_status check_group(const dd_device *device, const struct dd_launch *launch) {
    size_t limit = 0, items = 1;
    cl_ulong local = 0;
    DD_TRY(group_limit(device, launch, &limit));
    cl_int code =
        clGetKernelWorkGroupInfo(launch->kernel, device->id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    DD_TRY(dd_cl_check(code, "asking for the local memory of %s", launch->label));
    for (cl_uint i = 0; launch->has_local && i < launch->dims; i++)
        items *= launch->local[i];
    if (items > limit)
        return dd_fail(DD_ERROR_DEVICE, "%s runs in work-groups of %zu, but %s allows %zu for this kernel",
                       launch->label, items, device->info.name, limit);
    if (local > device->info.local_bytes)
        return dd_fail(DD_ERROR_DEVICE, "%s needs %llu bytes of local memory, but %s has %llu", launch->label,
                       (unsigned long long)local, device->info.name, (unsigned long long)device->info.local_bytes);
    return DD_OK;
}

/** Copies the range; global is rounded up to whole groups. */
static dd_status set_range(struct dd_launch *launch, const struct dd_kernel_spec *spec) {
    if (spec->dims < 1 || spec->dims > 3)
        return dd_fail(DD_ERROR_INTERNAL, "%s has %d dimensions", launch->label, spec->dims);
    launch->dims = (cl_uint)spec->dims;
    launch->has_local = spec->local[0] != 0;
    for (int i = 0; i < spec->dims; i++) {
        if (spec->global[i] == 0 || (spec->local[i] != 0) != launch->has_local)
            return dd_fail(DD_ERROR_INTERNAL, "%s has a global size of %zu and a local size of %zu in dimension %d",
                           launch->label, spec->global[i], spec->local[i], i);
        launch->local[i] = spec->local[i];
        launch->global[i] = spec->global[i];
        if (launch->has_local)
            launch->global[i] = dd_round_up(spec->global[i], spec->local[i]);
    }
    return DD_OK;
}

static void clear_launch(struct dd_launch *launch) {
    if (launch->kernel) {
        cl_int code = clReleaseKernel(launch->kernel);
        if (code != CL_SUCCESS)
            dd_warning("releasing the kernel of %s: %s (%d)", launch->label, dd_cl_error_name(code), (int)code);
        dd_rt_count(-1);
        free(launch->buffers);
    } else if (launch->call.destroy) {
        launch->call.destroy(launch->call.context);
    }
    *launch = (struct dd_launch){.kernel = NULL};
}

dd_status dd_launches_add(struct dd_launches *list, dd_device *device, const struct dd_kernel_spec *spec,
                          const struct dd_arg *args, int count) {
    struct dd_launch launch = {.kernel = NULL};
    cl_program program;
    dd_status status;
    cl_int code;
    snprintf(launch.label, sizeof launch.label, "%s", spec->label ? spec->label : spec->kernel);
    DD_TRY(set_range(&launch, spec));
    DD_TRY(dd_grow(&list->at, &list->capacity, (size_t)list->count + 1, sizeof *list->at));
    DD_TRY(dd_program_build(device, spec->source, spec->options, &program));
    launch.kernel = clCreateKernel(program, spec->kernel, &code);
    if (!launch.kernel)
        return dd_cl_check(code, "creating the kernel %s of %s", spec->kernel, spec->source);
    dd_rt_count(1);
    DD_GOTO(status, error, set_args(device, &launch, args, count));
    DD_GOTO(status, error, check_group(device, &launch));
    list->at[list->count++] = launch;
    return DD_OK;
error:
    clear_launch(&launch);
    return status;
}

dd_status dd_launches_add_call(struct dd_launches *list, const struct dd_call *call) {
    dd_status status = dd_grow(&list->at, &list->capacity, (size_t)list->count + 1, sizeof *list->at);
    if (status != DD_OK) {
        if (call->destroy)
            call->destroy(call->context);
        return status;
    }
    struct dd_launch *launch = &list->at[list->count++];
    *launch = (struct dd_launch){.call = *call};
    snprintf(launch->label, sizeof launch->label, "%s", call->label);
    launch->call.label = NULL; /* the caller's string may go; the copy stays */
    return DD_OK;
}

dd_status dd_launch_set(dd_device *device, struct dd_launch *launch, int index, struct dd_arg arg) {
    if (!launch->kernel)
        return dd_fail(DD_ERROR_INTERNAL, "%s is a library call and has no kernel arguments", launch->label);
    return set_arg(device, launch, index, arg);
}

bool dd_launches_rebindable(const struct dd_launches *list, cl_mem buffer) {
    for (int i = 0; i < list->count; i++)
        for (int k = 0; list->at[i].kernel == NULL && list->at[i].call.uses[k] != NULL; k++)
            if (list->at[i].call.uses[k] == buffer)
                return false;
    return true;
}

dd_status dd_launches_rebind(dd_device *device, struct dd_launches *list, cl_mem from, cl_mem to) {
    for (int i = 0; i < list->count; i++) {
        struct dd_launch *launch = &list->at[i];
        for (int k = 0; launch->kernel != NULL && k < launch->arguments; k++) {
            if (launch->buffers[k] != from)
                continue;
            DD_TRY(set_arg(device, launch, k, DD_MEM(to)));
            launch->buffers[k] = to;
        }
    }
    return DD_OK;
}

static dd_status enqueue_kernel(dd_device *device, const struct dd_launch *launch) {
    cl_int code = dd_rt_injected();
    cl_event event = NULL;
    if (code == CL_SUCCESS)
        code = clEnqueueNDRangeKernel(device->queue, launch->kernel, launch->dims, NULL, launch->global,
                                      launch->has_local ? launch->local : NULL, 0, NULL,
                                      device->profile != NULL ? &event : NULL);
    if (code != CL_SUCCESS)
        return dd_cl_check(code, "enqueueing %s", launch->label);
    return device->profile != NULL ? dd_profile_record(device->profile, launch->label, event) : DD_OK;
}

static dd_status enqueue_call(dd_device *device, const struct dd_launch *launch) {
    DD_TRY(dd_cl_check(dd_rt_injected(), "enqueueing %s", launch->label));
    dd_status status = launch->call.run(device, launch->call.context);
    return status == DD_OK ? DD_OK : dd_fail_prefix(status, "%s", launch->label);
}

dd_status dd_launches_enqueue(dd_device *device, const struct dd_launches *list) {
    for (int i = 0; i < list->count; i++) {
        const struct dd_launch *launch = &list->at[i];
        DD_TRY(launch->kernel ? enqueue_kernel(device, launch) : enqueue_call(device, launch));
        atomic_fetch_add_explicit(&launch_count, 1, memory_order_relaxed);
    }
    return DD_OK;
}

void dd_launches_clear(struct dd_launches *list) {
    for (int i = 0; i < list->count; i++)
        clear_launch(&list->at[i]);
    free(list->at);
    *list = (struct dd_launches){.at = NULL};
}
