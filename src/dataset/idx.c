/*
 * The idx files of MNIST and its relatives: big-endian magic 0x00000801 (labels, one dimension) or 0x00000803 (images,
 * three), the dimensions as 32-bit numbers, then bytes. Plain or gzip'd; never more is inflated than the header says.
 */
#include "dataset/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <zlib.h>

#include "base/file.h"
#include "base/mem.h"

static const char fashion_folder[] = "/usr/share/datasets/fashion-mnist";
static const char *const fashion_classes[10] = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                                "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"};

enum { MAX_SIDE = 16384, DEFLATE_RATIO = 1032 /* deflate's largest expansion */ };

struct idx_file {
    char *path;
    gzFile stream;
    uint64_t stored;   /* bytes on disk */
    uint32_t dims[3];  /* count, height, width */
    int rank;
    size_t header, body; /* bytes */
};

static void close_idx(struct idx_file *file) {
    if (file->stream)
        gzclose(file->stream);
    free(file->path);
    *file = (struct idx_file){0};
}

/* Opens folder/name or folder/name.gz. */
static dd_status open_stream(const char *folder, const char *name, struct idx_file *file) {
    struct stat info;
    file->path = dd_format("%s/%s", folder, name);
    if (file->path && !dd_file_exists(file->path)) {
        free(file->path);
        file->path = dd_format("%s/%s.gz", folder, name);
    }
    if (!file->path)
        return dd_fail_memory("path", strlen(folder) + strlen(name));
    if (!dd_file_exists(file->path))
        return dd_fail(DD_ERROR_DATA, "neither '%s' nor '%s/%s' is there", file->path, folder, name);
    if (stat(file->path, &info) != 0 || !S_ISREG(info.st_mode))
        return dd_fail(DD_ERROR_DATA, "%s: is no regular file", file->path);
    file->stored = (uint64_t)info.st_size;
    file->stream = gzopen(file->path, "rb");
    if (!file->stream)
        return dd_fail(DD_ERROR_DATA, "cannot open '%s': %s", file->path, strerror(errno));
    gzbuffer(file->stream, 1 << 18);
    return DD_OK;
}

/* Reads the next size bytes of the (inflated) file, which should have total bytes. */
static dd_status read_bytes(struct idx_file *file, void *target, size_t size, size_t total) {
    size_t done = 0;
    while (done < size) {
        size_t left = size - done;
        int got = gzread(file->stream, (uint8_t *)target + done, left > 1 << 20 ? 1 << 20 : (unsigned)left);
        if (got <= 0)
            break;
        done += (size_t)got;
    }
    if (done == size)
        return DD_OK;
    int code;
    const char *reason = gzerror(file->stream, &code);
    long long at = (long long)gztell(file->stream);
    if (code == Z_DATA_ERROR)
        return dd_fail(DD_ERROR_DATA, "%s: damaged after byte %lld of its inflated contents: %s", file->path, at,
                       reason);
    if (code == Z_ERRNO)
        return dd_fail(DD_ERROR_DATA, "%s: cannot be read: %s", file->path, strerror(errno));
    return dd_fail(DD_ERROR_DATA, "%s: cut off: it ends at byte %lld%s, %zu bytes were expected", file->path, at,
                   gzdirect(file->stream) ? "" : " of its inflated contents", total);
}

/* Rank and dimensions; rank is the one expected. */
static dd_status read_header(struct idx_file *file, int rank) {
    uint8_t bytes[16];
    file->rank = rank;
    file->header = 4 + 4 * (size_t)rank;
    DD_TRY(read_bytes(file, bytes, file->header, file->header));
    uint32_t words[4];
    for (size_t i = 0; i < 4 && 4 * i < file->header; i++)
        words[i] = (uint32_t)bytes[4 * i] << 24 | (uint32_t)bytes[4 * i + 1] << 16 |
                   (uint32_t)bytes[4 * i + 2] << 8 | bytes[4 * i + 3];
    if (words[0] != 0x800u + (uint32_t)rank)
        return dd_fail(DD_ERROR_DATA, "%s: begins with 0x%08x, where idx files of %s begin with 0x%08x", file->path,
                       words[0], rank == 1 ? "labels" : "images", 0x800u + (unsigned)rank);
    uint64_t body = 1;
    for (int i = 0; i < 3; i++) {
        file->dims[i] = i < rank ? words[i + 1] : 1;
        uint32_t limit = i == 0 ? INT32_MAX : MAX_SIDE;
        if (file->dims[i] == 0 || file->dims[i] > limit)
            return dd_fail(DD_ERROR_DATA, "%s: dimension %d at byte %d is %u; 1 to %u are read", file->path, i,
                           4 + 4 * i, file->dims[i], limit);
        body *= file->dims[i];
    }
    uint64_t holdable = gzdirect(file->stream) ? file->stored : file->stored * DEFLATE_RATIO;
    if (body + file->header > holdable)
        return dd_fail(DD_ERROR_DATA, "%s: cut off: its header (%u x %u x %u) asks for %llu bytes, its %llu bytes "
                       "hold at most %llu", file->path, file->dims[0], file->dims[1], file->dims[2],
                       (unsigned long long)(body + file->header), (unsigned long long)file->stored,
                       (unsigned long long)holdable);
    file->body = (size_t)body;
    return DD_OK;
}

/* The body, and nothing behind it. */
static dd_status read_body(struct idx_file *file, void *target) {
    uint8_t more;
    size_t total = file->header + file->body;
    DD_TRY(read_bytes(file, target, file->body, total));
    int got = gzread(file->stream, &more, 1); /* also reads and checks the checksum of gzip */
    if (got > 0)
        return dd_fail(DD_ERROR_DATA, "%s: goes on behind byte %zu, where its header (%u x %u x %u) lets it end",
                       file->path, total, file->dims[0], file->dims[1], file->dims[2]);
    int code;
    const char *reason = gzerror(file->stream, &code);
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END))
        return dd_fail(DD_ERROR_DATA, "%s: is damaged or cut off behind byte %zu of its inflated contents: %s",
                       file->path, total, reason);
    return DD_OK;
}

static dd_status open_idx(const char *folder, const char *name, int rank, struct idx_file *file) {
    DD_TRY(open_stream(folder, name, file));
    return read_header(file, rank);
}

/* Checks that labels are below classes (0: any) and gives the largest. */
static dd_status spread_labels(const struct idx_file *file, const uint8_t *bytes, int classes, int32_t *labels,
                               int *largest) {
    for (uint32_t i = 0; i < file->dims[0]; i++) {
        if (classes > 0 && bytes[i] >= classes)
            return dd_fail(DD_ERROR_DATA, "%s: label %d of record %u (byte %zu) is none of 0 to %d", file->path,
                           bytes[i], i, file->header + i, classes - 1);
        labels[i] = bytes[i];
        *largest = bytes[i] > *largest ? bytes[i] : *largest;
    }
    return DD_OK;
}

/* Reads prefix-images-idx3-ubyte and prefix-labels-idx1-ubyte; *largest grows to the largest label. */
static dd_status read_split(const char *folder, const char *prefix, const char *split, int classes,
                            struct dd_images *images, int *largest) {
    struct idx_file pixels = {0}, labels = {0};
    uint8_t *bytes = NULL;
    char name[64];
    dd_status status;

    snprintf(name, sizeof name, "%s-images-idx3-ubyte", prefix);
    DD_GOTO(status, done, open_idx(folder, name, 3, &pixels));
    snprintf(name, sizeof name, "%s-labels-idx1-ubyte", prefix);
    DD_GOTO(status, done, open_idx(folder, name, 1, &labels));
    if (pixels.dims[0] != labels.dims[0]) {
        status = dd_fail(DD_ERROR_DATA, "%s: has %u images, '%s' has %u labels: they do not belong together",
                         pixels.path, pixels.dims[0], labels.path, labels.dims[0]);
        goto done;
    }
    DD_GOTO(status, done, dd_images_create(images, split, (int)pixels.dims[0], 1, (int)pixels.dims[1],
                                           (int)pixels.dims[2]));
    bytes = dd_calloc(labels.body, 1);
    if (!bytes) {
        status = dd_fail_memory("labels", labels.body);
        goto done;
    }
    DD_GOTO(status, done, read_body(&labels, bytes));
    DD_GOTO(status, done, spread_labels(&labels, bytes, classes, images->labels, largest));
    status = read_body(&pixels, images->pixels);

done:
    free(bytes);
    close_idx(&pixels);
    close_idx(&labels);
    return status;
}

/* Both splits must have one image size. */
static dd_status check_sizes(const char *folder, const dd_dataset *dataset) {
    const struct dd_images *train = &dataset->train, *test = &dataset->test;
    if (train->count > 0 && test->count > 0 && (train->height != test->height || train->width != test->width))
        return dd_fail(DD_ERROR_DATA, "%s: training images have %dx%d pixels (height x width), test images %dx%d",
                       folder, train->height, train->width, test->height, test->width);
    return DD_OK;
}

static dd_status read_splits(const struct dd_dataset_options *options, const char *folder, int classes,
                             dd_dataset *dataset, int *largest) {
    if (options->need_train)
        DD_TRY(read_split(folder, "train", "train", classes, &dataset->train, largest));
    if (options->need_test)
        DD_TRY(read_split(folder, "t10k", "test", classes, &dataset->test, largest));
    return check_sizes(folder, dataset);
}

dd_status dd_fashion_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset) {
    int largest = 0;
    if (!folder && !dd_is_folder(fashion_folder))
        return dd_fail(DD_ERROR_DATA, "%s: there is no such folder: run `apt install dataset-fashion-mnist` "
                       "(Debian), or give the folder as fashion-mnist:DIR", fashion_folder);
    folder = folder ? folder : fashion_folder;
    if (!dd_is_folder(folder))
        return dd_fail(DD_ERROR_DATA, "%s: no such folder", folder);
    DD_TRY(read_splits(options, folder, 10, dataset, &largest));
    return dd_dataset_set_classes(dataset, fashion_classes, 10);
}

/* The training labels tell the number of classes even if only the test images are wanted. */
static dd_status read_class_count(const char *folder, int *classes) {
    struct idx_file file = {0};
    int largest = 0;
    int32_t *labels = NULL;
    uint8_t *bytes = NULL;
    dd_status status;
    DD_GOTO(status, done, open_idx(folder, "train-labels-idx1-ubyte", 1, &file));
    bytes = dd_calloc(file.body, 1);
    labels = dd_calloc(file.body, sizeof *labels);
    if (!bytes || !labels) {
        status = dd_fail_memory("labels", file.body);
        goto done;
    }
    DD_GOTO(status, done, read_body(&file, bytes));
    DD_GOTO(status, done, spread_labels(&file, bytes, 0, labels, &largest));
    *classes = largest + 1;

done:
    free(labels);
    free(bytes);
    close_idx(&file);
    return status;
}

/* Classes 0 to the largest training label, named by their numbers; without training files, the largest of all. */
dd_status dd_idx_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset) {
    char names[256][12];
    const char *pointers[256];
    int classes = 0, largest = 0;
    if (!dd_is_folder(folder))
        return dd_fail(DD_ERROR_DATA, "%s: no such folder", folder);
    bool trained = options->need_train;
    for (int i = 0; i < 2 && !trained; i++) {
        char *path = dd_format("%s/train-labels-idx1-ubyte%s", folder, i == 0 ? "" : ".gz");
        trained = path && dd_file_exists(path);
        free(path);
    }
    if (trained)
        DD_TRY(read_class_count(folder, &classes));
    DD_TRY(read_splits(options, folder, classes, dataset, &largest));
    classes = classes == 0 ? largest + 1 : classes;
    for (int i = 0; i < classes; i++) {
        snprintf(names[i], sizeof names[i], "%d", i);
        pointers[i] = names[i];
    }
    return dd_dataset_set_classes(dataset, pointers, classes);
}
