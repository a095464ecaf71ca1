/* The last layer: three products through CLBlast and the bias. */
#include "ops/linear.h"

#include "ops/gemm.h"

static struct dd_gemm forward_product(const struct dd_linear *l) {
    return (struct dd_gemm){.m = (size_t)l->classes,
                            .n = (size_t)l->n,
                            .k = (size_t)l->features,
                            .lda = (size_t)l->features,
                            .ldb = (size_t)l->n,
                            .ldc = (size_t)l->n,
                            .batch = 1};
}

/* dx [C][N] = w^T * dlogits */
static struct dd_gemm data_product(const struct dd_linear *l) {
    return (struct dd_gemm){.transpose_a = true,
                            .m = (size_t)l->features,
                            .n = (size_t)l->n,
                            .k = (size_t)l->classes,
                            .lda = (size_t)l->features,
                            .ldb = (size_t)l->n,
                            .ldc = (size_t)l->n,
                            .batch = 1};
}

/* dw [K][C] = dlogits [K][N] * x^T */
static struct dd_gemm weights_product(const struct dd_linear *l) {
    return (struct dd_gemm){.transpose_b = true,
                            .m = (size_t)l->classes,
                            .n = (size_t)l->features,
                            .k = (size_t)l->n,
                            .lda = (size_t)l->n,
                            .ldb = (size_t)l->n,
                            .ldc = (size_t)l->features,
                            .batch = 1};
}

size_t dd_linear_workspace(const struct dd_linear *linear) {
    const struct dd_gemm products[] = {forward_product(linear), data_product(linear), weights_product(linear)};
    size_t most = 0;
    for (int i = 0; i < 3; i++)
        most = dd_larger_size(most, dd_gemm_temporary_bound(NULL, &products[i]));
    return most;
}

dd_status dd_linear_forward(dd_device *device, const struct dd_linear *linear, cl_mem x, cl_mem w, cl_mem b,
                            cl_mem logits, cl_mem workspace, struct dd_launches *list) {
    struct dd_gemm product = forward_product(linear);
    const struct dd_kernel_spec bias = {.source = "linear/bias.cl",
                                        .kernel = "bias_add",
                                        .label = "bias_add",
                                        .dims = 2,
                                        .global = {(size_t)linear->n, (size_t)linear->classes}};
    product.a = w;
    product.b = x;
    product.c = logits;
    product.temporary = workspace;
    DD_TRY(dd_gemm_add(device, &product, "linear_forward", list));
    return DD_ADD(list, device, &bias, DD_MEM(logits), DD_MEM(b), DD_INT(linear->n));
}

dd_status dd_linear_backward(dd_device *device, const struct dd_linear *linear, cl_mem x, cl_mem w, cl_mem dlogits,
                             cl_mem dx, cl_mem dw, cl_mem db, cl_mem workspace, struct dd_launches *list) {
    struct dd_gemm data = data_product(linear), weights = weights_product(linear);
    const struct dd_kernel_spec bias = {.source = "linear/bias.cl",
                                        .kernel = "bias_gradient",
                                        .label = "bias_gradient",
                                        .dims = 1,
                                        .global = {(size_t)linear->classes}};
    data.a = w;
    data.b = dlogits;
    data.c = dx;
    data.temporary = workspace;
    weights.a = dlogits;
    weights.b = x;
    weights.c = dw;
    weights.temporary = workspace;
    DD_TRY(dd_gemm_add(device, &data, "linear_backward_data", list));
    DD_TRY(dd_gemm_add(device, &weights, "linear_backward_weights", list));
    return DD_ADD(list, device, &bias, DD_MEM(dlogits), DD_MEM(db), DD_INT(linear->classes), DD_INT(linear->n));
}
