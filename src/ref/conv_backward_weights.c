/* The gradient of a convolution with respect to its weights. */
#include <stddef.h>

#include "ref/ref_conv.h"

/* The gradient of one weight: tap (ky, kx) between channel x [h][w] and gradient dy [out_h][out_w] of one image. */
static double correlate(const struct dd_ref_conv *c, const double *x, const double *dy, int ky, int kx) {
    const int out_h = dd_ref_conv_out(c, c->h), out_w = dd_ref_conv_out(c, c->w);
    double sum = 0;
    for (int oy = 0; oy < out_h; oy++)
        for (int ox = 0; ox < out_w; ox++) {
            int y = oy * c->stride + ky - c->pad, column = ox * c->stride + kx - c->pad;
            if (y >= 0 && y < c->h && column >= 0 && column < c->w)
                sum += x[(size_t)y * c->w + column] * dy[(size_t)oy * out_w + ox];
        }
    return sum;
}

void dd_ref_conv_backward_weights(const struct dd_ref_conv *c, const double *x, const double *dy, double *dw) {
    const size_t plane = (size_t)c->h * c->w, out_plane = (size_t)dd_ref_conv_out(c, c->h) * dd_ref_conv_out(c, c->w);
    for (int o = 0; o < c->out_c; o++)
        for (int i = 0; i < c->in_c; i++)
            for (int ky = 0; ky < c->kernel; ky++)
                for (int kx = 0; kx < c->kernel; kx++) {
                    double sum = 0;
                    for (int n = 0; n < c->n; n++)
                        sum += correlate(c, x + ((size_t)n * c->in_c + i) * plane,
                                         dy + ((size_t)n * c->out_c + o) * out_plane, ky, kx);
                    *dw++ = sum;
                }
}
