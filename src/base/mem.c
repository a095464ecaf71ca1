/* Checked allocation and strings. */
#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *dd_calloc(size_t count, size_t size) {
    if (count == 0 || size == 0)
        return calloc(1, 1); /* so that NULL always means failure */
    return count > SIZE_MAX / size ? NULL : calloc(count, size);
}

dd_status dd_grow(void *array, size_t *capacity, size_t count, size_t size) {
    if (count <= *capacity)
        return DD_OK;
    size_t wanted = *capacity > SIZE_MAX / 2 ? count : *capacity * 2;
    if (wanted < count)
        wanted = count;
    if (wanted < 8)
        wanted = 8;
    if (size && wanted > SIZE_MAX / size)
        return dd_fail_memory("array", SIZE_MAX);
    void *old; /* array is the address of a pointer of any type: read and written as bytes */
    memcpy(&old, array, sizeof old);
    void *grown = realloc(old, wanted * size);
    if (!grown)
        return dd_fail_memory("array", wanted * size);
    memcpy(array, &grown, sizeof grown);
    *capacity = wanted;
    return DD_OK;
}

dd_status dd_fail_memory(const char *what, size_t bytes) {
    return dd_fail(DD_ERROR_MEMORY, "out of host memory (%s, %zu bytes)", what, bytes);
}

char *dd_format(const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text;
    int length = vasprintf(&text, format, args);
    va_end(args);
    return length < 0 ? NULL : text;
}

char *dd_strdup(const char *text) {
    return text ? strdup(text) : NULL;
}
