/* What the paper prints of its CIFAR-10 experiments, for comparison. */
#ifndef DD_REPORT_PAPER_H
#define DD_REPORT_PAPER_H

#include <stdbool.h>

/** One dropout ratio of ResNet-56 with 1x1 shortcuts; ratio 0 is its baseline with identity shortcuts. */
struct dd_paper_line {
    double ratio;
    double error;                             /* test error after 64,000 iterations, a fraction */
    double forward_ms, backward_ms, total_ms; /* of an iteration of 64 images on one Titan X */
    double saving;                            /* 1 - t / t0 as printed; 0 for the baseline */
    double theory;                            /* the same by its cost model */
};

enum { DD_PAPER_LINES = 4, DD_PAPER_ITERATIONS = 64000 };
extern const struct dd_paper_line dd_paper_lines[DD_PAPER_LINES];

extern const char dd_paper_net[]; /**< the one that has lines */

/** The line of this net and ratio; NULL if the paper has none. */
const struct dd_paper_line *dd_paper_line(const char *net, double ratio);

/**
 * Do the paper's errors stand beside those of a run of this net and data spec (train --data)? They do beside CIFAR-10,
 * and beside a folder, which may hold it.
 */
bool dd_paper_compares(const char *net, const char *data);

#endif
