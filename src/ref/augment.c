/* Normalise, pad with zeros, crop, flip: literally in that order. */
#include "ref/ref.h"

/* The normalised image, extended by zeros on every side. */
static double padded_pixel(struct dd_ref_shape s, const uint8_t *image, int c, int row, int column, const double *mean,
                           const double *inverse_std) {
    if (row < 0 || row >= s.h || column < 0 || column >= s.w)
        return 0;
    size_t at = ((size_t)c * s.h + row) * s.w + column;
    return (image[at] / 255.0 - mean[at]) * inverse_std[c];
}

void dd_ref_augment(struct dd_ref_shape s, const uint8_t *bytes, const int32_t *samples, const double *mean,
                    const double *inverse_std, double *out) {
    size_t at = 0;
    for (int n = 0; n < s.n; ++n) {
        const int32_t *sample = samples + 4 * n;
        const uint8_t *image = bytes + (size_t)sample[0] * s.c * s.h * s.w;
        for (int c = 0; c < s.c; ++c) {
            for (int row = 0; row < s.h; ++row) {
                for (int column = 0; column < s.w; ++column) {
                    int cropped = sample[3] ? s.w - 1 - column : column;
                    out[at++] = padded_pixel(s, image, c, row + sample[1], cropped + sample[2], mean, inverse_std);
                }
            }
        }
    }
}
