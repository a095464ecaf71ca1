/*
 * Folders of JPEG and PNG files, one subfolder per class: the listing and the choice of size and channels. Decoding is
 * in folder_decode.c, the cache of decoded splits in folder_cache.c.
 */
#include "dataset/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "dataset/image.h"
#include "dataset/source.h"

enum { MAX_CLASSES = 100000 };

/* What a listing passes over, told once for each split. */
struct passed_over {
    int others, subfolders;
    char *other, *subfolder; /* the first of each */
};

static bool is_image_name(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0 || strcasecmp(dot, ".png") == 0);
}

/* The split's class folders in bytewise order: names (freed by dd_names_free) and their count. */
static dd_status list_classes(const char *path, char ***names, int *count) {
    int kept = 0, all;
    DD_TRY(dd_folder_names(path, names, &all));
    for (int i = 0; i < all; i++) {
        char *name = (*names)[i], *inner = dd_path_join(path, name);
        bool keep = inner && name[0] != '.' && dd_is_folder(inner);
        if (inner && name[0] != '.' && !keep)
            dd_debug("%s: passed over, it is no class folder", inner);
        free(inner);
        if (keep)
            (*names)[kept++] = name;
        else
            free(name);
    }
    *count = kept;
    if (kept > 0 && kept <= MAX_CLASSES)
        return DD_OK;
    dd_names_free(names, kept);
    *count = 0;
    return dd_fail(DD_ERROR_DATA, "%s: %d class folders, 1 to %d were expected: images belong into %s/<class>/", path,
                   kept, MAX_CLASSES, path);
}

static dd_status set_classes(dd_dataset *dataset, const char *path) {
    char **names;
    int count;
    DD_TRY(list_classes(path, &names, &count));
    dd_status status = DD_OK;
    for (int i = 0; i < count && status == DD_OK; i++)
        if (!dd_is_utf8(names[i])) /* model files keep the names in JSON */
            status = dd_fail(DD_ERROR_DATA, "%s/%s: this class name is not UTF-8; rename the folder", path, names[i]);
    if (status == DD_OK)
        status = dd_dataset_set_classes(dataset, (const char *const *)names, count);
    dd_names_free(&names, count);
    return status;
}

static void remember(int *count, char **first, const char *path) {
    if ((*count)++ == 0)
        *first = dd_strdup(path);
}

/* Adds one name of a class folder to the split, or to what is passed over. */
static dd_status take_name(struct folder_split *split, const char *class, const char *name, int label,
                           struct passed_over *passed) {
    struct stat info = {0};
    char *inner = dd_format("%s/%s", class, name), *path = inner ? dd_path_join(split->path, inner) : NULL;
    dd_status status = DD_OK;
    if (!path) {
        status = dd_fail_memory("file name", strlen(class) + strlen(name));
        goto done;
    }
    /* a dangling link or a vanished file keeps its place: decoding tells what is wrong */
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        remember(&passed->subfolders, &passed->subfolder, path);
    } else if (!is_image_name(name)) {
        remember(&passed->others, &passed->other, path);
    } else {
        DD_GOTO(status, done, dd_grow(&split->files, &split->capacity, split->count + 1, sizeof *split->files));
        split->files[split->count++] = (struct folder_file){
            .name = inner, .label = label, .size = info.st_size, .inode = info.st_ino,
            .modified = info.st_mtim.tv_sec * 1000000000LL + info.st_mtim.tv_nsec,
            .changed = info.st_ctim.tv_sec * 1000000000LL + info.st_ctim.tv_nsec};
        inner = NULL;
    }

done:
    free(inner);
    free(path);
    return status;
}

static dd_status list_class(struct folder_split *split, const char *class, int label, struct passed_over *passed) {
    char **names, *path = dd_path_join(split->path, class);
    int count;
    if (!path)
        return dd_fail_memory("class folder", strlen(class));
    dd_status status = dd_folder_names(path, &names, &count);
    free(path);
    if (status != DD_OK)
        return status;
    for (int i = 0; i < count && status == DD_OK; i++)
        if (names[i][0] != '.')
            status = take_name(split, class, names[i], label, passed);
    dd_names_free(&names, count);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lists every class of the split; its classes must be among the data set's, which are in bytewise order. */
static dd_status list_files(struct folder_split *split, const dd_dataset *dataset, struct passed_over *passed) {
    char **names;
    int count;
    DD_TRY(list_classes(split->path, &names, &count));
    dd_status status = DD_OK;
    for (int i = 0; i < count && status == DD_OK; i++) {
        char **found = bsearch(&names[i], dataset->class_names, (size_t)dataset->classes, sizeof *names, compare_names);
        size_t before = split->count;
        if (!found)
            status = dd_fail(DD_ERROR_DATA, "%s/%s: the training images have no such class", split->path, names[i]);
        else
            status = list_class(split, names[i], (int)(found - dataset->class_names), passed);
        if (status == DD_OK && split->count == before && strcmp(split->split, "train") == 0)
            status = dd_fail(DD_ERROR_DATA, "%s/%s: this class has no image (.jpg, .jpeg, .png); add some or "
                             "remove the folder", split->path, names[i]);
    }
    dd_names_free(&names, count);
    return status;
}

static dd_status list_split(struct folder_split *split, const dd_dataset *dataset) {
    struct passed_over passed = {0};
    dd_status status = list_files(split, dataset, &passed);
    if (status == DD_OK && passed.others > 0)
        dd_warning("%s: %d files are passed over, being neither .jpg, .jpeg nor .png: %s%s", split->path, passed.others,
                   passed.other, passed.others > 1 ? ", ..." : "");
    if (status == DD_OK && passed.subfolders > 0)
        dd_warning("%s: %d folders inside of class folders are passed over: %s%s", split->path, passed.subfolders,
                   passed.subfolder, passed.subfolders > 1 ? ", ..." : "");
    free(passed.other);
    free(passed.subfolder);
    if (status == DD_OK && split->count == 0)
        status = dd_fail(DD_ERROR_DATA, "%s: no image (.jpg, .jpeg, .png) in any of its class folders", split->path);
    if (status == DD_OK && split->count > INT32_MAX)
        status = dd_fail(DD_ERROR_DATA, "%s: %zu images, at most %d can be used", split->path, split->count, INT32_MAX);
    return status;
}

/* "S" or "HxW" */
static dd_status parse_size(const char *text, int *height, int *width) {
    char *end;
    errno = 0;
    long first = strtol(text, &end, 10), second = first;
    bool valid = end != text && text[0] != '-' && text[0] != '+' && text[0] != ' ';
    if (valid && *end == 'x') {
        const char *rest = end + 1;
        second = strtol(rest, &end, 10);
        valid = end != rest && rest[0] >= '0' && rest[0] <= '9';
    }
    if (!valid || *end != '\0' || errno != 0 || first < 1 || second < 1 || first > DD_IMAGE_MAX_SIDE ||
        second > DD_IMAGE_MAX_SIDE)
        return dd_fail(DD_ERROR_USAGE, "image size '%s' is neither S nor HxW with numbers from 1 to %d", text,
                       DD_IMAGE_MAX_SIDE);
    *height = (int)first;
    *width = (int)second;
    return DD_OK;
}

/*
 * The size of the first image that can be read. If there is none among the first, so many are broken that decoding
 * fails whatever the size, and lists them.
 */
static dd_status first_size(const struct folder_split *split, int *height, int *width) {
    for (size_t i = 0; i < split->count && i <= split->count / 100; i++) {
        char *path = dd_path_join(split->path, split->files[i].name);
        if (!path)
            return dd_fail_memory("path", strlen(split->files[i].name));
        dd_status status = dd_image_size(path, height, width);
        free(path);
        if (status != DD_ERROR_DATA)
            return status;
    }
    *height = *width = 1;
    return DD_OK;
}

static dd_status choose_size(const struct dd_dataset_options *options, const struct folder_split *first, int *height,
                             int *width) {
    if (options->image_size)
        DD_TRY(parse_size(options->image_size, height, width));
    if (options->height > 0) {
        *height = options->height;
        *width = options->width;
    }
    return *height > 0 ? DD_OK : first_size(first, height, width);
}

/* A decoded split, from the cache if it is there. */
static dd_status load_split(const struct dd_dataset_options *options, const struct folder_split *split, int height,
                            int width, struct dd_images *images) {
    char *cache = options->no_cache ? NULL : dd_cache_folder(options->cache_dir, "decoded"), *warning = NULL;
    struct folder_key key = dd_folder_key(split, height, width);
    dd_status status = DD_OK;
    if (cache && dd_folder_cache_load(cache, key, images, &warning)) {
        snprintf(images->split, sizeof images->split, "%s", split->split);
        dd_debug("%s: %d decoded images from the cache", split->path, images->count);
    } else {
        status = dd_folder_decode(split, height, width, options->threads, images, &warning);
        if (status == DD_OK && cache)
            dd_folder_cache_store(cache, key, images, warning);
    }
    if (status == DD_OK && warning)
        dd_warning("%s", warning);
    free(warning);
    free(cache);
    return status;
}

static void free_split(struct folder_split *split) {
    for (size_t i = 0; i < split->count; i++)
        free(split->files[i].name);
    free(split->files);
    free(split->path);
}

/* Where the splits are; a path stays NULL if there is none. */
static dd_status find_splits(const char *folder, struct folder_split *train, struct folder_split *test) {
    static const char *const test_names[2] = {"test", "val"};
    if (!dd_is_folder(folder))
        return dd_fail(DD_ERROR_DATA, "%s: %s", folder, dd_file_exists(folder) ? "a folder was expected" :
                       "there is no such folder");
    train->split = "train";
    train->path = dd_path_join(folder, "train");
    if (!train->path)
        return dd_fail_memory("path", strlen(folder));
    if (!dd_is_folder(train->path)) {
        free(train->path);
        train->path = NULL;
    }
    for (int i = 0; i < 2 && !test->path; i++) {
        test->split = test_names[i];
        test->path = dd_path_join(folder, test_names[i]);
        if (!test->path)
            return dd_fail_memory("path", strlen(folder));
        if (!dd_is_folder(test->path)) {
            free(test->path);
            test->path = NULL;
        }
    }
    return DD_OK;
}

static dd_status check_splits(const struct dd_dataset_options *options, const char *folder,
                              const struct folder_split *train, const struct folder_split *test) {
    if (options->need_train && !train->path)
        return dd_fail(DD_ERROR_DATA, "%s: there is no folder 'train' in it: training images belong into "
                       "%s/train/<class>/", folder, folder);
    if (options->need_test && !test->path)
        return dd_fail(DD_ERROR_DATA, "%s: there is neither a folder 'test' nor 'val' in it: test images belong into "
                       "%s/test/<class>/", folder, folder);
    if (!train->path && !test->path)
        return dd_fail(DD_ERROR_DATA, "%s: there is no folder 'train', 'test' or 'val' in it", folder);
    return DD_OK;
}

dd_status dd_folder_open(const struct dd_dataset_options *options, const char *folder, dd_dataset *dataset) {
    struct folder_split train = {0}, test = {0};
    int height = 0, width = 0;
    dd_status status;
    DD_GOTO(status, done, find_splits(folder, &train, &test));
    DD_GOTO(status, done, check_splits(options, folder, &train, &test));

    /* the training folder says what classes there are, unless a model does: then those of what is read matter */
    bool by_train = train.path && (options->need_train || !options->model_classes || !test.path);
    DD_GOTO(status, done, set_classes(dataset, by_train ? train.path : test.path));
    if (options->need_train)
        DD_GOTO(status, done, list_split(&train, dataset));
    if (options->need_test)
        DD_GOTO(status, done, list_split(&test, dataset));
    if (!options->need_train && !options->need_test)
        goto done;
    DD_GOTO(status, done, choose_size(options, options->need_train ? &train : &test, &height, &width));
    if (options->need_train)
        DD_GOTO(status, done, load_split(options, &train, height, width, &dataset->train));
    if (options->need_test)
        DD_GOTO(status, done, load_split(options, &test, height, width, &dataset->test));
    if (options->need_train && options->need_test && dataset->train.channels != dataset->test.channels) {
        DD_GOTO(status, done, dd_images_convert(&dataset->train, 3, 0, 0));
        DD_GOTO(status, done, dd_images_convert(&dataset->test, 3, 0, 0));
    }

done:
    free_split(&train);
    free_split(&test);
    return status;
}
