/* What the files of src/rt share among themselves. No other module includes this. */
#ifndef DD_RT_INTERNAL_H
#define DD_RT_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "rt/device.h"
#include "rt/kernels.h"

/** A listed device with its handles. */
struct dd_entry {
    struct dd_device_info info;
    cl_platform_id platform;
    cl_device_id id;
};

/**
 * All devices, with the default marked. threads > 0 asks CPU drivers for that many workers, which works before the
 * process's first OpenCL call only. Freed by free(). Errors as dd_device_list.
 */
dd_status dd_entries_find(const char *cache_dir, int threads, struct dd_entry **entries, int *count);

/**
 * Index of the entry that selector names (NULL: DEPTHDROP_DEVICE, else the default), -1 on failure. DD_ERROR_DEVICE
 * says which devices there are, or why the one named cannot be used.
 */
dd_status dd_entries_select(const struct dd_entry *entries, int count, const char *selector, int *index);

/**
 * Index of the first usable entry of exactly this name and platform; -1 if there is none. DD_ERROR_DEVICE says why
 * those that are there cannot be used; no such entry at all is no error.
 */
dd_status dd_entries_select_named(const struct dd_entry *entries, int count, const char *name,
                                  const char *platform_name, int *index);

/** Marks what a NULL selector opens, with the reason; none where no device will do. */
void dd_entries_mark_default(struct dd_entry *entries, int count);

/**
 * Copies a driver's text, as UTF-8 (dd_utf8_text) without the blanks around it, cut behind a whole character to less
 * than size bytes. Empty where memory is out.
 */
void dd_trim_text(char *target, size_t size, const char *text);

/** Adds change to dd_rt_live_objects(). */
void dd_rt_count(long change);

/** CL_SUCCESS, or the code with which the test hook wants this enqueue or creation to fail. */
#ifdef DD_TEST_HOOKS
cl_int dd_rt_injected(void);
#else
static inline cl_int dd_rt_injected(void) {
    return CL_SUCCESS;
}
#endif

/** The programs of a device, kept until it is closed. */
dd_status dd_program_cache_create(struct dd_program_cache **cache);
void dd_program_cache_destroy(struct dd_program_cache **cache);

void dd_program_release(cl_program *program);

/** Whether programs of this device are kept on disk (cache.c): the driver does not do so, and the user lets us. */
bool dd_binary_cache_used(const dd_device *device);

/**
 * The program as built earlier with these options, ready for use and the caller's; NULL if none is remembered or it is
 * unsound.
 */
cl_program dd_binary_load(dd_device *device, const struct dd_kernel_source *source, const char *options);

/** Remembers a built program, best effort. */
void dd_binary_store(dd_device *device, const struct dd_kernel_source *source, const char *options, cl_program program);

/** Hash of every embedded kernel source. */
uint64_t dd_kernels_hash(void);

#endif
