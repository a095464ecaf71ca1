/* Self-test verdicts in selftest.json of the cache folder: {"format": 1, "verdicts": {"<device>": "passed"}}. */
#include "rt/verdict.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/depthdrop.h>
#include <jansson.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/remember.h"
#include "rt/internal.h"

enum { FORMAT = 1, MAX_VERDICTS = 64, MAX_BYTES = 1 << 20 };

char *dd_device_key(const struct dd_device_info *info) {
    return dd_format("%s|%s|%s|%s|depthdrop %s|kernels %016" PRIx64, info->platform_name, info->name, info->driver,
                     info->version, dd_version(), dd_kernels_hash());
}

/** "<cache folder>/selftest.json", freed by free(); NULL if there is no cache folder. */
static char *file_path(const char *cache_dir) {
    char *folder = dd_cache_folder(cache_dir, NULL);
    char *path = folder ? dd_path_join(folder, "selftest.json") : NULL;
    free(folder);
    return path;
}

dd_selftest_state dd_verdict_read(const char *cache_dir, const struct dd_device_info *info) {
    char *path = file_path(cache_dir), *key = dd_device_key(info);
    json_t *root = path && key ? dd_remember_load(path, MAX_BYTES, FORMAT, "verdicts") : NULL;
    const char *verdict = root ? json_string_value(json_object_get(json_object_get(root, "verdicts"), key)) : NULL;
    dd_selftest_state state = !verdict                     ? DD_SELFTEST_UNTESTED
                              : !strcmp(verdict, "passed") ? DD_SELFTEST_PASSED
                              : !strcmp(verdict, "failed") ? DD_SELFTEST_FAILED
                                                           : DD_SELFTEST_UNTESTED;
    json_decref(root);
    free(key);
    free(path);
    return state;
}

/** Forgets the oldest beyond MAX_VERDICTS: every new driver or version adds one. */
static void prune(json_t *verdicts) {
    while (json_object_size(verdicts) > MAX_VERDICTS) {
        void *oldest = json_object_iter(verdicts); /* jansson keeps the order of insertion */
        if (json_object_del(verdicts, json_object_iter_key(oldest)) != 0)
            return;
    }
}

void dd_verdict_write(const char *cache_dir, const struct dd_device_info *info, dd_selftest_state state) {
    char *path = file_path(cache_dir), *key = dd_device_key(info), *text = NULL;
    json_t *root = path && key ? dd_remember_load(path, MAX_BYTES, FORMAT, "verdicts") : NULL;
    json_t *verdicts = json_object_get(root, "verdicts");
    if (!root) {
        dd_debug("the self-test's verdict is not remembered: there is no cache folder");
        goto done;
    }
    int failed = json_object_del(verdicts, key) != 0 && json_object_get(verdicts, key) != NULL;
    if (state != DD_SELFTEST_UNTESTED)
        failed |= json_object_set_new(verdicts, key, json_string(state == DD_SELFTEST_PASSED ? "passed" : "failed"));
    prune(verdicts);
    text = json_dumps(root, JSON_INDENT(1));
    if (failed || !text || dd_file_write(path, text, strlen(text)) != DD_OK)
        dd_warning("the self-test's verdict is not remembered: %s", text ? dd_error_message() : "out of memory");
done:
    free(text);
    json_decref(root);
    free(key);
    free(path);
}
