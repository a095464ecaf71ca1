/*
 * Independent draws (Guo and Gould 2016, equation 4): each gated unit is off with its own probability. Word 0 of Philox
 * counter (iteration, unit, stream of gates, 0) decides for a unit, so any iteration can be drawn alone; a smaller
 * ratio switches off a part of the units that a larger one does. The counters are published and must never change.
 */
#include "base/philox.h"
#include "gate/policy.h"

void dd_gate_bernoulli_draw(const dd_gate *gate, const struct dd_gate_moment *moment, unsigned char *mask) {
    const double share = (double)moment->part / (double)moment->whole;
    for (int i = 0; i < gate->gated_count; i++) {
        int unit = gate->gated[i];
        uint32_t words[4];
        dd_philox(gate->seed, moment->counter, (uint32_t)unit, DD_STREAM_GATES, 0, words);
        mask[unit] = !(dd_unit_interval(words[0]) < gate->ratio[unit] * share);
    }
}

double dd_gate_bernoulli_expected_off(const dd_gate *gate) {
    double off = 0.0;
    for (int i = 0; i < gate->gated_count; i++)
        off += gate->ratio[gate->gated[i]];
    return off;
}
