/*
 * Decoded splits on disk. One file a split, named by its key: a head, the warning about broken images, labels, pixels.
 * Any defect is a miss. Whoever changes decoding, fitting or this form raises FORMAT.
 */
#include "dataset/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "dataset/image.h"
#include "dataset/source.h"

enum { FORMAT = 1, MAX_WARNING = 1 << 16 };

static const int64_t max_cached = (int64_t)2 << 30; /* bytes, one split and all together */
static const char magic[8] = "DDIMAGES";

struct head {
    char magic[8];
    uint32_t format;
    int32_t count, channels, height, width;
    uint32_t warning_bytes;
    uint64_t key_high, key_low;
    uint64_t images_hash; /* dd_images_hash */
    uint64_t head_hash;   /* XXH3 of the above and the warning */
};

static uint64_t hash_head(const struct head *head, const char *warning) {
    uint64_t seed = XXH3_64bits(head, offsetof(struct head, head_hash));
    return XXH3_64bits_withSeed(warning, head->warning_bytes, seed);
}

/* Hashes what was hashed before together with a text and some numbers. */
static XXH128_hash_t chain(XXH128_hash_t hash, const char *text, const int64_t numbers[5]) {
    struct link {
        XXH128_hash_t before, text;
        int64_t numbers[5];
        int64_t reserved; /* no padding, whose bytes would be undefined */
    } link = {.before = hash, .text = XXH3_128bits(text, strlen(text))};
    memcpy(link.numbers, numbers, sizeof link.numbers);
    return XXH3_128bits(&link, sizeof link);
}

/* Change times are in the key: they cannot be set back, as a file's modification time can. */
struct folder_key dd_folder_key(const struct folder_split *split, int height, int width) {
    char *place = realpath(split->path, NULL);
    const int64_t numbers[5] = {FORMAT, height, width, (int64_t)split->count};
    XXH128_hash_t hash = chain((XXH128_hash_t){0, 0}, place ? place : split->path, numbers);
    free(place);
    for (size_t i = 0; i < split->count; i++) {
        const struct folder_file *file = &split->files[i];
        const int64_t facts[5] = {file->size, file->modified, file->changed, (int64_t)file->inode, file->label};
        hash = chain(hash, file->name, facts);
    }
    return (struct folder_key){hash.high64, hash.low64};
}

static char *cache_path(const char *cache, struct folder_key key) {
    return dd_format("%s/%016llx%016llx.images", cache, (unsigned long long)key.high, (unsigned long long)key.low);
}

/* Whether head belongs to key and to a file of size bytes. */
static bool is_plausible(const struct head *head, struct folder_key key, int64_t size) {
    if (memcmp(head->magic, magic, sizeof magic) != 0 || head->format != FORMAT || head->key_high != key.high ||
        head->key_low != key.low || head->count < 1 || head->warning_bytes > MAX_WARNING ||
        (head->channels != 1 && head->channels != 3) || head->height < 1 || head->height > DD_IMAGE_MAX_SIDE ||
        head->width < 1 || head->width > DD_IMAGE_MAX_SIDE)
        return false;
    int64_t stride = (int64_t)head->channels * head->height * head->width + (int64_t)sizeof(int32_t);
    return size <= max_cached && stride <= size / head->count &&
           (int64_t)sizeof *head + head->warning_bytes + head->count * stride == size;
}

static bool load(int fd, struct folder_key key, struct dd_images *images, char **warning) {
    struct head head;
    struct stat info;
    *warning = NULL;
    if (fstat(fd, &info) != 0 || !dd_read_exactly(fd, &head, sizeof head) || !is_plausible(&head, key, info.st_size))
        return false;
    char *text = dd_calloc((size_t)head.warning_bytes + 1, 1);
    if (!text || !dd_read_exactly(fd, text, head.warning_bytes) || hash_head(&head, text) != head.head_hash ||
        dd_images_create(images, "", head.count, head.channels, head.height, head.width) != DD_OK) {
        free(text);
        return false;
    }
    if (!dd_read_exactly(fd, images->labels, (size_t)head.count * sizeof *images->labels) ||
        !dd_read_exactly(fd, images->pixels, (size_t)head.count * dd_images_stride(images)) ||
        dd_images_hash(images) != head.images_hash) {
        dd_images_destroy(images);
        free(text);
        return false;
    }
    if (head.warning_bytes > 0)
        *warning = text;
    else
        free(text);
    return true;
}

bool dd_folder_cache_load(const char *cache, struct folder_key key, struct dd_images *images, char **warning) {
    char *path = cache_path(cache, key);
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    bool found = fd >= 0 && load(fd, key, images, warning);
    if (found) {
        if (futimens(fd, NULL) != 0) /* the oldest go first: this one is in use */
            dd_debug("%s: cannot be marked as used: %s", path, strerror(errno));
    } else if (fd >= 0) {
        dd_debug("%s: damaged or of another form, decoding anew", path);
    }
    if (fd >= 0)
        close(fd);
    free(path);
    return found;
}

static dd_status store(const char *path, const struct head *head, const struct dd_images *images, const char *warning) {
    struct dd_file_writer writer;
    size_t count = (size_t)head->count;
    dd_status status;
    DD_TRY(dd_file_writer_open(path, &writer));
    DD_GOTO(status, done, dd_file_writer_write(&writer, head, sizeof *head));
    DD_GOTO(status, done, dd_file_writer_write(&writer, warning, head->warning_bytes));
    DD_GOTO(status, done, dd_file_writer_write(&writer, images->labels, count * sizeof *images->labels));
    DD_GOTO(status, done, dd_file_writer_write(&writer, images->pixels, count * dd_images_stride(images)));
    status = dd_file_writer_commit(&writer);

done:
    dd_file_writer_abandon(&writer);
    return status;
}

void dd_folder_cache_store(const char *cache, struct folder_key key, const struct dd_images *images,
                           const char *warning) {
    struct head head = {.format = FORMAT, .count = images->count, .channels = images->channels,
                        .height = images->height, .width = images->width, .key_high = key.high, .key_low = key.low,
                        .warning_bytes = warning ? (uint32_t)strlen(warning) : 0,
                        .images_hash = dd_images_hash(images)};
    memcpy(head.magic, magic, sizeof magic);
    warning = warning ? warning : "";
    head.head_hash = hash_head(&head, warning);
    size_t stride = dd_images_stride(images) + sizeof *images->labels;
    int64_t bytes = (int64_t)(sizeof head + head.warning_bytes + (size_t)images->count * stride);
    char *path = cache_path(cache, key);
    if (!path || bytes > max_cached || head.warning_bytes > MAX_WARNING) {
        free(path);
        return;
    }
    dd_folder_trim(cache, (uint64_t)(max_cached - bytes));
    if (store(path, &head, images, warning) != DD_OK)
        dd_warning("decoded images are not kept: %s", dd_error_message());
    free(path);
}
