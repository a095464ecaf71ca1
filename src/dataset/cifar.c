/*
 * CIFAR-10 and CIFAR-100 in their original binary form: records of label bytes (10: one; 100: coarse, fine) and 3072
 * pixel bytes [3][32][32]. A further set of this shape is a line in `forms` and an open function.
 */
#include "dataset/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

enum { PIXEL_BYTES = 3 * 32 * 32, COARSE_CLASSES = 20, MAX_CLASSES = 100 };

struct cifar_form {
    const char *title, *subfolder, *names_file;
    int classes, label_bytes; /* the class is the last label byte */
    int records;              /* of a file of the training split, as published */
    int test_records;
    const char *train_files[6], *test_files[2]; /* ended by NULL */
    const char *const *names;
};

static const char *const names_10[10] = {"airplane", "automobile", "bird", "cat", "deer",
                                         "dog", "frog", "horse", "ship", "truck"};

static const char *const names_100[100] = {
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger",
    "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
};

static const struct cifar_form form_10 = {
    .title = "CIFAR-10", .subfolder = "cifar-10-batches-bin", .names_file = "batches.meta.txt",
    .classes = 10, .label_bytes = 1, .records = 10000, .test_records = 10000,
    .train_files = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
    .test_files = {"test_batch.bin"}, .names = names_10,
};

static const struct cifar_form form_100 = {
    .title = "CIFAR-100", .subfolder = "cifar-100-binary", .names_file = "fine_label_names.txt",
    .classes = 100, .label_bytes = 2, .records = 50000, .test_records = 10000,
    .train_files = {"train.bin"}, .test_files = {"test.bin"}, .names = names_100,
};

/* A file's records, read whole. */
struct batch {
    char *path;
    uint8_t *bytes;
    int records;
};

/* The folder itself or the one that the published archive unpacks to. */
static dd_status find_folder(const struct cifar_form *form, const char *given, char **folder) {
    if (!dd_is_folder(given))
        return dd_fail(DD_ERROR_DATA, "%s: no such folder", given);
    *folder = dd_path_join(given, form->subfolder);
    if (*folder && !dd_is_folder(*folder)) {
        free(*folder);
        *folder = dd_strdup(given);
    }
    return *folder ? DD_OK : dd_fail_memory("path", strlen(given));
}

/* One class name on each line; empty lines are skipped, as the published file ends with one. */
static dd_status read_names(const struct cifar_form *form, const char *path, dd_dataset *dataset) {
    const char *names[MAX_CLASSES];
    uint8_t *text;
    size_t size;
    int count = 0;
    DD_TRY(dd_file_read(path, 1 << 16, &text, &size));
    char *rest = (char *)text, *line;
    while ((line = strsep(&rest, "\r\n")) != NULL) {
        if (*line != '\0' && count < form->classes)
            names[count] = line;
        count += *line != '\0';
    }
    dd_status status = count == form->classes ? dd_dataset_set_classes(dataset, names, count) :
                       dd_fail(DD_ERROR_DATA, "%s: names %d classes, %s has %d", path, count, form->title,
                               form->classes);
    free(text);
    return status;
}

static dd_status set_names(const struct cifar_form *form, const char *folder, dd_dataset *dataset) {
    char *path = dd_path_join(folder, form->names_file);
    if (!path)
        return dd_fail_memory("path", strlen(folder));
    dd_status status = dd_file_exists(path) ? read_names(form, path, dataset)
                                            : dd_dataset_set_classes(dataset, form->names, form->classes);
    free(path);
    return status;
}

/* Reads one file and checks its length; published is the number of records that the original has. */
static dd_status read_batch(const struct cifar_form *form, const char *folder, const char *name, int published,
                            struct batch *batch) {
    size_t record = (size_t)form->label_bytes + PIXEL_BYTES, size;
    batch->path = dd_path_join(folder, name);
    if (!batch->path)
        return dd_fail_memory("path", strlen(folder) + strlen(name));
    if (!dd_file_exists(batch->path))
        return dd_fail(DD_ERROR_DATA, "%s: is missing: give the folder of %s's binary version", batch->path,
                       form->title);
    DD_TRY(dd_file_read(batch->path, SIZE_MAX / 2, &batch->bytes, &size));
    if (size == 0)
        return dd_fail(DD_ERROR_DATA, "%s: is empty", batch->path);
    if (size > record * (size_t)published)
        return dd_fail(DD_ERROR_DATA, "%s: has %zu bytes, more than the %zu of %d records of %zu bytes", batch->path,
                       size, record * (size_t)published, published, record);
    if (size % record != 0)
        return dd_fail(DD_ERROR_DATA, "%s: cut off in record %zu, which begins at byte %zu: %zu of its %zu bytes "
                       "are there", batch->path, size / record, size / record * record, size % record, record);
    batch->records = (int)(size / record);
    if (batch->records != published)
        dd_warning("%s: has %d records, %s as published has %d there", batch->path, batch->records, form->title,
                   published);
    return DD_OK;
}

/* Copies a file's records to the images from position at on, checking the labels. */
static dd_status take_batch(const struct cifar_form *form, const struct batch *batch, struct dd_images *images,
                            int at) {
    size_t record = (size_t)form->label_bytes + PIXEL_BYTES;
    for (int i = 0; i < batch->records; i++) {
        const uint8_t *bytes = batch->bytes + (size_t)i * record;
        int label = bytes[form->label_bytes - 1];
        if (label >= form->classes || (form->label_bytes == 2 && bytes[0] >= COARSE_CLASSES))
            return dd_fail(DD_ERROR_DATA, "%s: record %d (byte %zu) has %slabel %d, %d is the largest", batch->path, i,
                           (size_t)i * record, label >= form->classes ? "" : "coarse ",
                           label >= form->classes ? label : bytes[0],
                           label >= form->classes ? form->classes - 1 : COARSE_CLASSES - 1);
        images->labels[at + i] = label;
        memcpy(images->pixels + (size_t)(at + i) * PIXEL_BYTES, bytes + form->label_bytes, PIXEL_BYTES);
    }
    return DD_OK;
}

static dd_status read_split(const struct cifar_form *form, const char *folder, const char *const *files, int published,
                            const char *split, struct dd_images *images) {
    struct batch batches[5] = {{0}};
    dd_status status = DD_OK;
    int total = 0, at = 0;
    for (int i = 0; files[i]; i++) {
        DD_GOTO(status, done, read_batch(form, folder, files[i], published, &batches[i]));
        total += batches[i].records;
    }
    DD_GOTO(status, done, dd_images_create(images, split, total, 3, 32, 32));
    for (int i = 0; files[i]; i++) {
        DD_GOTO(status, done, take_batch(form, &batches[i], images, at));
        at += batches[i].records;
    }

done:
    for (int i = 0; i < 5; i++) {
        free(batches[i].path);
        free(batches[i].bytes);
    }
    return status;
}

static dd_status open_cifar(const struct cifar_form *form, const struct dd_dataset_options *options, const char *given,
                            dd_dataset *dataset) {
    char *folder = NULL;
    dd_status status;
    DD_GOTO(status, done, find_folder(form, given, &folder));
    DD_GOTO(status, done, set_names(form, folder, dataset));
    if (options->need_train)
        DD_GOTO(status, done, read_split(form, folder, form->train_files, form->records, "train", &dataset->train));
    if (options->need_test)
        status = read_split(form, folder, form->test_files, form->test_records, "test", &dataset->test);

done:
    free(folder);
    return status;
}

dd_status dd_cifar10_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset) {
    return open_cifar(&form_10, options, folder, dataset);
}

dd_status dd_cifar100_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset) {
    return open_cifar(&form_100, options, folder, dataset);
}
