/* Benchmarks behind `depthdrop bench`. */
#ifndef DD_BENCH_BENCH_H
#define DD_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <depthdrop/status.h>

/** Training steps on random images: times of forward, backward and update, by finishing the queue at their borders. */
struct dd_bench_step_options {
    const char *net, *shortcut, *gate, *gate_first; /* resnet56, identity, none, none */
    const char *algorithm, *vector;                 /* auto */
    const char *device, *cache_dir;                 /* NULL: as for training */
    int batch;                                      /* 128 */
    int64_t iterations;                             /* counted ones, 20 */
    int image_size;                                 /* rows and columns, 32; 3 channels, 10 classes */
    int warmup;                                     /* steps before, 3 */
    int threads;                                    /* CPU devices; 0: the driver's choice */
    uint64_t seed;                                  /* of images, weights and gates, 1 */
    bool json;
};
void dd_bench_step_options_default(struct dd_bench_step_options *options);

/** Prints the figures to out. Progress goes to the log. */
dd_status dd_bench_step(const struct dd_bench_step_options *options, FILE *out);

#endif
