/*
 * Gate policies: the published test vectors of docs/gates-test-vectors.md, frequencies within statistical bounds,
 * which units may be off, and every refusal.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <depthdrop/gate.h>

enum { MAX_UNITS = 600 };

static dd_net *make_net(const char *name) {
    struct dd_net_options options = {.name = name, .channels = 3, .height = 32, .width = 32, .classes = 10};
    dd_net *net = NULL;
    assert_int_equal(dd_net_create(&options, &net), DD_OK);
    return net;
}

static dd_gate *make_warm(const char *net_name, const char *policy, const char *first, uint64_t seed, uint64_t warmup) {
    dd_net *net = make_net(net_name);
    dd_gate *gate = NULL;
    const struct dd_gate_options options = {.policy = policy, .first = first, .seed = seed, .warmup = warmup};
    if (dd_gate_create(&options, net, &gate) != DD_OK)
        fail_msg("%s %s: %s", net_name, policy, dd_error_message());
    dd_net_destroy(&net); /* a gate does not need its net any longer */
    return gate;
}

static dd_gate *make(const char *net_name, const char *policy, const char *first, uint64_t seed) {
    return make_warm(net_name, policy, first, seed, 0);
}

static void draw_text(const dd_gate *gate, uint64_t iteration, int units, char *text) {
    unsigned char mask[MAX_UNITS];
    dd_gate_draw(gate, iteration, mask);
    for (int u = 0; u < units; u++) {
        assert_in_range(mask[u], 0, 1);
        text[u] = (char)('0' + mask[u]);
    }
    text[units] = '\0';
}

static const struct {
    const char *net, *policy;
    uint64_t seed, iteration;
    const char *gates;
} vectors[] = {
    {"resnet14", "uniform:0.5", 1, 1, "111110"},
    {"resnet14", "uniform:0.5", 1, 2, "111111"},
    {"resnet14", "uniform:0.5", 1, 3, "111010"},
    {"resnet14", "uniform:0.5", 1, 4, "101110"},
    {"resnet14", "uniform:0.5", 1, 5, "111110"},
    {"resnet14", "uniform:0.5", 1, 6, "101110"},
    {"resnet14", "uniform:0.5", 1, 7, "111111"},
    {"resnet14", "uniform:0.5", 1, 8, "101110"},
    {"resnet56", "uniform:0.25", 0x0123456789abcdef, 1, "111001111111011101111110111"},
    {"resnet56", "uniform:0.25", 0x0123456789abcdef, 2, "110101001110111111101011111"},
    {"resnet56", "uniform:0.25", 0x0123456789abcdef, 64000, "111111011101101101110101111"},
    {"resnet56", "linear:0.5", 0x0123456789abcdef, 1, "111001111111011100111100011"},
    {"resnet56", "linear:0.5", 0x0123456789abcdef, 2, "110101111110111111100010111"},
    {"resnet56", "linear:0.5", 0x0123456789abcdef, 64000, "111111111101101101110100111"},
    {"resnet56", "exact:12", 7, 1, "111101100100111010110010100"},
    {"resnet56", "exact:12", 7, 2, "111011001111100011100100010"},
    {"resnet56", "exact:12", 7, 3, "111000000111110011100110110"},
};

static void published_vectors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        dd_gate *gate = make(vectors[i].net, vectors[i].policy, NULL, vectors[i].seed);
        char text[MAX_UNITS + 1];
        draw_text(gate, vectors[i].iteration, (int)strlen(vectors[i].gates), text);
        if (strcmp(text, vectors[i].gates) != 0)
            fail_msg("%s %s seed %llu iteration %llu: %s, published %s", vectors[i].net, vectors[i].policy,
                     (unsigned long long)vectors[i].seed, (unsigned long long)vectors[i].iteration, text,
                     vectors[i].gates);
        dd_gate_destroy(&gate);
        assert_null(gate);
    }
}

/* Iterations drawn twice, backwards and by another gate are the same; other seeds, also in their high half, are not. */
static void draws_are_pure(void **state) {
    (void)state;
    dd_gate *gate = make("resnet56", "uniform:0.5", NULL, 11), *twin = make("resnet56", "uniform:0.5", NULL, 11);
    dd_gate *other = make("resnet56", "uniform:0.5", NULL, 12);
    dd_gate *high = make("resnet56", "uniform:0.5", NULL, 11 + (UINT64_C(1) << 32));
    char a[100][28], b[28];
    int same_as_other = 0, same_as_high = 0;
    for (int i = 0; i < 100; i++)
        draw_text(gate, (uint64_t)i + 1, 27, a[i]);
    for (int i = 99; i >= 0; i--) {
        draw_text(gate, (uint64_t)i + 1, 27, b);
        assert_string_equal(a[i], b);
        draw_text(twin, (uint64_t)i + 1, 27, b);
        assert_string_equal(a[i], b);
        draw_text(other, (uint64_t)i + 1, 27, b);
        same_as_other += !strcmp(a[i], b);
        draw_text(high, (uint64_t)i + 1, 27, b);
        same_as_high += !strcmp(a[i], b);
    }
    assert_true(same_as_other < 3 && same_as_high < 3);
    draw_text(gate, (UINT64_C(1) << 32) + 5, 27, b);
    assert_string_equal(a[4], b);
    dd_gate_destroy(&gate);
    dd_gate_destroy(&twin);
    dd_gate_destroy(&other);
    dd_gate_destroy(&high);
}

/* Over 20,000 iterations each unit's share of off is within 5 standard deviations of its probability. */
static void check_frequencies(const char *net, const char *policy, const char *first, const double *off, int units) {
    enum { ITERATIONS = 20000 };
    int counts[MAX_UNITS] = {0};
    double run = units;
    unsigned char mask[MAX_UNITS];
    dd_gate *gate = make(net, policy, first, 2024);
    for (int i = 1; i <= ITERATIONS; i++) {
        dd_gate_draw(gate, (uint64_t)i, mask);
        for (int u = 0; u < units; u++)
            counts[u] += !mask[u];
    }
    for (int u = 0; u < units; u++) {
        double share = counts[u] / (double)ITERATIONS, bound = 5 * sqrt(off[u] * (1 - off[u]) / ITERATIONS);
        if (fabs(share - off[u]) > bound)
            fail_msg("%s seed 2024 unit %d: off in %.4f of the iterations, expected %.4f +- %.4f", policy, u, share,
                     off[u], bound);
        run -= off[u];
    }
    assert_true(fabs(dd_gate_expected_run(gate) - run) < 1e-9);
    dd_gate_destroy(&gate);
}

static void frequencies(void **state) {
    (void)state;
    static const double half[9] = {0, .5, .5, 0, .5, .5, 0, .5, .5};
    static const double stages[9] = {0, .1, .1, 0, .4, .4, 0, 1, 1};
    static const double stage1[9] = {.5, .5, .5, 0, .5, .5, 0, .5, .5};
    static const double all[9] = {.25, .25, .25, .25, .25, .25, .25, .25, .25};
    static const double linear[9] = {0, .9 * 2 / 9, .9 * 3 / 9, 0, .9 * 5 / 9, .9 * 6 / 9, 0, .9 * 8 / 9, .9};
    static const double linear_all[9] = {1 / 9., 2 / 9., 3 / 9., 4 / 9., 5 / 9., 6 / 9., 7 / 9., 8 / 9., 1};
    static const double exact[9] = {0, 2 / 6., 2 / 6., 0, 2 / 6., 2 / 6., 0, 2 / 6., 2 / 6.};
    static const double none[9] = {0};
    check_frequencies("resnet20", "uniform:0.5", NULL, half, 9);
    check_frequencies("resnet20", "uniform:.5", "none", half, 9);
    check_frequencies("resnet20", "uniform:5e-1", "none", half, 9);
    check_frequencies("resnet20", "uniform:0.1,0.4,1", NULL, stages, 9);
    check_frequencies("resnet20", "uniform:0.5", "stage1", stage1, 9);
    check_frequencies("resnet20", "uniform:0.25", "all", all, 9);
    check_frequencies("resnet20", "linear:0.9", NULL, linear, 9);
    check_frequencies("resnet20", "linear:1", "all", linear_all, 9);
    check_frequencies("resnet20", "exact:2", NULL, exact, 9);
    check_frequencies("resnet20", "none", "all", none, 9);
    check_frequencies("resnet20", NULL, NULL, none, 9);
    check_frequencies("resnet20", "uniform:0", "all", none, 9);
}

/* Units are independent of each other and of the iteration before: correlations within 5 standard errors of 0. */
static void independence(void **state) {
    enum { ITERATIONS = 20000 };
    (void)state;
    dd_gate *gate = make("resnet20", "uniform:0.5", "all", 5);
    int pairs[9][9] = {{0}}, next[9] = {0};
    unsigned char mask[9], before[9];
    dd_gate_draw(gate, ITERATIONS + 1, before);
    for (int i = 1; i <= ITERATIONS; i++) {
        dd_gate_draw(gate, (uint64_t)i, mask);
        for (int u = 0; u < 9; u++) {
            next[u] += mask[u] == before[u] ? 1 : -1;
            for (int v = 0; v < u; v++)
                pairs[u][v] += mask[u] == mask[v] ? 1 : -1;
        }
        memcpy(before, mask, sizeof mask);
    }
    for (int u = 0; u < 9; u++) {
        assert_true(abs(next[u]) < 5 * sqrt(ITERATIONS));
        for (int v = 0; v < u; v++)
            assert_true(abs(pairs[u][v]) < 5 * sqrt(ITERATIONS));
    }
    dd_gate_destroy(&gate);
}

static void exact_counts(void **state) {
    (void)state;
    for (int k = 0; k <= 24; k++) {
        char policy[16];
        snprintf(policy, sizeof policy, "exact:%d", k);
        dd_gate *gate = make("resnet56", policy, NULL, 3);
        assert_int_equal(dd_gate_gated_units(gate), 24);
        assert_true(dd_gate_expected_run(gate) == 27 - k);
        for (uint64_t iteration = 1; iteration <= 50; iteration++) {
            unsigned char mask[27];
            int on = 0;
            dd_gate_draw(gate, iteration, mask);
            for (int u = 0; u < 27; u++)
                on += mask[u];
            assert_int_equal(on, 27 - k);
            assert_true(mask[0] && mask[9] && mask[18]);
        }
        dd_gate_destroy(&gate);
    }
}

static void gated_units(void **state) {
    static const struct {
        const char *net, *policy, *first;
        int gated;
    } cases[] = {
        {"resnet56", "uniform:0.5", NULL, 24}, {"resnet56", "uniform:0.5", "stage1", 25},
        {"resnet56", "uniform:0.5", "all", 27}, {"resnet18", "exact:4", NULL, 4},
        {"resnet18", "uniform:0.1,0.2,0.3,0.4", NULL, 4}, {"resnet50", "linear:0.5", NULL, 12},
        {"resnet8", "uniform:0.5", NULL, 0}, {"resnet8", "exact:0", NULL, 0}, {"resnet8", "exact:3", "all", 3},
        {"resnet1202", "exact:597", NULL, 597}, {"resnet56", "none", NULL, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dd_gate *gate = make(cases[i].net, cases[i].policy, cases[i].first, 1);
        assert_int_equal(dd_gate_gated_units(gate), cases[i].gated);
        unsigned char mask[MAX_UNITS];
        dd_gate_draw(gate, 1, mask);
        dd_gate_destroy(&gate);
    }
}

static void refusals(void **state) {
    static const struct {
        const char *policy, *first, *part; /* of the message */
    } cases[] = {
        {"", NULL, "unknown gate policy ''"},          {"bernoulli:0.5", NULL, "uniform:P"},
        {"uniform", NULL, "write uniform:P"},          {"uniform:", NULL, "write uniform:P"},
        {"Uniform:0.5", NULL, "unknown gate policy"},  {"uniform 0.5", NULL, "unknown gate policy"},
        {"uniform:1.01", NULL, "'1.01' is not a ratio"}, {"uniform:-0.1", NULL, "from 0 to 1"},
        {"uniform:nan", NULL, "from 0 to 1"},          {"uniform:inf", NULL, "from 0 to 1"},
        {"uniform:0x1p-1", NULL, "from 0 to 1"},       {"uniform:0.5x", NULL, "'0.5x'"},
        {"uniform: 0.5", NULL, "from 0 to 1"},         {"uniform:0.5 ", NULL, "from 0 to 1"},
        {"uniform:.", NULL, "from 0 to 1"},            {"uniform:1e", NULL, "from 0 to 1"},
        {"uniform:0.1,0.2", NULL, "2 ratios"},         {"uniform:0.1,0.2,0.3,0.4", NULL, "3 stages"},
        {"uniform:0.1,,0.3", NULL, "''"},              {"uniform:0.1,0.2,", NULL, "''"},
        {"uniform:0.1,0.2,2", NULL, "'2'"},            {"uniform:0.00000000000000000000000000000000001", NULL, "ratio"},
        {"linear", NULL, "write linear:P"},            {"linear:2", NULL, "from 0 to 1"},
        {"linear:0.1,0.2,0.3", NULL, "not a ratio"},   {"exact", NULL, "write exact:K"},
        {"exact:25", NULL, "24 gated units"},          {"exact:-1", NULL, "digits only"},
        {"exact:1.5", NULL, "digits only"},            {"exact:99999999999999999999", NULL, "24 gated units"},
        {"none:0", NULL, "write none"},                {"none:", NULL, "write none"},
        {"uniform:0.5", "stage2", "none, stage1 or all"}, {"uniform:0.5", "", "unknown value ''"},
    };
    (void)state;
    dd_net *net = make_net("resnet56");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dd_gate *gate = (dd_gate *)&cases[i];
        const struct dd_gate_options options = {.policy = cases[i].policy, .first = cases[i].first, .seed = 1};
        assert_int_equal(dd_gate_create(&options, net, &gate), DD_ERROR_USAGE);
        assert_null(gate);
        if (!strstr(dd_error_message(), cases[i].part))
            fail_msg("'%s': '%s' lacks '%s'", cases[i].policy, dd_error_message(), cases[i].part);
    }
    dd_net_destroy(&net);
}

/* Published as vector 4. */
static const struct {
    const char *policy;
    uint64_t iteration;
    const char *gates;
} warm_vectors[] = {
    {"uniform:0.5", 1, "111111011111111111111011111"},
    {"uniform:0.5", 2, "111111111101110111111111111"},
    {"uniform:0.5", 5, "101111111101111110110011100"},
    {"uniform:0.5", 9, "101101000101000100110001111"},
    {"uniform:0.5", 10, "110101000110100100110001110"},
    {"linear:0.5", 1, "111111111111111111111011111"},
    {"linear:0.5", 2, "111111111101111111111111111"},
    {"linear:0.5", 5, "111111111101111111110011100"},
    {"linear:0.5", 9, "111111110101001101110001111"},
    {"linear:0.5", 10, "111111001111110100110101110"},
    {"exact:12", 1, "111111111111111111110111111"},
    {"exact:12", 2, "111111011111111111111110111"},
    {"exact:12", 5, "111111101111011111101001110"},
    {"exact:12", 9, "101011101110001101101100110"},
    {"exact:12", 10, "110010011111001110100101010"},
};

static void published_warmup(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof warm_vectors / sizeof warm_vectors[0]; i++) {
        dd_gate *gate = make_warm("resnet56", warm_vectors[i].policy, NULL, 7, 10);
        char text[MAX_UNITS + 1];
        draw_text(gate, warm_vectors[i].iteration, 27, text);
        if (strcmp(text, warm_vectors[i].gates) != 0)
            fail_msg("%s with warm-up 10, iteration %d: %s, published %s", warm_vectors[i].policy,
                     (int)warm_vectors[i].iteration, text, warm_vectors[i].gates);
        dd_gate_destroy(&gate);
    }
}

/* Before the end of a warm-up a part of the units is off that are off without one, and from its end on the same. */
static void warmup_is_a_part(void **state) {
    static const char *const policies[] = {"uniform:0.5", "uniform:0.2,0.5,1", "linear:0.9", "exact:12"};
    enum { WARMUP = 40 };
    (void)state;
    for (size_t p = 0; p < sizeof policies / sizeof policies[0]; p++) {
        dd_gate *warm = make_warm("resnet56", policies[p], "stage1", 3, WARMUP);
        dd_gate *cold = make("resnet56", policies[p], "stage1", 3);
        int fewer = 0;
        assert_true(dd_gate_expected_run(warm) == dd_gate_expected_run(cold));
        for (uint64_t iteration = 3 * WARMUP; iteration >= 1; iteration--) { /* backwards: a draw has no memory */
            unsigned char a[27], b[27];
            dd_gate_draw(warm, iteration, a);
            dd_gate_draw(cold, iteration, b);
            if (iteration >= WARMUP)
                assert_memory_equal(a, b, sizeof a);
            for (int u = 0; u < 27; u++) {
                assert_true(a[u] >= b[u]);
                fewer += a[u] > b[u];
            }
        }
        assert_true(fewer > WARMUP);
        dd_gate_destroy(&warm);
        dd_gate_destroy(&cold);
    }
}

/* Over 4,000 seeds the number of units off in iteration i of N is within 5 standard deviations of i/N of the whole. */
static void warmup_shares(void **state) {
    static const struct {
        const char *policy;
        double off, variance; /* at the full ratio; sum of p(1-p) is below sum of p */
    } cases[] = {{"uniform:0.5", 12, 12}, {"uniform:0.25,0.5,0.75", 12, 12},
                 {"linear:1", 27 * 28 / 54. - 30 / 27., 13}};
    enum { SEEDS = 4000, WARMUP = 8 };
    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++)
        for (uint64_t iteration = 1; iteration <= WARMUP; iteration += 3) {
            double off = 0, share = (double)iteration / WARMUP;
            for (uint64_t seed = 1; seed <= SEEDS; seed++) {
                dd_gate *gate = make_warm("resnet56", cases[c].policy, NULL, seed, WARMUP);
                unsigned char mask[27];
                dd_gate_draw(gate, iteration, mask);
                for (int u = 0; u < 27; u++)
                    off += !mask[u];
                dd_gate_destroy(&gate);
            }
            off /= SEEDS;
            if (fabs(off - share * cases[c].off) > 5 * sqrt(cases[c].variance * share / SEEDS))
                fail_msg("%s iteration %d of %d, seeds 1 to %d: %.3f units off on average, expected %.3f",
                         cases[c].policy, (int)iteration, WARMUP, SEEDS, off, share * cases[c].off);
        }
}

static void warmup_of_exact(void **state) {
    static const int off[] = {1, 1, 2, 2, 3, 3, 4, 4, 5}; /* 5 i / 9: 0.56 1.11 1.67 2.22 2.78 3.33 3.89 4.44 5 */
    static const int halves[] = {1, 1, 2, 2, 3, 3};       /* 3 i / 6, halves up: 0.5 1 1.5 2 2.5 3 */
    (void)state;
    dd_gate *gates[2] = {make_warm("resnet56", "exact:5", NULL, 1, 9), make_warm("resnet56", "exact:3", NULL, 1, 6)};
    for (int g = 0; g < 2; g++)
        for (int i = 0; i < (g == 0 ? 9 : 6); i++) {
            unsigned char mask[27];
            int count = 0;
            dd_gate_draw(gates[g], (uint64_t)i + 1, mask);
            for (int u = 0; u < 27; u++)
                count += !mask[u];
            assert_int_equal(count, g == 0 ? off[i] : halves[i]);
        }
    dd_gate_destroy(&gates[0]);
    dd_gate_destroy(&gates[1]);
    dd_gate *longest = make_warm("resnet56", "exact:24", "none", 1, UINT32_MAX); /* no overflow on the way */
    unsigned char mask[27];
    dd_gate_draw(longest, UINT32_MAX / 2, mask);
    int count = 0;
    for (int u = 0; u < 27; u++)
        count += !mask[u];
    assert_int_equal(count, 12);
    dd_gate_destroy(&longest);
}

static void warmup_refusals(void **state) {
    (void)state;
    dd_net *net = make_net("resnet20");
    dd_gate *gate = NULL;
    assert_int_equal(dd_gate_create(&(struct dd_gate_options){.warmup = 5}, net, &gate), DD_ERROR_USAGE);
    assert_non_null(strstr(dd_error_message(), "--gate-warmup"));
    assert_int_equal(dd_gate_create(&(struct dd_gate_options){.policy = "exact:1", .warmup = UINT64_MAX}, net, &gate),
                     DD_ERROR_USAGE);
    assert_null(gate);
    dd_net_destroy(&net);
}

static void help_table(void **state) {
    (void)state;
    int count = 0;
    for (const struct dd_gate_policy_help *help; (help = dd_gate_policy_help(count)) != NULL; count++)
        assert_true(!strncmp(help->form, help->name, strlen(help->name)) && *help->description && *help->source);
    assert_int_equal(count, 4);
    assert_null(dd_gate_policy_help(-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_vectors), cmocka_unit_test(draws_are_pure), cmocka_unit_test(frequencies),
        cmocka_unit_test(independence),      cmocka_unit_test(exact_counts),   cmocka_unit_test(gated_units),
        cmocka_unit_test(refusals),          cmocka_unit_test(help_table),     cmocka_unit_test(published_warmup),
        cmocka_unit_test(warmup_is_a_part),  cmocka_unit_test(warmup_shares),  cmocka_unit_test(warmup_of_exact),
        cmocka_unit_test(warmup_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
