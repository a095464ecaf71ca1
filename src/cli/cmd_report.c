/* depthdrop report: figures and one page from run folders and benchmarks. */
#include <stdio.h>

#include "cli.h"

struct report_command {
    const char *output;
    struct args_texts benches;
};
#define FIELD(field) offsetof(struct report_command, field)

static const struct args_option options_table[] = {
    {ARGS_TEXT, "output", "DIR", "folder for the page and its figures; those of an earlier report are replaced", NULL,
     FIELD(output), 0, 0},
    {ARGS_TEXTS, "bench", "FILE", "output of bench gates --json for a net of the runs; once for each net", NULL,
     FIELD(benches), 0, 0},
    {.kind = ARGS_END},
};

static void print_notes(FILE *out) {
    fputs("\nWhat is written:\n", out);
    args_print_term(out, "index.html", 17,
                    "the page: summary, figures, tables; one file, nothing is loaded from outside");
    args_print_term(out, "NAME.svg, .png", 17, "each figure");
    args_print_term(out, "report.json", 17, "all numbers (docs/formats.md)");
    args_print_term(out, "figures.gp", 17, "gnuplot's script of the figures");
}

static int run_report(const struct args_command *command, int argc, char **argv) {
    struct report_command values = {0};
    struct args_result given;
    switch (args_parse(command, argc, argv, &values, &given)) {
    case ARGS_HELP_SHOWN:
        return 0;
    case ARGS_WRONG:
        return 2;
    case ARGS_OK:
        break;
    }
    const struct dd_report_options options = {.runs = (const char *const *)given.positional,
                                              .run_count = given.count,
                                              .benches = values.benches.text,
                                              .bench_count = values.benches.count,
                                              .output = values.output};
    cli_log_to_stderr(false);
    const dd_status status = dd_report(&options);
    if (status != DD_OK)
        return cli_failure(command, status);
    cli_say("wrote %s/index.html", values.output);
    return 0;
}

const struct args_command cli_report = {
    .name = "report",
    .summary = "makes figures and a page from run folders",
    .description = "Runs that differ in nothing but the seed are averaged. Unfinished runs are shown as far as they "
                   "are. Beside ResNet-56 stand the paper's figures, its errors (of CIFAR-10) "
                   "beside those of CIFAR-10 or of a folder. Needs gnuplot (Debian: gnuplot-nox).",
    .usage = (const char *const[]){"report RUN... --output DIR [--bench FILE]...", NULL},
    .examples = (const char *const[]){"report runs/p0 runs/p25 runs/p50 --output runs/report",
                                      "# with times, for the figures over time saved and hours",
                                      "bench gates --net resnet56 --json > runs/bench-resnet56.json",
                                      "report runs/p* --bench runs/bench-resnet56.json --output runs/report", NULL},
    .options = options_table,
    .positional = true,
    .extra_help = print_notes,
    .run = run_report,
};
