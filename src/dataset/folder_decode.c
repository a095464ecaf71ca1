/* Decoding a split of a folder on several threads; what cannot be decoded is left out, told, or too much. */
#include "dataset/folder.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "dataset/image.h"
#include "dataset/source.h"

enum { LISTED = 10 /* broken files that a message names */, LISTED_BYTES = 170 /* of each one's sentence */ };

static const double report_seconds = 5;

struct decoding {
    const struct folder_split *split;
    struct dd_images *images;
    char **reasons;          /* [count]: why a file is broken, NULL if it is not */
    pthread_mutex_t mutex;   /* of what follows */
    bool colour;             /* an image has three channels */
    bool no_memory;
    size_t done;
    double reported;         /* when progress was last told */
};

/* Decodes one file into its place; gives whether it was grey. */
static dd_status decode_file(const struct decoding *decoding, size_t index, bool *colour) {
    struct dd_images *images = decoding->images;
    struct dd_image image;
    struct dd_fit *fit = NULL;
    char *path = dd_path_join(decoding->split->path, decoding->split->files[index].name);
    if (!path)
        return dd_fail_memory("path", strlen(decoding->split->files[index].name));
    dd_status status = dd_image_decode(path, &image);
    free(path);
    if (status != DD_OK)
        return status;
    status = dd_fit_create(image.height, image.width, images->height, images->width, &fit);
    if (status == DD_OK)
        dd_fit_apply(fit, &image, 3, images->pixels + index * dd_images_stride(images));
    *colour = image.channels == 3;
    dd_fit_destroy(&fit);
    free(image.pixels);
    return status;
}

static void tell_progress(struct decoding *decoding) {
    double now = dd_now();
    decoding->done++;
    if (now - decoding->reported < report_seconds)
        return;
    decoding->reported = now;
    dd_info("decoding %s: %zu of %zu images (%d %%)", decoding->split->path, decoding->done, decoding->split->count,
            (int)(100 * decoding->done / decoding->split->count));
}

static void decode_item(void *user, int index) {
    struct decoding *decoding = user;
    bool colour = false;
    dd_status status = decode_file(decoding, (size_t)index, &colour);
    if (status == DD_ERROR_DATA)
        decoding->reasons[index] = dd_strdup(dd_error_message());
    bool no_memory = status != DD_OK && !decoding->reasons[index];
    decoding->images->labels[index] = decoding->split->files[index].label;
    pthread_mutex_lock(&decoding->mutex);
    decoding->colour = decoding->colour || colour;
    decoding->no_memory = decoding->no_memory || no_memory;
    tell_progress(decoding);
    pthread_mutex_unlock(&decoding->mutex);
}

/* "3 of 1000 images in DIR cannot be read<what>: <reason>; <reason>; ..." with at most ten reasons; NULL: no memory. */
static char *list_broken(const struct decoding *decoding, size_t broken, const char *what) {
    size_t count = decoding->split->count, listed = 0;
    char *text = dd_format("%zu of %zu images in %s cannot be read%s", broken, count, decoding->split->path, what);
    for (size_t i = 0; i < count && listed < LISTED && text; i++) {
        if (!decoding->reasons[i])
            continue;
        char *longer = dd_format("%s%s%.*s", text, listed++ == 0 ? ": " : "; ", LISTED_BYTES, decoding->reasons[i]);
        free(text);
        text = longer;
    }
    if (text && broken > listed) {
        char *longer = dd_format("%s; and %zu more", text, broken - listed);
        free(text);
        text = longer;
    }
    return text;
}

/* Closes the gaps that broken files left. */
static void leave_out_broken(struct decoding *decoding) {
    struct dd_images *images = decoding->images;
    size_t stride = dd_images_stride(images), kept = 0;
    for (size_t i = 0; i < decoding->split->count; i++) {
        if (decoding->reasons[i])
            continue;
        if (kept != i) {
            memcpy(images->pixels + kept * stride, images->pixels + i * stride, stride);
            images->labels[kept] = images->labels[i];
        }
        kept++;
    }
    images->count = (int)kept;
}

/* Broken files: none, few (warning, left out) or too many (error). */
static dd_status settle_broken(struct decoding *decoding, char **warning) {
    size_t count = decoding->split->count, broken = 0;
    for (size_t i = 0; i < count; i++)
        broken += decoding->reasons[i] ? 1 : 0;
    if (broken == 0)
        return DD_OK;
    bool too_many = broken * 100 > count;
    const char *what = too_many ? ", more than the 1 % that can be left out" : " and are left out";
    char *text = list_broken(decoding, broken, what);
    if (!text)
        return dd_fail_memory("list of broken images", broken * LISTED_BYTES);
    if (too_many) {
        dd_fail(DD_ERROR_DATA, "%s", text);
        free(text);
        return DD_ERROR_DATA;
    }
    leave_out_broken(decoding);
    *warning = text;
    return DD_OK;
}

/* Runs the decoder over all files of decoding, whose images and reasons are allocated. */
static dd_status decode_all(struct decoding *decoding, int threads, char **warning) {
    decoding->reported = dd_now();
    dd_info("decoding %zu images in %s", decoding->split->count, decoding->split->path);
    dd_parallel_for((int)decoding->split->count, threads, decode_item, decoding);
    if (decoding->no_memory)
        return dd_fail(DD_ERROR_MEMORY, "%s: out of host memory while decoding", decoding->split->path);
    DD_TRY(settle_broken(decoding, warning));
    return decoding->colour ? DD_OK : dd_images_convert(decoding->images, 1, 0, 0);
}

dd_status dd_folder_decode(const struct folder_split *split, int height, int width, int threads,
                           struct dd_images *images, char **warning) {
    struct decoding decoding = {.split = split, .images = images, .mutex = PTHREAD_MUTEX_INITIALIZER};
    dd_status status;
    *warning = NULL;
    DD_TRY(dd_images_create(images, split->split, (int)split->count, 3, height, width));
    decoding.reasons = dd_calloc(split->count, sizeof *decoding.reasons);
    if (decoding.reasons)
        status = decode_all(&decoding, threads, warning);
    else
        status = dd_fail_memory("list of images", split->count * sizeof *decoding.reasons);
    for (size_t i = 0; decoding.reasons && i < split->count; i++)
        free(decoding.reasons[i]);
    free(decoding.reasons);
    if (status != DD_OK)
        dd_images_destroy(images);
    return status;
}
