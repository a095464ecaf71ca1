/* What the numbers say, in sentences: only such as follow from the numbers alone. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/internal.h"
#include "report/paper.h"

static const double sure = 1.96; /* standard errors on either side: 95 % */

static void open_item(FILE *page) {
    fputs("<li>", page);
}

static void close_item(FILE *page) {
    fputs("</li>\n", page);
}

/* How large a difference between two single runs is noise: by the group with the largest error, so for all. */
static void say_noise(const struct dd_report *report, FILE *page) {
    const struct dd_group *worst = NULL;
    int most_seeds = 0;
    for (int g = 0; g < report->group_count; g++) {
        const struct dd_group *group = &report->groups[g];
        const double spread = group->error.mean * (1 - group->error.mean) / (double)group->images;
        if (group->error.n > 0 && group->images > 0 &&
            (worst == NULL || spread > worst->error.mean * (1 - worst->error.mean) / (double)worst->images))
            worst = group;
        most_seeds = group->error.n > most_seeds ? group->error.n : most_seeds;
    }
    if (worst == NULL)
        return;
    const double se = sqrt(worst->error.mean * (1 - worst->error.mean) / (double)worst->images);
    open_item(page);
    fprintf(page,
            "With %lld test images an error of %.1f %% has a standard error of %.2f points. Between two single "
            "runs, differences below %.1f points may be noise of the test images alone; another seed adds its "
            "own.",
            (long long)worst->images, 100 * worst->error.mean, 100 * se, 100 * sure * sqrt(2) * se);
    if (most_seeds == 1)
        fputs(" Every setting has a single seed here, so how far seeds scatter is unknown.", page);
    close_item(page);
}

static void say_relative(const struct dd_report *report, FILE *page) {
    for (int g = 0; g < report->group_count; g++) {
        const struct dd_group *group = &report->groups[g];
        if (group->baseline < 0 || group->baseline == g || !isfinite(group->relative))
            continue;
        const struct dd_spread *base = &report->groups[group->baseline].error;
        const double difference = group->error.mean - base->mean, se = hypot(group->error.se, base->se);
        const char *noise =
            group->error.n > 1 && base->n > 1 ? "the scatter of seeds" : "the noise of test images or seeds";
        open_item(page);
        dd_page_text(page, group->label);
        fprintf(page, ": %.2f points %s the baseline (standard error %.2f), %s %s as far as it is known.",
                100 * fabs(difference), difference < 0 ? "below" : "above", 100 * se,
                fabs(difference) > sure * se ? "more than" : "within", noise);
        if (group->timing != NULL) {
            const double saving = dd_timing_saving(group->timing, group->step_ms);
            fprintf(page, " An iteration takes %.1f %% %s time than the baseline's%s.", 100 * fabs(saving),
                    saving < 0 ? "more" : "less", group->modelled ? " by the times of the paths" : "");
        }
        close_item(page);
    }
}

static void say_statistics(const struct dd_report *report, FILE *page) {
    double least = NAN, most = NAN;
    for (int g = 0; g < report->group_count; g++) {
        const struct dd_group *group = &report->groups[g];
        if (group->running.n > 0) {
            least = fmin(least, group->running.mean - group->error.mean);
            most = fmax(most, group->running.mean - group->error.mean);
        }
    }
    if (isnan(least))
        return;
    open_item(page);
    fprintf(page,
            "With the running batch-norm statistics of training the error differs by %+.2f to %+.2f points from "
            "that with re-estimated ones, by setting.",
            100 * least, 100 * most);
    close_item(page);
}

static void say_states(const struct dd_report *report, FILE *page) {
    for (int r = 0; r < report->run_count; r++) {
        const struct dd_report_run *run = &report->runs[r];
        if (run->finished)
            continue;
        open_item(page);
        dd_page_text(page, run->folder);
        fprintf(page,
                run->diverged ? " diverged at iteration %lld of %lld: its loss is not a finite number."
                              : " is at iteration %lld of %lld: it counts in the curves, not in the final errors.",
                (long long)run->reached, (long long)run->iterations);
        close_item(page);
    }
}

static void say_repeated(const struct dd_report *report, FILE *page) {
    for (int g = 0; g < report->group_count; g++) {
        const struct dd_group *group = &report->groups[g];
        bool repeated = false;
        for (int i = 0; i < group->count; i++)
            for (int j = 0; j < i; j++)
                repeated = repeated || report->runs[group->runs[i]].seed == report->runs[group->runs[j]].seed;
        if (!repeated)
            continue;
        open_item(page);
        dd_page_text(page, group->label);
        fputs(": two of its runs have the same seed, so they are no independent repetitions.", page);
        close_item(page);
    }
}

static void say_paper(const struct dd_report *report, FILE *page) {
    long long most = 0;
    for (int r = 0; r < report->run_count; r++)
        if (dd_paper_compares(report->runs[r].key.text[DD_NET], report->runs[r].data) &&
            report->runs[r].iterations > most)
            most = report->runs[r].iterations;
    if (most == 0)
        return;
    open_item(page);
    fprintf(page,
            "The paper's errors are of %d iterations on CIFAR-10 with 10,000 test images, one run each (standard "
            "error 0.3 points)",
            DD_PAPER_ITERATIONS);
    if (most < DD_PAPER_ITERATIONS)
        fprintf(page, "; the longest run here has %lld, so errors compare by their order, not by their size", most);
    fputs(". Its text calls differences in points (0.4 lower, 1.3 and 2.7 higher) relative errors; its figure 2 (a) "
          "shows error / baseline - 1, as here.",
          page);
    close_item(page);
}

static void say_benchmarks(const struct dd_report *report, FILE *page) {
    for (int t = 0; t < report->timing_count; t++) {
        const struct dd_timing *timing = &report->timings[t];
        open_item(page);
        dd_page_text(page, timing->net);
        fprintf(page, ": an iteration of the baseline takes %.1f ms with %d images on ", timing->rows[0].total,
                timing->batch);
        dd_page_text(page, timing->device);
        fputs("; hours by benchmark hold for this device.", page);
        close_item(page);
    }
    bool any = false;
    for (int g = 0; report->timing_count > 0 && g < report->group_count; g++) {
        if (report->groups[g].timing != NULL)
            continue;
        if (!any)
            open_item(page);
        fputs(any ? "; "
                  : "No benchmark has the net, shortcuts, batch and width dropout of these, so they have no place in "
                    "the figures "
                    "over time saved and hours by benchmark: ",
              page);
        dd_page_text(page, report->groups[g].label);
        any = true;
    }
    if (any) {
        fputc('.', page);
        close_item(page);
    }
}

void dd_page_reading(const struct dd_report *report, FILE *page) {
    fputs("<ul>\n", page);
    say_noise(report, page);
    say_relative(report, page);
    say_statistics(report, page);
    say_benchmarks(report, page);
    say_paper(report, page);
    say_states(report, page);
    say_repeated(report, page);
    fputs("</ul>\n", page);
}
