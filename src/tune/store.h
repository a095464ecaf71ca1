/*
 * What the tuner found on this machine: tune.json of the cache folder, a name for each key of a device. Several
 * processes may write it. A missing or damaged file is an empty one; where there is no cache folder, or
 * DEPTHDROP_NO_CACHE is set, nothing is found and nothing is kept.
 */
#ifndef DD_TUNE_STORE_H
#define DD_TUNE_STORE_H

#include <stdbool.h>

#include "base/error.h"
#include "rt/device.h"

enum { DD_TUNE_KEY = 96 }; /* bytes of a key */

struct dd_tune_store;

/** Reads what is known of devices like info. cache_dir NULL: the default folder. DD_ERROR_MEMORY. */
dd_status dd_tune_store_open(const char *cache_dir, const struct dd_device_info *info, struct dd_tune_store **store);
void dd_tune_store_close(struct dd_tune_store **store);

/** Whether there is a file to keep winners in. */
bool dd_tune_store_kept(const struct dd_tune_store *store);

/** The winner of key, NULL: unknown. Valid until the next call that changes the store. */
const char *dd_tune_store_find(const struct dd_tune_store *store, const char *key);

/** Sets the winner of key in memory. */
dd_status dd_tune_store_put(struct dd_tune_store *store, const char *key, const char *winner);

/** Adds what was put since the last call to the file, beside what others wrote. Best effort: a failure is only logged.
 */
void dd_tune_store_save(struct dd_tune_store *store);

#endif
