/*
 * A trial: the algorithms that could run one convolution, forward or backward, as candidates of the tuner's search.
 * They run with the prologue, statistics and gradient that the plan will ask for, so that kernels built here serve it
 * too.
 */
#ifndef DD_TRAIN_TRIAL_H
#define DD_TRAIN_TRIAL_H

#include "ops/conv.h"
#include "tune/search.h"

/* Data and weight gradients are tried together: an algorithm may have one kernel for both. */
enum dd_trial_pass { DD_TRIAL_FORWARD, DD_TRIAL_BACKWARD, DD_TRIAL_BACKWARD_WEIGHTS };

/* What becomes of the gradient by the input; bits, since a network may use a shape in several roles. */
enum { DD_ROLE_MASKED = 1, DD_ROLE_ADDED = 2, DD_ROLE_WRITTEN = 4 };

struct dd_trial_job {
    struct dd_conv conv; /* n: as it is timed */
    enum dd_trial_pass pass;
    unsigned roles; /* backward */
    bool prologue;  /* batch norm and ReLU on load */
};

enum dd_trial_extent {
    DD_TRIAL_LIKELY,     /* vector algorithms, one for both gradients */
    DD_TRIAL_ALL,        /* gemm too, and one for each gradient */
    DD_TRIAL_LAST_RESORT /* gemm alone */
};

enum { DD_TRIAL_CANDIDATES = 12, DD_TRIAL_ALGORITHMS = 8 };

/* The algorithms of a candidate; of a forward pass, the first. */
struct dd_trial_entry {
    struct dd_trial *trial;
    const struct dd_conv_algorithm *algorithm[2]; /* backward: data, weights */
    char name[48];
    cl_mem workspace, sums, form;
    struct dd_launches list;
};

struct dd_trial {
    dd_device *device;
    struct dd_trial_job job;
    cl_mem x, g, z, dx, y, w, dw;         /* tensors of the job's shapes */
    cl_mem in_vectors[3], out_vectors[3]; /* scale, shift, mean; k1, k2, k3 */
    const struct dd_conv_algorithm
        *right[DD_CONV_DIRECTIONS + 1][DD_TRIAL_ALGORITHMS]; /* known to match the reference */
    int count;
    struct dd_trial_entry entries[DD_TRIAL_CANDIDATES];
    struct dd_tune_candidate candidates[DD_TRIAL_CANDIDATES]; /* [count], in order of preference */
};

/** How many candidates there are; nothing is made. */
int dd_trial_count(const struct dd_device_info *info, const struct dd_trial_job *job, enum dd_trial_extent extent);

/** Lists the candidates and makes the tensors. DD_ERROR_MEMORY, DD_ERROR_DEVICE. Closed by dd_trial_close in any case.
 */
dd_status dd_trial_open(dd_device *device, const struct dd_trial_job *job, enum dd_trial_extent extent,
                        struct dd_trial *trial);
void dd_trial_close(struct dd_trial *trial); /* also a zeroed one */

#endif
