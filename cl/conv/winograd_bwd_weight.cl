/*
 * Winograd backward weights: the part of dw that `bands` bands contribute, for XG x GG channel blocks, from x with its
 * prologue and dz = k1 * g' + k2 * z + k3. The transformed gradient dU stays in a private array until the slice is
 * done. Build options: see the two headers; TB is 1. Work: (slices, XB / XG, GB / GG) work-groups of one item.
 */
#include "common.clh"
#include "fetch.clh"
#include "conv/winograd.clh"
#include "conv/winograd_grad.clh"

/* partials: [slices][GB][XB][9][V][V] from vector `offset` of the workspace on */
__kernel DD_SINGLE void winograd_bwd_weight(
     __global const vfloat *restrict x, __global const vfloat *restrict scale, __global const vfloat *restrict shift,
    __global const vfloat *restrict g, __global const vfloat *restrict z, __global const vfloat *restrict k1, __global
    const vfloat *restrict k2, __global const vfloat *restrict k3, __global const vfloat *restrict relu_scale, __global
    const vfloat *restrict relu_shift, __global vfloat *restrict workspace, int offset, int n, int bands, int flags)
{
    vfloat v[FREQUENCIES * XP] ALIGNED, e[FREQUENCIES * EP] ALIGNED, du[FREQUENCIES * UP] ALIGNED;
    vfloat band[BAND_H * BAND_W] ALIGNED;
    const size_t plane = (size_t)n * H * W;
    const int slice = get_global_id(0), x0 = get_global_id(1) * XG, g0 = get_global_id(2) * GG;
    const int end = min((slice + 1) * bands, (n + NI - 1) / NI * GROUPS);

    clear(du, FREQUENCIES * UP);
    for (int b = slice * bands; b < end; b++) {
        const int n0 = band_image(b), y0 = band_row(b);
        const size_t image = (size_t)n0 * H * W, ahead = next_rows(b);
        for (int k = 0; k < XG; k++) {
            const struct affine f = load_affine(scale, shift, x0 + k, flags);
            for (int i = 0; i < NI; i++) {
                stage_input(band, x + (x0 + k) * plane + image + i * H * W, n0 + i < n, y0, f);
                for (int r = 0; r < TR; r++)
                    input_tiles(band + r * TM * BAND_W, v + k * TP + (i * TR + r) * TX, XP);
            }
        }
        for (int k = 0; k < GG; k++) {
            const struct gradient f = load_gradient(k1, k2, k3, relu_scale, relu_shift, g0 + k, flags);
            for (int i = 0; i < NI; i++) {
                const size_t at = (g0 + k) * plane + image + i * H * W;
                stage_gradient(band, g + at, z + at, n0 + i < n, y0, f, 0);
                for (int r = 0; r < TR; r++)
                    gradient_tiles(band + (r * TM + 1) * BAND_W + 1, e + k * T + (i * TR + r) * TX, EP);
            }
        }
        accumulate_band(v, e, du, x + x0 * plane + ahead, g + g0 * plane + ahead, z + g0 * plane + ahead, plane);
    }
    write_weights(du, workspace + offset + (size_t)slice * (GB * XB * 9 * V), x0, g0);
}
