/*
 * What is remembered between runs: small JSON files in the cache folder, {"format": N, "<key>": {"<entry>": ...}}.
 * Several processes may write one at once: a writer holds a lock from reading the file to replacing it, so that none
 * undoes what another has added.
 */
#ifndef DD_RT_REMEMBER_H
#define DD_RT_REMEMBER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

struct dd_remembered {
    const char *file, *lock; /* names in the cache folder */
    const char *key;         /* of the object of entries */
    int format;              /* changes with the layout */
    size_t most_bytes;       /* a larger file is a damaged one */
    size_t most_entries;     /* beyond them those saved longest ago are forgotten */
};

/** Whether binaries and tuning results are not to be kept (DEPTHDROP_NO_CACHE); verdicts and decoded images are. */
bool dd_cache_off(void);

/**
 * The entries in the file of folder; none if there is no file or it is damaged or of another format. The caller's;
 * NULL: out of memory.
 */
json_t *dd_remember_load(const struct dd_remembered *what, const char *folder);

/**
 * Saves an entry, which becomes the newest; an object's members join those that are in the file. value stays the
 * caller's; it or entry may be NULL after an allocation has failed: DD_ERROR_MEMORY. DD_ERROR_DATA.
 */
dd_status dd_remember_save(const struct dd_remembered *what, const char *folder, const char *entry, json_t *value);

#endif
