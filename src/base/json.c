#include "base/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"

bool dd_is_utf8(const char *text) {
    json_t *json = json_string(text);
    const bool valid = json != NULL;
    json_decref(json);
    return valid;
}

char *dd_utf8_text(const char *text) {
    if (dd_is_utf8(text))
        return dd_strdup(text);
    char *clean = dd_calloc(3 * strlen(text) + 1, 1), *end = clean;
    if (clean == NULL)
        return NULL;
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x80)
            *end++ = *text;
        else
            end = (char *)memcpy(end, "\xEF\xBF\xBD", 3) + 3;
    }
    return clean;
}

json_t *dd_json_number(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *dd_json_string(const char *text) {
    char *clean = dd_utf8_text(text);
    json_t *json = json_string(clean); /* NULL stays NULL */
    free(clean);
    return json;
}

dd_status dd_json_load_file(const char *path, size_t limit, size_t flags, const char *hint, json_t **root) {
    uint8_t *bytes;
    size_t size;
    json_error_t error;
    *root = NULL;
    DD_TRY(dd_file_read(path, limit, &bytes, &size));
    *root = json_loadb((const char *)bytes, size, flags, &error);
    free(bytes);
    if (*root == NULL)
        return dd_fail(DD_ERROR_DATA, "%s is damaged: line %d: %s%s%s", path, error.line, error.text,
                       hint != NULL ? "; " : "", hint != NULL ? hint : "");
    return DD_OK;
}

/** The text of root, which is released; NULL: out of memory, before or now. */
static char *dump(json_t *root, size_t flags) {
    char *text = root != NULL ? json_dumps(root, flags) : NULL;
    json_decref(root);
    return text;
}

dd_status dd_json_save_file(json_t *root, const char *path, size_t flags) {
    char *text = dump(root, flags);
    const dd_status status = path != NULL && text != NULL ? dd_file_write(path, text, strlen(text))
                                                          : dd_fail_memory(path != NULL ? path : "a JSON file", 1);
    free(text);
    return status;
}

dd_status dd_json_line(json_t *root, FILE *out) {
    char *text = dump(root, JSON_COMPACT | JSON_REAL_PRECISION(9));
    if (text == NULL)
        return dd_fail_memory("a line of JSON", 1);
    fprintf(out, "%s\n", text);
    free(text);
    return DD_OK;
}
