/* Which algorithm runs each convolution of a network on a device: what the tuner's store knows, searched where it does
 * not. */
#ifndef DD_TRAIN_TUNING_H
#define DD_TRAIN_TUNING_H

#include "plan/plan.h"

/**
 * dd_plan_choose with the store's winners where options->algorithm is "auto". search: convolutions that are not in the
 * store yet (of this device, driver, V and version) are tried first, by their likeliest algorithms alone, with progress
 * in the log; where nothing can be kept, the fixed preference decides, so that equal runs stay equal. stop may be NULL;
 * the caller frees choice->algorithm. DD_INTERRUPTED; DD_ERROR_SELFTEST if every algorithm computes wrong results.
 */
dd_status dd_tuning_choose(dd_device *device, const struct dd_net *net, const struct dd_plan_options *options,
                           bool search, volatile int *stop, struct dd_plan_choice *choice);

/** The same, then dd_plan_create. */
dd_status dd_tuning_create_plan(dd_device *device, const struct dd_net *net, const struct dd_plan_options *options,
                                bool search, volatile int *stop, dd_plan **plan);

#endif
