/*
 * Policy exact: K gated units off, drawn without replacement by the first K steps of the shuffle of Fisher and Yates in
 * Durstenfeld's form (Algorithm 235, CACM 1964). It is this program's own: the ratio of `uniform` at a cost that is the
 * same in every iteration. The counters are published and must never change.
 */
#include "base/philox.h"
#include "gate/policy.h"

static dd_status parse(dd_gate *gate, const char *policy, const char *argument) {
    long off = 0;
    if (!argument || !*argument)
        return dd_gate_fail_form(gate, policy);
    for (const char *c = argument; *c; c++) {
        if (*c < '0' || *c > '9')
            return dd_fail(DD_ERROR_USAGE, "gate policy '%s': '%s' is not a number of units, write digits only", policy,
                           argument);
        if (off <= DD_GATE_MAX_UNITS) /* larger is refused below, whatever follows */
            off = off * 10 + (*c - '0');
    }
    if (off > gate->gated_count)
        return dd_fail(DD_ERROR_USAGE,
                       "gate policy '%s' asks for more units off than can be: the network has %d gated "
                       "units",
                       policy, gate->gated_count);
    gate->off = (int)off;
    return DD_OK;
}

/* K part / whole to the nearest number, halves up; part <= whole < 2^32, so nothing overflows. */
static int units_off(const dd_gate *gate, const struct dd_gate_moment *moment) {
    return (int)((2 * (uint64_t)gate->off * moment->part + moment->whole) / (2 * moment->whole));
}

/* Word 0 of counter (iteration, j, stream of gates, 1) chooses the entry that is swapped with entry j. */
static void draw(const dd_gate *gate, const struct dd_gate_moment *moment, unsigned char *mask) {
    const int off = units_off(gate, moment);
    uint16_t order[DD_GATE_MAX_UNITS];
    for (int i = 0; i < gate->gated_count; i++)
        order[i] = (uint16_t)gate->gated[i];
    for (int j = 0; j < off; j++) {
        uint32_t words[4];
        dd_philox(gate->seed, moment->counter, (uint32_t)j, DD_STREAM_GATES, 1, words);
        int other = j + (int)(((uint64_t)words[0] * (uint32_t)(gate->gated_count - j)) >> 32);
        uint16_t chosen = order[other];
        order[other] = order[j];
        order[j] = chosen;
        mask[chosen] = 0;
    }
}

static double expected_off(const dd_gate *gate) {
    return gate->off;
}

const struct dd_gate_policy dd_gate_policy_exact = {
    {"exact", "exact:K", "exactly K gated units are off, drawn anew in each iteration", "this program"},
    parse,
    draw,
    expected_off};
