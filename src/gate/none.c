/* Policy none: plain training of He, Zhang, Ren and Sun's network (2016), the baseline of every comparison. */
#include "gate/policy.h"

static dd_status parse(dd_gate *gate, const char *policy, const char *argument) {
    return argument ? dd_gate_fail_form(gate, policy) : DD_OK;
}

static void draw(const dd_gate *gate, const struct dd_gate_moment *moment, unsigned char *mask) {
    (void)gate;
    (void)moment;
    (void)mask;
}

static double expected_off(const dd_gate *gate) {
    (void)gate;
    return 0.0;
}

const struct dd_gate_policy dd_gate_policy_none = {
    {"none", "none", "every unit runs in every iteration", "He and others 2016"}, parse, draw, expected_off};
