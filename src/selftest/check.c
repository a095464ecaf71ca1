/* The bookkeeping of a case, see check.h. */
#include "selftest/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/philox.h"

void dd_check_begin(struct dd_check *check, dd_device *device, uint64_t seed, struct dd_case_result *result) {
    *check = (struct dd_check){.device = device, .result = result, .status = DD_OK, .seed = seed};
}

dd_status dd_check_end(struct dd_check *check) {
    dd_launches_clear(&check->list);
    for (int i = 0; i < check->buffer_count; ++i)
        dd_buffer_release(check->device, &check->buffers[i]);
    for (int i = 0; i < check->array_count; ++i)
        free(check->arrays[i]);
    check->buffer_count = check->array_count = 0;
    return check->status;
}

/* A zeroed array that the check frees; NULL after a failure. */
static void *keep_array(struct dd_check *check, size_t count, size_t size) {
    void *array;
    if (check->status != DD_OK)
        return NULL;
    if (check->array_count == DD_CHECK_OBJECTS) {
        check->status = dd_fail(DD_ERROR_INTERNAL, "a self-test case takes more than %d arrays", DD_CHECK_OBJECTS);
        return NULL;
    }
    array = dd_calloc(count > 0 ? count : 1, size);
    if (!array) {
        check->status = dd_fail_memory("self-test", count * size);
        return NULL;
    }
    return check->arrays[check->array_count++] = array;
}

static uint32_t draw_word(struct dd_check *check) {
    uint32_t index = check->drawn++;
    if (index % 4 == 0)
        dd_philox(check->seed, index / 4, 0, 0, 0x5e1f7e57u, check->words);
    return check->words[index % 4];
}

uint32_t dd_check_draw(struct dd_check *check, uint32_t below) {
    return (uint32_t)(dd_unit_interval(draw_word(check)) * below);
}

double *dd_check_zeros(struct dd_check *check, size_t count) {
    return keep_array(check, count, sizeof(double));
}

double *dd_check_uniform(struct dd_check *check, size_t count, double low, double high) {
    double *values = dd_check_zeros(check, count);
    for (size_t i = 0; values && i < count; ++i)
        values[i] = (float)(low + (high - low) * dd_unit_interval(draw_word(check)));
    return values;
}

double *dd_check_eighths(struct dd_check *check, size_t count) {
    double *values = dd_check_zeros(check, count);
    for (size_t i = 0; values && i < count; ++i)
        values[i] = ((int)dd_check_draw(check, 33) - 16) / 8.0;
    return values;
}

int *dd_check_integers(struct dd_check *check, size_t count, int low, int high) {
    int *values = keep_array(check, count, sizeof(int));
    for (size_t i = 0; values && i < count; ++i)
        values[i] = low + (int)dd_check_draw(check, (uint32_t)(high - low));
    return values;
}

double *dd_check_transposed(struct dd_check *check, const double *values, int rows, int columns) {
    double *result = dd_check_zeros(check, (size_t)rows * columns);
    for (int i = 0; result && i < rows; ++i)
        for (int j = 0; j < columns; ++j)
            result[(size_t)j * rows + i] = values[(size_t)i * columns + j];
    return result;
}

cl_mem dd_check_bytes(struct dd_check *check, const void *bytes, size_t size) {
    cl_mem buffer = NULL;
    void *ones = NULL;
    if (check->status != DD_OK)
        return NULL;
    if (check->buffer_count == DD_CHECK_OBJECTS) {
        check->status = dd_fail(DD_ERROR_INTERNAL, "a self-test case takes more than %d buffers", DD_CHECK_OBJECTS);
        return NULL;
    }
    if (!bytes) {
        ones = malloc(size);
        if (!ones) {
            check->status = dd_fail_memory("self-test", size);
            return NULL;
        }
        memset(ones, 0xff, size);
    }
    check->status = dd_buffer_create(check->device, size, "self-test", &buffer);
    if (check->status == DD_OK) {
        check->buffers[check->buffer_count++] = buffer;
        check->status = dd_buffer_write(check->device, buffer, 0, size, bytes ? bytes : ones);
    }
    free(ones);
    return check->status == DD_OK ? buffer : NULL;
}

/* count doubles as floats, padding (up to `padded`) 0, in a new device buffer. */
static cl_mem put_floats(struct dd_check *check, const double *values, size_t count, size_t padded) {
    float *floats;
    cl_mem buffer = NULL;
    if (check->status != DD_OK)
        return NULL;
    floats = dd_calloc(padded, sizeof(float));
    if (!floats) {
        check->status = dd_fail_memory("self-test", padded * sizeof(float));
        return NULL;
    }
    for (size_t i = 0; i < count; ++i)
        floats[i] = (float)values[i];
    buffer = dd_check_bytes(check, floats, padded * sizeof(float));
    free(floats);
    return buffer;
}

cl_mem dd_check_vector(struct dd_check *check, const double *values, int count, int padded) {
    if (!values)
        return dd_check_bytes(check, NULL, (size_t)padded * sizeof(float));
    return put_floats(check, values, (size_t)count, (size_t)padded);
}

/* Place of channel c, image n, pixel p in [C/V][N][H*W][V]. */
static size_t blocked_index(struct dd_shape s, int n, int c, size_t p) {
    return ((((size_t)(c / s.v) * s.n + n) * s.h * s.w) + p) * s.v + c % s.v;
}

cl_mem dd_check_tensor(struct dd_check *check, struct dd_shape s, const double *nchw) {
    const size_t plane = (size_t)s.h * s.w;
    double *blocked;
    if (!nchw)
        return dd_check_bytes(check, NULL, dd_shape_floats(s) * sizeof(float));
    blocked = dd_check_zeros(check, dd_shape_floats(s));
    for (int n = 0; blocked && n < s.n; ++n)
        for (int c = 0; c < s.c; ++c)
            for (size_t p = 0; p < plane; ++p)
                blocked[blocked_index(s, n, c, p)] = nchw[((size_t)n * s.c + c) * plane + p];
    return put_floats(check, blocked, dd_shape_floats(s), dd_shape_floats(s));
}

cl_mem dd_check_weights(struct dd_check *check, int o, int i, int k, int vo, int vi, const double *values) {
    const size_t count = dd_weight_floats(o, i, k, 1, 1), floats = dd_weight_floats(o, i, k, vo, vi);
    float *oihw = (float *)dd_check_zeros(check, (count + 1) / 2);
    float *packed = (float *)dd_check_zeros(check, (floats + 1) / 2);
    if (check->status != DD_OK)
        return NULL;
    for (size_t at = 0; at < count; at++)
        oihw[at] = (float)values[at];
    dd_weight_pack(oihw, o, i, k, vo, vi, packed);
    return dd_check_bytes(check, packed, floats * sizeof(float));
}

void dd_check_run(struct dd_check *check, dd_status added) {
    if (check->status == DD_OK)
        check->status = added;
    if (check->status == DD_OK)
        check->status = dd_launches_enqueue(check->device, &check->list);
    if (check->status == DD_OK)
        check->status = dd_device_finish(check->device);
}

void dd_check_spoil(const struct dd_case_result *result, float *values, size_t count) {
#ifdef DD_TEST_HOOKS
    const char *wrong = getenv("DEPTHDROP_TEST_WRONG_KERNEL");
    float *value = &values[count / 2];
    if (wrong && *wrong && result->name && (strcmp(wrong, "*") == 0 || strstr(result->name, wrong)))
        *value = getenv("DEPTHDROP_TEST_UNWRITTEN") ? NAN : *value * 2 + 1;
#else
    (void)result, (void)values, (void)count;
#endif
}

double dd_check_worse(double a, double b) {
    return isnan(a) || a >= b ? a : b;
}

void dd_check_record(struct dd_case_result *result, const char *what, double ratio) {
    result->worst = dd_check_worse(result->worst, ratio);
    if (result->failure[0] != '\0')
        return;
    if (isnan(ratio))
        snprintf(result->failure, sizeof result->failure, "%s: not a number, or not written", what);
    else if (ratio > 1)
        snprintf(result->failure, sizeof result->failure, "%s: error %.3g times the tolerance", what, ratio);
}

float *dd_check_read(struct dd_check *check, cl_mem buffer, size_t count) {
    float *floats = keep_array(check, count, sizeof(float));
    if (floats)
        check->status = dd_buffer_read(check->device, buffer, 0, count * sizeof(float), floats);
    return check->status == DD_OK ? floats : NULL;
}

/* error / tolerance; NaN only where exactly one of both is NaN */
static double error_ratio(double got, double want, double tolerance) {
    double error = fabs(got - want);
    if (isnan(got) && isnan(want))
        return 0;
    return error == 0 ? 0 : error / tolerance;
}

void dd_check_compare_tensor(struct dd_check *check, const char *what, struct dd_shape s, cl_mem got,
                             const double *want, double tolerance) {
    const size_t plane = (size_t)s.h * s.w;
    double ratio = 0;
    float *floats = dd_check_read(check, got, dd_shape_floats(s));
    if (!floats)
        return;
    dd_check_spoil(check->result, floats, dd_shape_floats(s));
    for (int c = 0; c < dd_shape_padded_c(s); ++c) {
        for (int n = 0; n < s.n; ++n) {
            for (size_t p = 0; p < plane; ++p) {
                double expected = c < s.c ? want[((size_t)n * s.c + c) * plane + p] : 0;
                ratio = dd_check_worse(
                    ratio, error_ratio(floats[blocked_index(s, n, c, p)], expected, c < s.c ? tolerance : 0));
            }
        }
    }
    dd_check_record(check->result, what, ratio);
}

void dd_check_compare_vector(struct dd_check *check, const char *what, cl_mem got, const double *want, size_t count,
                             double tolerance) {
    double ratio = 0;
    float *floats = dd_check_read(check, got, count);
    if (!floats)
        return;
    dd_check_spoil(check->result, floats, count);
    for (size_t i = 0; i < count; ++i)
        ratio = dd_check_worse(ratio, error_ratio(floats[i], want[i], tolerance));
    dd_check_record(check->result, what, ratio);
}

void dd_check_compare_integers(struct dd_check *check, const char *what, cl_mem got, const int *want, size_t count) {
    size_t wrong = 0;
    int *integers = keep_array(check, count, sizeof(int));
    if (integers)
        check->status = dd_buffer_read(check->device, got, 0, count * sizeof(int), integers);
    if (check->status != DD_OK)
        return;
    for (size_t i = 0; i < count; ++i)
        wrong += integers[i] != want[i];
    dd_check_record(check->result, what, wrong > 0 ? INFINITY : 0);
}

double dd_check_magnitude(const double *values, size_t count) {
    double most = 1;
    for (size_t i = 0; i < count; ++i)
        most = fmax(most, fabs(values[i]));
    return most;
}
