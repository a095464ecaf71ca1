/*
 * Policy linear: Gao Huang, Yu Sun, Zhuang Liu, Daniel Sedra and Kilian Weinberger, "Deep Networks with Stochastic
 * Depth", ECCV 2016, equation 4: the ratio rises linearly to P at the last unit; l counts all units from 1, gated or
 * not.
 */
#include <string.h>

#include "gate/policy.h"

static dd_status parse(dd_gate *gate, const char *policy, const char *argument) {
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

const struct dd_gate_policy dd_gate_policy_linear = {
    {"linear", "linear:P", "stochastic depth: unit l of L is off with probability P*l/L", "Huang and others 2016"},
    parse,
    dd_gate_bernoulli_draw,
    dd_gate_bernoulli_expected_off};
