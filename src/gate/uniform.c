/*
 * Policy uniform: depth dropout as published: Jian Guo and Stephen Gould, "Depth Dropout: Efficient Training of
 * Residual Convolutional Neural Networks", DICTA 2016, section III-B: the same ratio for every gated unit. A ratio for
 * each stage is an extension of this program.
 */
#include <string.h>

#include "gate/policy.h"

static dd_status parse_stage_ratios(const dd_gate *gate, const char *policy, const char *argument, double *ratios) {
    int count = 1;
    for (const char *c = argument; *c; c++)
        count += *c == ',';
    if (count != gate->stages)
        return dd_fail(DD_ERROR_USAGE,
                       "gate policy '%s' has %d ratios, the network has %d stages: give one ratio for "
                       "all or one for each",
                       policy, count, gate->stages);
    for (int i = 0; i < count; i++) {
        size_t length = strcspn(argument, ",");
        DD_TRY(dd_gate_parse_ratio(policy, argument, length, &ratios[i]));
        argument += length + 1;
    }
    return DD_OK;
}

static dd_status parse(dd_gate *gate, const char *policy, const char *argument) {
    enum { MAX_STAGES = 16 };
    double ratios[MAX_STAGES] = {0};
    if (!argument || !*argument)
        return dd_gate_fail_form(gate, policy);
    if (gate->stages > MAX_STAGES)
        return dd_fail(DD_ERROR_INTERNAL, "a network of %d stages has no uniform gates", gate->stages);
    if (strchr(argument, ',')) {
        DD_TRY(parse_stage_ratios(gate, policy, argument, ratios));
    } else {
        DD_TRY(dd_gate_parse_ratio(policy, argument, strlen(argument), &ratios[0]));
        for (int stage = 1; stage < gate->stages; stage++)
            ratios[stage] = ratios[0];
    }
    for (int i = 0; i < gate->gated_count; i++)
        gate->ratio[gate->gated[i]] = ratios[gate->stage[gate->gated[i]] - 1];
    return DD_OK;
}

const struct dd_gate_policy dd_gate_policy_uniform = {
    {"uniform", "uniform:P or uniform:P1,P2,...",
     "depth dropout: each gated unit is off with probability P (P1 in stage 1, ...)", "Guo and Gould 2016"},
    parse,
    dd_gate_bernoulli_draw,
    dd_gate_bernoulli_expected_off};
