/* A run's configuration: what config.json holds, everything needed to repeat or resume the run. */
#ifndef DD_TRAIN_CONFIG_H
#define DD_TRAIN_CONFIG_H

#include <depthdrop/train.h>

#include "plan/plan.h"
#include "train/schedule.h"

struct dd_run_config {
    char data[1024], image_size[32]; /* image_size "": the data's own */
    char data_from[4096];            /* folder that a relative path in data starts from; "": none, or not known */
    char net[32], shortcut[32], gate[128], gate_first[16];
    int64_t gate_warmup;
    double dropout, unit_dropout;
    int64_t batch, iterations, epochs; /* epochs -1: iterations were given */
    char recipe[16], augment[16];
    double lr, momentum, weight_decay;
    char lr_drops[256]; /* as frozen: "32000,48000" or "none"; "": not yet known */
    int64_t lr_warmup;
    char init[1024]; /* as typed; "": none */
    int64_t seed;    /* bits of the unsigned seed */
    double eval_every;
    int64_t bn_recalibrate, val_split;
    int64_t log_every, save_every;
    double save_minutes;
    char algorithm[16], vector[8]; /* as typed */
    int64_t threads, no_cache;     /* no_cache: 0 or 1 */
    /* found at the start of the run */
    char image[32]; /* "C,H,W" */
    int64_t classes, train_images, test_images, iterations_per_epoch;
    char train_hash[17], test_hash[17], init_hash[17];
    char device_name[128], device_driver[128], device_platform[128];
    int64_t chosen_vector;
};

/** From options, checked as far as that goes without data (ranges, recipe, augment, algorithm, vector). DD_ERROR_USAGE.
 */
dd_status dd_config_from_options(const struct dd_train_options *options, struct dd_run_config *config);

/** The ranges and names that need no data, of a configuration from anywhere. DD_ERROR_USAGE. */
dd_status dd_config_check(const struct dd_run_config *config);

/** Writes DIR/config.json, with the algorithm of each convolution by its parameter's name. */
dd_status dd_config_save(const struct dd_run_config *config, const struct dd_net *net,
                         const struct dd_plan_choice *choice, const char *dir);

/**
 * Reads DIR/config.json. DD_ERROR_DATA if it is missing, damaged, of another format version, fails dd_config_check, or
 * leaves open what is settled once a run has begun. algorithms is a handle for dd_config_choice, freed by
 * dd_config_free.
 */
struct dd_config_algorithms;
dd_status dd_config_load(const char *dir, struct dd_run_config *config, struct dd_config_algorithms **algorithms);
void dd_config_free(struct dd_config_algorithms **algorithms);

/** The V and algorithms that a resumed run began with. The caller frees choice->algorithm. */
dd_status dd_config_choice(const struct dd_run_config *config, const struct dd_config_algorithms *algorithms,
                           const struct dd_net *net, struct dd_plan_choice *choice);

/** The V that was typed: 0 for "auto". */
int dd_config_vector(const struct dd_run_config *config);

#endif
