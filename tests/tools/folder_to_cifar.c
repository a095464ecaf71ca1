/*
 * folder_to_cifar FOLDER TARGET: writes the images of FOLDER/train and FOLDER/test (ten classes, fitted to 32x32) in
 * the binary form of CIFAR-10, in their order, and reads it back: both sources must then give the same data set. It is
 * not installed.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/depthdrop.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

enum { CLASSES = 10, PIXELS = 3072, BATCHES = 5, MOST_RECORDS = 10000 };

static dd_status open_source(const char *source, const char *folder, const char *size, dd_dataset **dataset) {
    char *spec = dd_format("%s:%s", source, folder);
    if (!spec)
        return dd_fail_memory("data set", strlen(folder));
    struct dd_dataset_options options = {.spec = spec, .image_size = size, .need_train = true, .need_test = true,
                                         .channels = 3};
    dd_status status = dd_dataset_open(&options, dataset);
    free(spec);
    return status;
}

/* Records first .. end - 1 of images: a label byte, then [3][32][32]. */
static dd_status write_batch(const char *folder, const char *name, const struct dd_images *images, int first, int end) {
    struct dd_file_writer writer;
    char *path = dd_path_join(folder, name);
    if (!path)
        return dd_fail_memory("path", strlen(folder));
    dd_status status = dd_file_writer_open(path, &writer);
    for (int i = first; i < end && status == DD_OK; i++) {
        uint8_t label = (uint8_t)images->labels[i];
        status = dd_file_writer_write(&writer, &label, 1);
        if (status == DD_OK)
            status = dd_file_writer_write(&writer, images->pixels + (size_t)i * PIXELS, PIXELS);
    }
    if (status == DD_OK)
        status = dd_file_writer_commit(&writer);
    free(path);
    return status;
}

static dd_status write_names(const char *folder, const dd_dataset *dataset) {
    char text[CLASSES * 256] = "", *path = dd_path_join(folder, "batches.meta.txt");
    if (!path)
        return dd_fail_memory("path", strlen(folder));
    for (int i = 0; i < dataset->classes; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s\n", dataset->class_names[i]);
    }
    dd_status status = dd_file_write(path, text, strlen(text));
    free(path);
    return status;
}

static dd_status write_all(const char *folder, const dd_dataset *dataset) {
    const struct dd_images *train = &dataset->train, *test = &dataset->test;
    if (dataset->classes != CLASSES || train->count < BATCHES || train->count > BATCHES * MOST_RECORDS ||
        test->count > MOST_RECORDS)
        return dd_fail(DD_ERROR_DATA, "%d classes, %d training and %d test images do not fit CIFAR-10's form",
                       dataset->classes, train->count, test->count);
    DD_TRY(dd_make_folder(folder));
    for (int i = 0; i < BATCHES; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        DD_TRY(write_batch(folder, name, train, (int)((int64_t)train->count * i / BATCHES),
                           (int)((int64_t)train->count * (i + 1) / BATCHES)));
    }
    DD_TRY(write_batch(folder, "test_batch.bin", test, 0, test->count));
    return write_names(folder, dataset);
}

static dd_status compare(const dd_dataset *one, const dd_dataset *other) {
    if (one->train.hash != other->train.hash || one->test.hash != other->test.hash || one->classes != other->classes)
        return dd_fail(DD_ERROR_INTERNAL, "'%s' and '%s' differ", one->spec, other->spec);
    for (int i = 0; i < one->classes; i++)
        if (strcmp(one->class_names[i], other->class_names[i]) != 0)
            return dd_fail(DD_ERROR_INTERNAL, "class %d differs", i);
    return DD_OK;
}

int main(int argc, char **argv) {
    dd_dataset *folder = NULL, *binary = NULL;
    if (argc != 3) {
        fprintf(stderr, "usage: folder_to_cifar FOLDER TARGET\n");
        return DD_ERROR_USAGE;
    }
    dd_status status = open_source("folder", argv[1], "32", &folder);
    if (status == DD_OK)
        status = write_all(argv[2], folder);
    if (status == DD_OK)
        status = open_source("cifar10", argv[2], NULL, &binary);
    if (status == DD_OK)
        status = compare(folder, binary);
    if (status == DD_OK)
        printf("%d training images (hash %016" PRIx64 "), %d test images (%016" PRIx64 ")\n", binary->train.count,
               binary->train.hash, binary->test.count, binary->test.hash);
    else
        fprintf(stderr, "folder_to_cifar: %s\n", dd_error_message());
    dd_dataset_close(&folder);
    dd_dataset_close(&binary);
    return status;
}
