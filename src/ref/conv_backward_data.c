/* The gradient of a convolution with respect to its input: every output's gradient goes back to the window it came
 * from. */
#include <stddef.h>

#include "ref/ref_conv.h"

/* dx [in_c][h][w] += dy * filter w [in_c][kernel][kernel] at the window of (oy, ox) */
static void scatter(const struct dd_ref_conv *c, double dy, const double *w, int oy, int ox, double *dx) {
    for (int i = 0; i < c->in_c; i++)
        for (int ky = 0; ky < c->kernel; ky++)
            for (int kx = 0; kx < c->kernel; kx++) {
                int y = oy * c->stride + ky - c->pad, x = ox * c->stride + kx - c->pad;
                if (y >= 0 && y < c->h && x >= 0 && x < c->w)
                    dx[((size_t)i * c->h + y) * c->w + x] += dy * w[((size_t)i * c->kernel + ky) * c->kernel + kx];
            }
}

void dd_ref_conv_backward_data(const struct dd_ref_conv *c, const double *dy, const double *w, double *dx) {
    const int out_h = dd_ref_conv_out(c, c->h), out_w = dd_ref_conv_out(c, c->w);
    const size_t image = (size_t)c->in_c * c->h * c->w, filter = (size_t)c->in_c * c->kernel * c->kernel;
    for (size_t i = 0; i < c->n * image; i++)
        dx[i] = 0;
    for (int n = 0; n < c->n; n++)
        for (int o = 0; o < c->out_c; o++)
            for (int oy = 0; oy < out_h; oy++)
                for (int ox = 0; ox < out_w; ox++)
                    scatter(c, *dy++, w + o * filter, oy, ox, dx + n * image);
}
