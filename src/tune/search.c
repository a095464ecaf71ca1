/* The search: check all, then rounds in which every candidate still in the race runs once. */
#include "tune/search.h"

#include <stdio.h>

#include "base/file.h"
#include "base/log.h"

/* A timed run lasts about this long: starting and waiting count little, and some runs on a busy machine are whole. */
static const double RUN_SECONDS = 1e-3;
enum { MOST_REPEATS = 32 };

static dd_status check_stop(const struct dd_tune_rules *rules) {
    if (rules->stop != NULL && *rules->stop != 0)
        return dd_fail(DD_INTERRUPTED, "interrupted while tuning; what was found so far is kept");
    return DD_OK;
}

static void reject(const char *what, struct dd_tune_candidate *candidate) {
    candidate->outcome = DD_TUNE_WRONG;
    candidate->seconds = 0;
    dd_warning("tuning %s: \"%s\" is left out: %s", what, candidate->name, candidate->failure);
}

static void verify(const char *what, struct dd_tune_candidate *candidate) {
    candidate->failure[0] = '\0';
    const dd_status status = candidate->verify(candidate->context, candidate->failure, sizeof candidate->failure);
    if (status != DD_OK)
        snprintf(candidate->failure, sizeof candidate->failure, "%s", dd_error_message());
    candidate->outcome = DD_TUNE_RIGHT;
    if (status != DD_OK || candidate->failure[0] != '\0')
        reject(what, candidate);
}

static bool in_race(const struct dd_tune_candidate *candidate) {
    return candidate->outcome == DD_TUNE_RIGHT || candidate->outcome == DD_TUNE_TIMED;
}

/** One run; a candidate whose run fails is out. */
static double run(const char *what, struct dd_tune_candidate *candidate, int repeats) {
    double seconds = 0;
    if (candidate->run(candidate->context, repeats, &seconds) != DD_OK) {
        snprintf(candidate->failure, sizeof candidate->failure, "%s", dd_error_message());
        reject(what, candidate);
        return 0;
    }
    return seconds / repeats;
}

static double best_time(const struct dd_tune_candidate *candidates, int count) {
    double best = 0;
    for (int i = 0; i < count; i++)
        if (candidates[i].outcome == DD_TUNE_TIMED && (best == 0 || candidates[i].seconds < best))
            best = candidates[i].seconds;
    return best;
}

/** One run in which the driver may still be compiling, then one that tells how many make a timed run. */
static void warm_up(const char *what, struct dd_tune_candidate *candidate) {
    run(what, candidate, 1);
    const double seconds = in_race(candidate) ? run(what, candidate, 1) : 0;
    const double wanted = seconds > 0 ? RUN_SECONDS / seconds : MOST_REPEATS;
    candidate->repeats = wanted < 1 ? 1 : wanted > MOST_REPEATS ? MOST_REPEATS : (int)wanted;
}

static void run_round(const char *what, struct dd_tune_candidate *candidates, int count) {
    for (int i = 0; i < count; i++) {
        struct dd_tune_candidate *candidate = &candidates[i];
        const double seconds = in_race(candidate) ? run(what, candidate, candidate->repeats) : 0;
        if (!in_race(candidate))
            continue;
        if (candidate->outcome == DD_TUNE_RIGHT || seconds < candidate->seconds)
            candidate->seconds = seconds;
        candidate->outcome = DD_TUNE_TIMED;
        candidate->rounds++;
    }
    const double limit = best_time(candidates, count) * DD_TUNE_GIVE_UP_PERCENT / 100;
    for (int i = 0; i < count; i++)
        if (candidates[i].outcome == DD_TUNE_TIMED && candidates[i].rounds >= DD_TUNE_GIVE_UP_ROUNDS &&
            candidates[i].seconds > limit)
            candidates[i].outcome = DD_TUNE_SLOW;
}

static bool goes_on(const struct dd_tune_rules *rules, int round, double start) {
    return round < rules->rounds || (round < rules->rounds * DD_TUNE_MOST_ROUNDS && dd_now() - start < rules->seconds);
}

static int choose(const struct dd_tune_candidate *candidates, int count) {
    int winner = -1;
    for (int i = 0; i < count; i++) {
        const double bar = winner < 0 ? 0 : candidates[winner].seconds * (100 - DD_TUNE_MARGIN_PERCENT) / 100;
        if (in_race(&candidates[i]) && (winner < 0 || candidates[i].seconds < bar))
            winner = i;
    }
    return winner;
}

dd_status dd_tune_search(const char *what, struct dd_tune_candidate *candidates, int count,
                         const struct dd_tune_rules *rules, int *winner) {
    int right = 0;
    *winner = -1;
    for (int i = 0; i < count; i++) {
        DD_TRY(check_stop(rules));
        candidates[i].seconds = 0;
        candidates[i].rounds = 0;
        verify(what, &candidates[i]);
        right += in_race(&candidates[i]);
    }
    if (right > 1 || (right == 1 && rules->time_always)) {
        for (int i = 0; i < count; i++)
            if (in_race(&candidates[i]))
                warm_up(what, &candidates[i]);
        const double start = dd_now();
        for (int round = 0; goes_on(rules, round, start); round++) {
            DD_TRY(check_stop(rules));
            run_round(what, candidates, count);
        }
    }
    *winner = choose(candidates, count);
    return DD_OK;
}
