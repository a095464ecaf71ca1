#include "rt/remember.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

bool dd_cache_off(void) {
    const char *off = getenv("DEPTHDROP_NO_CACHE");
    return off != NULL && off[0] != '\0' && strcmp(off, "0") != 0;
}

json_t *dd_remember_load(const struct dd_remembered *what, const char *folder) {
    json_t *root = NULL, *entries = NULL;
    char *path = dd_path_join(folder, what->file);
    if (path != NULL && dd_file_exists(path) &&
        dd_json_load_file(path, what->most_bytes, JSON_REJECT_DUPLICATES, NULL, &root) == DD_OK &&
        json_integer_value(json_object_get(root, "format")) == what->format)
        entries = json_object_get(root, what->key);
    entries = json_is_object(entries) ? json_incref(entries) : json_object();
    json_decref(root);
    free(path);
    return entries;
}

/** Puts an entry behind all others: jansson keeps the order of insertion. 0, or -1: out of memory. */
static int put(json_t *entries, const char *entry, json_t *value) {
    json_t *old = json_incref(json_object_get(entries, entry));
    int failed = old != NULL ? json_object_del(entries, entry) : 0;
    if (json_is_object(old) && json_is_object(value)) {
        failed |= json_object_update(old, value);
        value = old;
    }
    failed |= json_object_set(entries, entry, value);
    json_decref(old);
    return failed;
}

/** Drivers and versions come and go. 0 or -1. */
static int forget_oldest(json_t *entries, size_t most) {
    int failed = 0;
    while (failed == 0 && json_object_size(entries) > most)
        failed = json_object_del(entries, json_object_iter_key(json_object_iter(entries)));
    return failed;
}

/** A descriptor that holds the lock until it is closed, or -1. */
static int take_lock(const char *folder, const char *name) {
    char *path = dd_path_join(folder, name);
    const int lock = path != NULL ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (lock < 0 || flock(lock, LOCK_EX) != 0) /* a file system without locks: at worst another's entries are lost */
        dd_debug("%s/%s cannot be locked", folder, name);
    free(path);
    return lock;
}

dd_status dd_remember_save(const struct dd_remembered *what, const char *folder, const char *entry, json_t *value) {
    char *path = dd_path_join(folder, what->file);
    const int lock = take_lock(folder, what->lock);
    json_t *entries = dd_remember_load(what, folder), *root = NULL;
    if (put(entries, entry, value) == 0 && forget_oldest(entries, what->most_entries) == 0)
        root = json_pack("{s:i, s:O}", "format", what->format, what->key, entries);
    const dd_status status = dd_json_save_file(root, path, JSON_INDENT(1));
    json_decref(entries);
    if (lock >= 0)
        close(lock);
    free(path);
    return status;
}
