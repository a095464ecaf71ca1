/*
 * Max pooling with the winner's place, its gradient as a gather, and global average pooling in both directions.
 *
 * maxpool_forward, maxpool_backward  a work-item handles `run` neighbouring output vectors of one channel block.
 * gap_forward                        a work-item sums one image's plane of one channel block.
 * gap_backward                       a work-item writes `run` neighbouring vectors of one channel block.
 *
 * Build options: V as in common.clh; GROUP, work-items of a group (1 on CPUs);
 * PROLOGUE 1: x passes through scale and shift on load; PROLOGUE_RELU 1: and through ReLU.
 */
#include "common.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif
#ifndef PROLOGUE
#define PROLOGUE 0
#endif
#ifndef PROLOGUE_RELU
#define PROLOGUE_RELU 0
#endif

#if V == 1
#define CHOOSE(otherwise, value, test) ((test) ? (value) : (otherwise))
#else
#define CHOOSE(otherwise, value, test) select((otherwise), (value), (test))
#endif

/*
 * x [C/V][N][h][w][V] -> y, winner [C/V][N][out_h][out_w][V]. The window is scanned by rows; the first maximum wins,
 * and a NaN beats every number.
 */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void maxpool_forward(global const vfloat *restrict x, global const vfloat *restrict scale,
                            global const vfloat *restrict shift, int images, int run, int h, int w, int out_h,
                            int out_w, int window, int stride, int pad, global vfloat *restrict y,
                            global vint *restrict winner)
{
    const int block = get_global_id(1), pixels = images * out_h * out_w;
    const int begin = min((int)get_global_id(0) * run, pixels), end = min(begin + run, pixels);
#if PROLOGUE
    const vfloat a = scale[block], b = shift[block];
#endif
    for (int p = begin; p < end; ++p) {
        const int column = p % out_w, row = p / out_w % out_h, image = p / out_w / out_h;
        global const vfloat *plane = x + ((size_t)block * images + image) * h * w;
        const int top = row * stride - pad, left = column * stride - pad;
        vfloat best = DD_SPLAT(-INFINITY);
        vint place = (vint)(max(top, 0) * w + max(left, 0));
        for (int i = max(top, 0); i < min(top + window, h); ++i) {
            for (int j = max(left, 0); j < min(left + window, w); ++j) {
                vfloat value = plane[i * w + j];
#if PROLOGUE
                value = fma(a, value, b);
#if PROLOGUE_RELU
                value = DD_RELU(value);
#endif
#endif
                vint better = (value > best) | (value != value);
                best = CHOOSE(best, value, better);
                place = CHOOSE(place, (vint)(i * w + j), better);
            }
        }
        y[(size_t)block * pixels + p] = best;
        winner[(size_t)block * pixels + p] = place;
    }
}

/* dx [C/V][N][h][w][V] = sum of dy over the windows that the pixel won, windows in row order. */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void maxpool_backward(global const vfloat *restrict dy, global const vint *restrict winner, int images, int run,
                             int h, int w, int out_h, int out_w, int window, int stride, int pad,
                             global vfloat *restrict dx)
{
    const int block = get_global_id(1), pixels = images * h * w;
    const int begin = min((int)get_global_id(0) * run, pixels), end = min(begin + run, pixels);
    for (int p = begin; p < end; ++p) {
        const int column = p % w, row = p / w % h, image = p / w / h;
        const size_t plane = ((size_t)block * images + image) * out_h * out_w;
        /* windows oy with oy * stride - pad <= row < oy * stride - pad + window */
        const int top = max(row + pad - window + stride, 0) / stride, bottom = min((row + pad) / stride, out_h - 1);
        const int left = max(column + pad - window + stride, 0) / stride;
        const int right = min((column + pad) / stride, out_w - 1);
        const vint here = (vint)(row * w + column);
        vfloat sum = DD_SPLAT(0.0f);
        for (int i = top; i <= bottom; ++i) {
            for (int j = left; j <= right; ++j) {
                size_t at = plane + (size_t)i * out_w + j;
                vint won = winner[at] == here;
                sum += CHOOSE(DD_SPLAT(0.0f), dy[at], won);
            }
        }
        dx[(size_t)block * pixels + p] = sum;
    }
}

/* x [C/V][N][plane][V] -> y [C][N] */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void gap_forward(global const vfloat *restrict x, int images, int plane, int channels, global float *restrict y)
{
    const int image = get_global_id(0), block = get_global_id(1);
    if (image >= images)
        return;
    global const vfloat *in = x + ((size_t)block * images + image) * plane;
    vfloat even = DD_SPLAT(0.0f), odd = DD_SPLAT(0.0f);
    for (int p = 0; p + 1 < plane; p += 2) {
        even += in[p];
        odd += in[p + 1];
    }
    if (plane % 2)
        even += in[plane - 1];
    vfloat mean = (even + odd) / (float)plane;
#if V == 1
    y[(size_t)block * images + image] = mean;
#else
    float lanes[V];
    DD_CAT(vstore, V)(mean, 0, lanes);
    for (int k = 0; k < min(V, channels - block * V); ++k)
        y[(size_t)(block * V + k) * images + image] = lanes[k];
#endif
}

/* dy [C][N] -> dx [C/V][N][plane][V] where keep, of the same shape, is positive, else 0; channel padding 0 */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void gap_backward(global const float *restrict dy, int images, int run, int plane, int channels,
                         global const vfloat *restrict keep, global vfloat *restrict dx)
{
    const int block = get_global_id(1), pixels = images * plane;
    const int begin = min((int)get_global_id(0) * run, pixels), end = min(begin + run, pixels);
    for (int p = begin; p < end;) {
        const int image = p / plane, stop = min((image + 1) * plane, end);
#if V == 1
        vfloat value = dy[(size_t)block * images + image];
#else
        float lanes[V];
        for (int k = 0; k < V; ++k)
            lanes[k] = block * V + k < channels ? dy[(size_t)(block * V + k) * images + image] : 0.0f;
        vfloat value = DD_CAT(vload, V)(0, lanes);
#endif
        value /= (float)plane;
        for (; p < stop; ++p)
            dx[(size_t)block * pixels + p] = DD_KEEP_POSITIVE(value, keep[(size_t)block * pixels + p]);
    }
}
