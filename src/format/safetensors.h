/*
 * safetensors files: u64 little-endian header length, JSON header (at most 100 MB, padded with spaces to 8 bytes), data
 * without holes. Read as strictly as the reference library reads.
 */
#ifndef DD_FORMAT_SAFETENSORS_H
#define DD_FORMAT_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum { DD_MAX_RANK = 8 };

struct dd_st_tensor {
    char *name;
    int rank;
    int64_t dims[DD_MAX_RANK];
    size_t count;      /* product of dims */
    const float *data; /* F32, into the file's memory (reader) or the caller's (writer); NULL for other types */
    const char *type;  /* reader: "F32", ... */
};

/** A file read whole. */
struct dd_st_file {
    uint8_t *bytes;
    size_t size;
    int tensor_count;
    struct dd_st_tensor *tensors; /* in the order of their offsets */
    int meta_count;
    char **meta_keys, **meta_values;
    uint64_t hash; /* XXH3 of the whole file */
};

/**
 * Reads and checks. DD_ERROR_DATA names the file and what is wrong: too short, header length, bad JSON, duplicate key,
 * dtype other than F32, offsets with holes or overlaps or past the end, size that does not match the shape, bytes
 * behind the last tensor.
 */
dd_status dd_st_read(const char *path, struct dd_st_file *file);

/**
 * The same for a file of another program, which may hold tensors of every type that the format knows. Only those of F32
 * have data.
 */
dd_status dd_st_read_mixed(const char *path, struct dd_st_file *file);
void dd_st_free(struct dd_st_file *file); /* also a zeroed one */

const struct dd_st_tensor *dd_st_find(const struct dd_st_file *file, const char *name);
const char *dd_st_meta(const struct dd_st_file *file, const char *key); /* NULL: absent */

/**
 * Writes atomically (base/file.h) tensors in the order given, which is kept, and metadata in the order given.
 * The bytes follow from the arguments alone.
 */
dd_status dd_st_write(const char *path, const struct dd_st_tensor *tensors, int tensor_count,
                      const char *const *meta_keys, const char *const *meta_values, int meta_count);

#endif
