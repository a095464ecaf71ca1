/* depthdrop: gate policies: which units run their primary path in an iteration. Unstable until 1.0. */
#ifndef DEPTHDROP_GATE_H
#define DEPTHDROP_GATE_H

#include <stdbool.h>
#include <stdint.h>

#include <depthdrop/net.h>
#include <depthdrop/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dd_gate dd_gate;

struct dd_gate_options {
    const char *policy; /**< "none", "uniform:P", "uniform:P1,P2,...", "linear:P", "exact:K"; NULL: "none" */
    const char *first;  /**< gate the first units of stages too: "none", "stage1", "all"; NULL: "none" */
    uint64_t seed;
    uint64_t warmup; /**< iteration i sees i / warmup of the policy's ratio (of K, rounded), from warmup on all of it */
};

/**
 * Errors: DD_ERROR_USAGE (unknown policy, ratio outside [0, 1], K above the number of gated units, a warm-up of policy
 * "none", ...), DD_ERROR_MEMORY. On success the caller frees *gate by dd_gate_destroy; else it is NULL.
 */
dd_status dd_gate_create(const struct dd_gate_options *options, const dd_net *net, dd_gate **gate);
void dd_gate_destroy(dd_gate **gate);

/** Gates of iteration (from 1): mask[unit] is 1 or 0, one byte for each unit of the net from input to output. Pure. */
void dd_gate_draw(const dd_gate *gate, uint64_t iteration, unsigned char *mask);

int dd_gate_gated_units(const dd_gate *gate);     /**< units that the policy may switch off */
double dd_gate_expected_run(const dd_gate *gate); /**< units run in an iteration behind the warm-up, expected */

/** The table of policies, for help texts: name, argument form, a line of description, where it is from. NULL past the
 * end. */
struct dd_gate_policy_help {
    const char *name, *form, *description, *source;
};
const struct dd_gate_policy_help *dd_gate_policy_help(int index);

#ifdef __cplusplus
}
#endif
#endif
