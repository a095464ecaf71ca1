/* Inside of the folder source: what its listing, decoding and cache share. */
#ifndef DD_DATASET_FOLDER_H
#define DD_DATASET_FOLDER_H

#include <stdint.h>

#include <depthdrop/dataset.h>

#include "base/error.h"

struct folder_file {
    char *name;              /* "<class>/<file>" below the split's folder */
    int32_t label;
    int64_t size;            /* bytes */
    int64_t modified, changed; /* ns since the epoch */
    uint64_t inode;
};

/** The image files of one split in the order of class, then name, both bytewise. */
struct folder_split {
    char *path;              /* of the split's folder */
    const char *split;       /* "train", "test" or "val" */
    struct folder_file *files;
    size_t count, capacity;
};

/**
 * Decodes the split's files on several threads, fitted to height x width: 3 channels, or 1 if every image is grey.
 * Broken files are left out; *warning (freed by the caller) then lists them, else it is NULL. DD_ERROR_DATA if more
 * than 1 % are broken or none is left, DD_ERROR_MEMORY.
 */
dd_status dd_folder_decode(const struct folder_split *split, int height, int width, int threads,
                           struct dd_images *images, char **warning);

/** What identifies a decoded split: 128 bits over the files' places, names, sizes and times, and the images' size. */
struct folder_key { uint64_t high, low; };
struct folder_key dd_folder_key(const struct folder_split *split, int height, int width);

/** Fills images and *warning as dd_folder_decode did; false if the folder does not hold them whole. */
bool dd_folder_cache_load(const char *cache, struct folder_key key, struct dd_images *images, char **warning);

/** Keeps decoded images, removing the oldest where all together would exceed 2 GiB. Failure is only logged. */
void dd_folder_cache_store(const char *cache, struct folder_key key, const struct dd_images *images,
                           const char *warning);

#endif
