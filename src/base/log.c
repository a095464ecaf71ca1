/* Messages to the application's callback, one call at a time. */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static dd_log_callback log_callback;
static void *log_user;

void dd_log_set(dd_log_callback callback, void *user) {
    pthread_mutex_lock(&mutex);
    log_callback = callback;
    log_user = user;
    pthread_mutex_unlock(&mutex);
}

void dd_log(dd_log_level level, const char *format, ...) {
    char text[2048];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&mutex);
    if (log_callback)
        log_callback(log_user, level, text);
    pthread_mutex_unlock(&mutex);
}
