/* The last layer. */
#include <stddef.h>

#include "ref/ref_conv.h"

void dd_ref_linear_forward(int n, int features, int classes, const double *x, const double *w, const double *b,
                           double *logits) {
    for (int i = 0; i < n; i++)
        for (int k = 0; k < classes; k++) {
            double sum = b[k];
            for (int c = 0; c < features; c++)
                sum += x[(size_t)i * features + c] * w[(size_t)k * features + c];
            logits[(size_t)i * classes + k] = sum;
        }
}

void dd_ref_linear_backward(int n, int features, int classes, const double *x, const double *w, const double *dlogits,
                            double *dx, double *dw, double *db) {
    for (int i = 0; i < n * features; i++)
        dx[i] = 0;
    for (int i = 0; i < classes * features; i++)
        dw[i] = 0;
    for (int k = 0; k < classes; k++)
        db[k] = 0;
    for (int i = 0; i < n; i++)
        for (int k = 0; k < classes; k++) {
            double g = dlogits[(size_t)i * classes + k];
            db[k] += g;
            for (int c = 0; c < features; c++) {
                dx[(size_t)i * features + c] += g * w[(size_t)k * features + c];
                dw[(size_t)k * features + c] += g * x[(size_t)i * features + c];
            }
        }
}
