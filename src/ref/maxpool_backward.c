/* Max pooling, backward: each window's gradient goes to its winner. */
#include "ref/ref.h"

void dd_ref_maxpool_backward(struct dd_ref_shape in, int window, int stride, int pad, const double *dy,
                             const int *winner, double *dx) {
    const int out_h = (in.h + 2 * pad - window) / stride + 1, out_w = (in.w + 2 * pad - window) / stride + 1;
    const size_t in_plane = (size_t)in.h * in.w, out_plane = (size_t)out_h * out_w;
    for (size_t i = 0; i < (size_t)in.n * in.c * in_plane; ++i)
        dx[i] = 0;
    for (size_t plane = 0; plane < (size_t)in.n * in.c; ++plane)
        for (size_t p = 0; p < out_plane; ++p)
            dx[plane * in_plane + (size_t)winner[plane * out_plane + p]] += dy[plane * out_plane + p];
}
