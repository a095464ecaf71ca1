/* Errors: a status and the calling thread's message. */
#ifndef DD_BASE_ERROR_H
#define DD_BASE_ERROR_H

#include <depthdrop/status.h>

/** Records the sentence that dd_error_message() returns and gives status back: `return dd_fail(...)`. */
dd_status dd_fail(dd_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Puts a sentence in front of the recorded one ("prefix: message"); gives status back. */
dd_status dd_fail_prefix(dd_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** `DD_TRY(call)`: returns from the function if the call failed. Where something must be released: `goto`. */
#define DD_TRY(call)                                                                                                   \
    do {                                                                                                               \
        dd_status dd_try_status = (call);                                                                              \
        if (dd_try_status != DD_OK)                                                                                    \
            return dd_try_status;                                                                                      \
    } while (0)

/** `DD_GOTO(status, error, call)`: the same with one cleanup label. */
#define DD_GOTO(status, label, call)                                                                                   \
    do {                                                                                                               \
        (status) = (call);                                                                                             \
        if ((status) != DD_OK)                                                                                         \
            goto label;                                                                                                \
    } while (0)

#endif
