/* Checked allocation and strings. NULL means out of memory; callers turn it into DD_ERROR_MEMORY. */
#ifndef DD_BASE_MEM_H
#define DD_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

#include "base/error.h"

/** Zeroed array; NULL if count * size overflows or memory is out. Freed by free(). */
void *dd_calloc(size_t count, size_t size);

/** Grows *array (element size bytes each) so that it holds at least count elements; *capacity follows. */
dd_status dd_grow(void *array, size_t *capacity, size_t count, size_t size);

/** DD_ERROR_MEMORY with "out of host memory (<what>, <bytes> bytes)". */
dd_status dd_fail_memory(const char *what, size_t bytes);

/** printf into a new string; NULL on failure. Freed by free(). */
char *dd_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Copy of a string (NULL stays NULL); NULL on failure. */
char *dd_strdup(const char *text);

#endif
