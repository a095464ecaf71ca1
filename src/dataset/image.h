/* One image: decoding with checks of its file, and fitting to a size. */
#ifndef DD_DATASET_IMAGE_H
#define DD_DATASET_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum {
    DD_IMAGE_MAX_SIDE = 16384,       /* pixels */
    DD_IMAGE_MAX_PIXELS = 1 << 27,   /* of one image */
    DD_IMAGE_MAX_BYTES = 64 << 20,   /* of one file */
};

/** Byte (c, y, x) is pixels[c * channel_step + (y * width + x) * pixel_step]. */
struct dd_image {
    int height, width;
    int channels; /* 1 grey, 3 colour */
    size_t pixel_step, channel_step;
    uint8_t *pixels;
};

/**
 * Decodes a JPEG or PNG file; grey stays grey, alpha is dropped. DD_ERROR_DATA names the file and the reason: neither
 * format, cut off, wrong checksum, too large, ...; DD_ERROR_MEMORY. On success the caller frees image->pixels.
 */
dd_status dd_image_decode(const char *file, struct dd_image *image);

/** Height and width by the file's header, checked as dd_image_decode does. */
dd_status dd_image_size(const char *file, int *height, int *width);

/**
 * Fitting h x w images to H x W: scaled by the factor at which the image just covers the target, centre-cropped. The
 * filter is a triangle over max(1, 1 / factor) source pixels to either side, which antialiases. DD_ERROR_MEMORY.
 */
struct dd_fit;
dd_status dd_fit_create(int height, int width, int to_height, int to_width, struct dd_fit **fit);
void dd_fit_destroy(struct dd_fit **fit);

/**
 * image, of the size that fit was made for, to pixels [channels][H][W]: fitted, then grey repeated or colour weighted
 * to grey (ITU-R BT.601). One thread at a time may use a fit.
 */
void dd_fit_apply(struct dd_fit *fit, const struct dd_image *image, int channels, uint8_t *pixels);

#endif
