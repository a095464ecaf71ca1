/* The calling thread's last error message. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_BYTES = 2048 };

static _Thread_local char thread_message[MESSAGE_BYTES];

const char *dd_error_message(void) {
    return thread_message;
}

dd_status dd_fail(dd_status status, const char *format, ...) {
    char text[MESSAGE_BYTES]; /* the arguments may point into the old message */
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    memcpy(thread_message, text, sizeof text);
    return status;
}

dd_status dd_fail_prefix(dd_status status, const char *format, ...) {
    char text[MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t used = strlen(text), kept = strlen(thread_message);
    if (used > MESSAGE_BYTES - 3)
        used = MESSAGE_BYTES - 3;
    if (kept > MESSAGE_BYTES - 3 - used) /* the end of a very long message is lost */
        kept = MESSAGE_BYTES - 3 - used;
    memmove(thread_message + used + 2, thread_message, kept);
    memcpy(thread_message, text, used);
    memcpy(thread_message + used, ": ", 2);
    thread_message[used + 2 + kept] = 0;
    return status;
}
