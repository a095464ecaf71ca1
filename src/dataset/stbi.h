/* stb_image behind a narrow door: JPEG and PNG from memory, nothing else. */
#ifndef DD_DATASET_STBI_H
#define DD_DATASET_STBI_H

#include <stdint.h>

/**
 * Pixels [H][W][components], freed by free(), or NULL and *reason (a few words of the library's). No single allocation
 * may be larger than limit bytes.
 */
uint8_t *dd_stbi_decode(const uint8_t *bytes, int size, uint64_t limit, int *height, int *width, int *components,
                        const char **reason);

#endif
