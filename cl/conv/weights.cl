/*
 * Forms of convolution weights that kernels read instead of the weights themselves: transposed for direct backward data,
 * U = G w G^T for Winograd (Lavin & Gray 2015, 4). A form is made of jobs of about equal length; a work-item does `run`
 * jobs in a row. Sizes are arguments, so that one program serves every convolution of a network.
 *
 * weights_one   one convolution.
 * weights_all   a network's, by a table; a work-item's jobs may belong to several of them.
 *
 * Both read each weight once (a transposed Winograd form in steps of V) and write each float of a form once.
 * Build option: V as in common.clh.
 */
#include "common.clh"
#define UNROLL _Pragma("unroll")

/* An entry of the table, as struct dd_weight_form in src/ops/weights.h. */
struct form {
    int tile;              /* outputs of a Winograd tile along each axis, 2 or 4; 0: transposed alone */
    int transposed;        /* Winograd: for backward data */
    int reduced, produced; /* blocks of channels that the convolution's kernel sums over, and that it makes */
    int unit;              /* Winograd: produced blocks that lie side by side */
    int taps;              /* K * K; 9 for Winograd */
};

/* ---- transposed ---- */

/*
 * One block of w [reduced][produced][taps][V produced][V reduced], the weights of forward, to
 * [produced][reduced][taps][V reduced][V produced].
 */
static inline void transpose_block(__global const float *w, __global float *to, struct form form, int job)
{
    const int tap = job % form.taps, p = job / form.taps % form.produced, r = job / form.taps / form.produced;
    w += (size_t)job * V * V;
    to += (((size_t)p * form.reduced + r) * form.taps + tap) * V * V;
    for (int i = 0; i < V; i++)
        for (int o = 0; o < V; o++)
            to[o * V + i] = w[i * V + o];
}

/* ---- Winograd ---- */

/* r = G g for a tile of `tile` outputs, a constant once this is inlined. */
static inline void weight_line(const int tile, vfloat g0, vfloat g1, vfloat g2, vfloat *r)
{
    const vfloat ends = g0 + g2;
    if (tile == 4) {
        const vfloat quad = fma(DD_SPLAT(4.0f), g2, g0);
        r[0] = DD_SPLAT(0.25f) * g0;
        r[1] = DD_SPLAT(-1.0f / 6.0f) * (ends + g1);
        r[2] = DD_SPLAT(-1.0f / 6.0f) * (ends - g1);
        r[3] = DD_SPLAT(1.0f / 24.0f) * fma(DD_SPLAT(2.0f), g1, quad);
        r[4] = DD_SPLAT(1.0f / 24.0f) * fma(DD_SPLAT(-2.0f), g1, quad);
        r[5] = g2;
    } else {
        r[0] = g0;
        r[1] = DD_SPLAT(0.5f) * (ends + g1);
        r[2] = DD_SPLAT(0.5f) * (ends - g1);
        r[3] = g2;
    }
}

/*
 * The nine weights of reduced channel k and the channels of produced block o. w: [O/V][I/V][9][V][V]. Forward: k is an
 * input channel. Transposed: k is an output channel, o an input block, taps in reverse order.
 */
static inline void load_taps(__global const float *w, struct form form, int k, int o, vfloat *taps)
{
    if (!form.transposed) {
        __global const vfloat *from = (__global const vfloat *)w + ((size_t)o * form.reduced + k / V) * 9 * V + k % V;
        for (int tap = 0; tap < 9; tap++)
            taps[tap] = from[tap * V];
    } else {
        __global const float *from = w + ((size_t)(k / V) * form.produced + o) * 9 * V * V + k % V;
        for (int tap = 0; tap < 9; tap++) {
            float lanes[V];
            for (int i = 0; i < V; i++)
                lanes[i] = from[((8 - tap) * V + i) * V];
#if V == 1
            taps[tap] = lanes[0];
#else
            taps[tap] = DD_CAT(vload, V)(0, lanes);
#endif
        }
    }
}

/* U[frequency][O'/(V unit)][K'][unit][V] for one channel of K' and one block of O', the reduced and the produced ones. */
static inline void winograd_lines(const int tile, __global const float *w, __global vfloat *u, struct form form, int job)
{
    const int along = tile + 2, k = job % (form.reduced * V), o = job / (form.reduced * V);
    vfloat taps[9], rows[6][3];
    load_taps(w, form, k, o, taps);
    UNROLL for (int c = 0; c < 3; c++) {
        vfloat r[6];
        weight_line(tile, taps[c], taps[3 + c], taps[6 + c], r);
        UNROLL for (int i = 0; i < along; i++)
            rows[i][c] = r[i];
    }
    __global vfloat *to = u + ((size_t)(o / form.unit) * form.reduced * V + k) * form.unit + o % form.unit;
    const size_t pitch = (size_t)form.produced * form.reduced * V;
    UNROLL for (int i = 0; i < along; i++) {
        vfloat r[6];
        weight_line(tile, rows[i][0], rows[i][1], rows[i][2], r);
        UNROLL for (int j = 0; j < along; j++)
            to[(i * along + j) * pitch] = r[j];
    }
}

/* ---- jobs ---- */

/* Jobs [begin, end) of one form. */
static inline void make_form(__global const float *w, __global float *to, struct form form, int begin, int end)
{
    if (form.tile == 4)
        for (int job = begin; job < end; job++)
            winograd_lines(4, w, (__global vfloat *)to, form, job);
    else if (form.tile == 2)
        for (int job = begin; job < end; job++)
            winograd_lines(2, w, (__global vfloat *)to, form, job);
    else
        for (int job = begin; job < end; job++)
            transpose_block(w, to, form, job);
}

__kernel DD_SINGLE void weights_one(__global const float *restrict w, __global float *restrict to, int jobs, int run,
                                    int tile, int transposed, int reduced, int produced, int unit, int taps)
{
    const struct form form = {tile, transposed, reduced, produced, unit, taps};
    const int begin = get_global_id(0) * run;
    make_form(w, to, form, begin, min(begin + run, jobs));
}

/*
 * table [entries + 1][9]: the entry's first job, where its weights begin in w and its form in forms (in vectors), then
 * struct form. First jobs ascend from 0; that behind the last entry is `jobs`.
 */
__kernel DD_SINGLE void weights_all(__global const float *restrict w, __global float *restrict forms,
                                    __global const int *restrict table, int entries, int jobs, int run)
{
    const int begin = get_global_id(0) * run, end = min(begin + run, jobs);
    int low = 0, high = entries; /* the entry of job `begin` lies in [low, high) */
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (table[middle * 9] <= begin)
            low = middle;
        else
            high = middle;
    }
    for (int entry = low, job = begin; job < end; entry++) {
        __global const int *at = table + entry * 9;
        const struct form form = {at[3], at[4], at[5], at[6], at[7], at[8]};
        const int stop = min(end, at[9]);
        make_form(w + (size_t)at[1] * V, forms + (size_t)at[2] * V, form, job - at[0], stop - at[0]);
        job = stop;
    }
}
