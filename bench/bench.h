/* Benchmarks behind `depthdrop bench`. */
#ifndef DD_BENCH_BENCH_H
#define DD_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <depthdrop/status.h>

/** What all benchmarks take; each reads what it has a use for, and the command line refuses the rest. */
struct dd_bench_options {
    const char *net;                /* resnet56 */
    const char *shortcut;           /* identity; NULL: identity, in dd_bench_gates conv */
    const char *gate, *gate_first;  /* none; gate: step alone */
    const char *algorithm, *vector; /* auto */
    const char *device, *cache_dir; /* NULL: as for training */
    const char *ratios;             /* gates: "0,0.25,0.5,0.75" */
    const char *exact;              /* gates: "6,12,18": units that are off in every iteration; NULL: none */
    double dropout, unit_dropout;   /* width dropout as of training; -1: 0 in step, 0.5 in its row of gates */
    int batch;                      /* 128 */
    int64_t iterations;             /* counted ones; 0: 20, in dd_bench_gates 500 */
    int image_size;                 /* rows and columns, 32; 3 channels, 10 classes */
    int warmup;                     /* iterations before, 3 */
    int threads;                    /* CPU devices; 0: the driver's choice */
    uint64_t seed;                  /* of images, weights and gates, 1 */
    bool all;                       /* conv: every algorithm, not only the chosen ones */
    bool plain;                     /* conv: nothing fused with them */
    bool profile;                   /* step: the time of every kernel as well */
    bool json;
};
void dd_bench_options_default(struct dd_bench_options *options);

/* Each prints its figures to out; progress goes to the log. */

/** Training steps on random images: forward, backward and update by finishing the queue at their borders, and whole. */
dd_status dd_bench_step(const struct dd_bench_options *options, FILE *out);

/** Each convolution of the net by itself: time, and error against the reference. DD_ERROR_SELFTEST if one is wrong. */
dd_status dd_bench_conv(const struct dd_bench_options *options, FILE *out);

/** What depth dropout saves, by the paper's timing protocol. */
dd_status dd_bench_gates(const struct dd_bench_options *options, FILE *out);

#endif
