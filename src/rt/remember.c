#include "rt/remember.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

bool dd_cache_off(void) {
    const char *off = getenv("DEPTHDROP_NO_CACHE");
    return off != NULL && off[0] != '\0' && strcmp(off, "0") != 0;
}

json_t *dd_remember_load(const char *path, size_t most_bytes, int format, const char *key) {
    uint8_t *data = NULL;
    size_t size = 0;
    json_t *root = NULL;
    if (dd_file_exists(path) && dd_file_read(path, most_bytes, &data, &size) == DD_OK)
        root = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL);
    free(data);
    const bool known = json_integer_value(json_object_get(root, "format")) == format;
    if (known && json_is_object(json_object_get(root, key)))
        return root;
    json_decref(root);
    return json_pack("{s:i, s:{}}", "format", format, key);
}
