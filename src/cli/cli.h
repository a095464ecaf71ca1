/* What the commands of the program share: messages, JSON, the stop flag and the list of commands. */
#ifndef DD_CLI_CLI_H
#define DD_CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>

#include <depthdrop/depthdrop.h>

#include "args.h"

extern const struct args_command cli_devices, cli_train, cli_eval, cli_predict, cli_bench, cli_selftest, cli_info,
    cli_tune, cli_report;

/*
 * Options that several commands have, as rows of their tables. offset: of the value in the command's structure; help:
 * what the option means to the command.
 */
#define CLI_DEVICE(offset)                                                                                             \
    {                                                                                                                  \
        ARGS_TEXT, "device", "SEL", "number, cpu, gpu, platform:device or part of a name",                             \
            "DEPTHDROP_DEVICE, else see devices", offset, 0, 0                                                         \
    }
#define CLI_ALGORITHM(offset)                                                                                          \
    { ARGS_CHOICE, "algorithm", "auto|gemm|direct|winograd", "convolution algorithm", "auto", offset, 0, 0 }
#define CLI_VECTOR(offset)                                                                                             \
    { ARGS_CHOICE, "vector", "auto|1|4|8|16", "channels in a block of the device's layout", "auto", offset, 0, 0 }
#define CLI_THREADS(help, offset)                                                                                      \
    { ARGS_INT, "threads", "N", help, "0", offset, 0, 4096 }
#define CLI_CACHE_DIR(help, offset)                                                                                    \
    { ARGS_TEXT, "cache-dir", "DIR", help, "$XDG_CACHE_HOME/depthdrop", offset, 0, 0 }

/** Says "depthdrop: SENTENCE" on stderr. */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Reports the library's error message, with a pointer to the help for usage errors; gives the exit code. */
int cli_failure(const struct args_command *command, dd_status status);

/**
 * Sends the library's messages to stderr; quiet: warnings and errors alone. DEPTHDROP_DEBUG shows everything. Results
 * go to stdout, also of a quiet program.
 */
void cli_log_to_stderr(bool quiet);

/**
 * SIGINT, SIGTERM and SIGHUP set the flag that is returned; a second one quits at once with 130. SIGPIPE and SIGXFSZ
 * are ignored, so that a closed pipe ends no training and a file size limit is an error like a full disk.
 */
volatile int *cli_catch_signals(void);

/** Flushes standard output: status, or 1 after a message if it could not be written. */
int cli_finish_output(int status);

/** A number, null if it is not finite. */
json_t *cli_json_real(double value);
/** A string; bytes that are not UTF-8 become U+FFFD. */
json_t *cli_json_text(const char *text);
/** The same, null if text is empty. */
json_t *cli_json_text_or_null(const char *text);
/** Prints one document (compact: on one line) and releases it. 0, or an exit code after a message (NULL: no memory). */
int cli_json_print(json_t *value, bool compact);

/** "1,234,567" in text, which is returned. */
const char *cli_grouped(uint64_t number, char text[32]);
/** "1.5 GiB" in text, which is returned. */
const char *cli_bytes(uint64_t bytes, char text[32]);

#endif
