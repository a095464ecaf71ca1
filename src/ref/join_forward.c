/* The forward side of a residual unit's join. */
#include "ref/ref.h"

/* max(x, 0) that keeps NaN */
static double relu(double x) {
    return x < 0 ? 0 : x;
}

void dd_ref_affine(struct dd_ref_shape shape, const double *x, const double *scale, const double *shift, bool use_relu,
                   double *y) {
    const size_t plane = (size_t)shape.h * shape.w;
    for (int n = 0; n < shape.n; ++n) {
        for (int c = 0; c < shape.c; ++c) {
            for (size_t p = 0; p < plane; ++p) {
                size_t at = ((size_t)n * shape.c + c) * plane + p;
                double value = scale[c] * x[at] + shift[c];
                y[at] = use_relu ? relu(value) : value;
            }
        }
    }
}

void dd_ref_subsample(struct dd_ref_shape in, int out_c, int stride, const double *x, double *t) {
    size_t at = 0;
    for (int n = 0; n < in.n; ++n)
        for (int c = 0; c < out_c; ++c)
            for (int i = 0; i < in.h; i += stride)
                for (int j = 0; j < in.w; j += stride)
                    t[at++] = c < in.c ? x[(((size_t)n * in.c + c) * in.h + i) * in.w + j] : 0;
}

void dd_ref_join_forward(size_t count, const double *main_path, const double *shortcut, double *o) {
    for (size_t i = 0; i < count; ++i)
        o[i] = relu((main_path ? main_path[i] : 0) + (shortcut ? shortcut[i] : 0));
}
