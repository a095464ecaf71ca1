/* References of convolution and the last layer, see ref.h. Tensors are NCHW, weights OIHW. */
#ifndef DD_REF_REF_CONV_H
#define DD_REF_REF_CONV_H

/** n images of in_c channels, h rows, w columns; out_c filters of kernel x kernel. */
struct dd_ref_conv {
    int n, in_c, h, w, out_c, kernel, stride, pad;
};

/** Output extent along an axis of `in`. */
int dd_ref_conv_out(const struct dd_ref_conv *conv, int in);

/** y [n][out_c][out_h][out_w] of x [n][in_c][h][w] and w. */
void dd_ref_conv_forward(const struct dd_ref_conv *conv, const double *x, const double *w, double *y);
/** dx [n][in_c][h][w] for the gradient dy of y. */
void dd_ref_conv_backward_data(const struct dd_ref_conv *conv, const double *dy, const double *w, double *dx);
/** dw [out_c][in_c][kernel][kernel]. */
void dd_ref_conv_backward_weights(const struct dd_ref_conv *conv, const double *x, const double *dy, double *dw);

/** logits [n][classes] = x [n][features] w^T + b, w [classes][features]. */
void dd_ref_linear_forward(int n, int features, int classes, const double *x, const double *w, const double *b,
                           double *logits);
/** All gradients for dlogits [n][classes]. */
void dd_ref_linear_backward(int n, int features, int classes, const double *x, const double *w, const double *dlogits,
                            double *dx, double *dw, double *db);

#endif
