/* OpenCL error codes as messages, the count of live objects, and the failure hook of the test build. */
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "rt/internal.h"

static const struct {
    cl_int code;
    const char *name;
} error_names[] = {
    {0, "CL_SUCCESS"},
    {-1, "CL_DEVICE_NOT_FOUND"},
    {-2, "CL_DEVICE_NOT_AVAILABLE"},
    {-3, "CL_COMPILER_NOT_AVAILABLE"},
    {-4, "CL_MEM_OBJECT_ALLOCATION_FAILURE"},
    {-5, "CL_OUT_OF_RESOURCES"},
    {-6, "CL_OUT_OF_HOST_MEMORY"},
    {-7, "CL_PROFILING_INFO_NOT_AVAILABLE"},
    {-8, "CL_MEM_COPY_OVERLAP"},
    {-9, "CL_IMAGE_FORMAT_MISMATCH"},
    {-10, "CL_IMAGE_FORMAT_NOT_SUPPORTED"},
    {-11, "CL_BUILD_PROGRAM_FAILURE"},
    {-12, "CL_MAP_FAILURE"},
    {-13, "CL_MISALIGNED_SUB_BUFFER_OFFSET"},
    {-14, "CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST"},
    {-15, "CL_COMPILE_PROGRAM_FAILURE"},
    {-16, "CL_LINKER_NOT_AVAILABLE"},
    {-17, "CL_LINK_PROGRAM_FAILURE"},
    {-18, "CL_DEVICE_PARTITION_FAILED"},
    {-19, "CL_KERNEL_ARG_INFO_NOT_AVAILABLE"},
    {-30, "CL_INVALID_VALUE"},
    {-31, "CL_INVALID_DEVICE_TYPE"},
    {-32, "CL_INVALID_PLATFORM"},
    {-33, "CL_INVALID_DEVICE"},
    {-34, "CL_INVALID_CONTEXT"},
    {-35, "CL_INVALID_QUEUE_PROPERTIES"},
    {-36, "CL_INVALID_COMMAND_QUEUE"},
    {-37, "CL_INVALID_HOST_PTR"},
    {-38, "CL_INVALID_MEM_OBJECT"},
    {-42, "CL_INVALID_BINARY"},
    {-43, "CL_INVALID_BUILD_OPTIONS"},
    {-44, "CL_INVALID_PROGRAM"},
    {-45, "CL_INVALID_PROGRAM_EXECUTABLE"},
    {-46, "CL_INVALID_KERNEL_NAME"},
    {-47, "CL_INVALID_KERNEL_DEFINITION"},
    {-48, "CL_INVALID_KERNEL"},
    {-49, "CL_INVALID_ARG_INDEX"},
    {-50, "CL_INVALID_ARG_VALUE"},
    {-51, "CL_INVALID_ARG_SIZE"},
    {-52, "CL_INVALID_KERNEL_ARGS"},
    {-53, "CL_INVALID_WORK_DIMENSION"},
    {-54, "CL_INVALID_WORK_GROUP_SIZE"},
    {-55, "CL_INVALID_WORK_ITEM_SIZE"},
    {-56, "CL_INVALID_GLOBAL_OFFSET"},
    {-57, "CL_INVALID_EVENT_WAIT_LIST"},
    {-58, "CL_INVALID_EVENT"},
    {-59, "CL_INVALID_OPERATION"},
    {-61, "CL_INVALID_BUFFER_SIZE"},
    {-63, "CL_INVALID_GLOBAL_WORK_SIZE"},
    {-64, "CL_INVALID_PROPERTY"},
    {-66, "CL_INVALID_COMPILER_OPTIONS"},
    {-67, "CL_INVALID_LINKER_OPTIONS"},
    {-1001, "CL_PLATFORM_NOT_FOUND_KHR"},
    {-9999, "CL_OUT_OF_BOUNDS_NV"}, /* NVIDIA: a kernel read or wrote outside its buffers */
};

const char *dd_cl_error_name(cl_int code) {
    for (size_t i = 0; i < sizeof error_names / sizeof *error_names; i++)
        if (error_names[i].code == code)
            return error_names[i].name;
    return "an unknown OpenCL error";
}

static bool is_memory_error(cl_int code) {
    return code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES || code == CL_OUT_OF_HOST_MEMORY;
}

static const char *advice(cl_int code) {
    switch (code) {
    case CL_MEM_OBJECT_ALLOCATION_FAILURE:
        return "the device is out of memory: use a smaller --batch";
    case CL_OUT_OF_RESOURCES:
        return "the device is out of memory or other resources: use a smaller --batch, close other programs on it";
    case CL_OUT_OF_HOST_MEMORY:
        return "the machine is out of memory: use a smaller --batch";
    case CL_COMPILER_NOT_AVAILABLE:
        return "the driver has no compiler: install the vendor's full OpenCL driver";
    case CL_DEVICE_NOT_AVAILABLE:
        return "another program may hold the device; see `depthdrop devices` for others";
    default:
        return "the driver or this program is at fault: `depthdrop selftest` checks the device";
    }
}

dd_status dd_cl_check(cl_int code, const char *format, ...) {
    if (code == CL_SUCCESS)
        return DD_OK;
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return dd_fail(is_memory_error(code) ? DD_ERROR_MEMORY : DD_ERROR_DEVICE, "%s failed: %s (%d); %s", what,
                   dd_cl_error_name(code), (int)code, advice(code));
}

static atomic_long live_objects;

long dd_rt_live_objects(void) {
    return atomic_load(&live_objects);
}

void dd_rt_count(long change) {
    atomic_fetch_add(&live_objects, change);
}

#ifdef DD_TEST_HOOKS
static atomic_long fail_countdown; /* 0: off */
static atomic_int fail_code;
static atomic_int environment_read;

void dd_rt_inject_failure(long countdown, cl_int code) {
    atomic_store(&environment_read, 1); /* what a test asks for comes before the environment */
    atomic_store(&fail_code, code);
    atomic_store(&fail_countdown, countdown);
}

cl_int dd_rt_injected(void) {
    if (!atomic_exchange(&environment_read, 1)) {
        const char *text = getenv("DD_TEST_FAIL_CALL");
        long countdown;
        int code;
        if (text && sscanf(text, "%ld:%d", &countdown, &code) == 2)
            dd_rt_inject_failure(countdown, code);
    }
    long before = atomic_load(&fail_countdown);
    while (before > 0)
        if (atomic_compare_exchange_weak(&fail_countdown, &before, before - 1))
            return before == 1 ? atomic_load(&fail_code) : CL_SUCCESS;
    return CL_SUCCESS;
}
#endif
