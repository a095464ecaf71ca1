/*
 * The table of sources, the parsing of a data set's SPEC, and the life of a data set. A new source gets a line in
 * `sources`; what is done to every data set alike (labels by a model, conversion, hash) is in dd_dataset_open.
 */
#include "dataset/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

enum folder_use { FOLDER_NONE, FOLDER_OPTIONAL, FOLDER_REQUIRED };

static const struct source {
    const char *name;
    enum folder_use folder;
    dd_source_open open;
    struct dd_source_help help;
} sources[] = {
    {"fashion-mnist", FOLDER_OPTIONAL, dd_fashion_open,
     {"fashion-mnist[:DIR]", "Fashion-MNIST; DIR defaults to where Debian's dataset-fashion-mnist puts it"}},
    {"cifar10", FOLDER_REQUIRED, dd_cifar10_open, {"cifar10:DIR", "CIFAR-10, original binary form"}},
    {"cifar100", FOLDER_REQUIRED, dd_cifar100_open, {"cifar100:DIR", "CIFAR-100, original binary form, fine labels"}},
    {"folder", FOLDER_REQUIRED, dd_folder_open,
     {"folder:DIR", "JPEG and PNG files in DIR/train/<class>/ and DIR/test/<class>/ (or DIR/val)"}},
    {"idx", FOLDER_REQUIRED, dd_idx_open,
     {"idx:DIR", "train-images-idx3-ubyte[.gz] and its companions, as of MNIST"}},
    {"shapes", FOLDER_NONE, dd_shapes_open, {"shapes", "a small data set of drawn shapes, always there"}},
};

enum { SOURCE_COUNT = sizeof sources / sizeof sources[0] };

const struct dd_source_help *dd_dataset_source_help(int index) {
    return index >= 0 && index < SOURCE_COUNT ? &sources[index].help : NULL;
}

const char *dd_dataset_relative_folder(const char *spec) {
    const char *colon = strchr(spec, ':');
    return colon && colon[1] != '\0' && colon[1] != '/' ? colon + 1 : NULL;
}

/* A usage error that lists every form. */
static dd_status fail_unknown(const char *spec) {
    char forms[512] = "";
    for (int i = 0; i < SOURCE_COUNT; i++) {
        size_t used = strlen(forms);
        const char *separator = i == 0 ? "" : i == SOURCE_COUNT - 1 ? " or " : ", ";
        snprintf(forms + used, sizeof forms - used, "%s%s", separator, sources[i].help.form);
    }
    return dd_fail(DD_ERROR_USAGE, "unknown data set '%s': give %s", spec, forms);
}

/* Finds the source of spec and what follows its colon (NULL: nothing). */
static dd_status parse_spec(const char *spec, const struct source **source, const char **folder) {
    size_t length = strcspn(spec, ":");
    *source = NULL;
    *folder = NULL;
    for (int i = 0; i < SOURCE_COUNT; i++)
        if (strlen(sources[i].name) == length && memcmp(sources[i].name, spec, length) == 0)
            *source = &sources[i];
    if (!*source)
        return fail_unknown(spec);
    *folder = spec[length] == ':' ? spec + length + 1 : NULL;
    if ((*source)->folder == FOLDER_NONE && *folder)
        return dd_fail(DD_ERROR_USAGE, "data set '%s' takes no folder: write just '%s'", spec, (*source)->name);
    bool missing = *folder ? **folder == '\0' : (*source)->folder == FOLDER_REQUIRED;
    if (missing)
        return dd_fail(DD_ERROR_USAGE, "data set '%s' lacks its folder: write %s", spec, (*source)->help.form);
    return DD_OK;
}

static dd_status check_options(const struct dd_dataset_options *options, const struct source *source) {
    if (options->image_size && source->open != dd_folder_open)
        return dd_fail(DD_ERROR_USAGE, "the image size can be chosen for folder:DIR only, not for '%s'", options->spec);
    if (options->channels != 0 && options->channels != 1 && options->channels != 3)
        return dd_fail(DD_ERROR_USAGE, "images can be had with 1 or 3 channels, not %d", options->channels);
    if (options->height < 0 || options->width < 0 || (options->height == 0) != (options->width == 0))
        return dd_fail(DD_ERROR_USAGE, "no images can have %dx%d pixels", options->height, options->width);
    return DD_OK;
}

/* What every source's splits go through: conversion and hash. */
static dd_status finish_split(const struct dd_dataset_options *options, const char *split, bool needed,
                              struct dd_images *images) {
    if (images->count == 0)
        return needed ? dd_fail(DD_ERROR_DATA, "data set '%s' has no %s images", options->spec, split) : DD_OK;
    DD_TRY(dd_images_convert(images, options->channels, options->height, options->width));
    images->hash = dd_images_hash(images);
    return DD_OK;
}

dd_status dd_dataset_open(const struct dd_dataset_options *options, dd_dataset **dataset) {
    *dataset = NULL;
    const struct source *source;
    const char *folder;
    char *whole = NULL; /* folder behind options->base */
    dd_dataset *made = NULL;
    dd_status status;

    if (!options->spec || strlen(options->spec) >= sizeof made->spec)
        return dd_fail(DD_ERROR_USAGE, "the data set must be named in fewer than %zu bytes", sizeof made->spec);
    DD_TRY(parse_spec(options->spec, &source, &folder));
    DD_TRY(check_options(options, source));
    made = dd_calloc(1, sizeof *made);
    if (!made)
        return dd_fail_memory("data set", sizeof *made);
    strcpy(made->spec, options->spec);
    strcpy(made->name, source->name);
    if (options->base && dd_dataset_relative_folder(options->spec)) {
        whole = dd_path_join(options->base, folder);
        if (!whole)
            DD_GOTO(status, error, dd_fail_memory("path", strlen(options->base) + strlen(folder)));
    }
    DD_GOTO(status, error, source->open(options, whole ? whole : folder, made));
    if (options->model_classes)
        DD_GOTO(status, error, dd_dataset_relabel(made, options->model_classes, options->model_class_count));
    DD_GOTO(status, error, finish_split(options, "training", options->need_train, &made->train));
    DD_GOTO(status, error, finish_split(options, "test", options->need_test, &made->test));
    *dataset = made;
    free(whole);
    return DD_OK;

error:
    dd_dataset_close(&made);
    free(whole);
    return status;
}

void dd_dataset_close(dd_dataset **dataset) {
    if (!*dataset)
        return;
    dd_images_destroy(&(*dataset)->train);
    dd_images_destroy(&(*dataset)->test);
    for (int i = 0; (*dataset)->class_names && i < (*dataset)->classes; i++)
        free((*dataset)->class_names[i]);
    free((*dataset)->class_names);
    free(*dataset);
    *dataset = NULL;
}

dd_status dd_dataset_set_classes(dd_dataset *dataset, const char *const *names, int count) {
    dataset->class_names = dd_calloc((size_t)count + 1, sizeof *dataset->class_names);
    if (!dataset->class_names)
        return dd_fail_memory("class names", ((size_t)count + 1) * sizeof *dataset->class_names);
    dataset->classes = count;
    for (int i = 0; i < count; i++) {
        if (!dd_is_utf8(names[i])) /* model files keep the names in JSON */
            return dd_fail(DD_ERROR_DATA, "%s: the name of class %d, \"%s\", is not UTF-8", dataset->spec, i, names[i]);
        dataset->class_names[i] = dd_strdup(names[i]);
        if (!dataset->class_names[i])
            return dd_fail_memory("class name", strlen(names[i]) + 1);
    }
    return DD_OK;
}

dd_status dd_images_create(struct dd_images *images, const char *split, int count, int channels, int height,
                           int width) {
    *images = (struct dd_images){.count = count, .channels = channels, .height = height, .width = width};
    snprintf(images->split, sizeof images->split, "%s", split);
    size_t stride = dd_images_stride(images);
    images->pixels = dd_calloc((size_t)count, stride);
    images->labels = dd_calloc((size_t)count, sizeof *images->labels);
    if (!images->pixels || !images->labels) {
        dd_images_destroy(images);
        return dd_fail_memory("images", (size_t)count * (stride + sizeof *images->labels));
    }
    return DD_OK;
}

void dd_images_destroy(struct dd_images *images) {
    free(images->pixels);
    free(images->labels);
    *images = (struct dd_images){0};
}

uint64_t dd_images_hash(const struct dd_images *images) {
    const int32_t shape[4] = {images->count, images->channels, images->height, images->width};
    uint64_t seed = XXH3_64bits(shape, sizeof shape);
    seed = XXH3_64bits_withSeed(images->pixels, (size_t)images->count * dd_images_stride(images), seed);
    return XXH3_64bits_withSeed(images->labels, (size_t)images->count * sizeof *images->labels, seed);
}
