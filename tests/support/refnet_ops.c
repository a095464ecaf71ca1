/* See refnet_ops.h. */
#include "support/refnet_ops.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double BN_EPSILON = 1e-5;
static const double BN_MOMENTUM = 0.1;

size_t refnet_plane(const struct dd_conv_layer *layer) {
    return (size_t)layer->out_h * layer->out_w;
}

double refnet_dot(const double *a, const double *b, size_t count) {
    double sums[4] = {0};
    size_t i = 0;
    for (; i + 4 <= count; i += 4)
        for (int j = 0; j < 4; j++)
            sums[j] += a[i + j] * b[i + j];
    for (; i < count; i++)
        sums[0] += a[i] * b[i];
    return sums[0] + sums[1] + sums[2] + sums[3];
}

void refnet_add_scaled(double *to, double factor, const double *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] += factor * from[i];
}

/* One line of columns [out_w]: a row of x (NULL: outside the image) shifted by kx; with fold added to the row. */
static void unfold_line(const struct dd_conv_layer *layer, double *row, int kx, double *line, bool fold) {
    for (int ox = 0; ox < layer->out_w; ox++) {
        int ix = ox * layer->stride - layer->pad + kx;
        bool inside = row && ix >= 0 && ix < layer->in_w;
        if (fold && inside)
            row[ix] += line[ox];
        else if (!fold)
            line[ox] = inside ? row[ix] : 0.0;
    }
}

/* Unfolds x [in_c][in_h][in_w] into columns [in_c * k * k][P]; with fold, adds the columns back into x. */
static void unfold(const struct dd_conv_layer *layer, double *x, double *columns, bool fold) {
    double *line = columns;
    for (int c = 0; c < layer->in_c; c++)
        for (int ky = 0; ky < layer->kernel; ky++)
            for (int kx = 0; kx < layer->kernel; kx++)
                for (int oy = 0; oy < layer->out_h; oy++, line += layer->out_w) {
                    int iy = oy * layer->stride - layer->pad + ky;
                    bool inside = iy >= 0 && iy < layer->in_h;
                    double *row = inside ? x + ((size_t)c * layer->in_h + (size_t)iy) * layer->in_w : NULL;
                    unfold_line(layer, row, kx, line, fold);
                }
}

bool refnet_conv_forward(const struct dd_conv_layer *layer, int n, const double *weight, const double *x, double *z) {
    size_t p = refnet_plane(layer), k = (size_t)layer->in_c * layer->kernel * layer->kernel;
    size_t in = (size_t)layer->in_c * layer->in_h * layer->in_w;
    double *columns = calloc(k * p, sizeof *columns);
    if (!columns)
        return false;
    for (int i = 0; i < n; i++) {
        unfold(layer, (double *)x + i * in, columns, false);
        for (int o = 0; o < layer->out_c; o++)
            for (size_t j = 0; j < k; j++)
                refnet_add_scaled(z + ((size_t)i * layer->out_c + o) * p, weight[o * k + j], columns + j * p, p);
    }
    free(columns);
    return true;
}

bool refnet_conv_backward(const struct dd_conv_layer *layer, int n, const double *weight, const double *x,
                          const double *dz, double *d_weight, double *dx) {
    size_t p = refnet_plane(layer), k = (size_t)layer->in_c * layer->kernel * layer->kernel;
    size_t in = (size_t)layer->in_c * layer->in_h * layer->in_w;
    double *columns = calloc(k * p, sizeof *columns);
    if (!columns)
        return false;
    for (int i = 0; i < n; i++) {
        const double *dz_i = dz + (size_t)i * layer->out_c * p;
        unfold(layer, (double *)x + i * in, columns, false);
        for (int o = 0; o < layer->out_c; o++)
            for (size_t j = 0; j < k; j++)
                d_weight[o * k + j] += refnet_dot(dz_i + o * p, columns + j * p, p);
        if (!dx)
            continue;
        memset(columns, 0, k * p * sizeof *columns);
        for (int o = 0; o < layer->out_c; o++)
            for (size_t j = 0; j < k; j++)
                refnet_add_scaled(columns + j * p, weight[o * k + j], dz_i + o * p, p);
        unfold(layer, dx + i * in, columns, true);
    }
    free(columns);
    return true;
}

/* Biased variance normalises, the unbiased one moves the running variance. */
void refnet_bn_batch(const struct dd_conv_layer *layer, int n, struct layer_state *s, double *running_mean,
                     double *running_var) {
    size_t p = refnet_plane(layer);
    double count = (double)n * p;
    for (int c = 0; c < layer->out_c; c++) {
        double mean = 0, square = 0;
        for (int i = 0; i < n; i++)
            for (size_t j = 0; j < p; j++)
                mean += s->z[((size_t)i * layer->out_c + c) * p + j];
        mean /= count;
        for (int i = 0; i < n; i++)
            for (size_t j = 0; j < p; j++) {
                double d = s->z[((size_t)i * layer->out_c + c) * p + j] - mean;
                square += d * d;
            }
        s->mean[c] = mean;
        s->scale[c] = 1 / sqrt(square / count + BN_EPSILON);
        running_mean[c] += BN_MOMENTUM * (mean - running_mean[c]);
        running_var[c] += BN_MOMENTUM * (square / (count - 1) - running_var[c]);
    }
}

void refnet_bn_running(const struct dd_conv_layer *layer, struct layer_state *s, const double *running_mean,
                       const double *running_var) {
    for (int c = 0; c < layer->out_c; c++) {
        s->mean[c] = running_mean[c];
        s->scale[c] = 1 / sqrt(running_var[c] + BN_EPSILON);
    }
}

void refnet_bn_apply(const struct dd_conv_layer *layer, int n, struct layer_state *s, const double *gain,
                     const double *shift) {
    size_t p = refnet_plane(layer);
    for (int i = 0; i < n; i++)
        for (int c = 0; c < layer->out_c; c++)
            for (size_t j = 0; j < p; j++) {
                size_t at = ((size_t)i * layer->out_c + c) * p + j;
                double y = (s->z[at] - s->mean[c]) * s->scale[c] * gain[c] + shift[c];
                s->y[at] = s->relu && y < 0 ? 0 : y;
            }
}

/* Ioffe and Szegedy 2015, section 3, solved for the gradient of the input. */
void refnet_bn_backward(const struct dd_conv_layer *layer, int n, const struct layer_state *s, const double *gain,
                        double *dy, double *d_gain, double *d_shift) {
    size_t p = refnet_plane(layer);
    double count = (double)n * p;
    for (int c = 0; c < layer->out_c; c++) {
        double sum = 0, sum_x = 0;
        for (int i = 0; i < n; i++)
            for (size_t j = 0; j < p; j++) {
                size_t at = ((size_t)i * layer->out_c + c) * p + j;
                if (s->relu && s->y[at] <= 0)
                    dy[at] = 0;
                sum += dy[at];
                sum_x += dy[at] * (s->z[at] - s->mean[c]) * s->scale[c];
            }
        d_shift[c] += sum;
        d_gain[c] += sum_x;
        for (int i = 0; i < n; i++)
            for (size_t j = 0; j < p; j++) {
                size_t at = ((size_t)i * layer->out_c + c) * p + j;
                double normalised = (s->z[at] - s->mean[c]) * s->scale[c];
                dy[at] = gain[c] * s->scale[c] * (dy[at] - sum / count - normalised * sum_x / count);
            }
    }
}

void refnet_subsample(const struct dd_unit *unit, int n, double *x, double *side, bool backward) {
    for (int i = 0; i < n; i++)
        for (int c = 0; c < unit->in_c; c++)
            for (int y = 0; y < unit->out_h; y++)
                for (int w = 0; w < unit->out_w; w++) {
                    size_t big = (((size_t)i * unit->in_c + c) * unit->in_h + (size_t)y * unit->stride) * unit->in_w +
                                 (size_t)w * unit->stride;
                    size_t small = (((size_t)i * unit->out_c + c) * unit->out_h + y) * unit->out_w + w;
                    if (backward)
                        x[big] += side[small];
                    else
                        side[small] = x[big];
                }
}

/* Position of the largest value under the window at (oy, ox) of a plane: the first of equals, never the padding. */
static int pool_window(const struct dd_net *net, const double *x, int oy, int ox) {
    int from = -1;
    for (int ky = 0; ky < net->pool_kernel; ky++)
        for (int kx = 0; kx < net->pool_kernel; kx++) {
            int iy = oy * net->pool_stride - net->pool_pad + ky, ix = ox * net->pool_stride - net->pool_pad + kx;
            if (iy < 0 || iy >= net->stem.out_h || ix < 0 || ix >= net->stem.out_w)
                continue;
            int at = iy * net->stem.out_w + ix;
            if (from < 0 || x[at] > x[from])
                from = at;
        }
    return from;
}

void refnet_pool(const struct dd_net *net, int n, const double *x, double *pooled, int *from) {
    size_t in = refnet_plane(&net->stem), planes = (size_t)n * net->stem.out_c, at = 0;
    for (size_t plane = 0; plane < planes; plane++, x += in)
        for (int oy = 0; oy < net->body_h; oy++)
            for (int ox = 0; ox < net->body_w; ox++, at++) {
                from[at] = pool_window(net, x, oy, ox);
                pooled[at] = x[from[at]];
            }
}
