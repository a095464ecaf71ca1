/* The list of devices: what each one can do, and whether depthdrop can use it. The choice is in select.c. */
#include "rt/device.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/internal.h"
#include "rt/verdict.h"

#define PLATFORM_NOT_FOUND (-1001) /* CL_PLATFORM_NOT_FOUND_KHR of the ICD loader */

enum { MAX_PLATFORMS = 64, MAX_DEVICES = 64 /* of a platform */ };

static const char install_advice[] =
    "install an OpenCL driver, for example `apt install pocl-opencl-icd` for the CPU, or the GPU vendor's driver "
    "(`nvidia-opencl-icd`, `intel-opencl-icd`, ROCm)";

void dd_trim_text(char *target, size_t size, const char *text) {
    char *clean = dd_utf8_text(text);
    const char *from = clean ? clean : "";
    while (*from == ' ')
        from++;
    size_t length = strlen(from);
    if (length >= size)
        for (length = size - 1; ((unsigned char)from[length] & 0xC0) == 0x80; length--) /* inside a character */
            ;
    while (length && from[length - 1] == ' ')
        length--;
    memcpy(target, from, length);
    target[length] = 0;
    free(clean);
}

/** An empty string where the driver refuses. */
static void device_text(cl_device_id id, cl_device_info what, char *target, size_t size) {
    char text[1024] = "";
    target[0] = 0;
    if (clGetDeviceInfo(id, what, sizeof text, text, NULL) == CL_SUCCESS) {
        text[sizeof text - 1] = 0;
        dd_trim_text(target, size, text);
    }
}

static void platform_text(cl_platform_id id, cl_platform_info what, char *target, size_t size) {
    char text[1024] = "";
    target[0] = 0;
    if (clGetPlatformInfo(id, what, sizeof text, text, NULL) == CL_SUCCESS) {
        text[sizeof text - 1] = 0;
        dd_trim_text(target, size, text);
    }
}

/** A number of size bytes (cl_uint, cl_ulong, size_t); 0 where the driver refuses. */
static uint64_t device_number(cl_device_id id, cl_device_info what, size_t size) {
    uint32_t narrow = 0;
    uint64_t wide = 0;
    if (clGetDeviceInfo(id, what, size, size == sizeof narrow ? (void *)&narrow : (void *)&wide, NULL) != CL_SUCCESS)
        return 0;
    return size == sizeof narrow ? narrow : wide;
}

static bool contains(const char *text, const char *part) {
    return strcasestr(text, part) != NULL;
}

static bool is_emulator(const struct dd_device_info *info) {
    const char *texts[] = {info->name, info->platform_name, info->vendor};
    for (int i = 0; i < 3; i++)
        if (contains(texts[i], "emulat") || contains(texts[i], "simulat") || contains(texts[i], "oclgrind"))
            return true;
    return false;
}

/**
 * A CPU that runs kernels as a GPU does, a lane for each work-item: Mesa's llvmpipe. It silently ends the loops of a
 * work-item after 65535 iterations in all, so it must not get the long work-items of a CPU.
 */
static bool acts_like_gpu(const struct dd_device_info *info) {
    return contains(info->name, "llvmpipe");
}

/** Fills usable and unusable_reason. */
static void judge(cl_device_id id, struct dd_device_info *info) {
    int major = 0, minor = 0;
    const char *reason = NULL;
    cl_device_fp_config need = CL_FP_ROUND_TO_NEAREST | CL_FP_INF_NAN;
    cl_device_fp_config have = (cl_device_fp_config)device_number(id, CL_DEVICE_SINGLE_FP_CONFIG, sizeof have);
    if (!device_number(id, CL_DEVICE_AVAILABLE, sizeof(cl_bool)))
        reason = "the driver says that it is not available; another program may hold it";
    else if (!device_number(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof(cl_bool)))
        reason = "the driver has no compiler; install the vendor's full OpenCL driver";
    else if (!device_number(id, CL_DEVICE_ENDIAN_LITTLE, sizeof(cl_bool)))
        reason = "it is big-endian; little-endian is needed";
    else if ((have & need) != need)
        reason = "its 32-bit floats lack rounding to nearest or infinities";
    else if (!info->global_bytes || !info->max_alloc_bytes || !info->compute_units || !info->max_work_group)
        reason = "the driver reports no memory or no compute units";
    else if (sscanf(info->version, "OpenCL %d.%d", &major, &minor) != 2 || major * 10 + minor < 12)
        reason = "it offers less than OpenCL 1.2; install a newer driver";
    info->usable = !reason;
    snprintf(info->unusable_reason, sizeof info->unusable_reason, "%s", reason ? reason : "");
}

static uint32_t float_width(cl_device_id id) {
    uint64_t width = device_number(id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof(cl_uint));
    return width >= 16 ? 16 : width >= 8 ? 8 : width >= 4 ? 4 : 1;
}

static void describe(struct dd_entry *entry, const char *cache_dir) {
    struct dd_device_info *info = &entry->info;
    cl_device_id id = entry->id;
    platform_text(entry->platform, CL_PLATFORM_NAME, info->platform_name, sizeof info->platform_name);
    device_text(id, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    device_text(id, CL_DEVICE_NAME, info->name, sizeof info->name);
    device_text(id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    device_text(id, CL_DEVICE_VERSION, info->version, sizeof info->version);
    uint64_t type = device_number(id, CL_DEVICE_TYPE, sizeof(cl_device_type));
    info->type = type & CL_DEVICE_TYPE_GPU   ? DD_DEVICE_GPU
                 : type & CL_DEVICE_TYPE_CPU ? DD_DEVICE_CPU
                                             : DD_DEVICE_OTHER;
    if (acts_like_gpu(info))
        info->type = DD_DEVICE_OTHER;
    info->compute_units = (uint32_t)device_number(id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(cl_uint));
    info->clock_mhz = (uint32_t)device_number(id, CL_DEVICE_MAX_CLOCK_FREQUENCY, sizeof(cl_uint));
    info->global_bytes = device_number(id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(cl_ulong));
    info->max_alloc_bytes = device_number(id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof(cl_ulong));
    info->local_bytes = device_number(id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof(cl_ulong));
    info->max_work_group = device_number(id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof(size_t));
    uint64_t align = device_number(id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof(cl_uint)) / 8; /* it comes in bits */
    info->base_align_bytes = align > 64 ? (uint32_t)align : 64; /* a cache line at least */
    info->float_width = float_width(id);
    info->emulator = is_emulator(info);
    judge(id, info);
    info->selftest = dd_verdict_read(cache_dir, info);
}

/** Appends the devices of a platform. One that has none, or whose driver fails, adds nothing. */
static dd_status add_platform(cl_platform_id platform, int position, const char *cache_dir, struct dd_entry **entries,
                              size_t *capacity, int *count) {
    cl_device_id ids[MAX_DEVICES];
    cl_uint found = 0;
    cl_int code = clGetDeviceIDs(platform, CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &found);
    if (code != CL_SUCCESS) {
        if (code != CL_DEVICE_NOT_FOUND)
            dd_warning("OpenCL platform %d cannot be used: %s (%d)", position, dd_cl_error_name(code), (int)code);
        return DD_OK;
    }
    if (found > MAX_DEVICES)
        found = MAX_DEVICES;
    DD_TRY(dd_grow(entries, capacity, (size_t)*count + found, sizeof **entries));
    for (cl_uint i = 0; i < found; i++) {
        struct dd_entry *entry = &(*entries)[*count];
        *entry = (struct dd_entry){.platform = platform, .id = ids[i]};
        entry->info.index = (*count)++;
        entry->info.platform = position;
        entry->info.device = (int)i;
        describe(entry, cache_dir);
    }
    return DD_OK;
}

/** CPU drivers read their number of workers from the environment, when the process first asks for platforms. */
static void ask_for_threads(int threads) {
    static atomic_int asked = -1; /* as of the first call */
    int before = -1;
    if (threads < 0)
        threads = 0;
    if (!atomic_compare_exchange_strong(&asked, &before, threads)) {
        if (threads && threads != before)
            dd_warning("%d threads are asked for too late: the OpenCL drivers run already", threads);
        return;
    }
    static const char *const variables[] = {
        "POCL_MAX_PTHREAD_COUNT", /* PoCL to 3.x */
        "POCL_CPU_MAX_CU_COUNT",  /* PoCL from 4.0 */
        "DPCPP_CPU_NUM_CUS",      /* Intel */
    };
    char number[16];
    snprintf(number, sizeof number, "%d", threads);
    for (size_t i = 0; threads && i < sizeof variables / sizeof *variables; i++)
        setenv(variables[i], number, 1);
}

dd_status dd_entries_find(const char *cache_dir, int threads, struct dd_entry **entries, int *count) {
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint found = 0;
    size_t capacity = 0;
    dd_status status = DD_OK;
    *entries = NULL;
    *count = 0;
    ask_for_threads(threads);
    cl_int code = clGetPlatformIDs(MAX_PLATFORMS, platforms, &found);
    if (code == PLATFORM_NOT_FOUND || (code == CL_SUCCESS && found == 0))
        return dd_fail(DD_ERROR_DEVICE, "no OpenCL platform was found: %s", install_advice);
    if (code != CL_SUCCESS)
        return dd_cl_check(code, "listing the OpenCL platforms");
    if (found > MAX_PLATFORMS)
        found = MAX_PLATFORMS;
    for (cl_uint i = 0; i < found; i++)
        DD_GOTO(status, error, add_platform(platforms[i], (int)i, cache_dir, entries, &capacity, count));
    if (*count == 0)
        DD_GOTO(status, error, dd_fail(DD_ERROR_DEVICE, "the OpenCL drivers here (%u) offer no device: %s",
                                       (unsigned)found, install_advice));
    dd_entries_mark_default(*entries, *count);
    return DD_OK;
error:
    free(*entries);
    *entries = NULL;
    *count = 0;
    return status;
}

dd_status dd_device_list(struct dd_device_info **list, int *count) {
    struct dd_entry *entries;
    *list = NULL;
    *count = 0;
    int found;
    DD_TRY(dd_entries_find(NULL, 0, &entries, &found));
    *list = dd_calloc((size_t)found, sizeof **list);
    for (int i = 0; *list && i < found; i++)
        (*list)[i] = entries[i].info;
    free(entries);
    if (!*list)
        return dd_fail_memory("list of devices", (size_t)found * sizeof **list);
    *count = found;
    return DD_OK;
}

void dd_device_list_free(struct dd_device_info **list) {
    free(*list);
    *list = NULL;
}
