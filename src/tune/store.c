/* tune.json of the cache folder: {"format": 1, "devices": {"<device>": {"<key>": "<winner>", ...}, ...}}. */
#include "tune/store.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/remember.h"
#include "rt/verdict.h"

static const struct dd_remembered winners = {.file = "tune.json",
                                             .lock = "tune.lock",
                                             .key = "devices",
                                             .format = 1,
                                             .most_bytes = 16 << 20,
                                             .most_entries = 32};

struct dd_tune_store {
    char *folder;  /* NULL: nothing is kept */
    char *device;  /* key of the device */
    json_t *known; /* winners by key */
    json_t *fresh; /* those put since the last save */
};

/** The winners among a device's entries; those that are no names are left out. */
static void take_known(struct dd_tune_store *store, json_t *device) {
    const char *key;
    json_t *value;
    json_object_foreach(device, key, value) if (json_is_string(value)) json_object_set(store->known, key, value);
}

dd_status dd_tune_store_open(const char *cache_dir, const struct dd_device_info *info, struct dd_tune_store **out) {
    *out = NULL;
    struct dd_tune_store *store = dd_calloc(1, sizeof *store);
    if (store == NULL)
        return dd_fail_memory("tuning results", sizeof *store);
    store->known = json_object();
    store->fresh = json_object();
    char *device = dd_device_key(info);
    store->device = device != NULL ? dd_format("%s|units %u", device, (unsigned)info->compute_units) : NULL;
    free(device);
    if (store->known == NULL || store->fresh == NULL || store->device == NULL) {
        dd_tune_store_close(&store);
        return dd_fail_memory("tuning results", 1024);
    }
    store->folder = dd_cache_off() ? NULL : dd_cache_folder(cache_dir, NULL);
    if (store->folder != NULL) {
        json_t *devices = dd_remember_load(&winners, store->folder);
        take_known(store, json_object_get(devices, store->device));
        json_decref(devices);
    }
    *out = store;
    return DD_OK;
}

void dd_tune_store_close(struct dd_tune_store **handle) {
    struct dd_tune_store *store = *handle;
    *handle = NULL;
    if (store == NULL)
        return;
    json_decref(store->known);
    json_decref(store->fresh);
    free(store->device);
    free(store->folder);
    free(store);
}

bool dd_tune_store_kept(const struct dd_tune_store *store) {
    return store->folder != NULL;
}

const char *dd_tune_store_find(const struct dd_tune_store *store, const char *key) {
    return json_string_value(json_object_get(store->known, key));
}

dd_status dd_tune_store_put(struct dd_tune_store *store, const char *key, const char *winner) {
    if (json_object_set_new(store->known, key, json_string(winner)) != 0 ||
        json_object_set_new(store->fresh, key, json_string(winner)) != 0)
        return dd_fail_memory("tuning results", strlen(key));
    return DD_OK;
}

void dd_tune_store_save(struct dd_tune_store *store) {
    if (store->folder == NULL || json_object_size(store->fresh) == 0)
        return;
    if (dd_remember_save(&winners, store->folder, store->device, store->fresh) == DD_OK)
        json_object_clear(store->fresh);
    else
        dd_warning("tuning results are not kept: %s", dd_error_message());
}
