/* Greedy placement: the largest tensor first, each at the lowest offset free during its lifetime. */
#include "plan/memory.h"

#include <stdlib.h>

#include "base/integer.h"
#include "base/mem.h"

static int by_falling_size(const void *a, const void *b) {
    const struct dd_memory_item *x = *(struct dd_memory_item *const *)a, *y = *(struct dd_memory_item *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : 1; /* a fixed order: the same plan every time */
}

static int by_place(const void *a, const void *b) {
    const struct dd_memory_item *x = *(struct dd_memory_item *const *)a, *y = *(struct dd_memory_item *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/** Lowest offset in `arena` where item fits beside the placed ones that are live with it; (size_t)-1 if none below
 * limit. */
static size_t lowest_offset(const struct dd_memory_item *item, struct dd_memory_item **placed, int count, int arena,
                            size_t alignment, size_t limit, struct dd_memory_item **neighbours) {
    int live = 0;
    for (int i = 0; i < count; i++)
        if (placed[i]->arena == arena && placed[i]->first <= item->last && item->first <= placed[i]->last)
            neighbours[live++] = placed[i];
    qsort(neighbours, (size_t)live, sizeof *neighbours, by_place);
    size_t offset = 0;
    for (int i = 0; i < live; i++) {
        if (neighbours[i]->offset >= offset + item->bytes)
            break;
        size_t end = dd_round_up(neighbours[i]->offset + neighbours[i]->bytes, alignment);
        if (end > offset)
            offset = end;
    }
    return offset + item->bytes <= limit ? offset : (size_t)-1;
}

static dd_status place_one(struct dd_memory_item *item, struct dd_memory_item **placed, int count, size_t alignment,
                           size_t limit, struct dd_memory_item **neighbours, struct dd_memory_arenas *arenas) {
    for (int arena = 0; arena < DD_MAX_ARENAS; arena++) {
        size_t offset = lowest_offset(item, placed, count, arena, alignment, limit, neighbours);
        if (offset == (size_t)-1)
            continue;
        item->arena = arena;
        item->offset = offset;
        if (arena >= arenas->count)
            arenas->count = arena + 1;
        if (offset + item->bytes > arenas->bytes[arena])
            arenas->bytes[arena] = offset + item->bytes;
        return DD_OK;
    }
    return dd_fail(DD_ERROR_MEMORY, "activations need more than %d device buffers of %zu MiB; use a smaller --batch",
                   DD_MAX_ARENAS, limit >> 20);
}

dd_status dd_memory_place(struct dd_memory_item *items, int count, size_t alignment, size_t limit,
                          struct dd_memory_arenas *arenas) {
    *arenas = (struct dd_memory_arenas){0};
    struct dd_memory_item **order = dd_calloc((size_t)count * 2, sizeof *order);
    if (order == NULL && count > 0)
        return dd_fail_memory("memory plan", (size_t)count * 2 * sizeof *order);
    int used = 0;
    dd_status status = DD_OK;
    for (int i = 0; i < count; i++) {
        items[i].arena = -1;
        if (items[i].first > items[i].last || items[i].bytes == 0)
            continue;
        if (items[i].bytes > limit) {
            status = dd_fail(DD_ERROR_MEMORY,
                             "one tensor needs %zu MiB and the device allows %zu MiB a buffer; use a smaller --batch",
                             items[i].bytes >> 20, limit >> 20);
            goto done;
        }
        order[used++] = &items[i];
    }
    qsort(order, (size_t)used, sizeof *order, by_falling_size);
    for (int i = 0; i < used; i++)
        DD_GOTO(status, done, place_one(order[i], order, i, alignment, limit, order + count, arenas));
done:
    free(order);
    return status;
}
