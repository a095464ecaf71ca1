/* Batch normalisation, forward: two passes over each channel. */
#include <math.h>

#include "ref/ref.h"

void dd_ref_bn_statistics(struct dd_ref_shape shape, const double *z, double *mean, double *var) {
    const size_t plane = (size_t)shape.h * shape.w;
    const double count = (double)shape.n * (double)plane;
    for (int c = 0; c < shape.c; ++c) {
        double sum = 0, squares = 0;
        for (int n = 0; n < shape.n; ++n)
            for (size_t p = 0; p < plane; ++p)
                sum += z[((size_t)n * shape.c + c) * plane + p];
        mean[c] = sum / count;
        for (int n = 0; n < shape.n; ++n) {
            for (size_t p = 0; p < plane; ++p) {
                double d = z[((size_t)n * shape.c + c) * plane + p] - mean[c];
                squares += d * d;
            }
        }
        var[c] = squares / count;
    }
}

void dd_ref_bn_running(struct dd_ref_shape shape, const double *mean, const double *var, double momentum,
                       double *running_mean, double *running_var) {
    const double count = (double)shape.n * shape.h * shape.w;
    const double unbiased = count > 1 ? count / (count - 1) : 1;
    for (int c = 0; c < shape.c; ++c) {
        running_mean[c] = (1 - momentum) * running_mean[c] + momentum * mean[c];
        running_var[c] = (1 - momentum) * running_var[c] + momentum * var[c] * unbiased;
    }
}

void dd_ref_bn_forward(struct dd_ref_shape shape, const double *z, const double *mean, const double *var,
                       const double *gamma, const double *beta, double epsilon, double *y) {
    const size_t plane = (size_t)shape.h * shape.w;
    for (int n = 0; n < shape.n; ++n) {
        for (int c = 0; c < shape.c; ++c) {
            for (size_t p = 0; p < plane; ++p) {
                size_t at = ((size_t)n * shape.c + c) * plane + p;
                y[at] = gamma[c] * (z[at] - mean[c]) / sqrt(var[c] + epsilon) + beta[c];
            }
        }
    }
}
