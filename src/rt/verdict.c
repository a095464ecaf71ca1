/* Self-test verdicts in selftest.json of the cache folder: {"format": 1, "verdicts": {"<device>": "passed"}}. */
#include "rt/verdict.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/depthdrop.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/remember.h"
#include "rt/internal.h"

static const struct dd_remembered verdicts = {.file = "selftest.json",
                                              .lock = "selftest.lock",
                                              .key = "verdicts",
                                              .format = 1,
                                              .most_bytes = 1 << 20,
                                              .most_entries = 64};

static const char *const names[] = {
    [DD_SELFTEST_UNTESTED] = "untested", [DD_SELFTEST_PASSED] = "passed", [DD_SELFTEST_FAILED] = "failed"};

char *dd_device_key(const struct dd_device_info *info) {
    return dd_format("%s|%s|%s|%s|depthdrop %s|kernels %016" PRIx64, info->platform_name, info->name, info->driver,
                     info->version, dd_version(), dd_kernels_hash());
}

dd_selftest_state dd_verdict_read(const char *cache_dir, const struct dd_device_info *info) {
    char *folder = dd_cache_folder(cache_dir, NULL), *key = dd_device_key(info);
    json_t *entries = folder ? dd_remember_load(&verdicts, folder) : NULL;
    const char *verdict = json_string_value(json_object_get(entries, key));
    dd_selftest_state state = !verdict                                      ? DD_SELFTEST_UNTESTED
                              : !strcmp(verdict, names[DD_SELFTEST_PASSED]) ? DD_SELFTEST_PASSED
                              : !strcmp(verdict, names[DD_SELFTEST_FAILED]) ? DD_SELFTEST_FAILED
                                                                            : DD_SELFTEST_UNTESTED;
    json_decref(entries);
    free(key);
    free(folder);
    return state;
}

void dd_verdict_write(const char *cache_dir, const struct dd_device_info *info, dd_selftest_state state) {
    char *folder = dd_cache_folder(cache_dir, NULL), *key = dd_device_key(info);
    json_t *verdict = json_string(names[state]);
    if (!folder)
        dd_debug("the self-test's verdict is not remembered: there is no cache folder");
    else if (dd_remember_save(&verdicts, folder, key, verdict) != DD_OK)
        dd_warning("the self-test's verdict is not remembered: %s", dd_error_message());
    json_decref(verdict);
    free(key);
    free(folder);
}
