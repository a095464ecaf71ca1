/* Memory of CPU devices in huge pages. */
#ifndef DD_RT_PAGES_H
#define DD_RT_PAGES_H

#include <stddef.h>

/**
 * `bytes` of memory aligned for huge pages, which the system is asked for: a step streams through hundreds of
 * megabytes, and with pages of 4 KiB looking up their addresses costs several percent of it. Buffers of a few of those
 * pages gain, too: in a virtual machine a page that was not used for a while takes up to 3 us to look up. NULL where
 * there are none to ask for, for small sizes, and when there is no memory. Released by free().
 */
void *dd_huge_pages(size_t bytes);

#endif
