/*
 * Between blocked tensors and the matrices of a convolution by GEMM: unfold (im2col), its adjoint fold (col2im, a
 * gather), the gradient of the raw output as a matrix, results and weights back in device order. All handle images
 * first .. first + count - 1 of N, so that a batch can go in chunks; p = (n * HO + oy) * WO + ox counts the output
 * pixels of a chunk (P of them), and k = (c * KERNEL + ky) * KERNEL + kx the taps, as in OIHW weights.
 *
 * A work-item takes `run` neighbouring pixels of one row of its matrix, an image row at a time: on CPUs a run is long,
 * elsewhere 1. Build options: V (of the tensor that is read or written), KERNEL, STRIDE, PAD. What else differs is an
 * argument `kind`, the same for all work-items, so that few programs serve all uses: see the enums.
 */
#include "common.clh"

#ifndef KERNEL
#define KERNEL 3
#endif
#ifndef STRIDE
#define STRIDE 1
#endif
#ifndef PAD
#define PAD 1
#endif

enum { PROLOGUE_NONE, PROLOGUE_AFFINE, PROLOGUE_RELU }; /* x; scale * x + shift; its ReLU */
/* g; k1 * g + k2 * z + k3; the same with g masked by a ReLU first */
enum { GRADIENT_PLAIN, GRADIENT_NORM, GRADIENT_MASKED };
enum { FOLD_ADD = 1, FOLD_MASK = 2, FOLD_KEEP = 4 }; /* bits: see dd_conv_backward_data_args */

#define TAPS (KERNEL * KERNEL)
#define TILE 64 /* pixels that transposing kernels take at a time: their part of the matrix stays in the first cache */

/* Place of the first pixel of image n, channel c in [C/V][N][pixels][V]; pixels follow at distance V. */
static size_t plane_at(int c, int n, int images, int pixels)
{
    return ((size_t)(c / V) * images + n) * pixels * V + c % V;
}

/* count elements of a row of x (W columns, at distance V) into to (at distance `step`), the first from column `column`,
 * the next STRIDE further. */
static void unfold_row(__global const float *x, int column, int W, int count, float scale, float shift, int relu,
                       __global float *to, int step)
{
    int low = column < 0 ? (STRIDE - 1 - column) / STRIDE : 0;
    int high = column >= W ? 0 : (W - column + STRIDE - 1) / STRIDE;
    low = min(low, count);
    high = clamp(high, low, count);
    for (int i = 0; i < low; ++i)
        to[(size_t)i * step] = 0.0f;
    for (int i = low; i < high; ++i) {
        const float y = fma(scale, x[(column + i * STRIDE) * V], shift);
        to[(size_t)i * step] = relu && y < 0.0f ? 0.0f : y; /* lets NaN pass */
    }
    for (int i = high; i < count; ++i)
        to[(size_t)i * step] = 0.0f;
}

/* x [C/V][N][H][W][V] -> col [C * TAPS][P]. Range: (P / run, C * TAPS). */
__kernel void unfold(__global const float *restrict x, __global const float *restrict scales,
                     __global const float *restrict shifts, __global float *restrict col, int col_offset, int H, int W,
                     int HO, int WO, int N, int first, int count, int run, int kind)
{
    const int P = count * HO * WO, k = get_global_id(1);
    const int c = k / TAPS, ky = k % TAPS / KERNEL, kx = k % KERNEL;
    const int start = get_global_id(0) * run, stop = min(start + run, P);
    const float scale = kind == PROLOGUE_NONE ? 1.0f : scales[c], shift = kind == PROLOGUE_NONE ? 0.0f : shifts[c];
    for (int p = start, length; p < stop; p += length) {
        const int ox = p % WO, oy = p / WO % HO, n = p / (WO * HO), iy = oy * STRIDE + ky - PAD;
        __global float *to = col + col_offset + (size_t)k * P + p;
        length = min(WO - ox, stop - p);
        if (iy < 0 || iy >= H) {
            for (int i = 0; i < length; ++i)
                to[i] = 0.0f;
        } else {
            unfold_row(x + plane_at(c, first + n, N, H * W) + (size_t)iy * W * V, ox * STRIDE + kx - PAD, W, length,
                       scale, shift, kind == PROLOGUE_RELU, to, 1);
        }
    }
}

/*
 * x -> col [rows][columns], the transpose of the above, with zeros where p >= P or k >= C * TAPS. A work-item takes
 * `each` channels. Range: (rows / run, C / each).
 */
__kernel void unfold_transposed(__global const float *restrict x, __global const float *restrict scales,
                                __global const float *restrict shifts, __global float *restrict col, int col_offset,
                                int C, int each, int columns, int rows, int H, int W, int HO, int WO, int N, int first,
                                int count, int run, int kind)
{
    const int P = count * HO * WO, c0 = get_global_id(1) * each, c1 = min(c0 + each, C);
    const int start = get_global_id(0) * run, stop = min(start + run, rows);
    const int k0 = c0 * TAPS, k1 = c1 == C ? columns : c1 * TAPS; /* the last takes the padding */
    col += col_offset;
    for (int p = start, length; p < stop; p += length) {
        const int ox = p % WO, oy = p / WO % HO, n = p / (WO * HO);
        const int limit = p < P ? min(WO - ox, TILE) : 1;
        length = min(limit, stop - p);
        for (int c = c0; p < P && c < c1; ++c) {
            const float scale = kind == PROLOGUE_NONE ? 1.0f : scales[c],
                        shift = kind == PROLOGUE_NONE ? 0.0f : shifts[c];
            for (int t = 0; t < TAPS; ++t) {
                const int iy = oy * STRIDE + t / KERNEL - PAD;
                __global float *to = col + (size_t)p * columns + c * TAPS + t;
                if (iy < 0 || iy >= H) {
                    for (int i = 0; i < length; ++i)
                        to[(size_t)i * columns] = 0.0f;
                } else {
                    unfold_row(x + plane_at(c, first + n, N, H * W) + (size_t)iy * W * V,
                               ox * STRIDE + t % KERNEL - PAD, W, length, scale, shift, kind == PROLOGUE_RELU, to,
                               columns);
                }
            }
        }
        for (int i = 0; i < length; ++i)
            for (int k = p < P ? max(k0, C * TAPS) : k0; k < k1; ++k)
                col[(size_t)(p + i) * columns + k] = 0.0f;
    }
}

/* dz of length pixels of channel c from place `from` on, into `to` at distance step. */
static void gradient_row(__global const float *g, __global const float *z, __global const float *k1,
                         __global const float *k2, __global const float *k3, __global const float *scales,
                         __global const float *shifts, int kind, int c, size_t from, int length, __global float *to,
                         int step)
{
    if (kind == GRADIENT_PLAIN) {
        for (int i = 0; i < length; ++i)
            to[(size_t)i * step] = g[from + (size_t)i * V];
        return;
    }
    const float scale = kind == GRADIENT_MASKED ? scales[c] : 0.0f, shift = kind == GRADIENT_MASKED ? shifts[c] : 0.0f;
    const float a = k1[c], b = k2[c], d = k3[c];
    for (int i = 0; i < length; ++i) {
        const float raw = z[from + (size_t)i * V], keep = kind == GRADIENT_MASKED ? fma(scale, raw, shift) : 1.0f;
        to[(size_t)i * step] = fma(a, keep > 0.0f ? g[from + (size_t)i * V] : 0.0f, fma(b, raw, d));
    }
}

/* dz of g, z [C/V][N][pixels][V] -> out [C][P]. Range: (P / run, C). */
__kernel void gradient_matrix(__global const float *restrict g, __global const float *restrict z,
                              __global const float *restrict k1, __global const float *restrict k2,
                              __global const float *restrict k3, __global const float *restrict scales,
                              __global const float *restrict shifts, __global float *restrict out, int out_offset,
                              int pixels, int N, int first, int count, int run, int kind)
{
    const int P = count * pixels, c = get_global_id(1);
    const int start = get_global_id(0) * run, stop = min(start + run, P);
    for (int p = start, length; p < stop; p += length) {
        const int q = p % pixels;
        length = min(pixels - q, stop - p);
        gradient_row(g, z, k1, k2, k3, scales, shifts, kind, c,
                     plane_at(c, first + p / pixels, N, pixels) + (size_t)q * V, length,
                     out + out_offset + (size_t)c * P + p, 1);
    }
}

/* dz -> out [rows][columns], the transpose, with zeros where p >= P or c >= C. Range: rows / run. */
__kernel void gradient_transposed(__global const float *restrict g, __global const float *restrict z,
                                  __global const float *restrict k1, __global const float *restrict k2,
                                  __global const float *restrict k3, __global const float *restrict scales,
                                  __global const float *restrict shifts, __global float *restrict out, int out_offset,
                                  int C, int columns, int rows, int pixels, int N, int first, int count, int run,
                                  int kind)
{
    const int P = count * pixels;
    const int start = get_global_id(0) * run, stop = min(start + run, rows);
    out += out_offset;
    for (int p = start, length; p < stop; p += length) {
        const int q = p % pixels;
        const int limit = p < P ? min(pixels - q, TILE) : 1;
        length = min(limit, stop - p);
        for (int c = 0; p < P && c < C; ++c)
            gradient_row(g, z, k1, k2, k3, scales, shifts, kind, c,
                         plane_at(c, first + p / pixels, N, pixels) + (size_t)q * V, length,
                         out + (size_t)p * columns + c, columns);
        for (int i = 0; i < length; ++i)
            for (int c = p < P ? C : 0; c < columns; ++c)
                out[(size_t)(p + i) * columns + c] = 0.0f;
    }
}

/* Sum of the entries of col [TAPS][P] that were unfolded from (y, x) of image n, in tap order. */
static float folded(__global const float *col, int P, int n, int y, int x, int HO, int WO)
{
    float sum = 0.0f;
    for (int ky = 0; ky < KERNEL; ++ky) {
        const int ty = y + PAD - ky, oy = ty / STRIDE;
        if (ty < 0 || ty % STRIDE != 0 || oy >= HO)
            continue;
        for (int kx = 0; kx < KERNEL; ++kx) {
            const int tx = x + PAD - kx, ox = tx / STRIDE;
            if (tx >= 0 && tx % STRIDE == 0 && ox < WO)
                sum += col[(size_t)(ky * KERNEL + kx) * P + (n * HO + oy) * WO + ox];
        }
    }
    return sum;
}

/* col [C * TAPS][P] -> dx [C/V][N][H][W][V], channel padding 0. Range: (count * H * W / run, C padded). */
__kernel void fold(__global const float *restrict col, int col_offset, __global float *restrict dx,
                   __global const float *restrict mask_z, __global const float *restrict scales,
                   __global const float *restrict shifts, int C, int H, int W, int HO, int WO, int N, int first,
                   int count, int run, int kind)
{
    const int P = count * HO * WO, all = count * H * W, c = get_global_id(1);
    const int start = get_global_id(0) * run, stop = min(start + run, all);
    __global const float *from = col + col_offset + (size_t)c * TAPS * P;
    for (int q = start, length; q < stop; q += length) {
        const int x0 = q % W, y = q / W % H, n = q / (W * H);
        const size_t at = plane_at(c, first + n, N, H * W) + (size_t)(y * W + x0) * V;
        length = min(W - x0, stop - q);
        for (int i = 0; i < length; ++i) {
            float sum = c < C ? folded(from, P, n, y, x0 + i, HO, WO) : 0.0f;
            if (kind & FOLD_ADD)
                sum += dx[at + (size_t)i * V];
            if (kind & FOLD_MASK)
                sum = c < C && fma(scales[c], mask_z[at + (size_t)i * V], shifts[c]) > 0.0f ? sum : 0.0f;
            else if (kind & FOLD_KEEP)
                sum = mask_z[at + (size_t)i * V] > 0.0f ? sum : 0.0f;
            dx[at + (size_t)i * V] = sum;
        }
    }
}

/* matrix [C][P] -> y [C/V][N][pixels][V], channel padding 0. Range: (P / run, C padded). */
__kernel void matrix_to_tensor(__global const float *restrict matrix, int matrix_offset, __global float *restrict y,
                               int C, int pixels, int N, int first, int count, int run)
{
    const int P = count * pixels, c = get_global_id(1);
    const int start = get_global_id(0) * run, stop = min(start + run, P);
    for (int p = start, length; p < stop; p += length) {
        const int q = p % pixels;
        const size_t at = plane_at(c, first + p / pixels, N, pixels) + (size_t)q * V;
        length = min(pixels - q, stop - p);
        for (int i = 0; i < length; ++i)
            y[at + (size_t)i * V] = c < C ? matrix[matrix_offset + (size_t)c * P + p + i] : 0.0f;
    }
}

/* Place of (o, i, tap t) in the weights [O/vo][I/vi][TAPS][vi][vo]. */
static size_t weight_at(int o, int i, int t, int I, int vo, int vi)
{
    const size_t block = (size_t)(o / vo) * ((I + vi - 1) / vi) + i / vi;
    return ((block * TAPS + t) * vi + i % vi) * vo + o % vo;
}

/* Weights in device order -> matrix [O][I * TAPS] (OIHW). Range: O * I * TAPS. */
__kernel void weights_to_matrix(__global const float *restrict w, __global float *restrict matrix, int matrix_offset,
                                int O, int I, int vo, int vi)
{
    const int at = get_global_id(0), t = at % TAPS, i = at / TAPS % I, o = at / (TAPS * I);
    if (o < O)
        matrix[matrix_offset + at] = w[weight_at(o, i, t, I, vo, vi)];
}

/*
 * parts [splits][rows][columns], rows >= O, columns >= I * TAPS -> their sum, in order of the splits, in device order;
 * padding 0. Range: (padded I * TAPS, padded O).
 */
__kernel void sum_weights(__global const float *restrict parts, int parts_offset, int splits, int rows, int columns,
                          __global float *restrict w, int O, int I, int vo, int vi)
{
    const int k = get_global_id(0), t = k % TAPS, i = k / TAPS, o = get_global_id(1);
    float sum = 0.0f;
    if (i >= (I + vi - 1) / vi * vi || o >= (O + vo - 1) / vo * vo)
        return;
    if (o < O && i < I)
        for (int s = 0; s < splits; ++s)
            sum += parts[parts_offset + ((size_t)s * rows + o) * columns + k];
    w[weight_at(o, i, t, I, vo, vi)] = sum;
}
