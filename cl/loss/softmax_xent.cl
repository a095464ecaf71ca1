/*
 * Softmax cross-entropy: loss, rank of the label and gradient of each image, then the sums of a batch.
 *
 * softmax_xent  one work-item per image walks its column of logits [K][N]: neighbours read neighbouring floats.
 * loss_metrics  one work-group of GROUP work-items; each sums every GROUP-th image with compensation (Kahan 1965), then
 *               a tree.
 *
 * Build option: GROUP, work-items of a group: a power of two, 1 on CPUs. A fixed order of sums: the same bits in every
 * run.
 */
#pragma OPENCL FP_CONTRACT OFF

#ifndef GROUP
#define GROUP 1
#endif

/*
 * dlogits [K][N] = (softmax - onehot) / N if want_gradient. A label outside 0 .. K-1 gives the loss NaN and the last
 * rank.
 */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void softmax_xent(global const float *restrict logits, global const int *restrict labels, int classes,
                         int images, int want_gradient, global float *restrict dlogits,
                         global float *restrict sample_loss, global int *restrict sample_rank)
{
    const int i = get_global_id(0);
    if (i >= images)
        return;
    const int label = labels[i];
    const float wanted = label >= 0 && label < classes ? logits[(size_t)label * images + i] : NAN;
    float top = logits[i];
    int rank = 0;
    for (int k = 0; k < classes; ++k) {
        float value = logits[(size_t)k * images + i];
        top = value > top ? value : top;
        rank += !(value <= wanted) || (value == wanted && k < label);
    }
    float sum = 0.0f;
    for (int k = 0; k < classes; ++k)
        sum += exp(logits[(size_t)k * images + i] - top);
    sample_loss[i] = log(sum) - (wanted - top);
    sample_rank[i] = rank;
    if (want_gradient) {
        for (int k = 0; k < classes; ++k) {
            size_t at = (size_t)k * images + i;
            float share = exp(logits[at] - top) / sum;
            dlogits[at] = (k == label ? share - 1.0f : share) / (float)images;
        }
    }
}

/* metrics [4]: sum of the losses, images with rank > 0, images with rank > 4, images. An infinite loss may give NaN. */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void loss_metrics(global const float *restrict sample_loss, global const int *restrict sample_rank, int images,
                         global float *restrict metrics)
{
    const int lane = get_local_id(0);
    float sum = 0.0f, lost = 0.0f;
    int beyond_first = 0, beyond_fifth = 0;
    for (int i = lane; i < images; i += GROUP) {
        float term = sample_loss[i] - lost, next = sum + term;
        lost = (next - sum) - term;
        sum = next;
        beyond_first += sample_rank[i] > 0;
        beyond_fifth += sample_rank[i] > 4;
    }
#if GROUP > 1
    local float sums[GROUP];
    local int firsts[GROUP], fifths[GROUP];
    sums[lane] = sum;
    firsts[lane] = beyond_first;
    fifths[lane] = beyond_fifth;
    for (int half_group = GROUP / 2; half_group > 0; half_group /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (lane < half_group) {
            sums[lane] = sum += sums[lane + half_group];
            firsts[lane] = beyond_first += firsts[lane + half_group];
            fifths[lane] = beyond_fifth += fifths[lane + half_group];
        }
    }
#endif
    if (lane == 0) {
        metrics[0] = sum;
        metrics[1] = (float)beyond_first;
        metrics[2] = (float)beyond_fifth;
        metrics[3] = (float)images;
    }
}
