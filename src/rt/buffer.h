/* Device buffers: owners and views (sub-buffers) of them. All sizes and offsets in bytes. */
#ifndef DD_RT_BUFFER_H
#define DD_RT_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "rt/device.h"

/** New zero-filled (so really allocated) buffer. what names it in messages. DD_ERROR_MEMORY, DD_ERROR_DEVICE. */
dd_status dd_buffer_create(dd_device *device, size_t bytes, const char *what, cl_mem *buffer);

/** A part of parent; offset must be a multiple of device->info.base_align_bytes. Released like a buffer. */
dd_status dd_buffer_view(dd_device *device, cl_mem parent, size_t offset, size_t bytes, cl_mem *view);

/** Releases (NULL is fine) and clears the handle; device may be closed later only. */
void dd_buffer_release(dd_device *device, cl_mem *buffer);

/* Blocking transfers (they wait for all that is queued before). */
dd_status dd_buffer_write(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, const void *source);
dd_status dd_buffer_read(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, void *target);

/*
 * Queued transfers: source and target must stay valid until the queue has passed them. event (may be NULL) is the
 * caller's.
 */
dd_status dd_buffer_write_async(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, const void *source);
dd_status dd_buffer_read_async(dd_device *device, cl_mem buffer, size_t offset, size_t bytes, void *target,
                               cl_event *event);
dd_status dd_buffer_zero(dd_device *device, cl_mem buffer, size_t offset, size_t bytes);

/** Waits for the event, releases and clears it. A failed command gives its error. */
dd_status dd_event_wait(cl_event *event, const char *what);
/** Whether the event is complete (no waiting); a failed command gives its error. */
dd_status dd_event_poll(cl_event event, const char *what, bool *complete);
void dd_event_release(cl_event *event);

#endif
