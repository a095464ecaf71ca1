/*
 * Independent draws: each gated unit is off with its own probability. Word 0 of Philox counter (iteration, unit, stream
 * of gates, 0) decides for a unit, so any iteration can be drawn alone. A new policy of this kind only sets ratios.
 */
#include <string.h>

#include "base/philox.h"
#include "gate/policy.h"

static dd_status parse_stage_ratios(const dd_gate *gate, const char *policy, const char *argument, double *ratios) {
    int count = 1;
    for (const char *c = argument; *c; c++)
        count += *c == ',';
    if (count != gate->stages)
        return dd_fail(DD_ERROR_USAGE, "gate policy '%s' has %d ratios, the network has %d stages: give one ratio for "
                       "all or one for each", policy, count, gate->stages);
    for (int i = 0; i < count; i++) {
        size_t length = strcspn(argument, ",");
        DD_TRY(dd_gate_parse_ratio(policy, argument, length, &ratios[i]));
        argument += length + 1;
    }
    return DD_OK;
}

dd_status dd_gate_uniform_parse(dd_gate *gate, const char *policy, const char *argument) {
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

/* Huang et al. 2016, equation 4: l counts all units from 1, gated or not. */
dd_status dd_gate_linear_parse(dd_gate *gate, const char *policy, const char *argument) {
    double last = 0.0;
    if (!argument || !*argument)
        return dd_gate_fail_form(gate, policy);
    DD_TRY(dd_gate_parse_ratio(policy, argument, strlen(argument), &last));
    for (int i = 0; i < gate->gated_count; i++) {
        int unit = gate->gated[i];
        gate->ratio[unit] = last * (unit + 1) / gate->units;
    }
    return DD_OK;
}

void dd_gate_bernoulli_draw(const dd_gate *gate, uint32_t iteration, unsigned char *mask) {
    for (int i = 0; i < gate->gated_count; i++) {
        int unit = gate->gated[i];
        uint32_t words[4];
        dd_philox(gate->seed, iteration, (uint32_t)unit, DD_STREAM_GATES, 0, words);
        mask[unit] = !(dd_unit_interval(words[0]) < gate->ratio[unit]);
    }
}

double dd_gate_bernoulli_expected_off(const dd_gate *gate) {
    double off = 0.0;
    for (int i = 0; i < gate->gated_count; i++)
        off += gate->ratio[gate->gated[i]];
    return off;
}
