/*
 * The search among candidates that do the same work: each is checked against a reference, those that are right are
 * timed in turns, and the fastest wins. What a candidate is, the search does not know: it sees callbacks.
 */
#ifndef DD_TUNE_SEARCH_H
#define DD_TUNE_SEARCH_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum dd_tune_outcome {
    DD_TUNE_UNTRIED,
    DD_TUNE_WRONG, /* does not build, does not run, or does not match the reference: never chosen */
    DD_TUNE_SLOW,  /* given up after `rounds` rounds, being far from the best */
    DD_TUNE_TIMED,
    DD_TUNE_RIGHT, /* right and the only one, so not timed */
};

struct dd_tune_candidate {
    const char *name;
    /** Compares with the reference: DD_OK and failure "" if right, or what is wrong; else the driver's status. */
    dd_status (*verify)(void *context, char *failure, size_t size);
    /** Runs the work repeats times and waits; *seconds: of them all. */
    dd_status (*run)(void *context, int repeats, double *seconds);
    void *context;
    /* out */
    enum dd_tune_outcome outcome;
    double seconds;    /* of the best run, for one repeat; 0: not timed */
    int rounds;        /* it was timed in */
    int repeats;       /* of a timed run */
    char failure[200]; /* WRONG: why */
};

struct dd_tune_rules {
    int rounds;         /* timed runs of each candidate, after two to warm up */
    double seconds;     /* then more, up to DD_TUNE_MOST_ROUNDS times as many, until so much time has passed */
    bool time_always;   /* also a candidate that is alone */
    volatile int *stop; /* may be NULL; non-zero: DD_INTERRUPTED */
};

/* A single run may be slow because another process had the device: a candidate is given up after some slow ones. */
enum { DD_TUNE_MOST_ROUNDS = 8, DD_TUNE_GIVE_UP_PERCENT = 150, DD_TUNE_GIVE_UP_ROUNDS = 5, DD_TUNE_MARGIN_PERCENT = 3 };

/**
 * candidates [count] in order of preference: a later one must be faster by DD_TUNE_MARGIN_PERCENT to win, since timings
 * scatter. One whose best run takes DD_TUNE_GIVE_UP_PERCENT of the best of all is given up. what names the work in
 * warnings about wrong candidates. *winner: its index, or -1 if none is right. The only error is DD_INTERRUPTED.
 */
dd_status dd_tune_search(const char *what, struct dd_tune_candidate *candidates, int count,
                         const struct dd_tune_rules *rules, int *winner);

#endif
