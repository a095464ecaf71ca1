/*
 * Reading one image file. stb_image forgives a cut-off JPEG (see jpeg.c) and ignores a PNG's checksums; so the file's
 * structure is walked first. A further format needs its walk and its switch in stbi.c.
 */
#include "dataset/image.h"

#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include <depthdrop/dataset.h>

#include "base/file.h"
#include "base/mem.h"
#include "dataset/jpeg.h"
#include "dataset/stbi.h"

static const uint8_t png_signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

static uint32_t big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Walks the chunks up to IEND and compares their checksums; the size is in the first. */
static dd_status walk_png(const char *file, const uint8_t *bytes, size_t size, uint32_t *height, uint32_t *width) {
    size_t at = sizeof png_signature;
    for (;;) {
        if (size - at < 12)
            return dd_fail(DD_ERROR_DATA, "%s: cut off: it ends at byte %zu before the PNG end chunk", file, size);
        size_t length = big_endian(bytes + at);
        const uint8_t *type = bytes + at + 4;
        if (length > size - at - 12)
            return dd_fail(DD_ERROR_DATA, "%s: cut off: PNG chunk at byte %zu needs %zu bytes, %zu are there", file, at,
                           length + 12, size - at);
        if (crc32(0, type, (uInt)(length + 4)) != big_endian(type + 4 + length))
            return dd_fail(DD_ERROR_DATA, "%s: wrong checksum of the PNG chunk at byte %zu", file, at);
        if (memcmp(type, "IEND", 4) == 0)
            return *width > 0 ? DD_OK : dd_fail(DD_ERROR_DATA, "%s: this PNG has no header chunk", file);
        if (memcmp(type, "IHDR", 4) == 0 && length >= 8) {
            *width = big_endian(type + 4);
            *height = big_endian(type + 8);
        }
        at += length + 12;
    }
}

static dd_status walk(const char *file, const uint8_t *bytes, size_t size, uint32_t *height, uint32_t *width) {
    *height = *width = 0;
    if (size == 0)
        return dd_fail(DD_ERROR_DATA, "%s: is empty", file);
    if (size >= 2 && bytes[0] == 0xff && bytes[1] == 0xd8)
        return dd_jpeg_walk(file, bytes, size, height, width);
    if (size >= sizeof png_signature && memcmp(bytes, png_signature, sizeof png_signature) == 0)
        return walk_png(file, bytes, size, height, width);
    return dd_fail(DD_ERROR_DATA, "%s: is neither a JPEG nor a PNG file", file);
}

/* The file's bytes, their structure and the size in its header, all within the limits. */
static dd_status read_checked(const char *file, uint8_t **bytes, size_t *size, int *height, int *width) {
    uint32_t rows, columns;
    DD_TRY(dd_file_read(file, DD_IMAGE_MAX_BYTES, bytes, size));
    dd_status status = walk(file, *bytes, *size, &rows, &columns);
    if (status == DD_OK && (rows < 1 || rows > DD_IMAGE_MAX_SIDE || columns < 1 || columns > DD_IMAGE_MAX_SIDE ||
                            (uint64_t)rows * columns > DD_IMAGE_MAX_PIXELS))
        status = dd_fail(DD_ERROR_DATA, "%s: has %ux%u pixels; 1 to %d a side and at most %d in all can be decoded",
                         file, columns, rows, DD_IMAGE_MAX_SIDE, DD_IMAGE_MAX_PIXELS);
    if (status == DD_OK) {
        *height = (int)rows;
        *width = (int)columns;
        return DD_OK;
    }
    free(*bytes);
    *bytes = NULL;
    return status;
}

dd_status dd_image_size(const char *file, int *height, int *width) {
    uint8_t *bytes;
    size_t size;
    DD_TRY(read_checked(file, &bytes, &size, height, width));
    free(bytes);
    return DD_OK;
}

dd_status dd_image_decode(const char *file, struct dd_image *image) {
    uint8_t *bytes;
    size_t size;
    int height, width;
    const char *reason;
    DD_TRY(read_checked(file, &bytes, &size, &height, &width));

    /* The largest honest need is a progressive JPEG's coefficients or a 16-bit PNG with alpha, twice over while it
       grows: 16 bytes a pixel, JPEG blocks counted whole. */
    uint64_t limit = 16 * ((uint64_t)height + 64) * ((uint64_t)width + 64) + (1 << 20);
    int found_height, found_width, components;
    uint8_t *pixels = dd_stbi_decode(bytes, (int)size, limit, &found_height, &found_width, &components, &reason);
    free(bytes);
    if (!pixels)
        return dd_fail(DD_ERROR_DATA, "%s: cannot be decoded: %s", file, reason);
    if (found_height != height || found_width != width) {
        free(pixels);
        return dd_fail(DD_ERROR_DATA, "%s: has more than one frame header", file);
    }
    *image = (struct dd_image){.height = height, .width = width, .channels = components < 3 ? 1 : 3,
                               .pixel_step = (size_t)components, .channel_step = 1, .pixels = pixels};
    return DD_OK;
}

dd_status dd_image_read(const char *file, int channels, int height, int width, uint8_t *pixels) {
    struct dd_image image;
    struct dd_fit *fit = NULL;
    DD_TRY(dd_image_decode(file, &image));
    dd_status status = dd_fit_create(image.height, image.width, height, width, &fit);
    if (status == DD_OK)
        dd_fit_apply(fit, &image, channels, pixels);
    dd_fit_destroy(&fit);
    free(image.pixels);
    return status;
}
