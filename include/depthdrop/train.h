/* depthdrop: training, evaluation and prediction. Unstable until 1.0. */
#ifndef DEPTHDROP_TRAIN_H
#define DEPTHDROP_TRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include <depthdrop/dataset.h>
#include <depthdrop/device.h>
#include <depthdrop/net.h>
#include <depthdrop/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DD_MAX_DROPOUT 0.99 /**< largest ratio of width dropout */

/** One training run as a user types it; -1 or NULL means "the default", see dd_train_options_default. */
struct dd_train_options {
    const char *run_dir;    /**< --run DIR, a folder without a run; or NULL with resume_dir */
    const char *resume_dir; /**< --resume DIR: everything but the fields marked (R) comes from its config.json */
    const char *data;       /**< --data SPEC */
    const char *image_size; /**< --image-size */
    const char *net;        /**< --net NAME */
    const char *shortcut;   /**< --shortcut KIND, "identity" */
    const char *gate;       /**< --gate POLICY, "none" */
    const char *gate_first; /**< --gate-first, "none" */
    int64_t gate_warmup;    /**< --gate-warmup ITER, 0: the ratio grows over the first ITER iterations */
    double dropout;         /**< --dropout P before the last layer, 0 */
    double unit_dropout;    /**< --unit-dropout P behind each unit's first ReLU, 0 */
    int batch;              /**< --batch, 128 */
    int64_t iterations;     /**< (R) --iterations, -1: the recipe's 64,000 (or epochs) */
    int64_t epochs;         /**< (R) --epochs, -1: unset */
    const char *recipe;     /**< --recipe, "cifar" */
    const char *augment;    /**< --augment standard|none */
    double lr;              /**< --lr, 0.1 */
    double momentum;        /**< --momentum, 0.9 */
    double weight_decay;    /**< --weight-decay, 1e-4 */
    const char *lr_drops;   /**< --lr-drops I,J|none; NULL: at 1/2 and 3/4 of the run */
    int64_t lr_warmup;      /**< --lr-warmup N iterations from lr/N up, 0 */
    const char *init;       /**< --init FILE, NULL: every parameter starts from the seed */
    uint64_t seed;          /**< --seed, 1 */
    double eval_every;      /**< (R) --eval-every EPOCHS, 1; 0: only at the end; -1: not given */
    int bn_recalibrate;     /**< --bn-recalibrate N batches, 0 */
    int val_split;          /**< --val-split N images, 0 */
    int log_every;          /**< (R) --log-every, 20; -1: not given */
    int64_t save_every;     /**< (R) --save-every N iterations, 0: never; -1: not given */
    double save_minutes;    /**< (R) --save-minutes M, 10; 0: never; -1: not given */
    const char *algorithm;  /**< --algorithm auto|gemm|... */
    const char *vector;     /**< --vector auto|1|4|8|16 */
    const char *device;     /**< (R) --device SEL; NULL: a resumed run's own, where it is present */
    const char *cache_dir;  /**< (R) --cache-dir, not kept in config.json */
    bool no_cache;          /**< (R) --no-cache; false: as a resumed run began */
    int threads;            /**< (R) --threads, 0; 0: as a resumed run began */
    bool dry_run;           /**< --dry-run: check, tell the figures as DD_LOG_RESULT, write nothing */
};
void dd_train_options_default(struct dd_train_options *options);

/** A run's state for a progress line. */
struct dd_train_progress {
    const char *phase; /**< "train", "eval" or "recalibrate" */
    int64_t iteration, iterations;
    int64_t epoch, epochs; /**< from 1; epochs is that of the last iteration */
    double loss;           /**< mean cross-entropy over the last iterations read back */
    double error;          /**< training error over the same, a fraction */
    double images_per_s;
    double units_run; /**< mean over the same */
    int units;
    double eta_s; /**< seconds to the end of the run, or of this evaluation or recalibration; NaN while unknown */
    int64_t done, count;    /**< phases "eval" and "recalibrate": batches done so far, of all */
    bool evaluated;         /**< this call reports an evaluation: the four fields below hold */
    const char *eval_split; /**< also while the evaluation runs */
    double eval_error, eval_loss;
    bool eval_best;
    bool logged; /**< a step line was logged with these figures */
};
typedef void (*dd_train_callback)(void *user, const struct dd_train_progress *progress);

/**
 * Trains until done or until *stop (may be NULL; set by a signal handler) becomes non-zero, then saves.
 * Errors: DD_INTERRUPTED after a stop (state saved), DD_ERROR_DIVERGED, and every other of dd_status.
 */
dd_status dd_train(const struct dd_train_options *options, volatile int *stop, dd_train_callback callback, void *user);

struct dd_class_result {
    const char *name;
    int64_t images;
    double error;
};

struct dd_eval_result {
    char split[16];
    int64_t images;
    double error, error_top5, loss; /**< top 5 is NaN-free: with fewer than 5 classes it is 0 */
    int classes;
    struct dd_class_result *per_class; /**< [classes]; owned by the result */
    char **names;                      /**< storage of the names */
};

struct dd_model_options {
    const char *model;              /**< safetensors file */
    const char *device, *cache_dir; /**< as in dd_train_options; NULL: the defaults */
    const char *algorithm, *vector; /**< NULL: "auto" */
    int threads;                    /**< of a CPU device; 0: all */
    int batch;                      /**< images at once, 0: 128 */
};

/**
 * Evaluates a model file on the data's test (or val) images. On success the caller frees the result. Errors:
 * DD_ERROR_USAGE (options), DD_ERROR_DATA (the file or the data, or one does not fit the other), DD_ERROR_SELFTEST,
 * DD_ERROR_DEVICE, DD_ERROR_MEMORY; DD_INTERRUPTED when *stop (may be NULL) became nonzero: there is no result then.
 */
dd_status dd_eval(const struct dd_model_options *options, const struct dd_dataset_options *data, volatile int *stop,
                  dd_train_callback callback, void *user, struct dd_eval_result *result);
void dd_eval_result_free(struct dd_eval_result *result);

/** What it points to is valid during the callback alone. */
struct dd_prediction {
    const char *file; /**< as given */
    dd_status status; /**< DD_OK, or DD_ERROR_DATA with message set and nothing else */
    const char *message;
    int classes;
    const char *const *names;   /**< [classes] */
    const float *logits;        /**< [classes], label order */
    const float *probabilities; /**< [classes], label order */
    const int *order;           /**< [classes], labels by falling probability */
};
typedef void (*dd_prediction_callback)(void *user, const struct dd_prediction *prediction);

/**
 * Predicts image files in the order given. A file that cannot be read is reported through the callback and the
 * rest goes on; the call then returns DD_ERROR_DATA.
 */
dd_status dd_predict(const struct dd_model_options *options, const char *const *files, int count,
                     dd_prediction_callback callback, void *user);

/** What a model file says of itself, for `info --model`. */
struct dd_model_info {
    char net[32], shortcut[32], gate[128];
    int channels, height, width, classes;
    char **class_names;
    int64_t iteration;
    uint64_t tensors, bytes;
    bool has_optimizer;
};
/** On success the caller frees info by dd_model_info_free. DD_ERROR_DATA (a sentence naming the file), DD_ERROR_MEMORY.
 */
dd_status dd_model_read_info(const char *file, struct dd_model_info *info);
void dd_model_info_free(struct dd_model_info *info);

/** A full search for the fastest right algorithm of each convolution: its winners serve later runs of "auto". */
struct dd_tune_options {
    struct dd_net_options net; /**< whose convolutions; without meaning with all */
    bool all;                  /**< every shape of the CIFAR and ImageNet families at their usual image sizes */
    int batch;                 /**< images at once, 128; fewer where tensors would be large */
    int vector;                /**< V: 1, 4, 8, 16; 0: auto */
    const char *device, *cache_dir;
    int threads;
};
/** resnet56 with identity shortcuts on 32x32 images, batch 128. */
void dd_tune_options_default(struct dd_tune_options *options);

struct dd_tune_time {
    const char *candidate; /**< algorithm, or those of data and weight gradient: "winograd+direct" */
    double ms;             /**< best time; NaN: not timed */
    bool given_up;         /**< after it was far from the best */
    const char *failure;   /**< why it does not count: it is wrong or does not build; empty if it does */
};

/** One convolution, forward or backward. */
struct dd_tune_result {
    const struct dd_device_info *device;
    const char *shape; /**< "3x3/2 16>32@32x32": kernel, stride, channels, input's rows and columns */
    const char *pass;  /**< "forward", "backward" or "backward weights" */
    int vector, images;
    const struct dd_tune_time *times; /**< [count] */
    int count;
    int winner;      /**< index, -1: none */
    int done, total; /**< convolutions */
    double eta_s;    /**< seconds to the end */
    bool kept;       /**< the winner was written to the cache folder */
};
typedef void (*dd_tune_callback)(void *user, const struct dd_tune_result *result);

/**
 * Searches and reports each convolution as it is done; what was found is kept also when *stop (may be NULL) ends it
 * early (DD_INTERRUPTED). DD_ERROR_SELFTEST if a convolution has no right algorithm.
 */
dd_status dd_tune(const struct dd_tune_options *options, volatile int *stop, dd_tune_callback callback, void *user);

/** Device memory that a training step or an evaluation of this net takes, in bytes; no device needed. 0: it cannot
 * be told, for the reason in dd_error_message(). */
uint64_t dd_train_device_bytes(const dd_net *net, int batch, int vector);

#ifdef __cplusplus
}
#endif
#endif
