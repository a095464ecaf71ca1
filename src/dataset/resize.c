/*
 * Fitting images to a size: a separable triangle filter with the centre crop folded into its taps. Plain float
 * arithmetic in a fixed order, so that the bytes do not depend on the machine.
 */
#include "dataset/image.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* One direction: output i is the sum over j of weights[i * most + j] * source[first[i] + j], j < count[i]. */
struct axis {
    int from, to;    /* pixels of the source and of the target */
    int most;        /* largest count */
    int *first, *count;
    float *weights;  /* [to][most] */
};

struct dd_fit {
    struct axis rows, columns;
    bool same_size;
    int top, bottom; /* source rows that the target needs: top .. bottom - 1 */
    float *scaled;   /* [bottom - top][W]: one channel scaled along its rows */
    float *sum;      /* [W] */
    uint8_t *colour; /* [3][H][W], where three channels become one */
};

/* Taps of target pixels of an axis that is scaled from `from` to `scaled` pixels, of which the middle `to` are kept. */
static void fill_axis(struct axis *axis, int scaled, double support) {
    double step = (double)axis->from / scaled;
    int offset = (scaled - axis->to) / 2;
    for (int i = 0; i < axis->to; i++) {
        float *weights = axis->weights + (size_t)i * (size_t)axis->most;
        double centre = (offset + i + 0.5) * step, total = 0;
        int low = (int)(centre - support), high = (int)(centre + support) + 1;
        low = centre < support || low < 0 ? 0 : low;
        high = high > axis->from ? axis->from : high;
        for (int j = low; j < high; j++) {
            double distance = (j + 0.5 - centre) / support;
            double weight = 1 - (distance < 0 ? -distance : distance);
            weights[j - low] = (float)(weight > 0 ? weight : 0);
            total += weights[j - low];
        }
        for (int j = low; j < high; j++)
            weights[j - low] = (float)(weights[j - low] / total);
        axis->first[i] = low;
        axis->count[i] = high - low;
    }
}

static dd_status create_axis(struct axis *axis, int from, int to, double factor) {
    int scaled = (int)(from * factor + 0.5);
    scaled = scaled < to ? to : scaled;
    double step = (double)from / scaled, support = step > 1 ? step : 1;
    axis->from = from;
    axis->to = to;
    axis->most = (int)(2 * support) + 3;
    axis->first = dd_calloc((size_t)to, sizeof *axis->first);
    axis->count = dd_calloc((size_t)to, sizeof *axis->count);
    axis->weights = dd_calloc((size_t)to * (size_t)axis->most, sizeof *axis->weights);
    if (!axis->first || !axis->count || !axis->weights)
        return dd_fail_memory("resampling taps", (size_t)to * (size_t)axis->most * sizeof *axis->weights);
    fill_axis(axis, scaled, support);
    return DD_OK;
}

static void destroy_axis(struct axis *axis) {
    free(axis->first);
    free(axis->count);
    free(axis->weights);
}

dd_status dd_fit_create(int height, int width, int to_height, int to_width, struct dd_fit **fit) {
    dd_status status;
    *fit = NULL;
    struct dd_fit *made = dd_calloc(1, sizeof *made);
    if (!made)
        return dd_fail_memory("resampling", sizeof *made);
    double by_height = (double)to_height / height, by_width = (double)to_width / width;
    double factor = by_height > by_width ? by_height : by_width;
    DD_GOTO(status, error, create_axis(&made->rows, height, to_height, factor));
    DD_GOTO(status, error, create_axis(&made->columns, width, to_width, factor));
    made->same_size = height == to_height && width == to_width;
    made->top = made->rows.first[0];
    made->bottom = made->rows.first[to_height - 1] + made->rows.count[to_height - 1];
    made->scaled = dd_calloc((size_t)(made->bottom - made->top) * (size_t)to_width, sizeof *made->scaled);
    made->sum = dd_calloc((size_t)to_width, sizeof *made->sum);
    made->colour = dd_calloc(3 * (size_t)to_height, (size_t)to_width);
    if (!made->scaled || !made->sum || !made->colour) {
        status = dd_fail_memory("resampling", (size_t)(made->bottom - made->top) * (size_t)to_width * sizeof(float));
        goto error;
    }
    *fit = made;
    return DD_OK;

error:
    dd_fit_destroy(&made);
    return status;
}

void dd_fit_destroy(struct dd_fit **fit) {
    if (!*fit)
        return;
    destroy_axis(&(*fit)->rows);
    destroy_axis(&(*fit)->columns);
    free((*fit)->scaled);
    free((*fit)->sum);
    free((*fit)->colour);
    free(*fit);
    *fit = NULL;
}

/* source: [h][w] bytes, step apart, to scaled: [bottom - top][W]. */
static void scale_rows(struct dd_fit *fit, const uint8_t *source, size_t step) {
    const struct axis *columns = &fit->columns;
    for (int y = fit->top; y < fit->bottom; y++) {
        const uint8_t *row = source + (size_t)y * (size_t)columns->from * step;
        float *scaled = fit->scaled + (size_t)(y - fit->top) * (size_t)columns->to;
        for (int x = 0; x < columns->to; x++) {
            const float *weights = columns->weights + (size_t)x * (size_t)columns->most;
            const uint8_t *pixel = row + (size_t)columns->first[x] * step;
            float sum = 0;
            for (int j = 0; j < columns->count[x]; j++)
                sum += weights[j] * pixel[(size_t)j * step];
            scaled[x] = sum;
        }
    }
}

/* scaled: [bottom - top][W] to target: [H][W], rounded. */
static void scale_columns(struct dd_fit *fit, uint8_t *target) {
    const struct axis *rows = &fit->rows;
    size_t width = (size_t)fit->columns.to;
    for (int y = 0; y < rows->to; y++) {
        memset(fit->sum, 0, width * sizeof *fit->sum);
        for (int j = 0; j < rows->count[y]; j++) {
            float weight = rows->weights[(size_t)y * (size_t)rows->most + (size_t)j];
            const float *line = fit->scaled + (size_t)(rows->first[y] + j - fit->top) * width;
            for (size_t x = 0; x < width; x++)
                fit->sum[x] += weight * line[x];
        }
        for (size_t x = 0; x < width; x++) {
            float rounded = fit->sum[x] + 0.5f;
            target[(size_t)y * width + x] = (uint8_t)(rounded < 0 ? 0 : rounded > 255 ? 255 : rounded);
        }
    }
}

static void fit_channel(struct dd_fit *fit, const uint8_t *source, size_t step, uint8_t *target) {
    if (fit->same_size) {
        size_t count = (size_t)fit->rows.to * (size_t)fit->columns.to;
        for (size_t i = 0; i < count; i++)
            target[i] = source[i * step];
        return;
    }
    scale_rows(fit, source, step);
    scale_columns(fit, target);
}

void dd_fit_apply(struct dd_fit *fit, const struct dd_image *image, int channels, uint8_t *pixels) {
    size_t plane = (size_t)fit->rows.to * (size_t)fit->columns.to;
    bool to_grey = channels == 1 && image->channels == 3;
    uint8_t *target = to_grey ? fit->colour : pixels;
    for (int c = 0; c < image->channels; c++)
        fit_channel(fit, image->pixels + (size_t)c * image->channel_step, image->pixel_step,
                    target + (size_t)c * plane);
    for (size_t i = 0; to_grey && i < plane; i++) /* weights 0.299, 0.587, 0.114 in 256ths; grey stays as it is */
        pixels[i] = (uint8_t)((77 * target[i] + 150 * target[plane + i] + 29 * target[2 * plane + i] + 128) >> 8);
    for (int c = image->channels; c < channels; c++)
        memcpy(pixels + (size_t)c * plane, pixels, plane);
}
