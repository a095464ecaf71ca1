/* Device buffers, views, transfers and events. All sizes and offsets in bytes. */
#include "rt/buffer.h"

#include <stdlib.h>

#include "base/log.h"
#include "rt/internal.h"
#include "rt/pages.h"

static const double MIB = 1024.0 * 1024.0;

enum { FILL_CHUNK = 1 << 30 }; /* fills of several GiB in one call are where drivers overflow 32 bits */

/** Queues zeros over [offset, offset + bytes); event (may be NULL) is that of the last piece. */
static cl_int fill_zero(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, cl_event *event) {
    static const cl_uint zero[4] = {0, 0, 0, 0};
    size_t pattern = (offset | bytes) % 16 == 0 ? 16 : (offset | bytes) % 4 == 0 ? 4 : 1;
    cl_int code = CL_SUCCESS;
    while (bytes && code == CL_SUCCESS) {
        size_t piece = bytes < FILL_CHUNK ? bytes : FILL_CHUNK;
        cl_event *last = piece == bytes ? event : NULL;
        code = dd_rt_injected();
        if (code == CL_SUCCESS)
            code = clEnqueueFillBuffer(device->queue, buffer, zero, pattern, offset, piece, 0, NULL, last);
        offset += piece;
        bytes -= piece;
    }
    if (code == CL_SUCCESS && event)
        dd_rt_count(1);
    return code;
}

static dd_status check_limits(const dd_device *device, size_t bytes, const char *what) {
    const struct dd_device_info *info = &device->info;
    if (bytes > info->max_alloc_bytes)
        return dd_fail(DD_ERROR_MEMORY,
                       "%s needs %.1f MiB (%zu bytes) in one buffer, but %s allows %.1f MiB (%llu bytes); use a "
                       "smaller --batch",
                       what, (double)bytes / MIB, bytes, info->name, (double)info->max_alloc_bytes / MIB,
                       (unsigned long long)info->max_alloc_bytes);
    if (device->allocated_bytes + bytes > info->global_bytes)
        return dd_fail(DD_ERROR_MEMORY,
                       "%s needs %.1f MiB beside the %.1f MiB allocated, but %s has %.1f MiB in all; use a smaller "
                       "--batch",
                       what, (double)bytes / MIB, (double)device->allocated_bytes / MIB, info->name,
                       (double)info->global_bytes / MIB);
    return DD_OK;
}

static void CL_CALLBACK free_pages(cl_mem buffer, void *pages) {
    (void)buffer;
    free(pages);
}

/** A buffer in huge pages of ours, which a CPU's driver uses where they are; NULL if that does not work here. */
static cl_mem create_in_pages(const dd_device *device, size_t bytes) {
    cl_int code = CL_INVALID_DEVICE_TYPE;
    void *pages = device->info.type == DD_DEVICE_CPU ? dd_huge_pages(bytes) : NULL;
    cl_mem buffer = NULL;
    if (pages != NULL)
        buffer = clCreateBuffer(device->context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, bytes, pages, &code);
    if (buffer != NULL) /* the driver lets go of the memory when it deletes the buffer, which may be later than its
                           release */
        code = clSetMemObjectDestructorCallback(buffer, free_pages, pages);
    if (code == CL_SUCCESS)
        return buffer;
    if (buffer != NULL)
        clReleaseMemObject(buffer);
    free(pages);
    return NULL;
}

dd_status dd_buffer_create(dd_device *device, size_t bytes, const char *what, cl_mem *buffer) {
    *buffer = NULL;
    if (bytes == 0 || bytes > SIZE_MAX - 16)
        return dd_fail(DD_ERROR_INTERNAL, "%s: a buffer of %zu bytes is asked for", what, bytes);
    bytes = (bytes + 15) / 16 * 16; /* so that it can be filled by whole vectors */
    DD_TRY(check_limits(device, bytes, what));
    cl_event filled = NULL;
    cl_int code = dd_rt_injected();
    if (code == CL_SUCCESS)
        *buffer = create_in_pages(device, bytes);
    if (code == CL_SUCCESS && *buffer == NULL)
        *buffer = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    if (code != CL_SUCCESS) {
        *buffer = NULL;
        return dd_cl_check(code, "allocating %.1f MiB on %s for %s", (double)bytes / MIB, device->info.name, what);
    }
    dd_rt_count(1);
    device->allocated_bytes += bytes;
    if (device->peak_bytes < device->allocated_bytes)
        device->peak_bytes = device->allocated_bytes;
    /* drivers allocate lazily: only the fill shows whether the memory is there */
    code = fill_zero(device, *buffer, 0, bytes, &filled);
    dd_status status = dd_cl_check(code, "filling %.1f MiB on %s for %s", (double)bytes / MIB, device->info.name, what);
    if (status == DD_OK)
        status = dd_event_wait(&filled, what);
    if (status != DD_OK)
        dd_buffer_release(device, buffer);
    return status;
}

dd_status dd_buffer_view(dd_device *device, cl_mem parent, size_t offset, size_t bytes, cl_mem *view) {
    *view = NULL;
    if (bytes == 0 || offset % device->info.base_align_bytes)
        return dd_fail(DD_ERROR_INTERNAL, "a view of %zu bytes at offset %zu is asked for; offsets are multiples of %u",
                       bytes, offset, (unsigned)device->info.base_align_bytes);
    cl_buffer_region region = {.origin = offset, .size = bytes};
    cl_int code = dd_rt_injected();
    if (code == CL_SUCCESS)
        *view = clCreateSubBuffer(parent, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    if (code != CL_SUCCESS) {
        *view = NULL;
        return dd_cl_check(code, "viewing %zu bytes at offset %zu of a buffer", bytes, offset);
    }
    dd_rt_count(1);
    return DD_OK;
}

void dd_buffer_release(dd_device *device, cl_mem *buffer) {
    if (!*buffer)
        return;
    cl_mem parent = NULL;
    size_t bytes = 0;
    cl_int code = clGetMemObjectInfo(*buffer, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof parent, &parent, NULL);
    if (code == CL_SUCCESS && !parent)
        code = clGetMemObjectInfo(*buffer, CL_MEM_SIZE, sizeof bytes, &bytes, NULL);
    if (code == CL_SUCCESS)
        code = clReleaseMemObject(*buffer);
    if (code != CL_SUCCESS)
        dd_warning("releasing a buffer: %s (%d)", dd_cl_error_name(code), (int)code);
    device->allocated_bytes -= bytes < device->allocated_bytes ? bytes : device->allocated_bytes;
    dd_rt_count(-1);
    *buffer = NULL;
}

static dd_status write_buffer(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, const void *source,
                              cl_bool blocking) {
    if (bytes == 0)
        return DD_OK;
    cl_int code = dd_rt_injected();
    if (code == CL_SUCCESS)
        code = clEnqueueWriteBuffer(device->queue, buffer, blocking, offset, bytes, source, 0, NULL, NULL);
    return dd_cl_check(code, "writing %zu bytes to %s", bytes, device->info.name);
}

static dd_status read_buffer(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, void *target,
                             cl_bool blocking, cl_event *event) {
    cl_int code = dd_rt_injected();
    if (code == CL_SUCCESS)
        code = clEnqueueReadBuffer(device->queue, buffer, blocking, offset, bytes, target, 0, NULL, event);
    if (code == CL_SUCCESS && event)
        dd_rt_count(1);
    return dd_cl_check(code, "reading %zu bytes from %s", bytes, device->info.name);
}

dd_status dd_buffer_write(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, const void *source) {
    return write_buffer(device, buffer, offset, bytes, source, CL_TRUE);
}

dd_status dd_buffer_read(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, void *target) {
    return bytes ? read_buffer(device, buffer, offset, bytes, target, CL_TRUE, NULL) : DD_OK;
}

dd_status dd_buffer_write_async(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, const void *source) {
    return write_buffer(device, buffer, offset, bytes, source, CL_FALSE);
}

dd_status dd_buffer_read_async(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, void *target,
                               cl_event *event) {
    if (event)
        *event = NULL;
    return read_buffer(device, buffer, offset, bytes, target, CL_FALSE, event);
}

dd_status dd_buffer_zero(dd_device *device, cl_mem buffer, size_t offset, size_t bytes) {
    cl_int code = fill_zero(device, buffer, offset, bytes, NULL);
    return dd_cl_check(code, "clearing %zu bytes on %s", bytes, device->info.name);
}

/** The command's own error where it has one, else that of the call. */
static dd_status event_status(cl_event event, const char *what, cl_int call_code, bool *complete) {
    cl_int state = CL_COMPLETE;
    cl_int code = clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL);
    *complete = code == CL_SUCCESS && state == CL_COMPLETE;
    if (code == CL_SUCCESS && state < 0)
        return dd_cl_check(state, "%s", what);
    return dd_cl_check(call_code != CL_SUCCESS ? call_code : code, "waiting for %s", what);
}

dd_status dd_event_wait(cl_event *event, const char *what) {
    bool complete;
    cl_int code = clWaitForEvents(1, event);
    dd_status status = event_status(*event, what, code, &complete);
    dd_event_release(event);
    return status;
}

dd_status dd_event_poll(cl_event event, const char *what, bool *complete) {
    return event_status(event, what, CL_SUCCESS, complete);
}

void dd_event_release(cl_event *event) {
    if (!*event)
        return;
    cl_int code = clReleaseEvent(*event);
    if (code != CL_SUCCESS)
        dd_warning("releasing an event: %s (%d)", dd_cl_error_name(code), (int)code);
    dd_rt_count(-1);
    *event = NULL;
}
