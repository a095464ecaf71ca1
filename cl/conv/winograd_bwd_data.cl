/*
 * Winograd backward data: dx = the transposed convolution of dz = k1 * g' + k2 * z + k3, one work-item per slice of
 * `bands` bands. Build options: see the two headers; RB are the blocks of dz, OB those of dx; EPILOGUE is any but
 * STATISTICS. Work: ceil(all bands / bands) work-groups of one item.
 */
#include "common.clh"
#include "fetch.clh"
#include "conv/winograd.clh"
#include "conv/winograd_data.clh"

__kernel DD_SINGLE void winograd_bwd_data(
     __global const vfloat *restrict g, __global const vfloat *restrict z, __global const vfloat *restrict k1, __global
    const vfloat *restrict k2, __global const vfloat *restrict k3, __global const vfloat *restrict relu_scale, __global
    const vfloat *restrict relu_shift, __global const vfloat *restrict u, __global vfloat *restrict dx, __global const
    vfloat *restrict mask_z, __global const vfloat *restrict mask_scale, __global const vfloat *restrict mask_shift,
    __global const vfloat *restrict mean, __global vfloat *restrict partials, int n, int bands, int flags)
{
    vfloat v[FREQUENCIES * VP] ALIGNED, m[FREQUENCIES * MP] ALIGNED, band[BAND_H * BAND_W] ALIGNED;
    struct epilogue state[OB];
    const size_t plane = (size_t)n * H * W;
    const int slice = get_global_id(0), end = min((slice + 1) * bands, (n + NI - 1) / NI * GROUPS);

    load_epilogue(state, mask_scale, mask_shift, mean, flags & PARTIALS);
    if (TP > T)
        clear(v, FREQUENCIES * VP);
    for (int b = slice * bands; b < end; b++) {
        const int n0 = band_image(b), y0 = band_row(b);
        const size_t image = (size_t)n0 * H * W;
        for (int og = 0; og < OB; og += OG) {
            for (int kg = 0; kg < RB; kg += KG) {
                for (int k = og == 0 ? 0 : KEPT; k < KG; k++) {
                    const struct gradient f = load_gradient(k1, k2, k3, relu_scale, relu_shift, kg + k, flags);
                    for (int i = 0; i < NI; i++) {
                        const size_t at = (kg + k) * plane + image + i * H * W;
                        stage_gradient(band, g + at, z + at, n0 + i < n, y0, f, 1);
                        for (int r = 0; r < TR; r++)
                            input_tiles(band + r * TM * BAND_W, v + k * TP + (i * TR + r) * TX, VP);
                    }
                }
                const size_t ahead = kg * plane + next_rows(b), out = og * plane + image + y0 * W;
                products(v, u + ((size_t)og * RB + kg * OU) * V, m, kg > 0, og == 0 ? g + ahead : 0,
                         og == 0 ? z + ahead : 0, kg == 0 ? dx + out : 0,
                         MASKED && kg == 0 ? mask_z + out : 0, plane);
            }
            for (int o = 0; o < OG; o++) {
                const size_t at = (og + o) * plane + image;
                finish_band(m + o * TP, dx + at, mask_z + at, n - n0, y0, 0, &state[og + o]);
            }
        }
    }
    if (flags & PARTIALS)
        for (int i = 0; i < OB; i++)
            write_partials(partials + (size_t)slice * 2 * OB, i, 0, &state[i]);
}
