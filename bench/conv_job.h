/* One convolution of a network in one direction, timed and checked: the rows of `depthdrop bench conv`. */
#ifndef DD_BENCH_CONV_JOB_H
#define DD_BENCH_CONV_JOB_H

#include "bench/result.h"
#include "ops/conv.h"

/*
 * How a network uses a convolution: of the images; of a unit's input, the gradient added to that by the unit's input;
 * behind another's batch norm and ReLU; of a unit's input as its shortcut, the gradient written. Or the convolution by
 * itself: x to y, dz to dx, x and dz to dw, without anything on load or store.
 */
enum dd_conv_form {
    DD_FORM_STEM,
    DD_FORM_FIRST,
    DD_FORM_INNER,
    DD_FORM_SHORTCUT,
    DD_FORM_SHORTCUT_RELU,
    DD_FORM_PLAIN
};

enum { DD_CONV_BACKWARD = DD_CONV_DIRECTIONS, DD_CONV_JOBS }; /* directions, and both backward ones at once */

/** "forward", "backward data", "backward weights", "backward". */
extern const char *const dd_conv_job_names[DD_CONV_JOBS];

/* Inputs of a convolution at the batch's size, shared by all directions and algorithms. */
struct dd_conv_data {
    cl_mem x, z, g, dx, w, dw, y;
    cl_mem in_channel[3], out_channel[5]; /* per-channel vectors of the input's and the output's side */
    cl_mem partials, workspace;
};
/** Random values. needs: the largest of all algorithms and directions that will run. */
dd_status dd_conv_data_create(dd_device *device, const struct dd_conv *conv, struct dd_conv_needs needs, uint64_t seed,
                              struct dd_conv_data *data);
void dd_conv_data_release(dd_device *device, struct dd_conv_data *data);

/** Whether the algorithm has this job for conv. */
bool dd_conv_job_supported(const struct dd_device_info *info, const struct dd_conv_algorithm *algorithm,
                           const struct dd_conv *conv, int job);

/** Workspace and slices of a job. */
struct dd_conv_needs dd_conv_job_needs(const struct dd_device_info *info, const struct dd_conv_algorithm *algorithm,
                                       const struct dd_conv *conv, int job);

/** Appends the launches of a job as the network's plan would. *kept: the form of the weights that a network keeps, made
 * here, the caller's; NULL: it has none. */
dd_status dd_conv_job_add(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                          enum dd_conv_form form, int job, const struct dd_conv_data *data, cl_mem *kept,
                          struct dd_launches *list);

/** Multiply-adds by the definition, counted twice. */
double dd_conv_job_flops(const struct dd_conv *conv, int job);

/* Comparison with the double reference on a few images. */
struct dd_conv_verdict {
    double error; /* largest error of a plain run, relative to the largest sum of magnitudes of the products */
    double bound; /* what is allowed, likewise */
    double worst; /* error by tolerance, over the plain run and the one that is fused as in the network; at most 1
                     passes */
};
dd_status dd_conv_job_check(dd_device *device, const struct dd_conv_algorithm *algorithm, const struct dd_conv *conv,
                            enum dd_conv_form form, int job, uint64_t seed, struct dd_conv_verdict *verdict);

#endif
