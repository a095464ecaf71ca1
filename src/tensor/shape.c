/* Host-side packing of weights into the blocked layout of shape.h. */
#include "tensor/shape.h"

#include <string.h>

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
