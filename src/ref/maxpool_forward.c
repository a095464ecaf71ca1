/* Max pooling, forward: the window is scanned by rows. */
#include <math.h>

#include "ref/ref.h"

void dd_ref_maxpool_forward(struct dd_ref_shape in, int window, int stride, int pad, const double *x, double *y,
                            int *winner) {
    const int out_h = (in.h + 2 * pad - window) / stride + 1, out_w = (in.w + 2 * pad - window) / stride + 1;
    size_t at = 0;
    for (int plane = 0; plane < in.n * in.c; ++plane) {
        for (int oy = 0; oy < out_h; ++oy) {
            for (int ox = 0; ox < out_w; ++ox, ++at) {
                winner[at] = -1;
                for (int i = 0; i < window * window; ++i) {
                    int row = oy * stride - pad + i / window, column = ox * stride - pad + i % window;
                    if (row < 0 || row >= in.h || column < 0 || column >= in.w)
                        continue;
                    double value = x[((size_t)plane * in.h + row) * in.w + column];
                    if (winner[at] < 0 || value > y[at] || isnan(value)) {
                        y[at] = value;
                        winner[at] = row * in.w + column;
                    }
                }
            }
        }
    }
}
