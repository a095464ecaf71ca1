/* Which image comes when, and how it is augmented: pure functions of seed, epoch and position. */
#ifndef DD_DATASET_DRAW_H
#define DD_DATASET_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** One image of a batch as the augmentation kernel takes it: four 32-bit integers. */
struct dd_sample {
    int32_t index;      /* of the image in the buffer of bytes */
    int32_t dy, dx;     /* crop origin in the padded image minus pad: source row = row + dy; 0 without augmentation */
    int32_t flip;       /* 1: mirrored left to right */
};

/** A fresh permutation of 0 .. count-1 for epoch (from 1): Fisher-Yates by stream DD_STREAM_ORDER. */
void dd_draw_order(uint64_t seed, uint64_t epoch, int count, int32_t *order);

/** Crop (offsets uniform in -pad .. pad) and flip of image index in epoch, by stream DD_STREAM_AUGMENT. */
struct dd_sample dd_draw_sample(uint64_t seed, uint64_t epoch, int32_t index, int pad, bool augment);

/** wanted distinct indices of 0 .. count-1 (wanted <= count), fixed by seed and stream, as drawn. DD_ERROR_MEMORY. */
dd_status dd_draw_subset(uint64_t seed, uint32_t stream, int count, int wanted, int32_t *chosen);

#endif
