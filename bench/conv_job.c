#include "bench/conv_job.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/philox.h"
#include "rt/buffer.h"
#include "selftest/case_conv.h"

const char *const dd_conv_job_names[DD_CONV_JOBS] = {"forward", "backward data", "backward weights", "backward"};

/* ---- inputs ---- */

/* Places in in_channel and out_channel. */
enum { IN_SCALE, IN_SHIFT, IN_MEAN };
enum { OUT_K1, OUT_K2, OUT_K3, OUT_SCALE, OUT_SHIFT };

/* A buffer of floats in [low, high): weights and signs that a network might have, no denormals. */
static dd_status create_random(dd_device *device, size_t count, double low, double high, uint64_t seed, uint32_t which,
                               cl_mem *buffer) {
    uint32_t words[4];
    float *values = dd_calloc(count, sizeof *values);
    if (values == NULL)
        return dd_fail_memory("random tensor", count * sizeof *values);
    for (size_t i = 0; i < count; i++) {
        if (i % 4 == 0)
            dd_philox(seed, (uint32_t)(i / 4), which, DD_STREAM_BENCH, 1, words);
        values[i] = (float)(low + (high - low) * dd_unit_interval(words[i % 4]));
    }
    dd_status status = dd_buffer_create(device, count * sizeof *values, "random tensor", buffer);
    if (status == DD_OK)
        status = dd_buffer_write(device, *buffer, 0, count * sizeof *values, values);
    free(values);
    return status;
}

dd_status dd_conv_data_create(dd_device *device, const struct dd_conv *conv, struct dd_conv_needs needs, uint64_t seed,
                              struct dd_conv_data *data) {
    const size_t in = dd_shape_floats(conv->in), out = dd_shape_floats(conv->out);
    const size_t in_c = (size_t)dd_shape_padded_c(conv->in), out_c = (size_t)dd_shape_padded_c(conv->out);
    const size_t weights = dd_weight_floats(conv->out.c, conv->in.c, conv->kernel, conv->out.v, conv->in.v);
    const size_t partials = (size_t)needs.slices * 3 * (in_c > out_c ? in_c : out_c);
    *data = (struct dd_conv_data){0};
    DD_TRY(create_random(device, in, -1, 1, seed, 0, &data->x));
    DD_TRY(create_random(device, out, -1, 1, seed, 1, &data->z));
    DD_TRY(create_random(device, out, -1, 1, seed, 2, &data->g));
    DD_TRY(create_random(device, weights, -0.1, 0.1, seed, 3, &data->w));
    for (uint32_t i = 0; i < sizeof data->in_channel / sizeof *data->in_channel; i++)
        DD_TRY(create_random(device, in_c, 0.1, 1, seed, 10 + i, &data->in_channel[i]));
    for (uint32_t i = 0; i < sizeof data->out_channel / sizeof *data->out_channel; i++)
        DD_TRY(create_random(device, out_c, 0.1, 1, seed, 20 + i, &data->out_channel[i]));
    DD_TRY(dd_buffer_create(device, in * sizeof(float), "input gradient", &data->dx));
    DD_TRY(dd_buffer_create(device, out * sizeof(float), "output", &data->y));
    DD_TRY(dd_buffer_create(device, weights * sizeof(float), "weight gradient", &data->dw));
    if (partials > 0)
        DD_TRY(dd_buffer_create(device, partials * sizeof(float), "partial sums", &data->partials));
    if (needs.workspace > 0)
        DD_TRY(dd_buffer_create(device, needs.workspace, "workspace", &data->workspace));
    return DD_OK;
}

void dd_conv_data_release(dd_device *device, struct dd_conv_data *data) {
    cl_mem *const all[] = {&data->x,  &data->z, &data->g,        &data->dx,       &data->w,
                           &data->dw, &data->y, &data->partials, &data->workspace};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        dd_buffer_release(device, all[i]);
    for (size_t i = 0; i < sizeof data->in_channel / sizeof *data->in_channel; i++)
        dd_buffer_release(device, &data->in_channel[i]);
    for (size_t i = 0; i < sizeof data->out_channel / sizeof *data->out_channel; i++)
        dd_buffer_release(device, &data->out_channel[i]);
}

/* ---- jobs ---- */

bool dd_conv_job_supported(const struct dd_device_info *info, const struct dd_conv_algorithm *algorithm,
                           const struct dd_conv *conv, int job) {
    if (job != DD_CONV_BACKWARD)
        return algorithm->supports(info, conv, (enum dd_conv_direction)job);
    return algorithm->backward != NULL && algorithm->supports(info, conv, DD_CONV_BACKWARD_DATA) &&
           algorithm->supports(info, conv, DD_CONV_BACKWARD_WEIGHTS);
}

struct dd_conv_needs dd_conv_job_needs(const struct dd_device_info *info, const struct dd_conv_algorithm *algorithm,
                                       const struct dd_conv *conv, int job) {
    struct dd_conv_needs needs = {0}, other = {0};
    const bool both = job == DD_CONV_BACKWARD;
    algorithm->needs(info, conv, both ? DD_CONV_BACKWARD_DATA : (enum dd_conv_direction)job, &needs);
    if (both)
        algorithm->needs(info, conv, DD_CONV_BACKWARD_WEIGHTS, &other);
    if (other.workspace > needs.workspace)
        needs.workspace = other.workspace;
    if (both)
        needs.slices = needs.both_slices;
    return needs;
}

/* Batch norm and ReLU of the convolution before this one. */
static struct dd_affine input_affine(enum dd_conv_form form, const struct dd_conv_data *data) {
    if (form != DD_FORM_INNER)
        return (struct dd_affine){0};
    return (struct dd_affine){data->in_channel[IN_SCALE], data->in_channel[IN_SHIFT], true};
}

/* Through the batch norm behind the convolution, and the ReLU behind that. */
static struct dd_gradient output_gradient(enum dd_conv_form form, const struct dd_conv_data *data) {
    struct dd_gradient dz = {.g = data->g};
    if (form != DD_FORM_PLAIN) {
        dz.z = data->z;
        dz.k1 = data->out_channel[OUT_K1];
        dz.k2 = data->out_channel[OUT_K2];
        dz.k3 = data->out_channel[OUT_K3];
    }
    if (form == DD_FORM_SHORTCUT_RELU)
        dz.relu = (struct dd_affine){data->out_channel[OUT_SCALE], data->out_channel[OUT_SHIFT], true};
    return dz;
}

dd_status dd_conv_job_add(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                          enum dd_conv_form form, int job, const struct dd_conv_data *data, cl_mem *kept,
                          struct dd_launches *list) {
    DD_TRY(dd_conv_make_form(device, algorithm, conv, job == DD_CONV_FORWARD ? DD_CONV_FORWARD : DD_CONV_BACKWARD_DATA,
                             data->w, kept));
    const struct dd_partials partials = {data->partials, dd_conv_job_needs(&device->info, algorithm, conv, job).slices};
    const struct dd_affine affine = input_affine(form, data);
    const struct dd_gradient dz = output_gradient(form, data);
    const struct dd_conv_forward_args forward = {.x = data->x,
                                                 .prologue = affine,
                                                 .w = data->w,
                                                 .form = *kept,
                                                 .y = data->y,
                                                 .stats = form == DD_FORM_PLAIN ? (struct dd_partials){0} : partials,
                                                 .workspace = data->workspace};
    const struct dd_conv_backward_weights_args weights = {
        .x = data->x, .prologue = affine, .dz = dz, .dw = data->dw, .workspace = data->workspace};
    struct dd_conv_backward_data_args gradient = {.dz = dz,
                                                  .w = data->w,
                                                  .form = *kept,
                                                  .dx = data->dx,
                                                  .accumulate = form == DD_FORM_FIRST,
                                                  .workspace = data->workspace};
    gradient.spaced = dd_conv_spaced(algorithm, conv, gradient.accumulate);
    if (form == DD_FORM_FIRST)
        gradient.keep = data->x;
    if (form == DD_FORM_INNER) {
        gradient.mask_z = data->x;
        gradient.mask = affine;
        gradient.sums = partials;
        gradient.mean = data->in_channel[IN_MEAN];
    }
    switch (job) {
    case DD_CONV_FORWARD:
        return algorithm->forward(device, conv, &forward, list);
    case DD_CONV_BACKWARD_DATA:
        return algorithm->backward_data(device, conv, &gradient, list);
    case DD_CONV_BACKWARD_WEIGHTS:
        return algorithm->backward_weights(device, conv, &weights, list);
    default:
        return algorithm->backward(device, conv, &gradient, &weights, list);
    }
}

double dd_conv_job_flops(const struct dd_conv *conv, int job) {
    const double products = (double)dd_shape_pixels(conv->out) * conv->out.c * conv->in.c * conv->kernel * conv->kernel;
    return (job == DD_CONV_BACKWARD ? 4 : 2) * products;
}

/* ---- comparison ---- */

/* The case's variant that is fused as the form is, or more: weight gradients behind a prologue in any form. */
static unsigned variant_of(const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                           enum dd_conv_form form, int job) {
    const bool spaced = dd_conv_spaced(algorithm, conv, form == DD_FORM_FIRST);
    const bool inner = form == DD_FORM_INNER, relu = form == DD_FORM_SHORTCUT_RELU;
    if (form == DD_FORM_PLAIN)
        return 0;
    switch (job) {
    case DD_CONV_FORWARD:
        return inner ? DD_CASE_RELU_STATISTICS : DD_CASE_STATISTICS;
    case DD_CONV_BACKWARD_WEIGHTS:
        return relu ? DD_CASE_WEIGHTS_RELU_RELU : DD_CASE_WEIGHTS_RELU_NORM;
    default:
        return inner                   ? DD_CASE_NORM_MASK
               : relu                  ? DD_CASE_RELU_KEEP
               : form == DD_FORM_FIRST ? (spaced ? DD_CASE_NORM_ADD_KEEP_SPACED : DD_CASE_NORM_ADD_KEEP)
               : spaced                ? DD_CASE_NORM_SPACED
                                       : DD_CASE_NORM;
    }
}

/* The reduced problem: enough images for slices and tiles to meet borders, few enough for plain loops in double. */
static struct dd_conv reduced(const struct dd_conv *conv) {
    const double products = dd_conv_job_flops(conv, DD_CONV_FORWARD) / 2 / conv->in.n;
    struct dd_conv small = *conv;
    const int n = products < 1e7 ? 3 : 1;
    small.in.n = small.out.n = n < conv->in.n ? n : conv->in.n;
    return small;
}

dd_status dd_conv_job_check(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                            enum dd_conv_form form, int job, uint64_t seed, struct dd_conv_verdict *verdict) {
    const struct dd_conv small = reduced(conv);
    const unsigned fused = variant_of(algorithm, conv, form, job);
    double plain_ratio, fused_ratio;
    char failure[200];
    if (job == DD_CONV_BACKWARD) {
        DD_TRY(dd_case_conv_both(device, algorithm, &small, 0, seed, &plain_ratio, failure, sizeof failure));
        DD_TRY(dd_case_conv_both(device, algorithm, &small, fused, seed, &fused_ratio, failure, sizeof failure));
        verdict->bound = fmax(dd_case_conv_bound(algorithm, &small, DD_CONV_BACKWARD_DATA),
                              dd_case_conv_bound(algorithm, &small, DD_CONV_BACKWARD_WEIGHTS));
    } else {
        const enum dd_conv_direction direction = (enum dd_conv_direction)job;
        DD_TRY(dd_case_conv(device, algorithm, &small, direction, 0, seed, &plain_ratio, failure, sizeof failure));
        DD_TRY(dd_case_conv(device, algorithm, &small, direction, fused, seed, &fused_ratio, failure, sizeof failure));
        verdict->bound = dd_case_conv_bound(algorithm, &small, direction);
    }
    verdict->error = plain_ratio * verdict->bound;
    verdict->worst = plain_ratio > fused_ratio || isnan(plain_ratio) ? plain_ratio : fused_ratio;
    return DD_OK;
}
