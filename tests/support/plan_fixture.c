#include "support/plan_fixture.h"

#include <stdlib.h>

#include "base/philox.h"

const struct dd_plan_options fixture_options = {.batch = FIXTURE_BATCH,
                                                .training = true,
                                                .algorithm = "auto",
                                                .momentum = 0.9f,
                                                .weight_decay = 1e-2f,
                                                .recalibrate = 2};

float **fixture_set(const struct dd_net *net, bool trainable_only) {
    float **set = calloc((size_t)net->param_count, sizeof *set);
    for (int i = 0; i < net->param_count; i++)
        if (!trainable_only || net->params[i].trainable)
            set[i] = calloc(net->params[i].count, sizeof **set);
    return set;
}

void fixture_set_free(const struct dd_net *net, float **set) {
    for (int i = 0; i < net->param_count; i++)
        free(set[i]);
    free(set);
}

static void fill_images(struct fixture *f) {
    for (uint32_t i = 0; i < (uint32_t)(FIXTURE_BATCH * f->image); i++) {
        uint32_t w[4];
        dd_philox(FIXTURE_SEED, i, 0, DD_STREAM_BENCH, 0, w);
        f->pixels[i] = (uint8_t)(w[0] >> 24);
    }
    for (int i = 0; i < f->image; i++)
        f->mean[i] = 0.4f + 0.001f * (float)(i % 97);
    for (int c = 0; c < FIXTURE_CHANNELS; c++)
        f->std[c] = 0.5f + 0.125f * (float)c;
    for (int i = 0; i < FIXTURE_BATCH; i++) {
        f->labels[i] = i % FIXTURE_CLASSES;
        f->samples[i] = (struct dd_sample){.index = FIXTURE_BATCH - 1 - i};
    }
    f->images = (struct dd_images){.split = "train",
                                   .count = FIXTURE_BATCH,
                                   .channels = FIXTURE_CHANNELS,
                                   .height = f->side,
                                   .width = f->side,
                                   .pixels = f->pixels,
                                   .labels = f->labels};
}

struct fixture *fixture_make_sized(dd_device *device, const char *name, const char *shortcut, int side,
                                   const struct dd_plan_options *options) {
    struct fixture *f = calloc(1, sizeof *f);
    const struct dd_net_options net = {.name = name,
                                       .shortcut = shortcut,
                                       .channels = FIXTURE_CHANNELS,
                                       .height = side,
                                       .width = side,
                                       .classes = FIXTURE_CLASSES};
    f->side = side;
    f->image = FIXTURE_CHANNELS * side * side;
    dd_test_ok(dd_net_create(&net, &f->net));
    fill_images(f);
    dd_test_ok(dd_plan_create(device, f->net, options, NULL, &f->plan));
    f->values = fixture_set(f->net, false);
    f->momentum = fixture_set(f->net, true);
    for (int i = 0; i < f->net->param_count; i++)
        dd_net_init_param(f->net, i, FIXTURE_SEED, f->values[i]);
    dd_test_ok(dd_plan_upload(f->plan, DD_SET_VALUE, f->values));
    dd_test_ok(dd_plan_set_input(f->plan, f->mean, f->std));
    dd_test_ok(dd_plan_bind(f->plan, DD_SOURCE_TRAIN, &f->images));
    return f;
}

struct fixture *fixture_make(dd_device *device, const char *name, const char *shortcut,
                             const struct dd_plan_options *options) {
    return fixture_make_sized(device, name, shortcut, FIXTURE_SMALL, options);
}

void fixture_destroy(struct fixture *f) {
    dd_plan_destroy(&f->plan);
    fixture_set_free(f->net, f->values);
    fixture_set_free(f->net, f->momentum);
    dd_net_destroy(&f->net);
    free(f);
}

double fixture_step(struct fixture *f, uint64_t iteration, const unsigned char *gates, double lr) {
    struct dd_step_result result;
    bool got;
    dd_test_ok(dd_plan_step(f->plan, iteration, gates, f->samples, lr));
    dd_test_ok(dd_plan_collect(f->plan, true, &result, &got));
    assert_true(got);
    assert_int_equal(result.iteration, iteration);
    return result.loss;
}

void fixture_download(struct fixture *f) {
    dd_test_ok(dd_plan_download(f->plan, DD_SET_VALUE, f->values));
    dd_test_ok(dd_plan_download(f->plan, DD_SET_MOMENTUM, f->momentum));
}
