/* The learning rate of each iteration. */
#ifndef DD_TRAIN_SCHEDULE_H
#define DD_TRAIN_SCHEDULE_H

#include <stdint.h>

#include "base/error.h"

enum { DD_MAX_DROPS = 16 };

struct dd_schedule {
    double lr;
    int64_t warmup;               /* iterations of a linear rise from lr / warmup to lr; 0: none */
    int drops;
    int64_t drop[DD_MAX_DROPS];   /* the rate is a tenth from the iteration after each on */
};

/**
 * "I,J,..." or "none" into drops; NULL: the recipe's, at floor(1/2) and floor(3/4) of iterations (He et al. 2015, 4.2).
 * DD_ERROR_USAGE if they do not rise.
 */
dd_status dd_schedule_parse_drops(const char *text, int64_t iterations, struct dd_schedule *schedule);

/** The rate used in iteration (from 1). */
double dd_schedule_rate(const struct dd_schedule *schedule, int64_t iteration);

#endif
