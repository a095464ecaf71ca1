/*
 * The one file that includes stb_image: its implementation is compiled here, static, with the two formats that we name,
 * without file access, and with its allocations bounded, so that a small file cannot inflate without end. The warnings
 * that it raises are silenced in this file only.
 */
#include "dataset/stbi.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "dataset/image.h"

static _Thread_local uint64_t allocation_limit;

static void *bounded_malloc(size_t size) {
    return size <= allocation_limit ? calloc(1, size) : NULL; /* zeroed: a damaged file reads what it has not set */
}

static void *bounded_realloc(void *old, size_t size) {
    return size <= allocation_limit ? realloc(old, size) : NULL;
}

#define STBI_MALLOC(size) bounded_malloc(size)
#define STBI_REALLOC(old, size) bounded_realloc(old, size)
#define STBI_FREE(old) free(old)
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS DD_IMAGE_MAX_SIDE
#define STBI_ASSERT(condition) ((void)0)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
/* some are raised at the end of the file only, so no push and pop: they hold for all of it */
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#ifndef __clang__
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <stb/stb_image.h>

uint8_t *dd_stbi_decode(const uint8_t *bytes, int size, uint64_t limit, int *height, int *width, int *components,
                        const char **reason) {
    allocation_limit = limit;
    uint8_t *pixels = stbi_load_from_memory(bytes, size, width, height, components, 0);
    if (!pixels)
        *reason = stbi_failure_reason() ? stbi_failure_reason() : "unknown reason";
    return pixels;
}
