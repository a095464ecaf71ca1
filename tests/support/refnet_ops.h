/*
 * The arithmetic of refnet.c in double precision: convolution, batch norm, option-A shortcut, max pooling, dense rows.
 * Tensors are [n][C][P] with P = rows * columns. Private to refnet.
 */
#ifndef REFNET_OPS_H
#define REFNET_OPS_H

#include <stdbool.h>
#include <stddef.h>

#include "net/net.h"

/* What a convolution with BN keeps for the backward pass. */
struct layer_state {
    const double *x;      /* [n][in_c][in P], not owned */
    double *z, *y;        /* [n][out_c][P]: convolution's output; after BN (and ReLU) */
    double *mean, *scale; /* [out_c] used for normalisation: scale = 1 / sqrt(var + epsilon) */
    bool relu;            /* y is behind a ReLU */
};

size_t refnet_plane(const struct dd_conv_layer *layer); /* P of the output */
double refnet_dot(const double *a, const double *b, size_t count);
void refnet_add_scaled(double *to, double factor, const double *from, size_t count);

/* z (zeroed) = weight * x; false: out of memory. */
bool refnet_conv_forward(const struct dd_conv_layer *layer, int n, const double *weight, const double *x, double *z);
/* Adds to d_weight and, unless it is NULL, to dx; false: out of memory. */
bool refnet_conv_backward(const struct dd_conv_layer *layer, int n, const double *weight, const double *x,
                          const double *dz, double *d_weight, double *dx);

/* s->mean and s->scale from s->z; the running statistics [out_c] move. */
void refnet_bn_batch(const struct dd_conv_layer *layer, int n, struct layer_state *s, double *running_mean,
                     double *running_var);
/* s->mean and s->scale from the running statistics. */
void refnet_bn_running(const struct dd_conv_layer *layer, struct layer_state *s, const double *running_mean,
                       const double *running_var);
/* s->y = BN(s->z), with ReLU behind it if s->relu. */
void refnet_bn_apply(const struct dd_conv_layer *layer, int n, struct layer_state *s, const double *gain,
                     const double *shift);
/* dy [n][out_c][P] is overwritten by the gradient of z; adds to d_gain and d_shift. */
void refnet_bn_backward(const struct dd_conv_layer *layer, int n, const struct layer_state *s, const double *gain,
                        double *dy, double *d_gain, double *d_shift);

/* Option A: side [n][out_c][P] (zeroed) takes x at even rows and columns; backward, x takes side's gradient. */
void refnet_subsample(const struct dd_unit *unit, int n, double *x, double *side, bool backward);

/* The net's max pooling of x [n][stem's out_c][P]; from [n][C][pooled P] is the maximum's position in its plane. */
void refnet_pool(const struct dd_net *net, int n, const double *x, double *pooled, int *from);

#endif
