/* Reads values out of JSON, with errors that name the file and the key. */
#include <inttypes.h>
#include <limits.h>
#include <math.h>

#include "report/internal.h"

dd_status dd_json_wrong(const struct dd_json_source *source, const char *key) {
    return dd_fail(DD_ERROR_DATA, "%s: \"%s\" is missing or of the wrong type; %s", source->path, key, source->hint);
}

dd_status dd_json_as_text(const struct dd_json_source *source, const json_t *object, const char *key, char *text,
                          size_t size) {
    const json_t *value = json_object_get(object, key);
    int length;
    if (json_is_string(value))
        length = snprintf(text, size, "%s", json_string_value(value));
    else if (json_is_integer(value))
        length = snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        length = snprintf(text, size, "%.9g", json_real_value(value));
    else
        return dd_json_wrong(source, key);
    if ((size_t)length >= size)
        return dd_fail(DD_ERROR_DATA, "%s: \"%s\" has %d bytes, at most %zu are expected", source->path, key, length,
                       size - 1);
    return DD_OK;
}

dd_status dd_json_text(const struct dd_json_source *source, const json_t *object, const char *key, char *text,
                       size_t size) {
    if (!json_is_string(json_object_get(object, key)))
        return dd_json_wrong(source, key);
    return dd_json_as_text(source, object, key, text, size);
}

dd_status dd_json_integer(const struct dd_json_source *source, const json_t *object, const char *key, int64_t *number) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value))
        return dd_json_wrong(source, key);
    *number = json_integer_value(value);
    return DD_OK;
}

dd_status dd_json_count(const struct dd_json_source *source, const json_t *object, const char *key, int *number) {
    int64_t value = 0;
    DD_TRY(dd_json_integer(source, object, key, &value));
    if (value < 0 || value > INT_MAX)
        return dd_fail(DD_ERROR_DATA, "%s: \"%s\" is %" PRId64 ", not from 0 to %d; %s", source->path, key, value,
                       INT_MAX, source->hint);
    *number = (int)value;
    return DD_OK;
}

dd_status dd_json_real(const struct dd_json_source *source, const json_t *object, const char *key, double *number) {
    if (!json_is_number(json_object_get(object, key)))
        return dd_json_wrong(source, key);
    *number = dd_json_real_or(object, key, NAN);
    return DD_OK;
}

double dd_json_real_or(const json_t *object, const char *key, double otherwise) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}
