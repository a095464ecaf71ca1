/*
 * Winograd forward: y = conv(max(scale * x + shift, 0)) and the statistics of y, one work-item per slice of `bands`
 * bands. Everything between loading x and storing y stays in private arrays that fit a core's second cache. Build
 * options: see the headers; BESIDE, 1 to take another convolution along; EPILOGUE is STATISTICS. Work: ceil(all bands /
 * bands) work-groups of one item.
 */
#include "common.clh"
#include "fetch.clh"
#include "conv/winograd.clh"
#include "conv/winograd_data.clh"
#if BESIDE
#include "conv/pointwise_block.clh"
#include "conv/beside.clh"
#endif

__kernel DD_SINGLE void winograd_fwd(
    __global const vfloat *restrict x, __global const vfloat *restrict scale, __global const vfloat *restrict shift,
    __global const vfloat *restrict u, __global vfloat *restrict y, __global vfloat *restrict partials, int n, int
    bands, int flags
#if BESIDE
    , __global const vfloat *restrict side_w, __global vfloat *restrict side_y, __global vfloat *restrict side_partials
#endif
    )
{
    vfloat v[FREQUENCIES * VP] ALIGNED, m[FREQUENCIES * MP] ALIGNED, band[BAND_H * BAND_W] ALIGNED;
    struct epilogue state[OB];
    const size_t plane = (size_t)n * H * W;
    const int slice = get_global_id(0), end = min((slice + 1) * bands, (n + NI - 1) / NI * GROUPS);
    int pixels = 0;

#if BESIDE
    struct moments moments[OB];
    clear_moments(moments, OB);
#endif
    load_epilogue(state, 0, 0, 0, 0);
    if (TP > T)
        clear(v, FREQUENCIES * VP);
    for (int b = slice * bands; b < end; b++) {
        const int n0 = band_image(b), y0 = band_row(b);
        const size_t image = (size_t)n0 * H * W;
        for (int og = 0; og < OB; og += OG) {
            for (int kg = 0; kg < RB; kg += KG) {
                for (int k = og == 0 ? 0 : KEPT; k < KG; k++) {
                    const struct affine f = load_affine(scale, shift, kg + k, flags);
                    for (int i = 0; i < NI; i++) {
                        stage_input(band, x + (kg + k) * plane + image + i * H * W, n0 + i < n, y0, f);
                        for (int r = 0; r < TR; r++)
                            input_tiles(band + r * TM * BAND_W, v + k * TP + (i * TR + r) * TX, VP);
                    }
                }
                products(v, u + ((size_t)og * RB + kg * OU) * V, m, kg > 0,
                         og == 0 ? x + kg * plane + next_rows(b) : 0, 0,
                         kg == 0 ? y + og * plane + image + y0 * W : 0, 0, plane);
            }
            for (int o = 0; o < OG; o++)
                finish_band(m + o * TP, y + (og + o) * plane + image, y, n - n0, y0, b == slice * bands,
                            &state[og + o]);
        }
#if BESIDE
        beside_forward(x, scale, shift, flags, side_w, side_y, plane, image + y0 * W, band_pixels(n - n0, y0),
                       b == slice * bands, moments);
#endif
        pixels += band_pixels(n - n0, y0);
    }
    if (flags & PARTIALS)
        for (int i = 0; i < OB; i++)
            write_partials(partials + (size_t)slice * 3 * OB, i, pixels, &state[i]);
#if BESIDE
    if (flags & PARTIALS)
        write_moments(side_partials + (size_t)slice * 3 * OB, OB, pixels, moments);
#endif
}
