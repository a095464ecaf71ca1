/*
 * References: every operator as plain loops in double precision, for tests, self-test and tuner. Literal rather than
 * fast; they share no code with the kernels. Tensors are NCHW without padding.
 */
#ifndef DD_REF_REF_H
#define DD_REF_REF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** n images of c channels, h rows, w columns. */
struct dd_ref_shape {
    int n, c, h, w;
};

/* Batch normalisation over n, h, w. Vectors are [c]. */

/** mean and biased variance of z. */
void dd_ref_bn_statistics(struct dd_ref_shape shape, const double *z, double *mean, double *var);
/**
 * running = (1 - momentum) * running + momentum * batch value, the variance by its unbiased estimate (biased over a
 * single value).
 */
void dd_ref_bn_running(struct dd_ref_shape shape, const double *mean, const double *var, double momentum,
                       double *running_mean, double *running_var);
/** y = gamma * (z - mean) / sqrt(var + epsilon) + beta. */
void dd_ref_bn_forward(struct dd_ref_shape shape, const double *z, const double *mean, const double *var,
                       const double *gamma, const double *beta, double epsilon, double *y);
/** Gradients of y = BN(z) with batch statistics for the gradient g of y. */
void dd_ref_bn_backward(struct dd_ref_shape shape, const double *g, const double *z, const double *gamma,
                        double epsilon, double *dz, double *dgamma, double *dbeta);

/* Residual units. */

/** y = scale * x + shift per channel, then ReLU if relu. */
void dd_ref_affine(struct dd_ref_shape shape, const double *x, const double *scale, const double *shift, bool relu,
                   double *y);
/** t [n][out_c][ceil(h / stride)][ceil(w / stride)]: every stride-th row and column of x, zero channels behind x's. */
void dd_ref_subsample(struct dd_ref_shape in, int out_c, int stride, const double *x, double *t);
/** o = ReLU(main + shortcut) of count elements; either may be NULL (zero). NaN stays NaN. */
void dd_ref_join_forward(size_t count, const double *main_path, const double *shortcut, double *o);
/** g = go where test > 0, else 0. */
void dd_ref_join_backward(size_t count, const double *go, const double *test, double *g);
/** Adjoint of dd_ref_subsample. */
void dd_ref_expand(struct dd_ref_shape in, int out_c, int stride, const double *g, double *dx);

/** Width dropout, forward and backward: y = 0 where words [count] * 2^-32 < ratio, else x / (1 - ratio). */
void dd_ref_dropout(size_t count, double ratio, const uint32_t *words, const double *x, double *y);

/* Pooling: window x window, zero-free padding. */

/** y, winner [n][c][out_h][out_w]; winner is row * w + column of the first maximum; NaN beats every number. */
void dd_ref_maxpool_forward(struct dd_ref_shape in, int window, int stride, int pad, const double *x, double *y,
                            int *winner);
void dd_ref_maxpool_backward(struct dd_ref_shape in, int window, int stride, int pad, const double *dy,
                             const int *winner, double *dx);
/** y [n][c]: mean over h, w. */
void dd_ref_gap_forward(struct dd_ref_shape in, const double *x, double *y);
void dd_ref_gap_backward(struct dd_ref_shape in, const double *dy, double *dx);

/**
 * Softmax cross-entropy of logits [n][classes]: loss [n], dlogits [n][classes] = (softmax - onehot) / n, and rank [n]:
 * classes k with not (l_k <= l_label), or l_k = l_label and k < label.
 */
void dd_ref_softmax_xent(int n, int classes, const double *logits, const int *labels, double *loss, int *rank,
                         double *dlogits);

/** m = momentum * m + (g + decay * w); w = w - rate * m. g NULL: 0. */
void dd_ref_sgd(size_t count, double rate, double momentum, double decay, const double *g, double *m, double *w);

/** out [n][c][h][w] from bytes [..][c][h][w]; samples [n][4]: index, dy, dx, flip; see ops/augment.h. */
void dd_ref_augment(struct dd_ref_shape shape, const uint8_t *bytes, const int32_t *samples, const double *mean,
                    const double *inverse_std, double *out);

#endif
