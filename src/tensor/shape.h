/* Shapes in the blocked layout [C/V][N][H][W][V]; no OpenCL here. */
#ifndef DD_TENSOR_SHAPE_H
#define DD_TENSOR_SHAPE_H

#include <stddef.h>

#include "base/integer.h"

/** n images of c channels, h rows, w columns; v channels are innermost, c is padded with zeros to a multiple of v. */
struct dd_shape {
    int n, c, h, w, v;
};

static inline int dd_shape_blocks(struct dd_shape s) {
    return dd_div_up(s.c, s.v);
}
static inline int dd_shape_padded_c(struct dd_shape s) {
    return dd_shape_blocks(s) * s.v;
}
/** Pixels of one channel over all images: n * h * w. */
static inline size_t dd_shape_pixels(struct dd_shape s) {
    return (size_t)s.n * s.h * s.w;
}
/** Floats, channel padding included. */
static inline size_t dd_shape_floats(struct dd_shape s) {
    return dd_shape_pixels(s) * dd_shape_padded_c(s);
}

/**
 * Output extent of a convolution or pooling window along one axis: floor((in + 2 pad - kernel) / stride) + 1.
 */
static inline int dd_window_out(int in, int kernel, int stride, int pad) {
    return (in + 2 * pad - kernel) / stride + 1;
}

/**
 * Convolution weights on the device: [O/Vo][I/Vi][K][K][Vi][Vo], padded with zeros; OIHW when both V are 1.
 */
size_t dd_weight_floats(int out_c, int in_c, int kernel, int vo, int vi);

/** OIHW -> device order and back; dst and src must not overlap. Padding is written as 0. */
void dd_weight_pack(const float *oihw, int out_c, int in_c, int kernel, int vo, int vi, float *packed);
void dd_weight_unpack(const float *packed, int out_c, int in_c, int kernel, int vo, int vi, float *oihw);

#endif
