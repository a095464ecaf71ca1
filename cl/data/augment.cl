/*
 * A batch from bytes: normalise, pad with zeros, crop, flip (ops/augment.h).
 *
 * A work-item writes `run` neighbouring floats of out [C][N][H][W]; within a row it reads bytes and mean contiguously,
 * forwards or (flipped) backwards.
 *
 * Build option: GROUP, work-items of a group (1 on CPUs).
 */
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif

/*
 * bytes [..][C][h][w]; samples [images]: index, dy, dx, flip; mean [C][h][w]; inverse_std [C]; dimension 1 is the
 * channel.
 */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void augment(global const uchar *restrict bytes, global const int4 *restrict samples,
                    global const float *restrict mean, global const float *restrict inverse_std, int images, int run,
                    int h, int w, global float *restrict out)
{
    const int channel = get_global_id(1), channels = get_global_size(1), pixels = images * h * w;
    const int begin = min((int)get_global_id(0) * run, pixels), end = min(begin + run, pixels);
    const float factor = inverse_std[channel];
    for (int p = begin; p < end;) {
        /* the rest of a row */
        const int row = p / w % h, row_end = p - p % w + w, stop = min(row_end, end);
        const int4 sample = samples[p / w / h];
        const int from_row = row + sample.y, step = sample.w ? -1 : 1;
        const size_t image = (size_t)sample.x * channels * h * w, line = ((size_t)channel * h + from_row) * w;
        int from = (sample.w ? row_end - 1 - p : p - row_end + w) + sample.z;
        for (; p < stop; ++p, from += step) {
            float value = 0.0f;
            if (from_row >= 0 && from_row < h && from >= 0 && from < w)
                value = (bytes[image + line + from] / 255.0f - mean[line + from]) * factor;
            out[(size_t)channel * pixels + p] = value;
        }
    }
}
