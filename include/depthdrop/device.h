/* depthdrop: OpenCL devices, their choice and their self-test. Unstable until 1.0. */
#ifndef DEPTHDROP_DEVICE_H
#define DEPTHDROP_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <depthdrop/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** An OpenCL device bound to a context and an in-order queue. One thread at a time may use it. */
typedef struct dd_device dd_device;

/** DD_DEVICE_OTHER: accelerators, and CPUs whose driver runs kernels as a GPU does; they get a GPU's kernels. */
typedef enum dd_device_type { DD_DEVICE_CPU, DD_DEVICE_GPU, DD_DEVICE_OTHER } dd_device_type;

/** Remembered verdict of the self-test for this device, driver and version of depthdrop. */
typedef enum dd_selftest_state { DD_SELFTEST_UNTESTED, DD_SELFTEST_PASSED, DD_SELFTEST_FAILED } dd_selftest_state;

struct dd_device_info {
    int index;            /**< position in the list, from 0: a selector */
    int platform, device; /**< position of the platform, and of the device in it: selector "platform:device" */
    char platform_name[128];
    char vendor[128];
    char name[128];
    char driver[128];
    char version[128]; /**< CL_DEVICE_VERSION */
    dd_device_type type;
    uint32_t compute_units;
    uint32_t clock_mhz;
    uint64_t global_bytes;     /**< device memory */
    uint64_t max_alloc_bytes;  /**< largest single buffer */
    uint64_t local_bytes;      /**< local memory of a work-group */
    uint64_t max_work_group;   /**< work-items in a work-group */
    uint32_t base_align_bytes; /**< alignment of a sub-buffer's origin */
    uint32_t float_width;      /**< native float vector width: 1, 4, 8 or 16 */
    bool emulator;             /**< an emulator or FPGA simulator: never chosen by default */
    bool usable;               /**< available, with a compiler, little endian, 32-bit float */
    char unusable_reason[160]; /**< empty if usable */
    bool is_default;           /**< what a NULL selector opens */
    char default_reason[160];  /**< why it is the default; empty for the others */
    dd_selftest_state selftest;
};

/**
 * Lists every device of every platform in the order of the ICD loader.
 * On success the caller frees *list with dd_device_list_free. No platform or no device at all is
 * DD_ERROR_DEVICE with a message that says what to install; *list is then NULL and *count 0.
 */
dd_status dd_device_list(struct dd_device_info **list, int *count);
void dd_device_list_free(struct dd_device_info **list);

struct dd_device_options {
    const char *selector; /**< "0", "cpu", "gpu", "platform:device", or part of a name; NULL: DEPTHDROP_DEVICE, else the
                             default */
    const char *name, *platform_name; /**< without a selector: the device of exactly these, where it is present, comes
                                         before DEPTHDROP_DEVICE and the default; NULL: none */
    const char *cache_dir; /**< folder of remembered verdicts and binaries; NULL: $XDG_CACHE_HOME/depthdrop */
    int threads;           /**< CPU devices, where the driver lets us: worker threads; 0: the driver's choice */
};

/** Defaults: all zero. */
void dd_device_options_default(struct dd_device_options *options);

/**
 * Opens the device that options->selector names (options may be NULL: defaults). It is not tested here: training,
 * evaluation and benchmarks call dd_selftest_ensure before the device computes anything.
 * Errors: DD_ERROR_DEVICE (none matches, unusable, driver failure), DD_ERROR_MEMORY.
 * On success the caller closes *device; on failure *device is NULL.
 */
dd_status dd_device_open(const struct dd_device_options *options, dd_device **device);
void dd_device_close(dd_device **device);

/** Valid while the device is open. */
const struct dd_device_info *dd_device_get_info(const dd_device *device);

/** One line of the self-test's table. */
struct dd_selftest_result {
    const char *kernel; /**< for example "conv forward gemm" */
    int vector;         /**< V */
    int cases;          /**< shapes compared */
    double worst_error; /**< largest error / tolerance over the cases: at most 1 passes */
    bool passed;
    char failure[200]; /**< the failing case's parameters, or the driver's error; empty if passed */
};
typedef void (*dd_selftest_callback)(void *user, const struct dd_selftest_result *result);

struct dd_selftest_options {
    int vector;            /**< 1, 4, 8, 16; 0: all */
    const char *algorithm; /**< convolution algorithm; NULL or "auto": all */
    bool quick;            /**< the short form that runs before a device's first use */
    uint64_t seed;         /**< of the inputs and of the sampled shapes */
};

/**
 * Compares every kernel with its double-precision reference on the device and remembers the verdict.
 * callback (may be NULL) gets each line as it is done. DD_ERROR_SELFTEST if any line failed.
 */
dd_status dd_selftest_run(dd_device *device, const struct dd_selftest_options *options, dd_selftest_callback callback,
                          void *user);

/**
 * Does nothing if the remembered verdict for this device, driver and version is "passed"; otherwise runs the short
 * self-test (seconds, told through the log) and remembers the verdict. DD_ERROR_SELFTEST names the failing kernel.
 */
dd_status dd_selftest_ensure(dd_device *device);

#ifdef __cplusplus
}
#endif
#endif
