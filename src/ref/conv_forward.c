/* Convolution by its definition. */
#include <stddef.h>

#include "ref/ref_conv.h"

int dd_ref_conv_out(const struct dd_ref_conv *c, int in) {
    return (in + 2 * c->pad - c->kernel) / c->stride + 1;
}

/* One output: the window at (oy, ox) of image x [in_c][h][w] times filter w [in_c][kernel][kernel]. */
static double window(const struct dd_ref_conv *c, const double *x, const double *w, int oy, int ox) {
    double sum = 0;
    for (int i = 0; i < c->in_c; i++)
        for (int ky = 0; ky < c->kernel; ky++)
            for (int kx = 0; kx < c->kernel; kx++) {
                int y = oy * c->stride + ky - c->pad, column = ox * c->stride + kx - c->pad;
                if (y >= 0 && y < c->h && column >= 0 && column < c->w)
                    sum += x[((size_t)i * c->h + y) * c->w + column] * w[((size_t)i * c->kernel + ky) * c->kernel + kx];
            }
    return sum;
}

void dd_ref_conv_forward(const struct dd_ref_conv *c, const double *x, const double *w, double *y) {
    const int out_h = dd_ref_conv_out(c, c->h), out_w = dd_ref_conv_out(c, c->w);
    const size_t image = (size_t)c->in_c * c->h * c->w, filter = (size_t)c->in_c * c->kernel * c->kernel;
    for (int n = 0; n < c->n; n++)
        for (int o = 0; o < c->out_c; o++)
            for (int oy = 0; oy < out_h; oy++)
                for (int ox = 0; ox < out_w; ox++)
                    *y++ = window(c, x + n * image, w + o * filter, oy, ox);
}
