/* Messages on stderr, JSON and figures on stdout, and the signals that stop a run. */
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"
#include "progress.h"

void cli_say(const char *format, ...) {
    va_list list;
    progress_pause();
    fputs("depthdrop: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    progress_continue();
}

int cli_failure(const struct args_command *command, dd_status status) {
    const char *message = dd_error_message();
    int length = (int)strlen(message);
    if (length == 0)
        cli_say("failed with status %d and without a message", (int)status);
    else if (status == DD_ERROR_USAGE)
        args_usage(command, "%.*s", message[length - 1] == '.' ? length - 1 : length, message);
    else
        cli_say("%s", message);
    return status == DD_OK ? DD_ERROR_INTERNAL : (int)status;
}

struct log_target {
    dd_log_level most; /* messages above this level are dropped */
};

static void log_message(void *user, dd_log_level level, const char *message) {
    const struct log_target *target = user;
    if (level > target->most)
        return;
    switch (level) {
    case DD_LOG_RESULT:
        puts(message);
        break;
    case DD_LOG_INFO:
        cli_say("%s", message);
        break;
    case DD_LOG_WARNING:
        cli_say("warning: %s", message);
        break;
    case DD_LOG_DEBUG:
        cli_say("debug: %s", message);
        break;
    }
}

void cli_log_to_stderr(bool quiet) {
    static struct log_target target;
    const char *debug = getenv("DEPTHDROP_DEBUG");
    target.most = quiet ? DD_LOG_WARNING : DD_LOG_INFO;
    if (debug && *debug != '\0' && strcmp(debug, "0") != 0)
        target.most = DD_LOG_DEBUG;
    dd_log_set(log_message, &target);
}

static volatile int stop_flag;

static void quit(int number) {
    (void)number;
    _exit(DD_INTERRUPTED);
}

/* Waits for the first signal; a second one finds this thread alone ready to take it, and quits whatever is going on. */
static void *wait_for_signal(void *user) {
    sigset_t *signals = user;
    struct sigaction action = {.sa_handler = quit};
    int number;
    if (sigwait(signals, &number) != 0)
        return NULL;
    stop_flag = 1;
    sigemptyset(&action.sa_mask);
    for (number = 1; number <= SIGTERM; number++)
        if (sigismember(signals, number) == 1)
            sigaction(number, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, signals, NULL);
    cli_say("stopping after this step; once more to quit at once");
    for (;;)
        pause();
}

volatile int *cli_catch_signals(void) {
    static sigset_t signals;
    struct sigaction old;
    pthread_t thread;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (sigaction(SIGHUP, NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* nohup keeps its promise */
        sigaddset(&signals, SIGHUP);
    /*
     * Blocked here, and so in every thread and program that the driver starts: LLVM replaces signal handlers by its
     * own, which delete the files of a compilation under way, and a linker would be stopped in the middle.
     */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&thread, NULL, wait_for_signal, &signals) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL); /* the system's way then: a signal ends the program */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return &stop_flag;
}

int cli_finish_output(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    cli_say("cannot write to standard output: %s", strerror(errno));
    return status == 0 ? DD_ERROR_INTERNAL : status;
}

json_t *cli_json_real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *cli_json_text(const char *text) {
    json_t *value = json_string(text);
    if (value)
        return value;
    char *clean = malloc(3 * strlen(text) + 1), *end = clean;
    if (!clean)
        return NULL;
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x80)
            *end++ = *text;
        else
            end = (char *)memcpy(end, "\xEF\xBF\xBD", 3) + 3;
    }
    *end = '\0';
    value = json_string(clean);
    free(clean);
    return value;
}

json_t *cli_json_text_or_null(const char *text) {
    return *text == '\0' ? json_null() : cli_json_text(text);
}

int cli_json_print(json_t *value, bool compact) {
    int failed = 1;
    if (!value) {
        cli_say("out of memory while writing JSON");
        return DD_ERROR_MEMORY;
    }
    failed = json_dumpf(value, stdout, JSON_REAL_PRECISION(9) | (compact ? JSON_COMPACT : JSON_INDENT(2)));
    json_decref(value);
    putchar('\n');
    if (failed) {
        cli_say("cannot write JSON to standard output");
        return DD_ERROR_INTERNAL;
    }
    return 0;
}

const char *cli_grouped(uint64_t number, char text[32]) {
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)number);
    char *end = text;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *end++ = ',';
        *end++ = digits[i];
    }
    *end = '\0';
    return text;
}

const char *cli_bytes(uint64_t bytes, char text[32]) {
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024 && unit < 6) {
        value /= 1024;
        unit++;
    }
    snprintf(text, 32, unit > 0 && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
    return text;
}
