/*
 * Forms of convolution weights that kernels read instead of the weights themselves: transposed for direct backward data,
 * U = G w G^T for Winograd (Lavin & Gray 2015, 4). A job is a pair of blocks of channels; a work-item does `run` jobs in
 * a row. Sizes are arguments, so that one program serves every convolution of a network.
 *
 * weights_one   one convolution.
 * weights_all   a network's, by a table; a work-item's jobs may belong to several of them.
 *
 * Both read each weight once and write each float of a form once.
 * Build option: V as in common.clh.
 */
#include "common.clh"
#include "fetch.clh"

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
 * Transposes a block of V x V floats: each round moves the last bit of the row to the front of the column, and the last
 * bit of the column to the front of the row.
 */
static inline void transpose(vfloat *block)
{
#if V > 1
    for (int bit = 1; bit < V; bit *= 2) {
        vfloat next[V];
        for (int i = 0; i < V / 2; i++) {
            next[i] = (vfloat)(block[2 * i].even, block[2 * i + 1].even);
            next[V / 2 + i] = (vfloat)(block[2 * i].odd, block[2 * i + 1].odd);
        }
        for (int i = 0; i < V; i++)
            block[i] = next[i];
    }
#endif
}

/*
 * Blocks p, r of w [reduced][produced][taps][V produced][V reduced], the weights of forward, to
 * [produced][reduced][taps][V reduced][V produced].
 */
static inline void transpose_pair(__global const vfloat *w, __global vfloat *to, struct form form, int job)
{
    const int p = job % form.produced, r = job / form.produced;
    w += (size_t)job * form.taps * V;
    to += ((size_t)p * form.reduced + r) * form.taps * V;
    for (int tap = 0; tap < form.taps; tap++) {
        vfloat block[V];
        for (int i = 0; i < V; i++)
            block[i] = w[tap * V + i];
        transpose(block);
        for (int i = 0; i < V; i++)
            to[tap * V + i] = block[i];
    }
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
 * taps [9][V reduced] of blocks r, o. w: [O/V][I/V][9][V][V]. Forward: r are input channels. Transposed: r are output
 * channels, o an input block, taps in reverse order.
 */
static inline void load_taps(__global const vfloat *w, struct form form, int r, int o, vfloat *taps)
{
    w += (form.transposed ? (size_t)r * form.produced + o : (size_t)o * form.reduced + r) * 9 * V;
    for (int tap = 0; tap < 9; tap++) {
        vfloat *to = taps + (form.transposed ? 8 - tap : tap) * V;
        for (int i = 0; i < V; i++)
            to[i] = w[tap * V + i];
        if (form.transposed)
            transpose(to);
    }
}

/* The frequencies of one reduced channel, V apart, as the taps. */
static inline void winograd_lines(const int tile, const vfloat *taps, vfloat *to)
{
    const int along = tile + 2;
    vfloat rows[6][3];
    UNROLL for (int c = 0; c < 3; c++) {
        vfloat r[6];
        weight_line(tile, taps[c * V], taps[(3 + c) * V], taps[(6 + c) * V], r);
        UNROLL for (int i = 0; i < along; i++)
            rows[i][c] = r[i];
    }
    UNROLL for (int i = 0; i < along; i++) {
        vfloat r[6];
        weight_line(tile, rows[i][0], rows[i][1], rows[i][2], r);
        UNROLL for (int j = 0; j < along; j++)
            to[(i * along + j) * V] = r[j];
    }
}

/* U [frequency][O'/(V unit)][K'][unit][V] for one block of K' and one of O', the reduced and the produced channels. */
static inline void winograd_pair(const int tile, __global const vfloat *w, __global vfloat *u, struct form form,
                                 int job)
{
    const int r = job % form.reduced, o = job / form.reduced;
    const size_t pitch = (size_t)form.produced * form.reduced * V;
    vfloat taps[9 * V], lines[36 * V];
    load_taps(w, form, r, o, taps);
    u += ((size_t)(o / form.unit) * form.reduced + r) * V * form.unit + o % form.unit;
    const int frequencies = (tile + 2) * (tile + 2);
    for (int k = 0; k < V; k++) {
        for (int f = 0; f < frequencies; f++) /* no run of lines long enough for the hardware to foresee */
            PREFETCH(u + f * pitch + k * form.unit, 1);
        winograd_lines(tile, taps + k, lines + k);
    }
    for (int f = 0; f < frequencies; f++)
        for (int k = 0; k < V; k++)
            u[f * pitch + k * form.unit] = lines[f * V + k];
}

/* ---- jobs ---- */

/* Jobs [begin, end) of one form. */
static inline void make_form(__global const vfloat *w, __global vfloat *to, struct form form, int begin, int end)
{
    if (form.tile == 4)
        for (int job = begin; job < end; job++)
            winograd_pair(4, w, to, form, job);
    else if (form.tile == 2)
        for (int job = begin; job < end; job++)
            winograd_pair(2, w, to, form, job);
    else
        for (int job = begin; job < end; job++)
            transpose_pair(w, to, form, job);
}

__kernel DD_SINGLE void weights_one(__global const vfloat *restrict w, __global vfloat *restrict to, int jobs, int run,
                                    int tile, int transposed, int reduced, int produced, int unit, int taps)
{
    const struct form form = {tile, transposed, reduced, produced, unit, taps};
    const int begin = get_global_id(0) * run;
    make_form(w, to, form, begin, min(begin + run, jobs));
}

#define TABLE_INTS 10 /* as in src/ops/weights.c */

/*
 * table [entries + 1][TABLE_INTS]: the entry's first job, where its weights begin in w and its form in forms (in
 * vectors), struct form, and its owner: an index into active, or -1. First jobs ascend from 0; that behind the last
 * entry is `jobs`. An owner that is not active needs no form, unless all are wanted.
 */
__kernel DD_SINGLE void weights_all(__global const vfloat *restrict w, __global vfloat *restrict forms,
                                    __global const int *restrict table, int entries, int jobs, int run,
                                    __global const int *restrict active, int all)
{
    const int begin = get_global_id(0) * run, end = min(begin + run, jobs);
    int low = 0, high = entries; /* the entry of job `begin` lies in [low, high) */
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (table[middle * TABLE_INTS] <= begin)
            low = middle;
        else
            high = middle;
    }
    for (int entry = low, job = begin; job < end; entry++) {
        __global const int *at = table + entry * TABLE_INTS;
        const struct form form = {at[3], at[4], at[5], at[6], at[7], at[8]};
        const int stop = min(end, at[TABLE_INTS]), owner = at[9];
        if (all || owner < 0 || active[owner] != 0)
            make_form(w + at[1], forms + at[2], form, job - at[0], stop - at[0]);
        job = stop;
    }
}
