/* Matrix products through CLBlast: the only module that includes it. */
#ifndef DD_OPS_GEMM_H
#define DD_OPS_GEMM_H

#include "ops/op.h"

/**
 * C[b] = A[b]' * B[b]' + beta * C[b] for b in 0 .. batch-1, row-major: A' is m x k, B' is k x n, C m x n, where X' is X
 * or its transpose. Offsets, leading dimensions and strides between members in floats.
 */
struct dd_gemm {
    bool transpose_a, transpose_b;
    size_t m, n, k;
    cl_mem a, b, c;
    size_t a_offset, b_offset, c_offset;
    size_t lda, ldb, ldc;
    float beta;
    size_t batch; /* 1: one product */
    size_t a_stride, b_stride, c_stride;
    cl_mem temporary;        /* at least dd_gemm_temporary bytes, the caller's; NULL if that is 0 */
    size_t temporary_offset; /* a multiple of the view alignment, in floats */
};

/**
 * Sizes that spare copies: with m, n and k multiples of this, A stored transposed, B not, leading dimensions without
 * gaps and offsets that are multiples of the view alignment, a CPU's product needs no temporary memory.
 */
enum { DD_GEMM_TILE = 16 };

/** Bytes of temporary memory that CLBlast needs for it (batch members included). */
dd_status dd_gemm_temporary(dd_device *device, const struct dd_gemm *gemm, size_t *bytes);

/** An upper bound of it that needs no device (and none of the buffers): for planning memory. info NULL: for any device.
 */
size_t dd_gemm_temporary_bound(const struct dd_device_info *info, const struct dd_gemm *gemm);

/** Appends the product to list. */
dd_status dd_gemm_add(dd_device *device, const struct dd_gemm *gemm, const char *label, struct dd_launches *list);

/** Releases what CLBlast caches for all devices (its programs); before a device is closed for good. */
void dd_gemm_release_caches(void);

#endif
