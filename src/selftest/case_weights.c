/*
 * Forms of convolution weights, all made by one launch, against plain loops: transposed exactly, and U = G w G^T in
 * double precision (Lavin & Gray 2015, 4).
 */
#include "ops/weights.h"
#include "selftest/check.h"

enum {
    ENTRIES = 6,
    OWNERS = 2,
    GAP = 64 /* floats between forms: no kernel may touch them */
};
static const int owners[ENTRIES] = {-1, 0, 1, 1, -1, 0};
static const int32_t active[OWNERS] = {0, 1};

/* G for 2 and 4 outputs along an axis. */
static const double rows_2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double rows_4[6][3] = {{1 / 4.0, 0, 0},
                                    {-1 / 6.0, -1 / 6.0, -1 / 6.0},
                                    {-1 / 6.0, 1 / 6.0, -1 / 6.0},
                                    {1 / 24.0, 1 / 12.0, 1 / 6.0},
                                    {1 / 24.0, -1 / 12.0, 1 / 6.0},
                                    {0, 0, 1}};

/* The weight of tap t between produced channel p and reduced channel r, as backward data (taps reversed for Winograd)
 * or forward sees w [O/v][I/v][taps][v][v]. */
static double weight_at(const struct dd_weight_form *form, const double *w, int p, int r, int t) {
    const int v = form->v, o = form->transposed ? r : p, i = form->transposed ? p : r;
    const int in_blocks = form->transposed ? form->produced : form->reduced;
    const int tap = form->transposed && form->tile > 0 ? form->taps - 1 - t : t;
    return w[((((size_t)(o / v) * in_blocks + i / v) * form->taps + tap) * v + i % v) * v + o % v];
}

/* Element (y, x) of G w G^T. */
static double transformed(const struct dd_weight_form *form, const double *w, int p, int r, int y, int x) {
    const double(*rows)[3] = form->tile == 4 ? rows_4 : rows_2;
    double sum = 0;
    for (int t = 0; t < 9; t++)
        sum += rows[y][t / 3] * rows[x][t % 3] * weight_at(form, w, p, r, t);
    return sum;
}

/* Writes the form at `to`, in the order that ops/weights.h gives. */
static void refer(const struct dd_weight_form *form, const double *w, double *to) {
    const int v = form->v, along = form->tile + 2, planes = form->tile > 0 ? along * along : form->taps;
    for (int p = 0; p < form->produced * v; p++)
        for (int r = 0; r < form->reduced * v; r++)
            for (int f = 0; f < planes; f++) {
                const int block = p / v, unit = form->unit;
                if (form->tile > 0)
                    to[((((size_t)f * (form->produced / unit) + block / unit) * form->reduced * v + r) * unit +
                        block % unit) *
                           v +
                       p % v] = transformed(form, w, p, r, f / along, f % along);
                else
                    to[((((size_t)block * form->reduced + r / v) * planes + f) * v + r % v) * v + p % v] =
                        weight_at(form, w, p, r, f);
            }
}

/* Every kind of form, in sizes of which none divides the work-items' runs. */
static size_t make_entries(int v, struct dd_weight_entry entries[ENTRIES], size_t *form_floats) {
    const struct dd_weight_form forms[ENTRIES] = {{4, 0, 3, 2, 2, 9, v}, {0, 1, 1, 2, 1, 49, v}, {4, 1, 2, 3, 1, 9, v},
                                                  {0, 1, 5, 3, 1, 1, v}, {2, 1, 1, 4, 2, 9, v},  {2, 0, 2, 1, 1, 9, v}};
    size_t from = 0, to = 0;
    for (int i = 0; i < ENTRIES; i++) {
        entries[i] = (struct dd_weight_entry){forms[i], from, to, owners[i]};
        from += (size_t)forms[i].reduced * forms[i].produced * forms[i].taps * v * v;
        to += dd_weight_form_floats(&forms[i]) + GAP;
    }
    *form_floats = to;
    return from;
}

/* Makes all forms or those that gates call for, and compares them with want. */
static void run(struct dd_check *check, const char *name, bool all, cl_mem forms, const double *want, size_t floats) {
    if (check->status == DD_OK)
        check->status = dd_launch_set(check->device, &check->list.at[0], DD_WEIGHT_ALL_ARG, DD_INT(all));
    dd_check_run(check, check->status);
    /* nine products of a magnitude below 1 / 4 (tile 4) or 1, each of few roundings */
    dd_check_compare_vector(check, name, forms, want, floats, 8 * DD_CHECK_EPSILON);
}

dd_status dd_case_weights(dd_device *device, int v, uint64_t seed, struct dd_case_result *result) {
    struct dd_weight_entry entries[ENTRIES];
    size_t form_floats;
    const size_t floats = make_entries(v, entries, &form_floats);
    struct dd_check check;
    dd_check_begin(&check, device, seed, result);
    double *w = dd_check_uniform(&check, floats, -1, 1), *want = dd_check_zeros(&check, form_floats);
    double *some = dd_check_zeros(&check, form_floats), *blank = dd_check_zeros(&check, form_floats);
    if (check.status != DD_OK)
        return dd_check_end(&check);
    for (int i = 0; i < ENTRIES; i++) {
        refer(&entries[i].form, w + entries[i].from, want + entries[i].to);
        if (owners[i] < 0 || active[owners[i]])
            refer(&entries[i].form, w + entries[i].from, some + entries[i].to);
    }
    cl_mem w_device = dd_check_vector(&check, w, (int)floats, (int)floats);
    cl_mem forms = dd_check_vector(&check, blank, (int)form_floats, (int)form_floats);
    cl_mem table = dd_check_bytes(&check, NULL, dd_weight_table_bytes(ENTRIES));
    cl_mem gates = dd_check_bytes(&check, active, sizeof active);
    if (check.status == DD_OK)
        check.status = dd_weight_add_all(device, entries, ENTRIES, table, w_device, forms, gates, &check.list);
    run(&check, "forms by gates", false, forms, some, form_floats);
    run(&check, "forms", true, forms, want, form_floats);
    return dd_check_end(&check);
}
