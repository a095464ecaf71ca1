/* Runs that differ in nothing but the seed: means, spreads, baselines, and lines over the ratio. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/internal.h"

/* ---- order and labels ---- */

/* "resnet110" behind "resnet56": by the number at the end, other texts bytewise. */
static int compare_text(const char *a, const char *b) {
    const size_t letters = strcspn(a, "0123456789");
    if (letters > 0 && strncmp(a, b, letters) == 0) {
        const long m = strtol(a + letters, NULL, 10), n = strtol(b + letters, NULL, 10);
        if (m != n)
            return m < n ? -1 : 1;
    }
    return strcmp(a, b);
}

static int shortcut_rank(const char *shortcut) {
    static const char *const order[] = {"identity", "projection", "conv"};
    for (int i = 0; i < 3; i++)
        if (strcmp(order[i], shortcut) == 0)
            return i;
    return 3;
}

static void gate_kind(const char *gate, char *kind, size_t size) {
    snprintf(kind, size, "%.*s", (int)strcspn(gate, ":"), gate);
}

/* No gates before gates, then bytewise. */
static int compare_kind(const char *a, const char *b) {
    char kinds[2][64];
    gate_kind(a, kinds[0], sizeof kinds[0]);
    gate_kind(b, kinds[1], sizeof kinds[1]);
    const int none[2] = {strcmp(kinds[0], "none") != 0, strcmp(kinds[1], "none") != 0};
    return none[0] != none[1] ? none[0] - none[1] : strcmp(kinds[0], kinds[1]);
}

static int compare_rest(const struct dd_key *a, const struct dd_key *b) {
    for (int i = DD_GATE_FIRST; i < DD_ATTRIBUTES; i++) {
        const int order = strcmp(a->text[i], b->text[i]);
        if (order != 0)
            return order;
    }
    return 0;
}

static int compare_groups(const void *left, const void *right) {
    const struct dd_group *a = left, *b = right;
    int order = compare_text(a->key.text[DD_NET], b->key.text[DD_NET]);
    if (order == 0)
        order = shortcut_rank(a->key.text[DD_SHORTCUT]) - shortcut_rank(b->key.text[DD_SHORTCUT]);
    if (order == 0)
        order = compare_kind(a->key.text[DD_GATE], b->key.text[DD_GATE]);
    if (order == 0)
        order = compare_rest(&a->key, &b->key);
    if (order == 0 && a->ratio != b->ratio)
        order = a->ratio < b->ratio ? -1 : 1;
    return order != 0 ? order : strcmp(a->key.text[DD_GATE], b->key.text[DD_GATE]);
}

static const char *const attribute_forms[DD_ATTRIBUTES] = {
    [DD_GATE_FIRST] = "first units gated: %s",
    [DD_GATE_WARMUP] = "gate warm-up %s (ratio after it)",
    [DD_RECALIBRATE] = "%s batches re-estimate",
    [DD_ITERATIONS] = "%s iterations",
    [DD_BATCH] = "batch %s",
    [DD_LR] = "rate %s",
    [DD_WARMUP] = "warm-up %s",
    [DD_MOMENTUM] = "momentum %s",
    [DD_WEIGHT_DECAY] = "decay %s",
    [DD_AUGMENT] = "augment %s",
    [DD_VAL_SPLIT] = "%s held out",
    [DD_RECIPE] = "recipe %s",
    [DD_LR_DROPS] = "drops %s",
    [DD_DROPOUT] = "dropout %s",
    [DD_UNIT_DROPOUT] = "unit dropout %s",
    [DD_INIT_HASH] = "init %s",
    [DD_DATA] = "data %s",
};

/* A group or a family, for its label. */
struct labelled {
    const struct dd_key *key;
    char *label; /* [DD_LABEL] */
    bool alike;  /* with another one so far, from which the attribute in question tells it */
};

static void append(char *label, int attribute, const char *value) {
    const size_t length = strlen(label);
    char text[192];
    snprintf(text, sizeof text, attribute_forms[attribute], value[0] != '\0' ? value : "none");
    snprintf(label + length, DD_LABEL - length, ", %s", text);
}

/* Net, shortcut, gates, and a warm-up, as it tells how the ratio is meant; then, where two would be called alike, what
 * they differ in, attribute by attribute. */
static void write_labels(struct labelled *all, int count) {
    for (int i = 0; i < count; i++) {
        const struct dd_key *key = all[i].key;
        snprintf(all[i].label, DD_LABEL, "%s, %s, %s", key->text[DD_NET], key->text[DD_SHORTCUT],
                 strcmp(key->text[DD_GATE], "none") == 0 ? "no gates" : key->text[DD_GATE]);
        if (strcmp(key->text[DD_GATE_WARMUP], "0") != 0)
            append(all[i].label, DD_GATE_WARMUP, key->text[DD_GATE_WARMUP]);
    }
    for (int a = DD_GATE_FIRST; a < DD_ATTRIBUTES; a++) {
        for (int i = 0; i < count; i++) {
            all[i].alike = false;
            for (int j = 0; j < count && !all[i].alike; j++)
                all[i].alike =
                    strcmp(all[i].label, all[j].label) == 0 && strcmp(all[i].key->text[a], all[j].key->text[a]) != 0;
        }
        for (int i = 0; i < count; i++)
            if (all[i].alike)
                append(all[i].label, a, all[i].key->text[a]);
    }
}

/* ---- means ---- */

static void spread_add(struct dd_spread *spread, double *values, double value) {
    if (isfinite(value))
        values[spread->n++] = value;
}

static void spread_finish(struct dd_spread *spread, const double *values) {
    double sum = 0, squares = 0;
    spread->mean = spread->sd = spread->low = spread->high = spread->se = NAN;
    for (int i = 0; i < spread->n; i++) {
        sum += values[i];
        spread->low = fmin(spread->low, values[i]);
        spread->high = fmax(spread->high, values[i]);
    }
    if (spread->n > 0)
        spread->mean = sum / spread->n;
    for (int i = 0; i < spread->n; i++)
        squares += (values[i] - spread->mean) * (values[i] - spread->mean);
    if (spread->n > 1)
        spread->sd = sqrt(squares / (spread->n - 1));
}

/* Of the mean over seeds; of a single run the binomial one of its test images. */
static void set_error_se(struct dd_spread *error, int64_t images) {
    if (error->n > 1)
        error->se = error->sd / sqrt(error->n);
    else if (error->n == 1 && images > 0)
        error->se = sqrt(error->mean * (1 - error->mean) / (double)images);
}

static dd_status average(const struct dd_report *report, struct dd_group *group) {
    enum { ERROR, BEST, RUNNING, SECONDS, RATE, KINDS };
    struct dd_spread *spreads[KINDS] = {&group->error, &group->best, &group->running, &group->seconds,
                                        &group->images_per_s};
    double *values = dd_calloc((size_t)group->count * KINDS, sizeof *values);
    if (values == NULL)
        return dd_fail_memory("averages", (size_t)group->count * KINDS * sizeof *values);
    for (int i = 0; i < group->count; i++) {
        const struct dd_report_run *run = &report->runs[group->runs[i]];
        const struct dd_run_eval *last = dd_report_run_last(run);
        const double of_run[KINDS] = {last != NULL ? last->error : NAN, dd_report_run_best(run),
                                      last != NULL ? last->error_running : NAN, dd_report_run_seconds(run),
                                      dd_report_run_images_per_s(run)};
        if (last != NULL)
            group->images = last->images;
        for (int k = 0; run->finished && k < KINDS; k++)
            spread_add(spreads[k], values + k * group->count, of_run[k]);
    }
    for (int k = 0; k < KINDS; k++)
        spread_finish(spreads[k], values + k * group->count);
    for (int k = ERROR; k <= RUNNING; k++)
        set_error_se(spreads[k], group->images);
    free(values);
    return DD_OK;
}

/* ---- baselines and times ---- */

static bool is_baseline(const struct dd_group *group) {
    const struct dd_key *key = &group->key;
    return strcmp(key->text[DD_SHORTCUT], "identity") == 0 && strcmp(key->text[DD_GATE], "none") == 0 &&
           strcmp(key->text[DD_DROPOUT], "0") == 0 && strcmp(key->text[DD_UNIT_DROPOUT], "0") == 0;
}

/* The finished baseline of the same net, initial weights, data, length and batch that is like the group in most of the
 * rest. */
static int find_baseline(const struct dd_report *report, const struct dd_group *group) {
    static const int needed[] = {DD_NET, DD_INIT_HASH, DD_ITERATIONS, DD_BATCH, DD_DATA};
    int best = -1, best_alike = -1;
    for (int g = 0; g < report->group_count; g++) {
        const struct dd_group *other = &report->groups[g];
        bool fits = is_baseline(other) && other->error.n > 0;
        int alike = 0;
        for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
            fits = fits && strcmp(group->key.text[needed[i]], other->key.text[needed[i]]) == 0;
        for (int a = 0; a < DD_ATTRIBUTES; a++)
            alike += strcmp(group->key.text[a], other->key.text[a]) == 0;
        if (fits && alike > best_alike) {
            best = g;
            best_alike = alike;
        }
    }
    return best;
}

static void compare_with_baseline(const struct dd_report *report, struct dd_group *group) {
    group->relative = group->relative_se = NAN;
    group->baseline = find_baseline(report, group);
    if (group->baseline < 0 || group->error.n == 0)
        return;
    const struct dd_spread *error = &group->error, *base = &report->groups[group->baseline].error;
    group->relative = error->mean / base->mean - 1;
    if (error == base)
        group->relative_se = 0;
    else
        group->relative_se = error->mean / base->mean * hypot(error->se / error->mean, base->se / base->mean);
}

static bool same_width(const struct dd_timing_row *row, const struct dd_report_run *run) {
    return fabs(row->dropout - run->dropout) < 1e-6 && fabs(row->unit_dropout - run->unit_dropout) < 1e-6;
}

/* An iteration's time: the row of the same policy, else the row with every gate on less the paths that are off; with
 * width dropout only the row that has it. */
static void find_step_time(const struct dd_report *report, struct dd_group *group) {
    const struct dd_report_run *run = &report->runs[group->runs[0]];
    const char *shortcut = group->key.text[DD_SHORTCUT];
    group->step_ms = NAN;
    for (int t = 0; t < report->timing_count; t++) {
        const struct dd_timing *timing = &report->timings[t];
        if (strcmp(timing->net, group->key.text[DD_NET]) != 0 || timing->batch != run->batch)
            continue;
        for (int r = 0; r < timing->row_count; r++) {
            const struct dd_timing_row *row = &timing->rows[r];
            const bool same = strcmp(row->shortcut, shortcut) == 0 && same_width(row, run);
            if (same && strcmp(row->gate, group->key.text[DD_GATE]) == 0 &&
                (run->gated == 0 || run->gated == timing->gated)) {
                group->timing = timing;
                group->step_ms = row->total;
                group->modelled = false;
                return;
            }
            if (same && !dd_timing_is_wide(row) && strcmp(row->gate, "none") == 0 && isfinite(timing->primary_ms)) {
                group->timing = timing;
                group->step_ms = row->total - (run->units - run->run_expected) * timing->primary_ms;
                group->modelled = true;
            }
        }
    }
}

/* ---- groups and families ---- */

static dd_status collect_groups(struct dd_report *report) {
    report->groups = dd_calloc((size_t)report->run_count + 1, sizeof *report->groups);
    if (report->groups == NULL)
        return dd_fail_memory("groups", (size_t)report->run_count * sizeof *report->groups);
    for (int r = 0; r < report->run_count; r++) {
        int g = 0;
        while (g < report->group_count && memcmp(&report->groups[g].key, &report->runs[r].key, sizeof(struct dd_key)))
            g++;
        struct dd_group *group = &report->groups[g];
        if (g == report->group_count) {
            group->key = report->runs[r].key;
            group->ratio = report->runs[r].off;
            group->runs = dd_calloc((size_t)report->run_count, sizeof *group->runs);
            if (group->runs == NULL)
                return dd_fail_memory("groups", (size_t)report->run_count * sizeof *group->runs);
            report->group_count++;
        }
        group->runs[group->count++] = r;
    }
    qsort(report->groups, (size_t)report->group_count, sizeof *report->groups, compare_groups);
    return DD_OK;
}

static dd_status collect_families(struct dd_report *report) {
    report->families = dd_calloc((size_t)report->group_count + 1, sizeof *report->families);
    if (report->families == NULL)
        return dd_fail_memory("families", (size_t)report->group_count * sizeof *report->families);
    for (int g = 0; g < report->group_count; g++) {
        struct dd_key key = report->groups[g].key;
        char kind[64];
        gate_kind(key.text[DD_GATE], kind, sizeof kind);
        memset(key.text[DD_GATE], 0, sizeof key.text[DD_GATE]);
        strcpy(key.text[DD_GATE], kind);
        int f = 0;
        while (f < report->family_count && memcmp(&report->families[f].key, &key, sizeof key) != 0)
            f++;
        struct dd_family *family = &report->families[f];
        if (f == report->family_count) {
            family->key = key;
            family->groups = dd_calloc((size_t)report->group_count, sizeof *family->groups);
            if (family->groups == NULL)
                return dd_fail_memory("families", (size_t)report->group_count * sizeof *family->groups);
            report->family_count++;
        }
        family->groups[family->count++] = g;
    }
    return DD_OK;
}

static dd_status label_all(struct dd_report *report) {
    struct labelled *all = dd_calloc((size_t)report->group_count + 1, sizeof *all);
    if (all == NULL)
        return dd_fail_memory("labels", (size_t)report->group_count * sizeof *all);
    for (int g = 0; g < report->group_count; g++)
        all[g] = (struct labelled){.key = &report->groups[g].key, .label = report->groups[g].label};
    write_labels(all, report->group_count);
    for (int f = 0; f < report->family_count; f++)
        all[f] = (struct labelled){.key = &report->families[f].key, .label = report->families[f].label};
    write_labels(all, report->family_count);
    free(all);
    return DD_OK;
}

dd_status dd_report_group(struct dd_report *report) {
    DD_TRY(collect_groups(report));
    DD_TRY(collect_families(report));
    DD_TRY(label_all(report));
    for (int g = 0; g < report->group_count; g++)
        DD_TRY(average(report, &report->groups[g]));
    for (int g = 0; g < report->group_count; g++) {
        compare_with_baseline(report, &report->groups[g]);
        find_step_time(report, &report->groups[g]);
    }
    return DD_OK;
}

void dd_report_group_free(struct dd_report *report) {
    for (int g = 0; g < report->group_count; g++)
        free(report->groups[g].runs);
    for (int f = 0; f < report->family_count; f++)
        free(report->families[f].groups);
    free(report->groups);
    free(report->families);
}
