/*
 * Inside of the dataset module: the table of sources and what its entries share. A new source is a file with an open
 * function, declared here, and a line in the table of dataset.c.
 */
#ifndef DD_DATASET_SOURCE_H
#define DD_DATASET_SOURCE_H

#include <stddef.h>
#include <stdint.h>

#include <depthdrop/dataset.h>

#include "base/error.h"

/**
 * Fills classes, class_names, train and test of a zeroed dataset (spec and name are set) with the splits that the
 * options ask for; hash, labels by a model and conversion come afterwards. folder is what follows the colon in the
 * spec, NULL if nothing does. What was filled before a failure is released by the caller.
 */
typedef dd_status (*dd_source_open)(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset);

dd_status dd_fashion_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset);
dd_status dd_idx_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset);
dd_status dd_cifar10_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset);
dd_status dd_cifar100_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset);
dd_status dd_folder_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset);
dd_status dd_shapes_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset);

/** Allocates pixels [count][C][H][W] and labels [count] and sets the shape. DD_ERROR_MEMORY. */
dd_status dd_images_create(struct dd_images *images, const char *split, int count, int channels, int height, int width);
void dd_images_destroy(struct dd_images *images);

/** Bytes of one image. */
static inline size_t dd_images_stride(const struct dd_images *images) {
    return (size_t)images->channels * (size_t)images->height * (size_t)images->width;
}

/**
 * What struct dd_images.hash holds: XXH3 of the labels, seeded with XXH3 of the pixels, seeded with XXH3 of count, C, H
 * and W as four int32.
 */
uint64_t dd_images_hash(const struct dd_images *images);

/** Copies names into the data set. DD_ERROR_MEMORY. */
dd_status dd_dataset_set_classes(dd_dataset *dataset, const char *const *names, int count);

/** Rewrites the labels so that they follow the model's class names, which the data set then has. DD_ERROR_DATA. */
dd_status dd_dataset_relabel(dd_dataset *dataset, char *const *model_classes, int model_class_count);

/** Converts to channels (1 or 3) and height x width; 0 keeps what there is. DD_ERROR_MEMORY. */
dd_status dd_images_convert(struct dd_images *images, int channels, int height, int width);

#endif
