/* Table-driven command line options: parsing, range checks, help texts and suggestions for mistyped names. */
#ifndef DD_CLI_ARGS_H
#define DD_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum args_kind {
    ARGS_END,    /* closes a table */
    ARGS_GROUP,  /* no option: name is a heading of the help text */
    ARGS_FLAG,   /* bool, no value */
    ARGS_TEXT,   /* const char *, points into argv; never empty */
    ARGS_TEXTS,  /* struct args_texts: as ARGS_TEXT, may be given several times */
    ARGS_CHOICE, /* const char *, one of choices */
    ARGS_INT,    /* int */
    ARGS_INT64,  /* int64_t */
    ARGS_UINT64, /* uint64_t, any value */
    ARGS_DOUBLE, /* double, finite */
};

enum { ARGS_MAX_TEXTS = 64 };
struct args_texts {
    const char *text[ARGS_MAX_TEXTS];
    int count;
};

struct args_option {
    enum args_kind kind;
    const char *name;        /* without the dashes */
    const char *placeholder; /* "N", "SPEC"; of ARGS_CHOICE: its values, "a|b|c"; NULL for flags */
    const char *help;
    const char *initial;     /* the default as the help text shows it, or NULL */
    size_t offset;           /* of the value in the command's structure */
    double low, high;        /* range of numbers, both included; high 0: none but the type's */
};

enum { ARGS_MAX_OPTIONS = 64 };

struct args_command {
    const char *name;        /* as typed behind "depthdrop": "train", "bench step" */
    const char *summary;     /* for the list of commands, at most 64 letters */
    const char *description; /* sentences behind the summary, or NULL */
    const char *const *usage;    /* command lines without the leading "depthdrop", NULL past the end */
    const char *const *examples; /* the same, with a leading "# " for lines of explanation */
    const struct args_option *options; /* at most ARGS_MAX_OPTIONS */
    bool positional;         /* takes arguments that are no options */
    void (*extra_help)(FILE *out); /* text between options and examples, may be NULL */
    int (*run)(const struct args_command *command, int argc, char **argv); /* argv[0]: first word behind the name */
};

struct args_result {
    char **positional; /* [count], in argv, which the parser reorders */
    int count;
    uint64_t given;    /* bit i: option i of the table was on the command line */
};

enum args_outcome { ARGS_OK, ARGS_HELP_SHOWN, ARGS_WRONG };

/**
 * Fills target (the command's structure, with its defaults set) from argv. ARGS_HELP_SHOWN after --help: exit 0;
 * ARGS_WRONG after a message on stderr: exit 2.
 */
enum args_outcome args_parse(const struct args_command *command, int argc, char **argv, void *target,
                             struct args_result *result);

/** Was --name on the command line? */
bool args_given(const struct args_command *command, const struct args_result *result, const char *name);

void args_print_help(const struct args_command *command, FILE *out);

/** Prints "  term", then text from column indent on (on the next line if term is too long), wrapped at 80 columns. */
void args_print_term(FILE *out, const char *term, int indent, const char *text);

/** Says "depthdrop: SENTENCE; see depthdrop COMMAND --help" on stderr and gives exit code 2. */
int args_usage(const struct args_command *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Of names [count], the one that was probably meant by typed, or NULL if none is near. */
const char *args_nearest(const char *typed, const char *const *names, int count);

/** Reads "S" or "HxW", numbers of up to nine digits, none of them 0. */
bool args_image_size(const char *text, int *height, int *width);

#endif
