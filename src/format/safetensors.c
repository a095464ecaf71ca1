/*
 * Reading and writing safetensors files. The reader refuses whatever the reference library refuses; that tensors are
 * F32 (dd_st_read) and of rank DD_MAX_RANK at most is our own limit.
 */
#include "format/safetensors.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <xxhash.h>

#include "base/file.h"
#include "base/mem.h"

enum { LENGTH_BYTES = 8, MAX_HEADER_BYTES = 100 * 1000 * 1000, ALIGNMENT = 8 };

static const char metadata_key[] = "__metadata__";
static const size_t max_file_bytes = (size_t)1 << 40;

/* One entry of the header, its bytes at begin .. end - 1 of the data. */
struct entry {
    struct dd_st_tensor tensor;
    int64_t begin, end;
};

/* Types of the format and the bytes of an element. */
static const struct type {
    const char *name;
    int bytes;
} types[] = {{"F32", 4},  {"F64", 8}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"I64", 8}, {"I32", 4},
             {"I16", 2}, {"I8", 1},  {"U64", 8}, {"U32", 4},  {"U16", 2},     {"U8", 1},      {"BOOL", 1}};
enum { TYPE_COUNT = sizeof types / sizeof types[0] };

static const struct type *find_type(const char *name) {
    for (int i = 0; i < TYPE_COUNT; i++)
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    return NULL;
}

static int by_offset(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

/* A whole number that is not negative. */
static bool take_size(const json_t *value, int64_t *size) {
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return false;
    *size = json_integer_value(value);
    return true;
}

static dd_status parse_shape(const char *path, const char *name, const json_t *shape, struct dd_st_tensor *tensor) {
    if (!json_is_array(shape) || json_array_size(shape) > DD_MAX_RANK)
        return dd_fail(DD_ERROR_DATA, "%s: tensor '%s' has no shape of at most %d dimensions", path, name, DD_MAX_RANK);
    tensor->rank = (int)json_array_size(shape);
    size_t count = 1;
    for (int i = 0; i < tensor->rank; i++) {
        if (!take_size(json_array_get(shape, (size_t)i), &tensor->dims[i]))
            return dd_fail(DD_ERROR_DATA, "%s: dimension %d of tensor '%s' is no whole number from 0 on", path, i,
                           name);
        if (__builtin_mul_overflow(count, (size_t)tensor->dims[i], &count))
            return dd_fail(DD_ERROR_DATA, "%s: the shape of tensor '%s' is too large", path, name);
    }
    tensor->count = count;
    return DD_OK;
}

static dd_status parse_type(const char *path, const char *name, const json_t *value, bool mixed,
                            const struct type **type) {
    const char *text = json_string_value(json_object_get(value, "dtype"));
    if (!text)
        return dd_fail(DD_ERROR_DATA, "%s: tensor '%s' has no dtype", path, name);
    *type = find_type(text);
    if (*type == NULL || (!mixed && *type != &types[0]))
        return dd_fail(DD_ERROR_DATA, "%s: tensor '%s' has dtype %s, only F32 can be read", path, name, text);
    return DD_OK;
}

/* {"dtype":"F32","shape":[..],"data_offsets":[begin,end]} */
static dd_status parse_entry(const char *path, const char *name, const json_t *value, bool mixed,
                             struct entry *entry) {
    const struct type *type = NULL;
    if (!json_is_object(value))
        return dd_fail(DD_ERROR_DATA, "%s: the header's entry of tensor '%s' is no object", path, name);
    DD_TRY(parse_type(path, name, value, mixed, &type));
    entry->tensor.type = type->name;
    DD_TRY(parse_shape(path, name, json_object_get(value, "shape"), &entry->tensor));
    const json_t *offsets = json_object_get(value, "data_offsets");
    if (!json_is_array(offsets) || json_array_size(offsets) != 2 ||
        !take_size(json_array_get(offsets, 0), &entry->begin) || !take_size(json_array_get(offsets, 1), &entry->end) ||
        entry->end < entry->begin)
        return dd_fail(DD_ERROR_DATA, "%s: the data_offsets of tensor '%s' are no begin and end", path, name);
    size_t bytes;
    if (__builtin_mul_overflow(entry->tensor.count, (size_t)type->bytes, &bytes) ||
        bytes != (size_t)(entry->end - entry->begin))
        return dd_fail(DD_ERROR_DATA, "%s: tensor '%s' has %" PRId64 " bytes, its shape asks for %zu numbers of %d",
                       path, name, entry->end - entry->begin, entry->tensor.count, type->bytes);
    entry->tensor.name = dd_strdup(name);
    return entry->tensor.name ? DD_OK : dd_fail_memory("tensor name", strlen(name));
}

static dd_status parse_metadata(const char *path, json_t *object, struct dd_st_file *file) {
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return dd_fail(DD_ERROR_DATA, "%s: %s is no object", path, metadata_key);
    file->meta_keys = dd_calloc(json_object_size(object), sizeof *file->meta_keys);
    file->meta_values = dd_calloc(json_object_size(object), sizeof *file->meta_values);
    if (!file->meta_keys || !file->meta_values)
        return dd_fail_memory("metadata", json_object_size(object) * sizeof *file->meta_keys);
    json_object_foreach(object, key, value) {
        if (!json_is_string(value))
            return dd_fail(DD_ERROR_DATA, "%s: metadata '%s' is no string", path, key);
        int i = file->meta_count++;
        file->meta_keys[i] = dd_strdup(key);
        file->meta_values[i] = dd_strdup(json_string_value(value));
        if (!file->meta_keys[i] || !file->meta_values[i])
            return dd_fail_memory("metadata", strlen(key) + json_string_length(value));
    }
    return DD_OK;
}

/* Entries in the order of their offsets must cover data_bytes without holes and overlaps. */
static dd_status check_cover(const char *path, const struct entry *entries, size_t count, size_t data_bytes) {
    int64_t end = 0;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].begin != end)
            return dd_fail(DD_ERROR_DATA, "%s: tensor '%s' begins at byte %" PRId64 " of the data, where %" PRId64
                           " is due: there is %s", path, entries[i].tensor.name, entries[i].begin, end,
                           entries[i].begin > end ? "a hole" : "an overlap");
        end = entries[i].end;
    }
    if ((uint64_t)end > data_bytes)
        return dd_fail(DD_ERROR_DATA, "%s: cut off: its tensors need %" PRId64 " bytes of data, %zu are there", path,
                       end, data_bytes);
    if ((uint64_t)end < data_bytes)
        return dd_fail(DD_ERROR_DATA, "%s: %zu bytes follow the last tensor", path, data_bytes - (size_t)end);
    return DD_OK;
}

/* Parses the header's entries into entries [json_object_size(header)], *count of them tensors. */
static dd_status parse_entries(const char *path, json_t *header, bool mixed, struct dd_st_file *file,
                               struct entry *entries, size_t *count) {
    const char *name;
    json_t *value;
    json_object_foreach(header, name, value) {
        if (strcmp(name, metadata_key) == 0)
            DD_TRY(parse_metadata(path, value, file));
        else
            DD_TRY(parse_entry(path, name, value, mixed, &entries[(*count)++]));
    }
    return DD_OK;
}

/*
 * The floats of an entry at a multiple of their size. In a foreign file they may lie elsewhere: then they move down,
 * over the header, which is parsed, over bytes of another type, which nobody reads, or over floats that have moved
 * likewise.
 */
static const float *align_floats(uint8_t *data, const struct entry *entry) {
    uint8_t *from = data + entry->begin, *to = from - (uintptr_t)from % sizeof(float);
    if (to != from)
        memmove(to, from, (size_t)(entry->end - entry->begin));
    return (const float *)(const void *)to;
}

/* Fills tensors and metadata of file from its header, of header_bytes. */
static dd_status take_header(const char *path, json_t *header, size_t header_bytes, bool mixed,
                             struct dd_st_file *file) {
    size_t total = json_object_size(header), count = 0, data_bytes = file->size - LENGTH_BYTES - header_bytes;
    struct entry *entries = dd_calloc(total, sizeof *entries);
    file->tensors = dd_calloc(total, sizeof *file->tensors);
    dd_status status;
    if (!entries || !file->tensors || total > INT32_MAX) {
        status = dd_fail_memory("tensor list", total * sizeof *entries);
        goto done;
    }
    DD_GOTO(status, done, parse_entries(path, header, mixed, file, entries, &count));
    qsort(entries, count, sizeof *entries, by_offset);
    DD_GOTO(status, done, check_cover(path, entries, count, data_bytes));

    for (size_t i = 0; i < count; i++) {
        if (entries[i].tensor.type == types[0].name)
            entries[i].tensor.data = align_floats(file->bytes + LENGTH_BYTES + header_bytes, &entries[i]);
        file->tensors[i] = entries[i].tensor;
        entries[i].tensor.name = NULL;
    }
    file->tensor_count = (int)count;

done:
    for (size_t i = 0; entries && i < count; i++)
        free(entries[i].tensor.name);
    free(entries);
    return status;
}

static uint64_t read_length(const uint8_t bytes[LENGTH_BYTES]) {
    uint64_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | bytes[i];
    return length;
}

static dd_status parse_file(const char *path, bool mixed, struct dd_st_file *file) {
    if (file->size < LENGTH_BYTES)
        return dd_fail(DD_ERROR_DATA, "%s: cut off: %zu bytes, a safetensors file has at least %d", path, file->size,
                       LENGTH_BYTES);
    uint64_t length = read_length(file->bytes);
    if (length > MAX_HEADER_BYTES)
        return dd_fail(DD_ERROR_DATA, "%s: no safetensors file: its header would have %" PRIu64 " bytes, %d at most",
                       path, length, MAX_HEADER_BYTES);
    if (length > file->size - LENGTH_BYTES)
        return dd_fail(DD_ERROR_DATA, "%s: cut off: its header has %" PRIu64 " bytes, %zu are there", path, length,
                       file->size - LENGTH_BYTES);
    const char *text = (const char *)file->bytes + LENGTH_BYTES;
    if (length == 0 || text[0] != '{')
        return dd_fail(DD_ERROR_DATA, "%s: no safetensors file: its header does not begin with '{'", path);
    json_error_t error;
    json_t *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &error);
    if (!header)
        return dd_fail(DD_ERROR_DATA, "%s: bad JSON in its header at byte %d: %s", path, error.position, error.text);
    dd_status status = take_header(path, header, (size_t)length, mixed, file);
    json_decref(header);
    return status;
}

static dd_status read_file(const char *path, bool mixed, struct dd_st_file *file) {
    *file = (struct dd_st_file){0};
    DD_TRY(dd_file_read(path, max_file_bytes, &file->bytes, &file->size));
    file->hash = XXH3_64bits(file->bytes, file->size);
    dd_status status = parse_file(path, mixed, file);
    if (status != DD_OK)
        dd_st_free(file);
    return status;
}

dd_status dd_st_read(const char *path, struct dd_st_file *file) {
    return read_file(path, false, file);
}

dd_status dd_st_read_mixed(const char *path, struct dd_st_file *file) {
    return read_file(path, true, file);
}

void dd_st_free(struct dd_st_file *file) {
    for (int i = 0; i < file->tensor_count; i++)
        free(file->tensors[i].name);
    for (int i = 0; i < file->meta_count; i++) {
        free(file->meta_keys[i]);
        free(file->meta_values[i]);
    }
    free(file->tensors);
    free(file->meta_keys);
    free(file->meta_values);
    free(file->bytes);
    *file = (struct dd_st_file){0};
}

const struct dd_st_tensor *dd_st_find(const struct dd_st_file *file, const char *name) {
    for (int i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *dd_st_meta(const struct dd_st_file *file, const char *key) {
    for (int i = 0; i < file->meta_count; i++)
        if (strcmp(file->meta_keys[i], key) == 0)
            return file->meta_values[i];
    return NULL;
}

/* JSON string with the escapes that it must have and no others. */
static void put_string(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < 0x20)
            fprintf(out, "\\u%04x", *at);
        else
            fputc(*at, out);
    }
    fputc('"', out);
}

/* Gives the first byte behind the tensor, which begins at offset of the data. */
static uint64_t put_tensor(FILE *out, const struct dd_st_tensor *tensor, uint64_t offset) {
    uint64_t end = offset + tensor->count * sizeof(float);
    put_string(out, tensor->name);
    fputs(":{\"dtype\":\"F32\",\"shape\":[", out);
    for (int i = 0; i < tensor->rank; i++)
        fprintf(out, "%s%" PRId64, i ? "," : "", tensor->dims[i]);
    fprintf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", offset, end);
    return end;
}

static void put_header(FILE *out, const struct dd_st_tensor *tensors, int tensor_count, const char *const *meta_keys,
                       const char *const *meta_values, int meta_count) {
    fputc('{', out);
    for (int i = 0; i < meta_count; i++) {
        if (i == 0)
            fprintf(out, "\"%s\":{", metadata_key);
        put_string(out, meta_keys[i]);
        fputc(':', out);
        put_string(out, meta_values[i]);
        fputc(i == meta_count - 1 ? '}' : ',', out);
    }
    uint64_t offset = 0;
    for (int i = 0; i < tensor_count; i++) {
        if (i > 0 || meta_count > 0)
            fputc(',', out);
        offset = put_tensor(out, &tensors[i], offset);
    }
    fputc('}', out);
}

/* The header, checked and padded to *size bytes, freed by free(). */
static dd_status make_header(const char *path, const struct dd_st_tensor *tensors, int tensor_count,
                             const char *const *meta_keys, const char *const *meta_values, int meta_count, char **text,
                             size_t *size) {
    *text = NULL;
    FILE *out = open_memstream(text, size);
    if (!out)
        return dd_fail_memory("safetensors header", 0);
    put_header(out, tensors, tensor_count, meta_keys, meta_values, meta_count);
    for (long at = ftell(out); at % ALIGNMENT != 0; at++)
        fputc(' ', out);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed)
        return dd_fail_memory("safetensors header", *size);
    /* parsing finds a name that occurs twice and a text that is not UTF-8 */
    json_error_t error;
    json_t *parsed = json_loadb(*text, *size, JSON_REJECT_DUPLICATES, &error);
    bool valid = parsed && json_object_size(parsed) == (size_t)tensor_count + (meta_count > 0) &&
                 *size <= MAX_HEADER_BYTES;
    const char *reason = parsed ? "too long" : error.text;
    json_decref(parsed);
    return valid ? DD_OK : dd_fail(DD_ERROR_INTERNAL, "%s: its header would be invalid: %s", path, reason);
}

static dd_status check_tensor(const char *path, const struct dd_st_tensor *tensor) {
    size_t count = 1;
    bool valid = tensor->rank >= 0 && tensor->rank <= DD_MAX_RANK && strcmp(tensor->name, metadata_key) != 0;
    for (int i = 0; valid && i < tensor->rank; i++)
        valid = tensor->dims[i] >= 0 && !__builtin_mul_overflow(count, (size_t)tensor->dims[i], &count);
    return valid && count == tensor->count ? DD_OK :
           dd_fail(DD_ERROR_INTERNAL, "%s: tensor '%s' cannot be written: bad name or shape", path, tensor->name);
}

dd_status dd_st_write(const char *path, const struct dd_st_tensor *tensors, int tensor_count,
                      const char *const *meta_keys, const char *const *meta_values, int meta_count) {
    struct dd_file_writer writer = {.fd = -1};
    uint8_t length[LENGTH_BYTES];
    char *header = NULL;
    size_t size;
    dd_status status;
    for (int i = 0; i < tensor_count; i++)
        DD_TRY(check_tensor(path, &tensors[i]));
    DD_GOTO(status, done, make_header(path, tensors, tensor_count, meta_keys, meta_values, meta_count, &header, &size));
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)((uint64_t)size >> 8 * i);
    DD_GOTO(status, done, dd_file_writer_open(path, &writer));
    DD_GOTO(status, done, dd_file_writer_write(&writer, length, sizeof length));
    DD_GOTO(status, done, dd_file_writer_write(&writer, header, size));
    for (int i = 0; i < tensor_count; i++)
        DD_GOTO(status, done, dd_file_writer_write(&writer, tensors[i].data, tensors[i].count * sizeof(float)));
    status = dd_file_writer_commit(&writer);

done:
    dd_file_writer_abandon(&writer);
    free(header);
    return status;
}
