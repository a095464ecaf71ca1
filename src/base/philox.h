/* Counter-based random numbers: Philox4x32-10 of Random123. Streams are listed in docs/method.md. */
#ifndef DD_BASE_PHILOX_H
#define DD_BASE_PHILOX_H

#include <stdint.h>

enum dd_stream {
    DD_STREAM_GATES = 0,
    DD_STREAM_ORDER = 1,
    DD_STREAM_AUGMENT = 2,
    DD_STREAM_INIT = 3,
    DD_STREAM_WIDTH = 4,
    DD_STREAM_SHAPES = 5,
    DD_STREAM_RECALIBRATE = 6,
    DD_STREAM_SPLIT = 7,
    DD_STREAM_BENCH = 8
};

/** Four words for counter (c0, c1, c2, c3) under key (seed low, seed high). */
void dd_philox(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t out[4]);

/** A word as a float64 in [0, 1): w * 2^-32. */
static inline double dd_unit_interval(uint32_t word) { return word * (1.0 / 4294967296.0); }

#endif
