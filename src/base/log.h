/* Messages to the callback of depthdrop/log.h. */
#ifndef DD_BASE_LOG_H
#define DD_BASE_LOG_H

#include <depthdrop/log.h>

void dd_log(dd_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define dd_info(...) dd_log(DD_LOG_INFO, __VA_ARGS__)
#define dd_warning(...) dd_log(DD_LOG_WARNING, __VA_ARGS__)
#define dd_debug(...) dd_log(DD_LOG_DEBUG, __VA_ARGS__)

#endif
