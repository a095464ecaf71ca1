/*
 * Winograd backward data and weights of one convolution with as many blocks of x as of dz, in one pass over memory: dz
 * is staged once for both, and dx and the masking tensor are touched while they are in the caches. One work-item takes
 * `bands` bands; every `chunk` of them is a slice of the sums, every work-item a slice of the weight gradient. Build
 * options: see the headers; BESIDE, 1 to take another convolution along; XB = XG = OB = OG and GB = GG = RB = KG. Work:
 * ceil(all bands / bands) work-groups.
 */
#include "common.clh"
#include "fetch.clh"
#include "conv/winograd.clh"
#include "conv/winograd_data.clh"
#include "conv/winograd_grad.clh"
#if BESIDE
#include "conv/pointwise_block.clh"
#include "conv/beside.clh"
#define SIDE_Z(at) (side_z + (at)) /* what is fetched ahead for it */
#else
#define SIDE_Z(at) 0
#endif

__kernel DD_SINGLE void winograd_bwd(
     __global const vfloat *restrict g, __global const vfloat *restrict z, __global const vfloat *restrict k1, __global
    const vfloat *restrict k2, __global const vfloat *restrict k3, __global const vfloat *restrict relu_scale, __global
    const vfloat *restrict relu_shift, __global const vfloat *restrict u, __global vfloat *restrict dx, __global const
    vfloat *restrict mask_z, __global const vfloat *restrict mask_scale, __global const vfloat *restrict mask_shift,
    __global const vfloat *restrict mean, __global vfloat *restrict partials, __global const vfloat *restrict x,
    __global const vfloat *restrict scale, __global const vfloat *restrict shift, __global vfloat *restrict
    weight_partials, int offset, int n, int bands, int chunk, int flags
#if BESIDE
    , __global const vfloat *restrict side_z, __global const vfloat *restrict side_k1,
    __global const vfloat *restrict side_k2, __global const vfloat *restrict side_k3,
    __global const vfloat *restrict side_relu_scale, __global const vfloat *restrict side_relu_shift,
    __global const vfloat *restrict side_wt, int side_offset, int side_flags
#endif
    )
{
    vfloat v[FREQUENCIES * VP] ALIGNED, m[FREQUENCIES * MP] ALIGNED, e[FREQUENCIES * EP] ALIGNED;
    vfloat du[FREQUENCIES * UP] ALIGNED, band[BAND_H * BAND_W] ALIGNED;
    struct epilogue state[OB];
    const size_t plane = (size_t)n * H * W;
    const int item = get_global_id(0), end = min((item + 1) * bands, (n + NI - 1) / NI * GROUPS);

#if BESIDE
    vfloat side_sums[GB * XB * V];
    clear(side_sums, GB * XB * V);
#endif
    clear(du, FREQUENCIES * UP);
    if (TP > T)
        clear(v, FREQUENCIES * VP);
    load_epilogue(state, mask_scale, mask_shift, mean, flags & PARTIALS);
    for (int b = item * bands; b < end; b++) {
        const int n0 = band_image(b), y0 = band_row(b);
        const size_t image = (size_t)n0 * H * W, here = image + y0 * W, ahead = next_rows(b);
        for (int k = 0; k < GB; k++) {
            const struct gradient f = load_gradient(k1, k2, k3, relu_scale, relu_shift, k, flags);
            for (int i = 0; i < NI; i++) {
                const size_t at = k * plane + image + i * H * W;
                stage_gradient(band, g + at, z + at, n0 + i < n, y0, f, 1);
                for (int r = 0; r < TR; r++) {
                    input_tiles(band + r * TM * BAND_W, v + k * TP + (i * TR + r) * TX, VP);
                    gradient_tiles(band + (r * TM + 1) * BAND_W + 1, e + k * T + (i * TR + r) * TX, EP);
                }
            }
        }
        products(v, u, m, 0, x + here, SIDE_Z(here), dx + here, MASKED ? mask_z + here : 0, plane);
#if BESIDE
        beside_backward(dx, side_z, side_k1, side_k2, side_k3, side_relu_scale, side_relu_shift, side_flags, x, scale,
                        shift, flags, side_wt, side_sums, plane, here, band_pixels(n - n0, y0));
#endif
        for (int o = 0; o < OB; o++) {
            const size_t at = o * plane + image;
            finish_band(m + o * TP, dx + at, mask_z + at, n - n0, y0, 0, &state[o]);
        }
        for (int k = 0; k < XB; k++) {
            const struct affine f = load_affine(scale, shift, k, flags);
            for (int i = 0; i < NI; i++) {
                stage_input(band, x + k * plane + image + i * H * W, n0 + i < n, y0, f);
                for (int r = 0; r < TR; r++)
                    input_tiles(band + r * TM * BAND_W, v + k * TP + (i * TR + r) * TX, XP);
            }
        }
        accumulate_band(v, e, du, 0, g + ahead, z + ahead, plane);
        if (flags & PARTIALS && ((b + 1) % chunk == 0 || b + 1 == end)) {
            for (int i = 0; i < OB; i++)
                write_partials(partials + (size_t)(b / chunk) * 2 * OB, i, 0, &state[i]);
            load_epilogue(state, mask_scale, mask_shift, mean, flags & PARTIALS);
        }
    }
    write_weights(du, weight_partials + offset + (size_t)item * (GB * XB * 9 * V), 0, 0);
#if BESIDE
    for (int i = 0; i < GB * XB * V; i++)
        weight_partials[side_offset + (size_t)item * (GB * XB * V) + i] = side_sums[i];
#endif
}
