/* Host-side packing into the blocked layouts of shape.h. */
#include "tensor/shape.h"

#include <string.h>

/* Place of pixel (y, x) of channel c of image n in [C/V][N][H][W][V]. */
static size_t tensor_index(struct dd_shape s, int n, int c, int y, int x) {
    return ((((size_t)(c / s.v) * s.n + n) * s.h + y) * s.w + x) * s.v + c % s.v;
}

/* Place of tap t = ky * kernel + kx of (o, i) in [O/Vo][I/Vi][K * K][Vi][Vo]. */
static size_t weight_index(int o, int i, int t, int in_blocks, int taps, int vo, int vi) {
    size_t block = (size_t)(o / vo) * in_blocks + i / vi;
    return ((block * taps + t) * vi + i % vi) * vo + o % vo;
}

size_t dd_weight_floats(int out_c, int in_c, int kernel, int vo, int vi) {
    return (size_t)dd_div_up(out_c, vo) * vo * dd_div_up(in_c, vi) * vi * kernel * kernel;
}

void dd_weight_pack(const float *oihw, int out_c, int in_c, int kernel, int vo, int vi, float *packed) {
    const int taps = kernel * kernel, in_blocks = dd_div_up(in_c, vi);
    memset(packed, 0, dd_weight_floats(out_c, in_c, kernel, vo, vi) * sizeof(float));
    for (int o = 0; o < out_c; o++)
        for (int i = 0; i < in_c; i++)
            for (int t = 0; t < taps; t++)
                packed[weight_index(o, i, t, in_blocks, taps, vo, vi)] = oihw[((size_t)o * in_c + i) * taps + t];
}

void dd_weight_unpack(const float *packed, int out_c, int in_c, int kernel, int vo, int vi, float *oihw) {
    const int taps = kernel * kernel, in_blocks = dd_div_up(in_c, vi);
    for (int o = 0; o < out_c; o++)
        for (int i = 0; i < in_c; i++)
            for (int t = 0; t < taps; t++)
                oihw[((size_t)o * in_c + i) * taps + t] = packed[weight_index(o, i, t, in_blocks, taps, vo, vi)];
}

void dd_tensor_pack(const float *nchw, struct dd_shape s, float *blocked) {
    memset(blocked, 0, dd_shape_floats(s) * sizeof(float));
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int y = 0; y < s.h; y++)
                for (int x = 0; x < s.w; x++)
                    blocked[tensor_index(s, n, c, y, x)] = *nchw++;
}

void dd_tensor_unpack(const float *blocked, struct dd_shape s, float *nchw) {
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int y = 0; y < s.h; y++)
                for (int x = 0; x < s.w; x++)
                    *nchw++ = blocked[tensor_index(s, n, c, y, x)];
}
