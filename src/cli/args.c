/*
 * The option parser. A command is a table (args.h); nothing here knows any command, so a new option is a new line in
 * its command's table.
 */
#include "args.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { HELP_WIDTH = 80, HELP_COLUMN = 27, MAX_NAME = 32 };

int args_usage(const struct args_command *command, const char *format, ...) {
    va_list list;
    fputs("depthdrop: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fprintf(stderr, "; see depthdrop %s%s--help\n", command ? command->name : "", command ? " " : "");
    return 2;
}

/* Edits (insert, delete, replace, swap of neighbours) from a to b; both at most MAX_NAME long. */
static int edit_distance(const char *a, const char *b) {
    int rows = (int)strlen(a), columns = (int)strlen(b);
    int table[MAX_NAME + 1][MAX_NAME + 1];
    for (int i = 0; i <= rows; i++)
        for (int j = 0; j <= columns; j++) {
            if (i == 0 || j == 0) {
                table[i][j] = i + j;
                continue;
            }
            int best = table[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (table[i - 1][j] + 1 < best)
                best = table[i - 1][j] + 1;
            if (table[i][j - 1] + 1 < best)
                best = table[i][j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && table[i - 2][j - 2] + 1 < best)
                best = table[i - 2][j - 2] + 1;
            table[i][j] = best;
        }
    return table[rows][columns];
}

const char *args_nearest(const char *typed, const char *const *names, int count) {
    const char *nearest = NULL;
    int length = (int)strlen(typed);
    int best = length < 3 ? 2 : 1 + (length + 2) / 3; /* about a third of the letters may be wrong */
    if (length == 0 || length > MAX_NAME)
        return NULL;
    for (int i = 0; i < count; i++) {
        int distance = strlen(names[i]) > MAX_NAME ? best : edit_distance(typed, names[i]);
        if (length >= 3 && strncmp(typed, names[i], (size_t)length) == 0)
            distance = 1; /* the beginning of a name */
        if (distance < best) {
            best = distance;
            nearest = names[i];
        }
    }
    return nearest;
}

static int count_options(const struct args_command *command) {
    int count = 0;
    while (command->options[count].kind != ARGS_END)
        count++;
    return count;
}

/* Index of the option called name (of length letters), or -1. */
static int find_option(const struct args_command *command, const char *name, size_t length) {
    int count = count_options(command);
    for (int i = 0; i < count; i++) {
        const struct args_option *option = &command->options[i];
        if (option->kind != ARGS_GROUP && strlen(option->name) == length && memcmp(option->name, name, length) == 0)
            return i;
    }
    return -1;
}

bool args_given(const struct args_command *command, const struct args_result *result, const char *name) {
    int index = find_option(command, name, strlen(name));
    return index >= 0 && (result->given >> index & 1) != 0;
}

static int unknown_option(const struct args_command *command, const char *name, size_t length) {
    const char *names[ARGS_MAX_OPTIONS + 1];
    char typed[MAX_NAME + 2];
    int count = 0, options = count_options(command);
    for (int i = 0; i < options && i < ARGS_MAX_OPTIONS; i++)
        if (command->options[i].kind != ARGS_GROUP)
            names[count++] = command->options[i].name;
    names[count++] = "help";
    snprintf(typed, sizeof typed, "%.*s", (int)length, name);
    const char *nearest = args_nearest(typed, names, count);
    if (nearest)
        return args_usage(command, "unknown option --%.*s (did you mean --%s?)", (int)length, name, nearest);
    return args_usage(command, "unknown option --%.*s", (int)length, name);
}

/* "from 1 to 8", "1 or more": the range as a sentence goes on. */
static void describe_range(const struct args_option *option, char *text, size_t size) {
    if (option->high == 0)
        snprintf(text, size, "%.16g or more", option->low);
    else
        snprintf(text, size, "from %.16g to %.16g", option->low, option->high);
}

static bool in_range(const struct args_option *option, double value) {
    return value >= option->low && (option->high == 0 || value <= option->high);
}

static int wrong_number(const struct args_command *command, const struct args_option *option, const char *value) {
    char range[64];
    describe_range(option, range, sizeof range);
    return args_usage(command, "--%s must be a %s, %s, not '%s'", option->name,
                      option->kind == ARGS_DOUBLE ? "number" : "whole number", range, value);
}

/* Decimal digits with a sign at most: strtoll alone would take blanks too. */
static bool is_whole(const char *text) {
    if (*text == '-')
        text++;
    return *text != '\0' && text[strspn(text, "0123456789")] == '\0';
}

static int set_whole(const struct args_command *command, const struct args_option *option, const char *value,
                     void *field) {
    errno = 0;
    long long number = is_whole(value) ? strtoll(value, NULL, 10) : 0;
    bool fits = is_whole(value) && errno == 0 && in_range(option, (double)number);
    if (option->kind == ARGS_INT) {
        if (!fits || number < INT_MIN || number > INT_MAX)
            return wrong_number(command, option, value);
        *(int *)field = (int)number;
        return 0;
    }
    if (!fits)
        return wrong_number(command, option, value);
    *(int64_t *)field = number;
    return 0;
}

static int set_uint64(const struct args_command *command, const struct args_option *option, const char *value,
                      void *field) {
    errno = 0;
    unsigned long long number = is_whole(value) && *value != '-' ? strtoull(value, NULL, 10) : 0;
    if (!is_whole(value) || *value == '-' || errno != 0)
        return args_usage(command, "--%s must be a whole number from 0 to %" PRIu64 ", not '%s'", option->name,
                          UINT64_MAX, value);
    *(uint64_t *)field = number;
    return 0;
}

static int set_double(const struct args_command *command, const struct args_option *option, const char *value,
                      void *field) {
    char *end = NULL;
    bool plain = *value != '\0' && value[strspn(value, "0123456789.eE+-")] == '\0';
    double number = plain ? strtod(value, &end) : 0;
    if (!plain || *end != '\0' || !isfinite(number) || !in_range(option, number))
        return wrong_number(command, option, value);
    *(double *)field = number;
    return 0;
}

static int set_choice(const struct args_command *command, const struct args_option *option, const char *value,
                      const char **field) {
    char text[128];
    const char *choices[16];
    int count = 0;
    snprintf(text, sizeof text, "%s", option->placeholder);
    for (char *rest = text, *word; count < 16 && (word = strsep(&rest, "|")) != NULL;)
        choices[count++] = word;
    for (int i = 0; i < count; i++)
        if (strcmp(choices[i], value) == 0) {
            *field = value;
            return 0;
        }
    const char *nearest = args_nearest(value, choices, count);
    if (nearest)
        return args_usage(command, "--%s must be one of %s, not '%s' (did you mean %s?)", option->name,
                          option->placeholder, value, nearest);
    return args_usage(command, "--%s must be one of %s, not '%s'", option->name, option->placeholder, value);
}

static int add_text(const struct args_command *command, const struct args_option *option, const char *value,
                    struct args_texts *texts) {
    if (texts->count == ARGS_MAX_TEXTS)
        return args_usage(command, "--%s may be given at most %d times", option->name, ARGS_MAX_TEXTS);
    texts->text[texts->count++] = value;
    return 0;
}

static int set_value(const struct args_command *command, const struct args_option *option, const char *value,
                     void *target) {
    void *field = (char *)target + option->offset;
    switch (option->kind) {
    case ARGS_FLAG:
        *(bool *)field = true;
        return 0;
    case ARGS_TEXT:
    case ARGS_TEXTS:
        if (*value == '\0')
            return args_usage(command, "--%s needs a value %s that is not empty", option->name, option->placeholder);
        if (option->kind == ARGS_TEXTS)
            return add_text(command, option, value, field);
        *(const char **)field = value;
        return 0;
    case ARGS_CHOICE:
        return set_choice(command, option, value, field);
    case ARGS_INT:
    case ARGS_INT64:
        return set_whole(command, option, value, field);
    case ARGS_UINT64:
        return set_uint64(command, option, value, field);
    case ARGS_DOUBLE:
        return set_double(command, option, value, field);
    case ARGS_END:
    case ARGS_GROUP:
        break;
    }
    return 0;
}

/* One "--name", "--name=value" or "--name value" at argv[*at]; moves *at to its last word. */
static int parse_option(const struct args_command *command, int argc, char **argv, int *at, void *target,
                        struct args_result *result) {
    const char *name = argv[*at] + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    int index = find_option(command, name, length);
    if (index < 0)
        return unknown_option(command, name, length);
    const struct args_option *option = &command->options[index];
    const char *value = equals ? equals + 1 : NULL;
    if (option->kind == ARGS_FLAG && value)
        return args_usage(command, "--%s takes no value", option->name);
    if (option->kind != ARGS_FLAG && !value) {
        if (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0)
            return args_usage(command, "--%s needs a value %s", option->name, option->placeholder);
        value = argv[++*at];
    }
    result->given |= UINT64_C(1) << index;
    return set_value(command, option, value, target);
}

enum args_outcome args_parse(const struct args_command *command, int argc, char **argv, void *target,
                             struct args_result *result) {
    bool options = true;
    *result = (struct args_result){.positional = argv};
    for (int at = 0; at < argc; at++) {
        char *word = argv[at];
        if (options && strcmp(word, "--") == 0) {
            options = false;
        } else if (options && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
            args_print_help(command, stdout);
            return ARGS_HELP_SHOWN;
        } else if (options && strncmp(word, "--", 2) == 0) {
            if (parse_option(command, argc, argv, &at, target, result) != 0)
                return ARGS_WRONG;
        } else if (options && word[0] == '-' && word[1] != '\0') {
            args_usage(command, "unknown option %s", word);
            return ARGS_WRONG;
        } else if (!command->positional) {
            args_usage(command, "unexpected argument '%s'", word);
            return ARGS_WRONG;
        } else {
            result->positional[result->count++] = word; /* count never runs ahead of at */
        }
    }
    return ARGS_OK;
}

/* Prints text from column indent on; column is where the cursor stands. Ends the line. */
static void print_wrapped(FILE *out, int column, int indent, const char *text) {
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        bool first = column <= indent;
        if (!first && column + 1 + (int)length > HELP_WIDTH) {
            fputc('\n', out);
            column = 0;
            first = true;
        }
        if (column < indent)
            column += fprintf(out, "%*s", indent - column, "");
        if (!first)
            column += fprintf(out, " ");
        column += fprintf(out, "%.*s", (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

void args_print_term(FILE *out, const char *term, int indent, const char *text) {
    int column = fprintf(out, "  %s", term);
    if (column + 2 > indent) {
        fputc('\n', out);
        column = 0;
    }
    print_wrapped(out, column, indent, text);
}

static void print_option(const struct args_option *option, FILE *out) {
    char term[128], text[512];
    snprintf(term, sizeof term, "--%s%s%s", option->name, option->placeholder ? " " : "",
             option->placeholder ? option->placeholder : "");
    if (option->initial)
        snprintf(text, sizeof text, "%s (default: %s)", option->help, option->initial);
    else
        snprintf(text, sizeof text, "%s", option->help);
    args_print_term(out, term, HELP_COLUMN, text);
}

void args_print_help(const struct args_command *command, FILE *out) {
    for (int i = 0; command->usage[i]; i++)
        fprintf(out, "%s depthdrop %s\n", i == 0 ? "usage:" : "      ", command->usage[i]);
    fputc('\n', out);
    char text[512];
    snprintf(text, sizeof text, "%c%s.%s%s", toupper((unsigned char)command->summary[0]), command->summary + 1,
             command->description ? " " : "", command->description ? command->description : "");
    print_wrapped(out, 0, 0, text);
    if (command->options[0].kind != ARGS_GROUP)
        fputs("\nOptions:\n", out);
    for (const struct args_option *option = command->options; option->kind != ARGS_END; option++) {
        if (option->kind == ARGS_GROUP)
            fprintf(out, "\n%s:\n", option->name);
        else
            print_option(option, out);
    }
    args_print_term(out, "--help", HELP_COLUMN, "print this text");
    if (command->extra_help)
        command->extra_help(out);
    fputs("\nExamples:\n", out);
    for (int i = 0; command->examples[i]; i++)
        fprintf(out, "  %s%s\n", command->examples[i][0] == '#' ? "" : "depthdrop ", command->examples[i]);
}

bool args_image_size(const char *text, int *height, int *width) {
    int used = 0, h = 0, w = 0;
    if (strspn(text, "0123456789x") != strlen(text))
        return false;
    if (sscanf(text, "%9d%n", &h, &used) == 1 && text[used] == '\0')
        w = h;
    else if (sscanf(text, "%9dx%9d%n", &h, &w, &used) != 2 || text[used] != '\0')
        return false;
    *height = h;
    *width = w;
    return h >= 1 && w >= 1;
}
