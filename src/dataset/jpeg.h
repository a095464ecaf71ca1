/* The structure of a JPEG file, checked before it is decoded. */
#ifndef DD_DATASET_JPEG_H
#define DD_DATASET_JPEG_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/**
 * Walks all segments and scans from the start-of-image marker to the end-of-image marker; height and width are those of
 * the frame header. DD_ERROR_DATA names the file and the byte: cut off; or what makes the decoder leave its arrays:
 * code tables that are too long or not defined, sampling factors that do not divide.
 */
dd_status dd_jpeg_walk(const char *file, const uint8_t *bytes, size_t size, uint32_t *height, uint32_t *width);

#endif
