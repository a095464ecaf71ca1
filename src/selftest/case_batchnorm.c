/*
 * Cases of batch normalisation. Tolerances are multiples of float's epsilon times the magnitudes that enter a
 * rounding.
 */
#include <math.h>

#include "ops/finish.h"
#include "selftest/check.h"

static const double eps = DD_CHECK_EPSILON;

static int slices_of(const struct dd_device *device, const struct dd_bn_case *bn) {
    return bn->slices > 0 ? bn->slices : dd_bn_slices(&device->info, bn->shape);
}

/* The forward quantities of all channels: inputs, then what the reference makes of them. */
struct forward_values {
    double *z, *gamma, *beta, *running_mean, *running_var;
    double *mean, *var, *invstd, *scale, *shift, *inference_scale, *inference_shift;
    double *other_scale; /* without the gate */
};

static void draw_forward(struct dd_check *check, const struct dd_bn_case *bn, struct forward_values *v) {
    const size_t c = (size_t)bn->shape.c, count = dd_shape_pixels(bn->shape) * c;
    v->z = dd_check_uniform(check, count, bn->offset - 1.7, bn->offset + 1.7);
    v->gamma = dd_check_uniform(check, c, 0.5, 1.5);
    v->beta = dd_check_uniform(check, c, -1, 1);
    v->running_mean = dd_check_uniform(check, c, -1, 1);
    v->running_var = dd_check_uniform(check, c, 0.5, 2);
    v->mean = dd_check_zeros(check, c);
    v->var = dd_check_zeros(check, c);
    v->invstd = dd_check_zeros(check, c);
    v->scale = dd_check_zeros(check, c);
    v->shift = dd_check_zeros(check, c);
    v->other_scale = dd_check_zeros(check, c);
    v->inference_scale = dd_check_zeros(check, c);
    v->inference_shift = dd_check_zeros(check, c);
}

static void refer_forward(const struct dd_bn_case *bn, struct forward_values *v) {
    dd_ref_bn_statistics(dd_check_shape(bn->shape), v->z, v->mean, v->var);
    dd_ref_bn_running(dd_check_shape(bn->shape), v->mean, v->var, 0.1, v->running_mean, v->running_var);
    for (int c = 0; c < bn->shape.c; ++c) {
        double scale = v->gamma[c] / sqrt(v->var[c] + DD_BN_EPSILON);
        v->invstd[c] = 1 / sqrt(v->var[c] + DD_BN_EPSILON);
        v->other_scale[c] = scale;
        v->scale[c] = (double)bn->gate * scale;
        v->shift[c] = (double)bn->gate * (v->beta[c] - v->mean[c] * scale);
        v->inference_scale[c] = v->gamma[c] / sqrt(v->running_var[c] + DD_BN_EPSILON);
        v->inference_shift[c] = v->beta[c] - v->running_mean[c] * v->inference_scale[c];
    }
}

/*
 * Largest |mean| / deviation of a channel. A slice's mean is stored as a float, off by up to epsilon * |mean| / 2; the
 * merged variance feels that over the distance between slices' means, so relatively as
 * condition * epsilon / sqrt(pixels).
 */
static double condition(const struct forward_values *v, size_t channels) {
    double most = 1;
    for (size_t c = 0; c < channels; ++c)
        most = fmax(most, fabs(v->mean[c]) * v->invstd[c]);
    return most;
}

dd_status dd_case_bn_forward(dd_device *device, const struct dd_bn_case *bn, uint64_t seed,
                             struct dd_case_result *result) {
    struct dd_check check;
    struct forward_values v;
    const struct dd_shape s = bn->shape;
    const int padded = dd_shape_padded_c(s);
    struct dd_partials partials = {NULL, slices_of(device, bn)};

    dd_check_begin(&check, device, seed, result);
    draw_forward(&check, bn, &v);
    cl_mem z = dd_check_tensor(&check, s, v.z);
    struct dd_bn_vectors vectors = {
        .gamma = dd_check_vector(&check, v.gamma, s.c, padded),
        .beta = dd_check_vector(&check, v.beta, s.c, padded),
        .running_mean = dd_check_vector(&check, v.running_mean, s.c, padded),
        .running_var = dd_check_vector(&check, v.running_var, s.c, padded),
        .mean = dd_check_vector(&check, NULL, s.c, padded),
        .invstd = dd_check_vector(&check, NULL, s.c, padded),
        .scale = dd_check_vector(&check, NULL, s.c, padded),
        .shift = dd_check_vector(&check, NULL, s.c, padded),
    };
    struct dd_bn_vectors other = vectors, inference = vectors; /* other: of a second layer, without a gate */
    other.running_mean = dd_check_vector(&check, v.running_mean, s.c, padded);
    other.running_var = dd_check_vector(&check, v.running_var, s.c, padded);
    other.mean = dd_check_vector(&check, NULL, s.c, padded);
    other.invstd = dd_check_vector(&check, NULL, s.c, padded);
    other.scale = dd_check_vector(&check, NULL, s.c, padded);
    other.shift = dd_check_vector(&check, NULL, s.c, padded);
    inference.scale = dd_check_vector(&check, NULL, s.c, padded);
    inference.shift = dd_check_vector(&check, NULL, s.c, padded);
    partials.sums = dd_check_vector(&check, NULL, 0, partials.slices * 3 * padded);
    if (check.status != DD_OK)
        goto done;

    refer_forward(bn, &v);
    dd_check_run(&check, dd_bn_partials(device, s, z, partials, &check.list));
    dd_launches_clear(&check.list);
    const struct dd_forward_layer layers[] = {
        {.shape = s, .partials = partials, .vectors = vectors, .keep = 0.9f, .gain = 0.1f},
        {.shape = s, .partials = partials, .vectors = other, .keep = 0.9f, .gain = 0.1f}};
    dd_check_run(&check, dd_finish_forward(device, layers, bn->pair ? 2 : 1, bn->gate, &check.list));
    dd_launches_clear(&check.list);
    dd_check_run(&check, dd_bn_inference(device, padded, &inference, &check.list));

    const size_t c = (size_t)s.c;
    const double mean = 16 * eps * dd_check_magnitude(v.mean, c), invstd = dd_check_magnitude(v.invstd, c);
    const double var = eps * (64 + 4 * condition(&v, c) / sqrt((double)dd_shape_pixels(s)));
    const struct dd_shape row = {1, s.c, 1, 1, s.v}; /* a vector as a tensor: its padding is checked too */
    dd_check_compare_vector(&check, "mean", vectors.mean, v.mean, c, mean);
    dd_check_compare_vector(&check, "invstd", vectors.invstd, v.invstd, c, var * invstd);
    dd_check_compare_tensor(&check, "scale", row, vectors.scale, v.scale, 2 * var * invstd);
    dd_check_compare_tensor(&check, "shift", row, vectors.shift, v.shift,
                            (8 * mean + 2 * var * dd_check_magnitude(v.mean, c)) * invstd);
    dd_check_compare_vector(&check, "running mean", vectors.running_mean, v.running_mean, c, mean);
    dd_check_compare_vector(&check, "running variance", vectors.running_var, v.running_var, c,
                            var * dd_check_magnitude(v.running_var, c));
    if (bn->pair) {
        dd_check_compare_vector(&check, "the second mean", other.mean, v.mean, c, mean);
        dd_check_compare_tensor(&check, "the second scale", row, other.scale, v.other_scale, 2 * var * invstd);
        dd_check_compare_vector(&check, "the second running variance", other.running_var, v.running_var, c,
                                var * dd_check_magnitude(v.running_var, c));
    }
    dd_check_compare_tensor(&check, "inference scale", row, inference.scale, v.inference_scale, var);
    dd_check_compare_tensor(&check, "inference shift", row, inference.shift, v.inference_shift, 4 * mean + var);
done:
    return dd_check_end(&check);
}

struct backward_values {
    double *g, *z, *gamma, *mask_scale, *mask_shift, *mask, *masked;
    double *mean, *var, *invstd, *dz, *dgamma, *dbeta;
    double *other_dbeta; /* without the gate */
};

static void draw_backward(struct dd_check *check, const struct dd_bn_case *bn, struct backward_values *v) {
    const size_t c = (size_t)bn->shape.c, count = dd_shape_pixels(bn->shape) * c;
    v->g = dd_check_uniform(check, count, -1, 1);
    v->z = bn->masked ? dd_check_eighths(check, count)
                      : dd_check_uniform(check, count, bn->offset - 1.7, bn->offset + 1.7);
    v->gamma = dd_check_uniform(check, c, 0.5, 1.5);
    v->mask_scale = dd_check_eighths(check, c); /* exact, so that no sign hangs on rounding */
    v->mask_shift = dd_check_eighths(check, c);
    v->mask = dd_check_zeros(check, count);
    v->masked = dd_check_zeros(check, count);
    v->mean = dd_check_zeros(check, c);
    v->var = dd_check_zeros(check, c);
    v->invstd = dd_check_zeros(check, c);
    v->dz = dd_check_zeros(check, count);
    v->dgamma = dd_check_zeros(check, c);
    v->dbeta = dd_check_zeros(check, c);
    v->other_dbeta = dd_check_zeros(check, c);
}

static void refer_backward(const struct dd_bn_case *bn, struct backward_values *v) {
    const struct dd_ref_shape s = dd_check_shape(bn->shape);
    const size_t count = dd_shape_pixels(bn->shape) * (size_t)s.c;
    dd_ref_affine(s, v->z, v->mask_scale, v->mask_shift, false, v->mask);
    for (size_t i = 0; i < count; ++i)
        v->masked[i] = bn->masked && !(v->mask[i] > 0) ? 0 : v->g[i];
    dd_ref_bn_statistics(s, v->z, v->mean, v->var);
    dd_ref_bn_backward(s, v->masked, v->z, v->gamma, DD_BN_EPSILON, v->dz, v->dgamma, v->dbeta);
    for (int c = 0; c < s.c; ++c) {
        v->invstd[c] = 1 / sqrt(v->var[c] + DD_BN_EPSILON);
        v->other_dbeta[c] = v->dbeta[c];
        v->dgamma[c] *= (double)bn->gate;
        v->dbeta[c] *= (double)bn->gate;
    }
    for (size_t i = 0; i < count; ++i)
        v->dz[i] *= (double)bn->gate;
}

/*
 * dz as its consumers compute it from k = k1, k2, k3, here in double: what is compared is what the vectors are
 * worth.
 */
static void compare_dz(struct dd_check *check, const struct dd_bn_case *bn, const struct backward_values *v,
                       const cl_mem k[3], double tolerance) {
    const struct dd_shape s = bn->shape;
    const size_t plane = (size_t)s.h * s.w, bytes = (size_t)s.c * sizeof(float);
    float *host = (float *)dd_check_zeros(check, (size_t)s.c * 3);
    double worst = 0;
    for (int i = 0; host && i < 3 && check->status == DD_OK; ++i)
        check->status = dd_buffer_read(check->device, k[i], 0, bytes, host + (size_t)i * s.c);
    if (check->status != DD_OK)
        return;
    for (size_t i = 0; i < dd_shape_pixels(s) * (size_t)s.c; ++i) {
        size_t c = i / plane % (size_t)s.c;
        double dz = host[c] * v->masked[i] + host[s.c + c] * v->z[i] + host[2 * s.c + c];
        worst = dd_check_worse(worst, fabs(dz - v->dz[i]) / tolerance);
    }
    dd_check_record(check->result, "dz", worst);
}

dd_status dd_case_bn_backward(dd_device *device, const struct dd_bn_case *bn, uint64_t seed,
                              struct dd_case_result *result) {
    struct dd_check check;
    struct backward_values v;
    const struct dd_shape s = bn->shape;
    const int padded = dd_shape_padded_c(s);
    const size_t pixels = dd_shape_pixels(s), c = (size_t)s.c;
    struct dd_partials partials = {NULL, slices_of(device, bn)};
    cl_mem k[3], other_k[3], dgamma, dbeta; /* other_k: of a second layer, without a gate */

    dd_check_begin(&check, device, seed, result);
    draw_backward(&check, bn, &v);
    if (check.status != DD_OK)
        goto done;
    refer_backward(bn, &v);
    struct dd_gradient gradient = {.g = dd_check_tensor(&check, s, v.g), .z = dd_check_tensor(&check, s, v.z)};
    struct dd_bn_vectors vectors = {.gamma = dd_check_vector(&check, v.gamma, s.c, padded),
                                    .mean = dd_check_vector(&check, v.mean, s.c, padded),
                                    .invstd = dd_check_vector(&check, v.invstd, s.c, padded)};
    if (bn->masked) {
        gradient.relu.scale = dd_check_vector(&check, v.mask_scale, s.c, padded);
        gradient.relu.shift = dd_check_vector(&check, v.mask_shift, s.c, padded);
    }
    for (int i = 0; i < 3; ++i)
        k[i] = dd_check_vector(&check, NULL, s.c, padded);
    dgamma = dd_check_vector(&check, NULL, s.c, padded);
    dbeta = dd_check_vector(&check, NULL, s.c, padded);
    partials.sums = dd_check_vector(&check, NULL, 0, partials.slices * 2 * padded);
    dd_check_run(&check, dd_bn_backward_partials(device, s, &gradient, vectors.mean, partials, &check.list));
    dd_launches_clear(&check.list);
    const struct dd_backward_layer layer = {.shape = s,
                                            .partials = partials,
                                            .gamma = vectors.gamma,
                                            .mean = vectors.mean,
                                            .invstd = vectors.invstd,
                                            .dgamma = dgamma,
                                            .dbeta = dbeta,
                                            .k1 = k[0],
                                            .k2 = k[1],
                                            .k3 = k[2]};
    struct dd_backward_finish finish = {.layers = {layer, layer}, .layer_count = bn->pair ? 2 : 1};
    finish.layers[1].dgamma = dd_check_vector(&check, NULL, s.c, padded);
    finish.layers[1].dbeta = dd_check_vector(&check, NULL, s.c, padded);
    for (int i = 0; i < 3; ++i)
        other_k[i] = dd_check_vector(&check, NULL, s.c, padded);
    finish.layers[1].k1 = other_k[0];
    finish.layers[1].k2 = other_k[1];
    finish.layers[1].k3 = other_k[2];
    dd_check_run(&check, dd_finish_backward(device, &finish, bn->gate, &check.list));

    /* a sum of P terms of magnitude 1: rounding grows as sqrt(P), the tolerance as P; z - mean loses what |mean|
     * takes */
    const double invstd = dd_check_magnitude(v.invstd, c), spread = 4 + fabs(bn->offset);
    const double sum = eps * (8 + 2 * (double)pixels);
    const struct dd_shape row = {1, s.c, 1, 1, s.v};
    dd_check_compare_tensor(&check, "dbeta", row, dbeta, v.dbeta, sum);
    dd_check_compare_tensor(&check, "dgamma", row, dgamma, v.dgamma, sum * spread * invstd);
    if (check.status == DD_OK)
        compare_dz(&check, bn, &v, k, 16 * eps * spread * invstd * invstd);
    if (bn->pair)
        dd_check_compare_tensor(&check, "the second dbeta", row, finish.layers[1].dbeta, v.other_dbeta, sum);
    if (check.status == DD_OK && bn->pair && bn->gate == 1)
        compare_dz(&check, bn, &v, other_k, 16 * eps * spread * invstd * invstd);
done:
    return dd_check_end(&check);
}
