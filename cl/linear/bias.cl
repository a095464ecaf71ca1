/* The last layer's bias, logits [K][N]: added to every column, and its gradient. */

/* logits[k][n] += bias[k]. Range: (N, K). */
__kernel void bias_add(__global float *logits, __global const float *bias, int N)
{
    const int n = get_global_id(0), k = get_global_id(1);
    if (n < N)
        logits[(size_t)k * N + n] += bias[k];
}

/* dbias[k] = sum over n of dlogits[k][n], in order. Range: K. */
__kernel void bias_gradient(__global const float *dlogits, __global float *dbias, int K, int N)
{
    const int k = get_global_id(0);
    float sum = 0.0f;
    if (k >= K)
        return;
    for (int n = 0; n < N; ++n)
        sum += dlogits[(size_t)k * N + n];
    dbias[k] = sum;
}
