/*
 * Policies whose number of units off is the same in every iteration: none, and exact:K, which draws K gated units
 * without replacement (the first K steps of a Fisher-Yates shuffle).
 */
#include "base/philox.h"
#include "gate/policy.h"

dd_status dd_gate_none_parse(dd_gate *gate, const char *policy, const char *argument) {
    return argument ? dd_gate_fail_form(gate, policy) : DD_OK;
}

void dd_gate_none_draw(const dd_gate *gate, uint32_t iteration, unsigned char *mask) {
    (void)gate;
    (void)iteration;
    (void)mask;
}

dd_status dd_gate_exact_parse(dd_gate *gate, const char *policy, const char *argument) {
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
        return dd_fail(DD_ERROR_USAGE, "gate policy '%s' asks for more units off than can be: the network has %d gated "
                       "units", policy, gate->gated_count);
    gate->off = (int)off;
    return DD_OK;
}

/* Word 0 of counter (iteration, j, stream of gates, 1) chooses the entry that is swapped with entry j. */
void dd_gate_exact_draw(const dd_gate *gate, uint32_t iteration, unsigned char *mask) {
    uint16_t order[DD_GATE_MAX_UNITS];
    for (int i = 0; i < gate->gated_count; i++)
        order[i] = (uint16_t)gate->gated[i];
    for (int j = 0; j < gate->off; j++) {
        uint32_t words[4];
        dd_philox(gate->seed, iteration, (uint32_t)j, DD_STREAM_GATES, 1, words);
        int other = j + (int)(((uint64_t)words[0] * (uint32_t)(gate->gated_count - j)) >> 32);
        uint16_t chosen = order[other];
        order[other] = order[j];
        order[j] = chosen;
        mask[chosen] = 0;
    }
}

double dd_gate_fixed_expected_off(const dd_gate *gate) {
    return gate->off;
}
