/* The backward side of a residual unit's join. */
#include "ref/ref.h"

void dd_ref_join_backward(size_t count, const double *go, const double *test, double *g) {
    for (size_t i = 0; i < count; ++i)
        g[i] = test[i] > 0 ? go[i] : 0;
}

void dd_ref_expand(struct dd_ref_shape in, int out_c, int stride, const double *g, double *dx) {
    size_t at = 0;
    for (size_t i = 0; i < (size_t)in.n * in.c * in.h * in.w; ++i)
        dx[i] = 0;
    for (int n = 0; n < in.n; ++n) {
        for (int c = 0; c < out_c; ++c) {
            for (int i = 0; i < in.h; i += stride) {
                for (int j = 0; j < in.w; j += stride, ++at) {
                    if (c < in.c)
                        dx[(((size_t)n * in.c + c) * in.h + i) * in.w + j] = g[at];
                }
            }
        }
    }
}
