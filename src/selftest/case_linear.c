/* The case of the last layer. Its sums of L products of magnitude up to 1 are allowed epsilon * (16 + L). */
#include "ops/linear.h"
#include "ref/ref_conv.h"
#include "selftest/check.h"

static double allowed(int length) {
    return DD_CHECK_EPSILON * (16 + length);
}

/* All values of the layer; x, dx [n][features], w, dw [classes][features], logits, dlogits [n][classes]. */
struct values {
    double *x, *w, *b, *logits, *dlogits, *dx, *dw, *db;
};

static void draw(struct dd_check *check, const struct dd_linear *l, struct values *v) {
    const size_t x = (size_t)l->n * l->features, w = (size_t)l->classes * l->features, y = (size_t)l->n * l->classes;
    v->x = dd_check_uniform(check, x, -1, 1);
    v->w = dd_check_uniform(check, w, -1, 1);
    v->b = dd_check_uniform(check, (size_t)l->classes, -1, 1);
    v->dlogits = dd_check_uniform(check, y, -1, 1);
    v->logits = dd_check_zeros(check, y);
    v->dx = dd_check_zeros(check, x);
    v->dw = dd_check_zeros(check, w);
    v->db = dd_check_zeros(check, (size_t)l->classes);
}

static cl_mem put(struct dd_check *check, const double *values, int count) {
    return dd_check_vector(check, values, count, count);
}

dd_status dd_case_linear(dd_device *device, int classes, int features, int n, uint64_t seed,
                         struct dd_case_result *result) {
    struct dd_check check;
    struct values v;
    const struct dd_linear l = {classes, features, n};
    const int x_count = features * n, w_count = classes * features, y_count = classes * n;
    const size_t workspace_bytes = dd_linear_workspace(&l);

    dd_check_begin(&check, device, seed, result);
    draw(&check, &l, &v);
    if (check.status != DD_OK)
        goto done;
    dd_ref_linear_forward(n, features, classes, v.x, v.w, v.b, v.logits);
    dd_ref_linear_backward(n, features, classes, v.x, v.w, v.dlogits, v.dx, v.dw, v.db);
    double *x_columns = dd_check_transposed(&check, v.x, n, features);
    double *dx_columns = dd_check_transposed(&check, v.dx, n, features);
    double *y_columns = dd_check_transposed(&check, v.logits, n, classes);
    double *dy_columns = dd_check_transposed(&check, v.dlogits, n, classes);
    if (check.status != DD_OK)
        goto done;
    cl_mem x = put(&check, x_columns, x_count), w = put(&check, v.w, w_count), b = put(&check, v.b, classes);
    cl_mem logits = put(&check, NULL, y_count), dlogits = put(&check, dy_columns, y_count);
    cl_mem dx = put(&check, NULL, x_count), dw = put(&check, NULL, w_count), db = put(&check, NULL, classes);
    cl_mem workspace = workspace_bytes > 0 ? dd_check_bytes(&check, NULL, workspace_bytes) : NULL;
    if (check.status != DD_OK)
        goto done;

    dd_check_run(&check, dd_linear_forward(device, &l, x, w, b, logits, workspace, &check.list));
    dd_launches_clear(&check.list);
    dd_check_run(&check, dd_linear_backward(device, &l, x, w, dlogits, dx, dw, db, workspace, &check.list));
    dd_check_compare_vector(&check, "logits", logits, y_columns, (size_t)y_count, allowed(features));
    dd_check_compare_vector(&check, "dx", dx, dx_columns, (size_t)x_count, allowed(classes));
    dd_check_compare_vector(&check, "dw", dw, v.dw, (size_t)w_count, allowed(n));
    dd_check_compare_vector(&check, "db", db, v.db, (size_t)classes, allowed(n));
done:
    return dd_check_end(&check);
}
