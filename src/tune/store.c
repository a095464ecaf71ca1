/*
 * tune.json: {"format": 1, "devices": {"<device>": {"<key>": "<winner>", ...}, ...}}. Writers hold a lock on tune.lock
 * from reading the file to replacing it, so that none undoes what another has added. A change of the layout is a change
 * of FORMAT.
 */
#include "tune/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <jansson.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/remember.h"
#include "rt/verdict.h"

enum { FORMAT = 1, MAX_DEVICES = 32, MAX_BYTES = 16 << 20 };

struct dd_tune_store {
    char *path, *lock_path; /* NULL: nothing is kept */
    char *device;           /* key of the device */
    json_t *known;          /* winners by key */
    json_t *fresh;          /* those put since the last save */
};

/** Paths, or none where there is no folder. */
static void find_paths(struct dd_tune_store *store, const char *cache_dir) {
    char *folder = dd_cache_off() ? NULL : dd_cache_folder(cache_dir, NULL);
    if (folder == NULL)
        return;
    store->path = dd_path_join(folder, "tune.json");
    store->lock_path = dd_path_join(folder, "tune.lock");
    free(folder);
    if (store->lock_path == NULL) {
        free(store->path);
        store->path = NULL;
    }
}

/** The winners in a device's object of root; entries that are no names are left out. */
static void take_known(struct dd_tune_store *store, json_t *root) {
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(json_object_get(root, "devices"), store->device), key,
                        value) if (json_is_string(value)) json_object_set(store->known, key, value);
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
    find_paths(store, cache_dir);
    if (store->path != NULL) {
        json_t *root = dd_remember_load(store->path, MAX_BYTES, FORMAT, "devices");
        take_known(store, root);
        json_decref(root);
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
    free(store->path);
    free(store->lock_path);
    free(store);
}

bool dd_tune_store_kept(const struct dd_tune_store *store) {
    return store->path != NULL;
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

/** The device's object in root, made if there is none; drivers and versions come and go, so the oldest are dropped. */
static json_t *device_object(json_t *root, const char *device) {
    json_t *devices = json_object_get(root, "devices");
    json_t *object = json_object_get(devices, device);
    if (json_is_object(object))
        return object;
    while (json_object_size(devices) >= MAX_DEVICES) {
        const char *oldest = json_object_iter_key(json_object_iter(devices)); /* jansson keeps the order of insertion */
        if (json_object_del(devices, oldest) != 0)
            return NULL;
    }
    if (json_object_set_new(devices, device, json_object()) != 0)
        return NULL;
    return json_object_get(devices, device);
}

static dd_status merge(const struct dd_tune_store *store) {
    json_t *root = dd_remember_load(store->path, MAX_BYTES, FORMAT, "devices");
    json_t *object = root != NULL ? device_object(root, store->device) : NULL;
    char *text = NULL;
    if (object != NULL && json_object_update(object, store->fresh) == 0)
        text = json_dumps(root, JSON_INDENT(1));
    const dd_status status =
        text != NULL ? dd_file_write(store->path, text, strlen(text)) : dd_fail_memory("tuning results", 1);
    free(text);
    json_decref(root);
    return status;
}

void dd_tune_store_save(struct dd_tune_store *store) {
    if (store->path == NULL || json_object_size(store->fresh) == 0)
        return;
    const int lock = open(store->lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0 || flock(lock, LOCK_EX) != 0) /* a file system without locks: at worst another's winners are lost */
        dd_debug("%s cannot be locked", store->lock_path);
    if (merge(store) == DD_OK)
        json_object_clear(store->fresh);
    else
        dd_warning("tuning results are not kept: %s", dd_error_message());
    if (lock >= 0)
        close(lock);
}
