/* Global average pooling, backward. */
#include "ref/ref.h"

void dd_ref_gap_backward(struct dd_ref_shape in, const double *dy, double *dx) {
    const size_t size = (size_t)in.h * in.w;
    for (size_t plane = 0; plane < (size_t)in.n * in.c; ++plane)
        for (size_t p = 0; p < size; ++p)
            dx[plane * size + p] = dy[plane] / (double)size;
}
