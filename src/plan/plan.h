/*
 * A network bound to a device: memory, parameters and ready launches for training, evaluation and recalibration. The
 * scheduler walks the units and enqueues what the gates call for; a step allocates, builds and waits for nothing.
 */
#ifndef DD_PLAN_PLAN_H
#define DD_PLAN_PLAN_H

#include <depthdrop/dataset.h>

#include "dataset/draw.h"
#include "net/net.h"
#include "ops/conv.h"
#include "rt/device.h"
#include "tune/store.h"

enum { DD_RUN_AHEAD = 4 }; /* steps that may be queued before the oldest is waited for */

struct dd_plan_options {
    int batch;             /* images of a training step, or of the largest evaluation batch */
    bool training;         /* false: forward in inference mode alone, less memory */
    const char *algorithm; /* "auto", or a name of the convolution table, used wherever it supports the shape */
    int vector;            /* V between images and logits: 1, 4, 8, 16; 0: auto */
    float momentum, weight_decay;
    double dropout;        /* width dropout before the last layer, in [0, 1), in training alone */
    double unit_dropout;   /* ... and behind each unit's first ReLU */
    uint64_t dropout_seed; /* of their masks */
    int recalibrate;       /* batches of a recalibration; 0: none is prepared */
    const struct dd_tune_store
        *winners; /* dd_plan_choose's for "auto", which else goes by a fixed preference; may be NULL */
    bool masked;  /* tests: a gated-off primary path runs and is multiplied by 0 instead of being skipped */
};

/* Which algorithm runs each convolution: [bns of the net][directions], names of the table. */
struct dd_plan_choice {
    int vector;
    int convs;
    const struct dd_conv_algorithm *(*algorithm)[DD_CONV_DIRECTIONS];
};

/** The tuner's key of a convolution and direction: it holds V but no N. Gives key. */
const char *dd_plan_tune_key(const struct dd_conv *conv, enum dd_conv_direction direction, char key[DD_TUNE_KEY]);

/** The tuner's winner; NULL: unknown, or not usable (any more) for this convolution. winners may be NULL. */
const struct dd_conv_algorithm *dd_plan_winner(const struct dd_device_info *info, const struct dd_tune_store *winners,
                                               const struct dd_conv *conv, enum dd_conv_direction direction);

/** Algorithms in the order in which "auto" prefers them where no winner is known; NULL past the end. */
const struct dd_conv_algorithm *dd_plan_preferred(int index);

/** --vector as typed ("auto" or NULL: 0) and --algorithm (NULL: auto). DD_ERROR_USAGE. */
dd_status dd_plan_parse_vector(const char *text, int *vector);
dd_status dd_plan_check_algorithm(const char *name);

/** Chooses V and algorithms for options on a device like info. The caller frees choice->algorithm. */
dd_status dd_plan_choose(const struct dd_net *net, const struct dd_device_info *info,
                         const struct dd_plan_options *options, struct dd_plan_choice *choice);

/**
 * Whether a choice from elsewhere (a file) can compute the net's convolutions. Kernels for CPUs count wherever they are
 * to run: slowly, they do. DD_ERROR_USAGE.
 */
dd_status dd_plan_check_choice(const struct dd_net *net, const struct dd_device_info *info,
                               const struct dd_plan_options *options, const struct dd_plan_choice *choice);

typedef struct dd_plan dd_plan;

/** Device bytes of a plan, without making it: activations, workspace, parameters with momentum and gradients. */
dd_status dd_plan_bytes(const struct dd_net *net, const struct dd_device_info *info,
                        const struct dd_plan_options *options, const struct dd_plan_choice *choice, uint64_t *bytes);

/** The same for a device that is to hold it: DD_ERROR_MEMORY says what is needed, what it has and the largest batch
 * that fits. */
dd_status dd_plan_check_size(const struct dd_net *net, const struct dd_device_info *info,
                             const struct dd_plan_options *options, const struct dd_plan_choice *choice,
                             uint64_t *bytes);

/**
 * choice NULL: as dd_plan_choose. net must outlive the plan. Parameters start at 0: set them with dd_plan_upload.
 * DD_ERROR_MEMORY as dd_plan_check_size.
 */
dd_status dd_plan_create(dd_device *device, const struct dd_net *net, const struct dd_plan_options *options,
                         const struct dd_plan_choice *choice, dd_plan **plan);
void dd_plan_destroy(dd_plan **plan);

const struct dd_plan_choice *dd_plan_get_choice(const dd_plan *plan);

/** Which set of a parameter: the values, the momentum, or (running statistics) the recalibrated ones. */
enum dd_plan_set { DD_SET_VALUE, DD_SET_MOMENTUM, DD_SET_RECALIBRATED };

/**
 * Parameters in file order (OIHW and so on): values[i] has net->params[i].count floats, or is NULL to leave parameter i
 * alone. Momentum exists for trainable parameters, recalibrated values for running statistics; other entries are
 * ignored. Blocking.
 */
dd_status dd_plan_upload(dd_plan *plan, enum dd_plan_set set, float *const *values);
dd_status dd_plan_download(dd_plan *plan, enum dd_plan_set set, float *const *values);

/** Normalisation of the images: mean [C][H][W] and std [C], as in the model file. */
dd_status dd_plan_set_input(dd_plan *plan, const float *mean, const float *std);

/** Images to train on, and up to two sets to evaluate. Uploaded if they are small beside the device, else streamed;
 * they must outlive the plan, their pixels only where dd_plan_needs_pixels says so. */
enum dd_plan_source { DD_SOURCE_TRAIN, DD_SOURCE_TEST, DD_SOURCE_VAL, DD_SOURCES };
dd_status dd_plan_bind(dd_plan *plan, enum dd_plan_source source, const struct dd_images *images);
bool dd_plan_needs_pixels(const dd_plan *plan, enum dd_plan_source source);

/** What a step came to, in the order of the steps. */
struct dd_step_result {
    uint64_t iteration;
    double loss; /* mean cross-entropy of the mini-batch */
    int wrong;   /* images not in the top 1 */
    int units_run;
};

/**
 * Queues one training step: samples [batch] with labels from the bound training images, gates [units]. Its result is
 * fetched with dd_plan_collect; when DD_RUN_AHEAD results are outstanding, one must be collected first
 * (DD_ERROR_INTERNAL otherwise).
 */
int dd_plan_outstanding(const dd_plan *plan);
dd_status dd_plan_step(dd_plan *plan, uint64_t iteration, const unsigned char *gates, const struct dd_sample *samples,
                       double lr);

/** Fetches the oldest result if there is one and, unless wait, it is complete. *got says whether. */
dd_status dd_plan_collect(dd_plan *plan, bool wait, struct dd_step_result *result, bool *got);

/** The same step in pieces, for benchmarks: each enqueues its part, all with the same gates. Width dropout stays at the masks of the last
 * dd_plan_step, or of iteration 0. */
dd_status dd_plan_enqueue_input(dd_plan *plan, const unsigned char *gates, const struct dd_sample *samples);
dd_status dd_plan_enqueue_forward(dd_plan *plan, const unsigned char *gates);
dd_status dd_plan_enqueue_backward(dd_plan *plan, const unsigned char *gates);
dd_status dd_plan_enqueue_update(dd_plan *plan, double lr);

/** Statistics that an evaluation normalises with. */
enum dd_plan_statistics { DD_STATISTICS_RUNNING, DD_STATISTICS_RECALIBRATED };

/**
 * Forward of `count` images of a source other than the training one, from `first` on (both multiples of the batch, or
 * up to the last image), every gate on, inference mode. ranks and losses are [count] (see ops/loss.h); logits (may be
 * NULL) is [count][classes]. Blocking.
 */
dd_status dd_plan_evaluate(dd_plan *plan, enum dd_plan_source source, int first, int count,
                           enum dd_plan_statistics statistics, int32_t *ranks, float *losses, float *logits);

/**
 * Recalibration: dd_plan_recalibrate_begin clears the copy, then options.recalibrate calls of dd_plan_recalibrate_batch
 * with samples [batch] of the training source average the batch statistics into it, every gate on.
 */
dd_status dd_plan_recalibrate_begin(dd_plan *plan);
dd_status dd_plan_recalibrate_batch(dd_plan *plan, const struct dd_sample *samples);

#endif
