/* An open device: context, queue, the placeholder buffer. */
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "rt/buffer.h"
#include "rt/internal.h"
#include "rt/profile.h"

void dd_device_options_default(struct dd_device_options *options) {
    *options = (struct dd_device_options){0};
}

static dd_status open_queue(dd_device *device) {
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
    cl_int code;
    device->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
    if (!device->context)
        return dd_cl_check(code, "creating an OpenCL context on %s", device->info.name);
    dd_rt_count(1);
    device->queue = clCreateCommandQueue(device->context, device->id, 0, &code);
    if (!device->queue)
        return dd_cl_check(code, "creating an OpenCL queue on %s", device->info.name);
    dd_rt_count(1);
    return DD_OK;
}

static dd_status find_device(const struct dd_device_options *options, const struct dd_entry *entries, int count,
                             int *index) {
    *index = -1;
    if (!options->selector && options->name && options->platform_name)
        DD_TRY(dd_entries_select_named(entries, count, options->name, options->platform_name, index));
    return *index >= 0 ? DD_OK : dd_entries_select(entries, count, options->selector, index);
}

dd_status dd_device_open(const struct dd_device_options *options, dd_device **device) {
    struct dd_device_options defaults;
    struct dd_entry *entries = NULL;
    dd_device *opened = NULL;
    int count, index;
    dd_status status;
    *device = NULL;
    dd_device_options_default(&defaults);
    if (!options)
        options = &defaults;
    DD_GOTO(status, error, dd_entries_find(options->cache_dir, options->threads, &entries, &count));
    DD_GOTO(status, error, find_device(options, entries, count, &index));
    opened = dd_calloc(1, sizeof *opened);
    if (!opened)
        DD_GOTO(status, error, dd_fail_memory("device", sizeof *opened));
    opened->info = entries[index].info;
    opened->platform = entries[index].platform;
    opened->id = entries[index].id;
    opened->cache_dir = dd_strdup(options->cache_dir);
    if (options->cache_dir && !opened->cache_dir)
        DD_GOTO(status, error, dd_fail_memory("device", sizeof *opened));
    DD_GOTO(status, error, dd_program_cache_create(&opened->programs));
    DD_GOTO(status, error, open_queue(opened));
    DD_GOTO(status, error, dd_buffer_create(opened, opened->info.base_align_bytes, "placeholder", &opened->nothing));
    dd_debug("device %d: %s (%s, driver %s)", opened->info.index, opened->info.name, opened->info.platform_name,
             opened->info.driver);
    *device = opened;
    opened = NULL;
error:
    free(entries);
    dd_device_close(&opened);
    return status;
}

/** At closing there is nobody to tell but the log. */
static void check_closing(cl_int code, const char *what) {
    if (code != CL_SUCCESS)
        dd_warning("%s: %s (%d)", what, dd_cl_error_name(code), (int)code);
}

void dd_device_close(dd_device **device) {
    dd_device *closing = *device;
    if (!closing)
        return;
    dd_profile_drop(closing);
    if (closing->queue)
        check_closing(clFinish(closing->queue), "finishing the queue");
    dd_buffer_release(closing, &closing->nothing);
    dd_program_cache_destroy(&closing->programs);
    if (closing->queue) {
        check_closing(clReleaseCommandQueue(closing->queue), "releasing the queue");
        dd_rt_count(-1);
    }
    if (closing->context) {
        check_closing(clReleaseContext(closing->context), "releasing the context");
        dd_rt_count(-1);
    }
    free(closing->cache_dir);
    free(closing);
    *device = NULL;
}

const struct dd_device_info *dd_device_get_info(const dd_device *device) {
    return &device->info;
}

dd_status dd_device_finish(dd_device *device) {
    return dd_cl_check(clFinish(device->queue), "finishing the work queued on %s", device->info.name);
}

dd_status dd_device_flush(dd_device *device) {
    return dd_cl_check(clFlush(device->queue), "flushing the queue of %s", device->info.name);
}
