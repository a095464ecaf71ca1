/* Global average pooling, forward. */
#include "ref/ref.h"

void dd_ref_gap_forward(struct dd_ref_shape in, const double *x, double *y) {
    const size_t size = (size_t)in.h * in.w;
    for (size_t plane = 0; plane < (size_t)in.n * in.c; ++plane) {
        double sum = 0;
        for (size_t p = 0; p < size; ++p)
            sum += x[plane * size + p];
        y[plane] = sum / (double)size;
    }
}
