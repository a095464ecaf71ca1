/* A small network with a batch of drawn images bound to a device: what tests of whole steps begin with. */
#ifndef DD_TESTS_PLAN_FIXTURE_H
#define DD_TESTS_PLAN_FIXTURE_H

#include "plan/internal.h"
#include "support/device_test.h"

enum {
    FIXTURE_BATCH = 8,
    FIXTURE_SMALL = 12, /* rows and columns of fixture_make */
    FIXTURE_LARGE = 40, /* the most */
    FIXTURE_CHANNELS = 3,
    FIXTURE_CLASSES = 5,
    FIXTURE_SEED = 11,
    FIXTURE_MOST_PIXELS = FIXTURE_CHANNELS * FIXTURE_LARGE * FIXTURE_LARGE
};

struct fixture {
    dd_net *net;
    dd_plan *plan;
    struct dd_images images;
    int side, image; /* rows and columns; values of an image */
    uint8_t pixels[FIXTURE_BATCH * FIXTURE_MOST_PIXELS];
    int32_t labels[FIXTURE_BATCH];
    float mean[FIXTURE_MOST_PIXELS], std[FIXTURE_CHANNELS];
    struct dd_sample samples[FIXTURE_BATCH]; /* the images in reverse order */
    float **values, **momentum;              /* as uploaded, later as fixture_download found them */
};

/** Training with batches of FIXTURE_BATCH, momentum 0.9, weight decay 0.01, by the algorithms that are measured best. */
extern const struct dd_plan_options fixture_options;

/** Every function fails the test on an error. side: at most FIXTURE_LARGE. */
struct fixture *fixture_make_sized(dd_device *device, const char *net, const char *shortcut, int side,
                                   const struct dd_plan_options *options);
struct fixture *fixture_make(dd_device *device, const char *net, const char *shortcut,
                             const struct dd_plan_options *options);
void fixture_destroy(struct fixture *f);

/** One step with the given gates [units]; its loss. */
double fixture_step(struct fixture *f, uint64_t iteration, const unsigned char *gates, double lr);

/** The parameters and their momentum as they are now, into f->values and f->momentum. */
void fixture_download(struct fixture *f);

/** Host memory for each parameter, or each trainable one (the others NULL): [param_count][count]. */
float **fixture_set(const struct dd_net *net, bool trainable_only);
void fixture_set_free(const struct dd_net *net, float **set);

#endif
