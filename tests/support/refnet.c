/*
 * See refnet.h; the arithmetic is in refnet_ops.c. Tensors are [n][C][P] with P = rows * columns. Every value of a step
 * is kept until the step ends, so the code is a list of forward rules and the same list backwards.
 */
#include "support/refnet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/refnet_ops.h"

struct unit_state {
    bool computed;        /* the primary path was */
    double gate;          /* a */
    struct layer_state primary[DD_MAX_PRIMARY], shortcut;
    double *side;         /* identity with subsampling: t(x) */
    double *o;            /* [n][out_c][P] */
};

struct refnet {
    const struct dd_net *net;
    double **param, **momentum, **gradient; /* [param_count] */
    struct unit_state *units;
    struct layer_state stem;
    int n;
    double *input, *pooled, *features, *logits;
    int *pool_from;       /* [n][C][P]: position of the maximum in its plane */
    bool training, out_of_memory;
    refnet_factor factor; /* width dropout; NULL: none */
    void *factor_user;
};

/* Zeroed numbers; on failure the refnet remembers it and every user of the pointer must look first. */
static double *numbers(struct refnet *r, size_t count) {
    double *values = calloc(count, sizeof *values);
    if (!values)
        r->out_of_memory = true;
    return values;
}

/* Width dropout of values or their gradient, [n][C][P]; unit_count: before the last layer. */
static void drop(const struct refnet *r, int unit, size_t count, double *values) {
    for (size_t i = 0; r->factor && r->training && i < count; i++)
        values[i] *= r->factor(r->factor_user, unit, i);
}

static size_t layer_size(const struct refnet *r, const struct dd_conv_layer *layer) {
    return (size_t)r->n * layer->out_c * refnet_plane(layer);
}

/* y = BN(conv(x)), with ReLU behind if asked. In training the running statistics move. */
static void layer_forward(struct refnet *r, const struct dd_conv_layer *layer, struct layer_state *s, const double *x,
                          bool relu) {
    const struct dd_bn_layer *bn = &r->net->bns[layer->bn];
    size_t size = (size_t)r->n * layer->out_c * refnet_plane(layer);
    s->x = x;
    s->relu = relu;
    s->z = numbers(r, size);
    s->y = numbers(r, size);
    s->mean = numbers(r, (size_t)layer->out_c);
    s->scale = numbers(r, (size_t)layer->out_c);
    if (r->out_of_memory)
        return;
    if (!refnet_conv_forward(layer, r->n, r->param[layer->weight], x, s->z)) {
        r->out_of_memory = true;
        return;
    }
    if (r->training)
        refnet_bn_batch(layer, r->n, s, r->param[bn->mean], r->param[bn->var]);
    else
        refnet_bn_running(layer, s, r->param[bn->mean], r->param[bn->var]);
    refnet_bn_apply(layer, r->n, s, r->param[layer->bn_weight], r->param[layer->bn_bias]);
}

/* dy is overwritten; adds to dx unless it is NULL. */
static void layer_backward(struct refnet *r, const struct dd_conv_layer *layer, const struct layer_state *s, double *dy,
                           double *dx) {
    refnet_bn_backward(layer, r->n, s, r->param[layer->bn_weight], dy, r->gradient[layer->bn_weight],
                       r->gradient[layer->bn_bias]);
    if (!refnet_conv_backward(layer, r->n, r->param[layer->weight], s->x, dy, r->gradient[layer->weight], dx))
        r->out_of_memory = true;
}

static size_t unit_in_size(const struct refnet *r, const struct dd_unit *unit) {
    return (size_t)r->n * unit->in_c * unit->in_h * unit->in_w;
}

static size_t unit_out_size(const struct refnet *r, const struct dd_unit *unit) {
    return (size_t)r->n * unit->out_c * unit->out_h * unit->out_w;
}

static const double *shortcut_forward(struct refnet *r, const struct dd_unit *unit, struct unit_state *s,
                                      const double *x) {
    switch (unit->shortcut_op) {
    case DD_SHORTCUT_OP_SUBSAMPLE:
        s->side = numbers(r, unit_out_size(r, unit));
        if (s->side)
            refnet_subsample(unit, r->n, (double *)x, s->side, false);
        return s->side;
    case DD_SHORTCUT_OP_CONV_BN:
    case DD_SHORTCUT_OP_CONV_BN_RELU:
        layer_forward(r, &unit->shortcut, &s->shortcut, x, unit->shortcut_op == DD_SHORTCUT_OP_CONV_BN_RELU);
        return s->shortcut.y;
    case DD_SHORTCUT_OP_NONE:
        break;
    }
    return x;
}

static void shortcut_backward(struct refnet *r, const struct dd_unit *unit, const struct unit_state *s, double *d_sum,
                              double *dx) {
    switch (unit->shortcut_op) {
    case DD_SHORTCUT_OP_NONE:
        refnet_add_scaled(dx, 1, d_sum, unit_in_size(r, unit));
        break;
    case DD_SHORTCUT_OP_SUBSAMPLE:
        refnet_subsample(unit, r->n, dx, d_sum, true);
        break;
    case DD_SHORTCUT_OP_CONV_BN:
    case DD_SHORTCUT_OP_CONV_BN_RELU:
        layer_backward(r, &unit->shortcut, &s->shortcut, d_sum, dx);
        break;
    }
}

/* o = ReLU(a * f(x) + t(x)) */
static void unit_forward(struct refnet *r, const struct dd_unit *unit, struct unit_state *s, const double *x) {
    size_t size = unit_out_size(r, unit);
    const double *f = x;
    if (s->computed)
        for (int i = 0; i < unit->convs && !r->out_of_memory; i++) {
            layer_forward(r, &unit->primary[i], &s->primary[i], f, i < unit->convs - 1);
            f = s->primary[i].y;
            if (i == 0 && !r->out_of_memory) /* what is 0 here passes no gradient at the ReLU either */
                drop(r, (int)(unit - r->net->units), layer_size(r, &unit->primary[0]), s->primary[0].y);
        }
    if (r->out_of_memory)
        return;
    const double *t = shortcut_forward(r, unit, s, x);
    s->o = numbers(r, size);
    if (r->out_of_memory)
        return;
    for (size_t i = 0; i < size; i++) {
        double sum = (s->computed ? s->gate * f[i] : 0) + t[i];
        s->o[i] = sum > 0 ? sum : 0;
    }
}

/* d_o [n][out_c][P] is freed; returns the gradient of the unit's input. */
static double *unit_backward(struct refnet *r, const struct dd_unit *unit, const struct unit_state *s, double *d_o) {
    size_t size = unit_out_size(r, unit);
    double *dx = numbers(r, unit_in_size(r, unit)), *d_f = numbers(r, size);
    if (r->out_of_memory)
        goto done;
    for (size_t i = 0; i < size; i++) {
        if (s->o[i] <= 0)
            d_o[i] = 0;
        d_f[i] = s->gate * d_o[i];
    }
    if (s->computed)
        for (int i = unit->convs - 1; i >= 0 && !r->out_of_memory; i--) {
            const struct dd_conv_layer *layer = &unit->primary[i];
            double *into = i ? numbers(r, (size_t)r->n * layer->in_c * layer->in_h * layer->in_w) : dx;
            if (into)
                layer_backward(r, layer, &s->primary[i], d_f, into);
            if (into && i == 1)
                drop(r, (int)(unit - r->net->units), layer_size(r, &unit->primary[0]), into);
            free(d_f);
            d_f = i ? into : NULL;
        }
    if (!r->out_of_memory)
        shortcut_backward(r, unit, s, d_o, dx);
done:
    free(d_f);
    free(d_o);
    return dx;
}

static void pool_forward(struct refnet *r) {
    size_t size = (size_t)r->n * r->net->stem.out_c * r->net->body_h * r->net->body_w;
    r->pooled = numbers(r, size);
    r->pool_from = calloc(size, sizeof *r->pool_from);
    if (r->pooled && r->pool_from)
        refnet_pool(r->net, r->n, r->stem.y, r->pooled, r->pool_from);
    else
        r->out_of_memory = true;
}

/* d_pooled is freed; returns the gradient of the stem's output. */
static double *pool_backward(struct refnet *r, double *d_pooled) {
    const struct dd_net *net = r->net;
    size_t planes = (size_t)r->n * net->stem.out_c;
    size_t in = refnet_plane(&net->stem), out = (size_t)net->body_h * net->body_w;
    double *dx = numbers(r, planes * in);
    for (size_t i = 0; dx && i < planes * out; i++)
        dx[i / out * in + (size_t)r->pool_from[i]] += d_pooled[i];
    free(d_pooled);
    return dx;
}

/* Global average pooling and the classifier. */
static void head_forward(struct refnet *r, const double *o) {
    const struct dd_net *net = r->net;
    size_t p = (size_t)net->feature_h * net->feature_w, f = (size_t)net->features;
    r->features = numbers(r, r->n * f);
    r->logits = numbers(r, (size_t)r->n * net->classes);
    if (r->out_of_memory)
        return;
    for (size_t i = 0; i < r->n * f; i++) {
        for (size_t j = 0; j < p; j++)
            r->features[i] += o[i * p + j];
        r->features[i] /= p;
    }
    drop(r, net->unit_count, r->n * f, r->features);
    for (int i = 0; i < r->n; i++)
        for (int k = 0; k < net->classes; k++)
            r->logits[i * net->classes + k] =
                r->param[net->fc_bias][k] + refnet_dot(r->param[net->fc_weight] + k * f, r->features + i * f, f);
}

static double *head_backward(struct refnet *r, const double *d_logits) {
    const struct dd_net *net = r->net;
    size_t p = (size_t)net->feature_h * net->feature_w, f = (size_t)net->features;
    double *d_features = numbers(r, r->n * f), *d_o = numbers(r, r->n * f * p);
    if (r->out_of_memory) {
        free(d_features);
        return d_o;
    }
    for (int i = 0; i < r->n; i++)
        for (int k = 0; k < net->classes; k++) {
            double d = d_logits[i * net->classes + k];
            r->gradient[net->fc_bias][k] += d;
            refnet_add_scaled(r->gradient[net->fc_weight] + k * f, d, r->features + i * f, f);
            refnet_add_scaled(d_features + i * f, d, r->param[net->fc_weight] + k * f, f);
        }
    drop(r, net->unit_count, r->n * f, d_features);
    for (size_t i = 0; i < r->n * f * p; i++)
        d_o[i] = d_features[i / p] / p;
    free(d_features);
    return d_o;
}

/* Mean cross-entropy of the softmax; d_logits [n][classes] gets its gradient. */
static double loss(const struct refnet *r, const int *labels, double *d_logits) {
    int classes = r->net->classes;
    double total = 0;
    for (int i = 0; i < r->n; i++) {
        const double *row = r->logits + (size_t)i * classes;
        double most = row[0], sum = 0;
        for (int k = 1; k < classes; k++)
            most = fmax(most, row[k]);
        for (int k = 0; k < classes; k++)
            sum += exp(row[k] - most);
        total += log(sum) + most - row[labels[i]];
        for (int k = 0; k < classes; k++)
            d_logits[i * classes + k] = (exp(row[k] - most) / sum - (k == labels[i])) / r->n;
    }
    return total / r->n;
}

static void forward(struct refnet *r, const float *images, int n, const unsigned char *mask, bool multiply_by_zero) {
    const struct dd_net *net = r->net;
    size_t size = (size_t)n * net->channels * net->height * net->width;
    r->n = n;
    r->input = numbers(r, size);
    if (!r->input)
        return;
    for (size_t i = 0; i < size; i++)
        r->input[i] = images[i];
    layer_forward(r, &net->stem, &r->stem, r->input, true);
    if (net->pool_kernel && !r->out_of_memory)
        pool_forward(r);
    const double *x = net->pool_kernel ? r->pooled : r->stem.y;
    for (int u = 0; u < net->unit_count && !r->out_of_memory; u++) {
        struct unit_state *s = &r->units[u];
        s->gate = mask ? mask[u] : 1;
        s->computed = s->gate != 0 || multiply_by_zero;
        unit_forward(r, &net->units[u], s, x);
        x = s->o;
    }
    if (!r->out_of_memory)
        head_forward(r, x);
}

static void backward(struct refnet *r, const double *d_logits) {
    const struct dd_net *net = r->net;
    double *d = head_backward(r, d_logits);
    for (int u = net->unit_count - 1; u >= 0 && !r->out_of_memory; u--)
        d = unit_backward(r, &net->units[u], &r->units[u], d);
    if (net->pool_kernel && !r->out_of_memory)
        d = pool_backward(r, d);
    if (!r->out_of_memory)
        layer_backward(r, &net->stem, &r->stem, d, NULL);
    free(d);
}

static void forget_layer(struct layer_state *s) {
    free(s->z);
    free(s->y);
    free(s->mean);
    free(s->scale);
    memset(s, 0, sizeof *s);
}

/* Drops everything a step kept. */
static void forget(struct refnet *r) {
    for (int u = 0; r->units && u < r->net->unit_count; u++) {
        struct unit_state *s = &r->units[u];
        for (int i = 0; i < DD_MAX_PRIMARY; i++)
            forget_layer(&s->primary[i]);
        forget_layer(&s->shortcut);
        free(s->side);
        free(s->o);
        memset(s, 0, sizeof *s);
    }
    forget_layer(&r->stem);
    free(r->input);
    free(r->pooled);
    free(r->pool_from);
    free(r->features);
    free(r->logits);
    r->input = r->pooled = r->features = r->logits = NULL;
    r->pool_from = NULL;
}

static void update(struct refnet *r, double lr, double momentum, double weight_decay) {
    for (int p = 0; p < r->net->param_count; p++)
        for (size_t i = 0; r->net->params[p].trainable && i < r->net->params[p].count; i++) {
            double *m = &r->momentum[p][i], *w = &r->param[p][i];
            *m = momentum * *m + (r->gradient[p][i] + weight_decay * *w);
            *w -= lr * *m;
        }
}

double refnet_step(struct refnet *r, const float *images, const int *labels, int n, const unsigned char *mask,
                   bool multiply_by_zero, double lr, double momentum, double weight_decay) {
    double result = NAN;
    r->training = true;
    r->out_of_memory = false;
    double *d_logits = numbers(r, (size_t)n * r->net->classes);
    if (d_logits)
        forward(r, images, n, mask, multiply_by_zero);
    if (!r->out_of_memory) {
        double value = loss(r, labels, d_logits);
        for (int p = 0; p < r->net->param_count; p++)
            memset(r->gradient[p], 0, r->net->params[p].count * sizeof **r->gradient);
        backward(r, d_logits);
        if (!r->out_of_memory) {
            update(r, lr, momentum, weight_decay);
            result = value;
        }
    }
    free(d_logits);
    forget(r);
    return result;
}

bool refnet_logits(struct refnet *r, const float *images, int n, double *logits) {
    r->training = false;
    r->out_of_memory = false;
    forward(r, images, n, NULL, false);
    if (!r->out_of_memory)
        memcpy(logits, r->logits, (size_t)n * r->net->classes * sizeof *logits);
    forget(r);
    return !r->out_of_memory;
}

static double **make_table(struct refnet *r) {
    double **table = calloc((size_t)r->net->param_count, sizeof *table);
    r->out_of_memory |= !table;
    for (int p = 0; table && p < r->net->param_count; p++)
        table[p] = numbers(r, r->net->params[p].count);
    return table;
}

static void init_param(struct refnet *r, int index, uint64_t seed) {
    size_t count = r->net->params[index].count;
    float *values = malloc(count * sizeof *values);
    if (!values) {
        r->out_of_memory = true;
        return;
    }
    dd_net_init_param(r->net, index, seed, values);
    for (size_t i = 0; i < count; i++)
        r->param[index][i] = values[i];
    free(values);
}

struct refnet *refnet_create(const struct dd_net *net, uint64_t seed) {
    struct refnet *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->net = net;
    r->units = calloc((size_t)net->unit_count, sizeof *r->units);
    r->out_of_memory = !r->units;
    r->param = make_table(r);
    r->momentum = make_table(r);
    r->gradient = make_table(r);
    for (int p = 0; p < net->param_count && !r->out_of_memory; p++)
        init_param(r, p, seed);
    if (r->out_of_memory)
        refnet_destroy(&r);
    return r;
}

void refnet_destroy(struct refnet **refnet) {
    struct refnet *r = *refnet;
    if (!r)
        return;
    forget(r);
    for (int p = 0; p < r->net->param_count; p++) {
        free(r->param ? r->param[p] : NULL);
        free(r->momentum ? r->momentum[p] : NULL);
        free(r->gradient ? r->gradient[p] : NULL);
    }
    free(r->param);
    free(r->momentum);
    free(r->gradient);
    free(r->units);
    free(r);
    *refnet = NULL;
}

void refnet_set_dropout(struct refnet *r, refnet_factor factor, void *user) {
    r->factor = factor;
    r->factor_user = user;
}

double *refnet_param(struct refnet *r, int index) { return r->param[index]; }
double *refnet_momentum(struct refnet *r, int index) { return r->momentum[index]; }
double *refnet_gradient(struct refnet *r, int index) { return r->gradient[index]; }
