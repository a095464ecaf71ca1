/*
 * Where a unit's two paths meet: o = ReLU(main + shortcut), and the adjoint of the subsampling shortcut. Dimension 1 of
 * every range is the channel block.
 *
 * join_forward  a work-item handles `run` neighbouring vectors.
 * join_expand   a work-item handles `run` neighbouring rows of the unit's input gradient.
 *
 * Build options: V as in common.clh; GROUP, work-items of a group (1 on CPUs);
 * MAIN 1: main path present; SHORTCUT 0 none, 1 identity, 2 subsample, 3 affine;
 * KEEP 1: join_expand masks by the output of the ReLU before; SPACED 1: it leaves the pixels between unwritten.
 */
#include "common.clh"
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif
#include "point/ahead.clh"
#ifndef MAIN
#define MAIN 1
#endif
#ifndef SHORTCUT
#define SHORTCUT 1
#endif
#ifndef KEEP
#define KEEP 0
#endif
#ifndef SPACED
#define SPACED 0
#endif
#define IDENTITY 1
#define SUBSAMPLE 2
#define AFFINE 3

/*
 * o, z [C/V][pixels][V]; x the same, or for SUBSAMPLE [x_blocks][N][x_h][x_w][V] read at (stride * y, stride * x).
 * x_relu: the affine shortcut passes through ReLU.
 */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void join_forward(global const vfloat *restrict z, global const vfloat *restrict z_scale,
                         global const vfloat *restrict z_shift, global const vfloat *restrict x,
                         global const vfloat *restrict x_scale, global const vfloat *restrict x_shift, int x_relu,
                         int pixels, int run, int h, int w, int x_blocks, int x_h, int x_w, int stride,
                         global vfloat *restrict o)
{
    const int block = get_global_id(1);
    const int begin = min((int)get_global_id(0) * run, pixels), end = min(begin + run, pixels);
    const size_t base = (size_t)block * pixels;
#if MAIN
    const vfloat scale = z_scale[block], shift = z_shift[block];
#endif
#if SHORTCUT == AFFINE
    const vfloat side_scale = x_scale[block], side_shift = x_shift[block];
#endif
#if SHORTCUT == SUBSAMPLE
    int column = begin % w, row = begin / w % h, image = begin / w / h;
#endif
    for (int p = begin; p < end; ++p) {
        vfloat value = DD_SPLAT(0.0f);
        FETCH_AHEAD(o + base + p, 1); /* what is read, the hardware fetches as well by itself */
#if MAIN
        value = fma(scale, z[base + p], shift);
#endif
#if SHORTCUT == IDENTITY
        value += x[base + p];
#elif SHORTCUT == AFFINE
        vfloat side = fma(side_scale, x[base + p], side_shift);
        value += x_relu ? DD_RELU(side) : side;
#elif SHORTCUT == SUBSAMPLE
        if (block < x_blocks) {
            int images = pixels / (h * w);
            value += x[(((size_t)block * images + image) * x_h + stride * row) * x_w + stride * column];
        }
        if (++column == w) {
            column = 0;
            if (++row == h) {
                row = 0;
                ++image;
            }
        }
#endif
        o[base + p] = DD_RELU(value);
    }
}

/*
 * dx [C/V][rows = N*h][w][V]: g [..][N][out_h][out_w][V] where row and column are multiples of stride (and keep, of dx's
 * shape, is positive), else 0 or, SPACED, unwritten.
 */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void join_expand(global const vfloat *restrict g, int rows, int run, int channels, int h, int w, int out_h,
                        int out_w, int stride, global const vfloat *restrict keep, global vfloat *restrict dx)
{
    const int block = get_global_id(1);
    const int begin = min((int)get_global_id(0) * run, rows), end = min(begin + run, rows);
    const int images = rows / h;
    for (int line = begin; line < end; ++line) {
        const int image = line / h, row = line % h;
        const size_t to = ((size_t)block * rows + line) * w;
        const size_t from = (((size_t)block * images + image) * out_h + row / stride) * out_w;
#if SPACED
        if (row % stride != 0)
            continue;
#endif
        for (int column = 0; column < w; column += SPACED ? stride : 1) {
            vfloat value = DD_SPLAT(0.0f);
            if (row % stride == 0 && column % stride == 0)
                value = clear_padding(g[from + column / stride], channels, block);
#if KEEP
            value = DD_KEEP_POSITIVE(value, keep[to + column]);
#endif
            dx[to + column] = value;
        }
    }
}
