/*
 * The table of gate policies and the choice of gated units. Each policy has its file; their draws, whose counters of
 * random numbers are published in docs/gates-test-vectors.md, must never change.
 */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "gate/policy.h"

extern const struct dd_gate_policy dd_gate_policy_none;    /* none.c */
extern const struct dd_gate_policy dd_gate_policy_uniform; /* uniform.c */
extern const struct dd_gate_policy dd_gate_policy_linear;  /* linear.c */
extern const struct dd_gate_policy dd_gate_policy_exact;   /* exact.c */

/* In the order in which help texts list them. */
static const struct dd_gate_policy *const policies[] = {
    &dd_gate_policy_none,
    &dd_gate_policy_uniform,
    &dd_gate_policy_linear,
    &dd_gate_policy_exact,
};
enum { POLICY_COUNT = sizeof policies / sizeof policies[0] };

enum first_units { FIRST_NONE, FIRST_STAGE1, FIRST_ALL };

const struct dd_gate_policy_help *dd_gate_policy_help(int index) {
    return index >= 0 && index < POLICY_COUNT ? &policies[index]->help : NULL;
}

dd_status dd_gate_fail_form(const dd_gate *gate, const char *policy) {
    return dd_fail(DD_ERROR_USAGE, "gate policy '%s' is incomplete or has too much: write %s", policy,
                   gate->policy->help.form);
}

dd_status dd_gate_parse_ratio(const char *policy, const char *text, size_t length, double *ratio) {
    char copy[32];
    char *end = copy;
    if (length > 0 && length < sizeof copy && strspn(text, "0123456789.eE+-") >= length) {
        memcpy(copy, text, length);
        copy[length] = '\0';
        *ratio = strtod(copy, &end);
    }
    if (end == copy || *end != '\0' || !(*ratio >= 0.0 && *ratio <= 1.0))
        return dd_fail(DD_ERROR_USAGE, "gate policy '%s': '%.*s' is not a ratio, write a number from 0 to 1", policy,
                       (int)(length < 64 ? length : 64), text);
    return DD_OK;
}

static const struct dd_gate_policy *find_policy(const char *text) {
    size_t length = strcspn(text, ":");
    for (int i = 0; i < POLICY_COUNT; i++)
        if (strlen(policies[i]->help.name) == length && !memcmp(policies[i]->help.name, text, length))
            return policies[i];
    return NULL;
}

static dd_status parse_first(const char *text, enum first_units *first) {
    static const char *const names[] = {[FIRST_NONE] = "none", [FIRST_STAGE1] = "stage1", [FIRST_ALL] = "all"};
    for (int i = 0; i <= FIRST_ALL; i++)
        if (!strcmp(names[i], text)) {
            *first = (enum first_units)i;
            return DD_OK;
        }
    return dd_fail(DD_ERROR_USAGE, "unknown value '%s' for the gating of first units: write none, stage1 or all", text);
}

/* Lists the stages and the gated units of net in gate, whose policy is set. */
static dd_status list_units(dd_gate *gate, const dd_net *net, enum first_units first) {
    struct dd_net_summary summary;
    dd_net_summarize(net, &summary);
    if (summary.units > DD_GATE_MAX_UNITS)
        return dd_fail(DD_ERROR_USAGE, "the network has %d units, gates are drawn for at most %d", summary.units,
                       DD_GATE_MAX_UNITS);
    gate->units = summary.units;
    gate->stage = dd_calloc((size_t)summary.units, sizeof *gate->stage);
    gate->gated = dd_calloc((size_t)summary.units, sizeof *gate->gated);
    gate->ratio = dd_calloc((size_t)summary.units, sizeof *gate->ratio);
    if (!gate->stage || !gate->gated || !gate->ratio)
        return dd_fail_memory("gates", (size_t)summary.units * sizeof *gate->ratio);
    for (int u = 0; u < gate->units; u++) {
        struct dd_unit_summary unit;
        DD_TRY(dd_net_unit(net, u, &unit));
        gate->stage[u] = unit.stage;
        gate->stages = unit.stage;
        if (!unit.first || first == FIRST_ALL || (first == FIRST_STAGE1 && unit.stage == 1))
            gate->gated[gate->gated_count++] = u;
    }
    return DD_OK;
}

dd_status dd_gate_create(const struct dd_gate_options *options, const dd_net *net, dd_gate **gate) {
    const char *text = options->policy ? options->policy : "none";
    enum first_units first = FIRST_NONE;
    *gate = NULL;
    DD_TRY(parse_first(options->first ? options->first : "none", &first));
    const struct dd_gate_policy *policy = find_policy(text);
    if (!policy)
        return dd_fail(DD_ERROR_USAGE,
                       "unknown gate policy '%s': write none, uniform:P, uniform:P1,P2,..., linear:P "
                       "or exact:K",
                       text);

    if (options->warmup > 0 && policy == &dd_gate_policy_none)
        return dd_fail(DD_ERROR_USAGE, "--gate-warmup raises the ratio of a gate policy, and there is none: give a "
                                       "policy such as uniform:0.5, or leave it out");
    if (options->warmup > UINT32_MAX)
        return dd_fail(DD_ERROR_USAGE, "--gate-warmup %llu is longer than the %llu iterations that a run can have",
                       (unsigned long long)options->warmup, (unsigned long long)UINT32_MAX);

    dd_gate *made = dd_calloc(1, sizeof *made);
    if (!made)
        return dd_fail_memory("gates", sizeof *made);
    made->policy = policy;
    made->seed = options->seed;
    made->warmup = options->warmup;
    const char *colon = strchr(text, ':');
    dd_status status;
    DD_GOTO(status, error, list_units(made, net, first));
    DD_GOTO(status, error, policy->parse(made, text, colon ? colon + 1 : NULL));
    if (made->gated_count == 0 && policy != &dd_gate_policy_none)
        dd_warning("gate policy '%s' does nothing: the network has only first units of stages, which are not gated",
                   text);
    *gate = made;
    return DD_OK;
error:
    dd_gate_destroy(&made);
    return status;
}

void dd_gate_destroy(dd_gate **gate) {
    if (!gate || !*gate)
        return;
    free((*gate)->stage);
    free((*gate)->gated);
    free((*gate)->ratio);
    free(*gate);
    *gate = NULL;
}

void dd_gate_draw(const dd_gate *gate, uint64_t iteration, unsigned char *mask) {
    struct dd_gate_moment moment = {.counter = (uint32_t)iteration, .part = 1, .whole = 1};
    if (iteration < gate->warmup) {
        moment.part = iteration;
        moment.whole = gate->warmup;
    }
    memset(mask, 1, (size_t)gate->units);
    gate->policy->draw(gate, &moment, mask);
}

int dd_gate_gated_units(const dd_gate *gate) {
    return gate->policy == &dd_gate_policy_none ? 0 : gate->gated_count;
}

double dd_gate_expected_run(const dd_gate *gate) {
    return gate->units - gate->policy->expected_off(gate);
}
