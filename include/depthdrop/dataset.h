/* depthdrop: labelled images in memory. Unstable until 1.0. */
#ifndef DEPTHDROP_DATASET_H
#define DEPTHDROP_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <depthdrop/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Decoded images of one split. */
struct dd_images {
    char split[16]; /**< "train", "test" or "val" (as found) */
    int count;
    int channels, height, width;
    uint8_t *pixels; /**< [count][C][H][W] */
    int32_t *labels; /**< [count], 0 .. classes - 1 */
    uint64_t hash;   /**< XXH3 of pixels and labels, in that order, with the shape as seed material */
};

typedef struct dd_dataset {
    char spec[1024]; /**< as given */
    char name[64];   /**< "fashion-mnist", "cifar10", "folder", ... */
    int classes;
    char **class_names;           /**< [classes], label order */
    struct dd_images train, test; /**< count 0: not asked for, or (train only) not there */
} dd_dataset;

struct dd_dataset_options {
    const char *spec; /**< "fashion-mnist[:DIR]", "cifar10:DIR", "cifar100:DIR", "folder:DIR", "idx:DIR", "shapes" */
    const char *base; /**< the folder that a relative DIR starts from; NULL: the current one */
    const char *image_size; /**< folder: "S" or "HxW"; NULL: the first image's */
    bool need_train, need_test;
    const char *cache_dir; /**< decoded folders are kept below it; NULL: $XDG_CACHE_HOME/depthdrop */
    bool no_cache;
    int threads;                /**< decoding threads; 0: as many as processors */
    char *const *model_classes; /**< eval by a model: its class names in label order, which labels then follow; NULL:
                                   the data's own */
    int model_class_count;
    int channels;      /**< eval by a model: wanted channels (1 or 3), converted; 0: the data's own */
    int height, width; /**< eval by a model: wanted size; 0: the data's own (or image_size) */
};

/**
 * Reads the data set whole. Errors: DD_ERROR_USAGE (unknown spec), DD_ERROR_DATA (a sentence naming file, offset
 * or record, what was expected and what found; over 1 % broken images in a folder), DD_ERROR_MEMORY.
 * Broken images below the limit are left out after a warning that lists them (at most ten). On success the caller
 * closes *dataset by dd_dataset_close; else it is NULL.
 */
dd_status dd_dataset_open(const struct dd_dataset_options *options, dd_dataset **dataset);
void dd_dataset_close(dd_dataset **dataset);

/** Where in spec its DIR begins, if that is a relative path; else NULL. */
const char *dd_dataset_relative_folder(const char *spec);

/** The table of sources, for help texts: NULL past the end. */
struct dd_source_help {
    const char *form, *description;
};
const struct dd_source_help *dd_dataset_source_help(int index);

/**
 * Reads one image file (JPEG or PNG) as [C][H][W] bytes into pixels (channels*height*width bytes, caller's),
 * grey or colour as asked, short side scaled by an antialiased filter and centre-cropped if sizes differ.
 * Error: DD_ERROR_DATA.
 */
dd_status dd_image_read(const char *file, int channels, int height, int width, uint8_t *pixels);

#ifdef __cplusplus
}
#endif
#endif
