/* depthdrop: status codes and error messages. Unstable until 1.0. */
#ifndef DEPTHDROP_STATUS_H
#define DEPTHDROP_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What a call came to. The values are the program's exit codes.
 * Every function that returns another value than DD_OK has left a sentence in dd_error_message().
 */
typedef enum dd_status {
    DD_OK = 0,
    DD_ERROR_INTERNAL = 1,  /**< a fault of this library */
    DD_ERROR_USAGE = 2,     /**< an unknown option or name, a value out of range */
    DD_ERROR_DATA = 3,      /**< bad or missing data, model file or folder */
    DD_ERROR_DEVICE = 4,    /**< no usable device, or its driver failed */
    DD_ERROR_MEMORY = 5,    /**< out of host or device memory */
    DD_ERROR_SELFTEST = 6,  /**< a kernel computes wrong results on this device */
    DD_ERROR_DIVERGED = 7,  /**< the training loss is not finite */
    DD_INTERRUPTED = 130,   /**< stopped by a signal, state saved */
} dd_status;

/** The calling thread's last error: one sentence that says what was wrong and what to do. Never NULL. */
const char *dd_error_message(void);

#ifdef __cplusplus
}
#endif
#endif
