/* Batch normalisation, backward (Ioffe and Szegedy 2015, section 3), through the normalised values. */
#include <math.h>

#include "ref/ref.h"

void dd_ref_bn_backward(struct dd_ref_shape shape, const double *g, const double *z, const double *gamma,
                        double epsilon, double *dz, double *dgamma, double *dbeta) {
    const size_t plane = (size_t)shape.h * shape.w;
    const double count = (double)shape.n * (double)plane;
    for (int c = 0; c < shape.c; ++c) {
        double mean = 0, var = 0, sum_g = 0, sum_gx = 0;
        for (int n = 0; n < shape.n; ++n)
            for (size_t p = 0; p < plane; ++p)
                mean += z[((size_t)n * shape.c + c) * plane + p] / count;
        for (int n = 0; n < shape.n; ++n) {
            for (size_t p = 0; p < plane; ++p) {
                double d = z[((size_t)n * shape.c + c) * plane + p] - mean;
                var += d * d / count;
            }
        }
        double deviation = sqrt(var + epsilon);
        for (int n = 0; n < shape.n; ++n) {
            for (size_t p = 0; p < plane; ++p) {
                size_t at = ((size_t)n * shape.c + c) * plane + p;
                sum_g += g[at];
                sum_gx += g[at] * (z[at] - mean) / deviation;
            }
        }
        for (int n = 0; n < shape.n; ++n) {
            for (size_t p = 0; p < plane; ++p) {
                size_t at = ((size_t)n * shape.c + c) * plane + p;
                double normalised = (z[at] - mean) / deviation;
                dz[at] = gamma[c] / deviation * (g[at] - sum_g / count - normalised * sum_gx / count);
            }
        }
        dgamma[c] = sum_gx;
        dbeta[c] = sum_g;
    }
}
