/* What is remembered between runs: small JSON files in the cache folder, each with a format number and one object. */
#ifndef DD_RT_REMEMBER_H
#define DD_RT_REMEMBER_H

#include <jansson.h>
#include <stdbool.h>

/** Whether binaries and tuning results are not to be kept (DEPTHDROP_NO_CACHE); verdicts and decoded images are. */
bool dd_cache_off(void);

/**
 * The file's content, or a new one if there is none or it is damaged, larger than most_bytes or of another format; its
 * object is called key. The caller's; NULL: out of memory.
 */
json_t *dd_remember_load(const char *path, size_t most_bytes, int format, const char *key);

#endif
