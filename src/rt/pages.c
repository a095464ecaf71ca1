#define _DEFAULT_SOURCE /* madvise */
#include "rt/pages.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/integer.h"

enum { HUGE_PAGE = 2 << 20, LEAST = 32 << 10 }; /* below LEAST, rounding up would waste too much */

void *dd_huge_pages(size_t bytes) {
#ifdef MADV_HUGEPAGE
    if (bytes < LEAST || bytes > (size_t)-1 - HUGE_PAGE)
        return NULL;
    const size_t rounded = dd_round_up(bytes, HUGE_PAGE);
    void *memory = aligned_alloc(HUGE_PAGE, rounded);
    if (memory != NULL)
        madvise(memory, rounded, MADV_HUGEPAGE); /* refused: ordinary pages serve too */
    return memory;
#else
    (void)bytes;
    return NULL;
#endif
}
