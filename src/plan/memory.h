/* Placement of tensors with known lifetimes in as few bytes as a greedy first fit gives; no device needed. */
#ifndef DD_PLAN_MEMORY_H
#define DD_PLAN_MEMORY_H

#include <stddef.h>

#include "base/error.h"

/** A tensor that is live from moment first to moment last, both included. first > last: not used, gets no place. */
struct dd_memory_item {
    size_t bytes;
    int first, last;
    int arena;     /* out: which buffer; -1: none */
    size_t offset; /* out: bytes, a multiple of the alignment */
};

enum { DD_MAX_ARENAS = 64 };

struct dd_memory_arenas {
    int count;
    size_t bytes[DD_MAX_ARENAS];
};

/**
 * Places every item; two that are live together never overlap. DD_ERROR_MEMORY if one item exceeds limit (bytes of one
 * buffer), or more than DD_MAX_ARENAS buffers would be needed.
 */
dd_status dd_memory_place(struct dd_memory_item *items, int count, size_t alignment, size_t limit,
                          struct dd_memory_arenas *arenas);

#endif
