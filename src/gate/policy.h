/*
 * What a gate policy is made of. A new policy is a file of this folder that defines a struct dd_gate_policy, and its
 * line in the table of gate.c: parse reads what stands behind the colon, draw draws, expected_off says how many units
 * are off on average.
 */
#ifndef DD_GATE_POLICY_H
#define DD_GATE_POLICY_H

#include <stddef.h>

#include <depthdrop/gate.h>

#include "base/error.h"

enum { DD_GATE_MAX_UNITS = 8192 }; /* bounds the list that a draw without replacement keeps on the stack */

/* What a draw is for: an iteration, and how much of the policy's ratio it sees (dd_gate_options.warmup). */
struct dd_gate_moment {
    uint32_t counter;     /* of the random numbers: the iteration; runs beyond 2^32 iterations repeat their gates */
    uint64_t part, whole; /* the ratio is part / whole of the full one; equal without or behind a warm-up */
};

struct dd_gate_policy {
    struct dd_gate_policy_help help;
    /* argument: the text behind "name:", NULL if there was no colon. DD_ERROR_USAGE, policy is the whole text. */
    dd_status (*parse)(dd_gate *gate, const char *policy, const char *argument);
    /* Clears the mask (all ones at entry) of the units that are off at this moment. */
    void (*draw)(const dd_gate *gate, const struct dd_gate_moment *moment, unsigned char *mask);
    double (*expected_off)(const dd_gate *gate); /* at the full ratio */
};

struct dd_gate {
    const struct dd_gate_policy *policy;
    uint64_t seed, warmup;
    int units, stages;
    int *stage; /* [units] from 1 */
    int gated_count;
    int *gated;    /* [gated_count] units that may be off, from input to output */
    double *ratio; /* [units] probability of being off; 0 for ungated units and where a policy has no ratio */
    int off;       /* exact: units off in every iteration */
};

/** A ratio of length characters: digits, point and exponent only, in [0, 1]. DD_ERROR_USAGE. */
dd_status dd_gate_parse_ratio(const char *policy, const char *text, size_t length, double *ratio);

/** The usage error for an argument that is missing or has no place: names the policy's form. */
dd_status dd_gate_fail_form(const dd_gate *gate, const char *policy);

/* bernoulli.c, for policies that set ratios: each unit off by its own, independently of the others. */
void dd_gate_bernoulli_draw(const dd_gate *gate, const struct dd_gate_moment *moment, unsigned char *mask);
double dd_gate_bernoulli_expected_off(const dd_gate *gate);

#endif
