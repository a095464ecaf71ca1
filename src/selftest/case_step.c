/* Cases of what frames the network's step: augmentation, loss, SGD. */
#include <math.h>

#include "ops/augment.h"
#include "ops/loss.h"
#include "ops/sgd.h"
#include "selftest/check.h"

static const double eps = DD_CHECK_EPSILON;

/* Reference metrics of a batch. */
static void sum_metrics(int n, const double *loss, const int *rank, double metrics[DD_METRICS]) {
    metrics[0] = metrics[1] = metrics[2] = 0;
    metrics[3] = n;
    for (int i = 0; i < n; ++i) {
        metrics[0] += loss[i];
        metrics[1] += rank[i] > 0;
        metrics[2] += rank[i] > 4;
    }
}

dd_status dd_case_loss(dd_device *device, int classes, int n, uint64_t seed, struct dd_case_result *result) {
    struct dd_check check;
    const size_t count = (size_t)classes * n, rows = (size_t)n;
    double metrics[DD_METRICS];

    dd_check_begin(&check, device, seed, result);
    double *logits = dd_check_uniform(&check, count, -8, 8), *gradient = dd_check_zeros(&check, count);
    double *losses = dd_check_zeros(&check, rows);
    int *labels = dd_check_integers(&check, rows, 0, classes), *ranks = dd_check_integers(&check, rows, 0, 1);
    if (check.status != DD_OK)
        goto done;
    for (int i = 0; i + 1 < n && classes > 1; i += 3) /* ties with the label, before and behind it */
        logits[(size_t)i * classes + dd_check_draw(&check, (uint32_t)classes)] =
            logits[(size_t)i * classes + labels[i]];
    dd_ref_softmax_xent(n, classes, logits, labels, losses, ranks, gradient);
    sum_metrics(n, losses, ranks, metrics);
    double *columns = dd_check_transposed(&check, logits, n, classes);
    double *gradient_columns = dd_check_transposed(&check, gradient, n, classes);
    struct dd_loss loss = {.classes = classes,
                           .n = n,
                           .logits = dd_check_vector(&check, columns, (int)count, (int)count),
                           .labels = dd_check_bytes(&check, labels, rows * sizeof(int)),
                           .dlogits = dd_check_vector(&check, NULL, 0, (int)count),
                           .sample_loss = dd_check_vector(&check, NULL, 0, n),
                           .sample_rank = dd_check_bytes(&check, NULL, rows * sizeof(int)),
                           .metrics = dd_check_vector(&check, NULL, 0, DD_METRICS)};
    dd_check_run(&check, dd_loss_add(device, &loss, &check.list));
    /*
     * exp of an argument up to 16 (its rounding enters multiplied), 3 ulp of exp itself, a sum of `classes` terms,
     * log
     */
    const double relative = eps * (24 + classes / 8.0);
    dd_check_compare_vector(&check, "sample loss", loss.sample_loss, losses, rows, relative + 16 * eps);
    dd_check_compare_vector(&check, "dlogits", loss.dlogits, gradient_columns, count, relative / n);
    dd_check_compare_integers(&check, "sample rank", loss.sample_rank, ranks, rows);
    dd_check_compare_vector(&check, "metrics", loss.metrics, metrics, DD_METRICS, metrics[0] * 1e-6 + relative);
done:
    return dd_check_end(&check);
}

/* The same two steps on the host; gated-off granules take no gradient. */
static void refer_sgd(const struct dd_sgd *sgd, const double rates[2], const int *owner, const int *active,
                      const double *g, double *m, double *w) {
    const size_t granule = (size_t)sgd->granule;
    for (int step = 0; step < 2; ++step) {
        for (int i = 0; i < sgd->granules; ++i) {
            size_t at = (size_t)i * granule;
            bool on = owner[i] < 0 || active[owner[i]];
            dd_ref_sgd(granule, rates[step], (double)sgd->momentum, (double)sgd->weight_decay, on ? g + at : NULL,
                       m + at, w + at);
        }
    }
}

dd_status dd_case_sgd(dd_device *device, int granules, int granule, uint64_t seed, struct dd_case_result *result) {
    enum { UNITS = 5 };
    struct dd_check check;
    const size_t count = (size_t)granules * granule;
    const double rates[2] = {0.125, 0.03125};

    dd_check_begin(&check, device, seed, result);
    double *w = dd_check_uniform(&check, count, -1, 1), *m = dd_check_uniform(&check, count, -1, 1);
    double *g = dd_check_uniform(&check, count, -1, 1), *stored = dd_check_zeros(&check, count);
    int *owner = dd_check_integers(&check, (size_t)granules, -1, UNITS),
        *active = dd_check_integers(&check, UNITS, 0, 2);
    if (check.status != DD_OK)
        goto done;
    for (size_t i = 0; i < count; ++i) { /* a gradient that must not be read is NaN on the device */
        int unit = owner[i / (size_t)granule];
        stored[i] = unit < 0 || active[unit] ? g[i] : (double)NAN;
    }
    struct dd_sgd sgd = {.granules = granules,
                         .granule = granule,
                         .w = dd_check_vector(&check, w, (int)count, (int)count),
                         .m = dd_check_vector(&check, m, (int)count, (int)count),
                         .g = dd_check_vector(&check, stored, (int)count, (int)count),
                         .owner = dd_check_bytes(&check, owner, (size_t)granules * sizeof(int)),
                         .active = dd_check_bytes(&check, active, UNITS * sizeof(int)),
                         .momentum = 0.875f,
                         .weight_decay = 0.0625f};
    dd_status added = check.status == DD_OK ? dd_sgd_add(device, &sgd, &check.list) : check.status;
    for (int step = 0; step < 2 && added == DD_OK; ++step) {
        added = dd_launch_set(device, &check.list.at[0], DD_SGD_RATE_ARG, DD_FLOAT(rates[step]));
        dd_check_run(&check, added);
    }
    if (check.status == DD_OK)
        check.status = added;
    if (check.status != DD_OK)
        goto done;
    refer_sgd(&sgd, rates, owner, active, g, m, w);
    dd_check_compare_vector(&check, "momentum", sgd.m, m, count, 8 * eps);
    dd_check_compare_vector(&check, "weights", sgd.w, w, count, 8 * eps);
done:
    return dd_check_end(&check);
}

dd_status dd_case_augment(dd_device *device, struct dd_shape shape, int images, int pad, uint64_t seed,
                          struct dd_case_result *result) {
    struct dd_check check;
    const struct dd_ref_shape plain = dd_check_shape(shape);
    const size_t image = (size_t)shape.c * shape.h * shape.w, count = image * (size_t)shape.n;

    dd_check_begin(&check, device, seed, result);
    double *mean = dd_check_uniform(&check, image, 0, 1),
           *inverse_std = dd_check_uniform(&check, (size_t)shape.c, 1, 5);
    double *want = dd_check_zeros(&check, count);
    int *bytes_drawn = dd_check_integers(&check, image * (size_t)images, 0, 256);
    int *samples = dd_check_integers(&check, (size_t)shape.n * 4, -pad, pad + 1);
    if (check.status != DD_OK)
        goto done;
    uint8_t *bytes = (uint8_t *)bytes_drawn; /* narrowed in place, front to back */
    for (size_t i = 0; i < image * (size_t)images; ++i)
        bytes[i] = (uint8_t)bytes_drawn[i];
    for (int i = 0; i < shape.n; ++i) {
        samples[4 * i] = (int)dd_check_draw(&check, (uint32_t)images);
        samples[4 * i + 3] = (int)dd_check_draw(&check, 2);
    }
    dd_ref_augment(plain, bytes, samples, mean, inverse_std, want);
    struct dd_augment augment = {.out = shape,
                                 .bytes = dd_check_bytes(&check, bytes, image * (size_t)images),
                                 .samples = dd_check_bytes(&check, samples, (size_t)shape.n * 4 * sizeof(int)),
                                 .mean = dd_check_vector(&check, mean, (int)image, (int)image),
                                 .inverse_std = dd_check_vector(&check, inverse_std, shape.c, shape.c)};
    cl_mem out = dd_check_vector(&check, NULL, 0, (int)count);
    dd_check_run(&check, dd_augment_add(device, &augment, out, &check.list));
    double *blocked = dd_check_zeros(&check, count); /* [C][N][H][W] */
    for (size_t i = 0; blocked && i < count; ++i) {
        size_t plane = (size_t)shape.h * shape.w, n = i / image, c = i / plane % (size_t)shape.c;
        blocked[(c * (size_t)shape.n + n) * plane + i % plane] = want[i];
    }
    if (blocked)
        dd_check_compare_vector(&check, "images", out, blocked, count, 16 * eps);
done:
    return dd_check_end(&check);
}
