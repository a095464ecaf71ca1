/*
 * The sweep of CLBlast's products: sizes of the networks' im2col products, ragged ones, all transpositions, batches,
 * and sizes beyond 1152, from where on CLBlast 1.5.3 takes its indirect kernel (known to be wrong on some devices).
 */
#include "selftest/sweep.h"

struct product {
    struct dd_gemm_case gemm;
    bool quick; /* part of the short form */
};

static const struct product products[] = {
    {{1280, 1280, 1280, false, false, 1, 0}, true},
    {{1153, 1200, 1300, false, true, 1, 0}, true},
    {{1153, 1200, 1300, true, false, 1, 1}, false},
    {{1536, 1160, 1153, true, true, 1, 0}, false},
    /* networks: channels x (9 channels) x pixels forward, its transposes backward */
    {{16, 4096, 144, false, false, 1, 0}, true},
    {{144, 4096, 16, true, false, 1, 0}, true},
    {{16, 144, 4096, false, true, 1, 1}, true},
    {{64, 2048, 576, false, false, 1, 0}, false},
    {{576, 2048, 64, true, false, 1, 0}, false},
    {{64, 576, 2048, false, true, 1, 0}, false},
    {{16, 8192, 27, false, false, 1, 0}, false},
    {{64, 3136, 147, false, false, 2, 0}, false},
    {{512, 392, 4608, false, false, 1, 0}, false},
    {{10, 128, 64, false, false, 1, 0}, true},
    {{1000, 32, 512, false, false, 1, 0}, false},
    /* ragged */
    {{1, 1, 1, false, false, 1, 0}, true},
    {{1, 130, 17, false, true, 3, 0}, true},
    {{17, 1, 33, true, false, 2, 1}, false},
    {{3, 17, 1, false, false, 5, 0}, false},
    {{33, 65, 129, true, true, 4, 1}, false},
    {{127, 255, 63, false, false, 2, 0}, false},
};

static void gemm(struct dd_sweep *sweep) {
    for (size_t i = 0; i < sizeof products / sizeof *products && sweep->status == DD_OK; ++i) {
        const struct dd_gemm_case *c = &products[i].gemm;
        if (sweep->quick && !products[i].quick)
            continue;
        dd_sweep_take(sweep, dd_case_gemm(sweep->device, c, sweep->seed, &sweep->result),
                      "%dx%dx%d%s%s, batch %d, beta %g", c->m, c->n, c->k, c->transpose_a ? ", A transposed" : "",
                      c->transpose_b ? ", B transposed" : "", c->batch, (double)c->beta);
    }
}

static void last_layer(struct dd_sweep *sweep) {
    static const int sizes[][3] = {{10, 64, 128}, {100, 64, 17}, {1000, 512, 32},
                                   {2, 2048, 1},  {10, 64, 1},   {3, 5, 130}};
    const int count = sweep->quick ? 2 : (int)(sizeof sizes / sizeof *sizes);
    for (int i = 0; i < count && sweep->status == DD_OK; ++i)
        dd_sweep_take(sweep,
                      dd_case_linear(sweep->device, sizes[i][0], sizes[i][1], sizes[i][2], sweep->seed, &sweep->result),
                      "%d classes, %d features, %d images", sizes[i][0], sizes[i][1], sizes[i][2]);
}

const struct dd_family dd_gemm_families[] = {
    {"gemm", false, gemm},
    {"last layer", false, last_layer},
    {0},
};
