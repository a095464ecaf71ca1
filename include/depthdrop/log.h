/* depthdrop: messages of a running call. Unstable until 1.0. */
#ifndef DEPTHDROP_LOG_H
#define DEPTHDROP_LOG_H

#ifdef __cplusplus
extern "C" {
#endif

/** DD_LOG_RESULT: what the call was made for, as the figures of a dry run. */
typedef enum dd_log_level { DD_LOG_RESULT, DD_LOG_WARNING, DD_LOG_INFO, DD_LOG_DEBUG } dd_log_level;

/** Receives one message without a newline. May be called from any thread, one call at a time. */
typedef void (*dd_log_callback)(void *user, dd_log_level level, const char *message);

/** Where messages go; NULL (the default) drops them all. Not to be called while another call runs. */
void dd_log_set(dd_log_callback callback, void *user);

#ifdef __cplusplus
}
#endif
#endif
