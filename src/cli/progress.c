/*
 * Progress on stderr. There is one line for the whole program, hence the static state; a mutex keeps the library's
 * messages, which may come from any thread, from being written into it.
 */
#include "progress.h"

#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PARTS = 8 };
static const double redraw_s = 0.1;    /* on a terminal */
static const double plain_line_s = 10; /* elsewhere, between lines of an evaluation */

static struct {
    pthread_mutex_t mutex;
    const char *unit;
    bool active, terminal, colour;
    bool shown;     /* the cursor stands behind a drawn line */
    double drawn_s; /* when it was drawn */
    double phase_s; /* when an evaluation began or last got a plain line */
} state = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* The parts of a line, most important first in rank; the dearest are dropped last when a terminal is narrow. */
struct part {
    int rank;
    char text[64];
};

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static bool set_variable(const char *name) {
    const char *value = getenv(name);
    return value && *value != '\0';
}

static int terminal_width(void) {
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}

static void clear_line(void) {
    if (state.shown)
        fputs("\r\033[K", stderr);
    state.shown = false;
}

void progress_start(const char *unit, bool quiet) {
    const char *term = getenv("TERM");
    pthread_mutex_lock(&state.mutex);
    state.unit = unit;
    state.active = !quiet;
    state.terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    state.colour = state.terminal && !set_variable("NO_COLOR");
    state.shown = false;
    state.drawn_s = 0;
    pthread_mutex_unlock(&state.mutex);
}

void progress_stop(void) {
    pthread_mutex_lock(&state.mutex);
    clear_line();
    state.active = false;
    pthread_mutex_unlock(&state.mutex);
}

void progress_pause(void) {
    pthread_mutex_lock(&state.mutex);
    clear_line();
}

void progress_continue(void) {
    fflush(stderr);
    pthread_mutex_unlock(&state.mutex);
}

/* "1:02:03", "?" while unknown. */
static void format_duration(double seconds, char *text, size_t size) {
    if (!isfinite(seconds) || seconds < 0 || seconds > 1e9) {
        snprintf(text, size, "?");
        return;
    }
    int64_t whole = (int64_t)(seconds + 0.5);
    snprintf(text, size, "%" PRId64 ":%02d:%02d", whole / 3600, (int)(whole / 60 % 60), (int)(whole % 60));
}

static int step_parts(const struct dd_train_progress *p, struct part parts[MAX_PARTS]) {
    char eta[32];
    int count = 0;
    bool measured = isfinite(p->loss);
    snprintf(parts[count].text, sizeof parts->text, "%s %" PRId64 "/%" PRId64, state.unit, p->iteration, p->iterations);
    parts[count++].rank = 0;
    if (p->epochs > 0) {
        snprintf(parts[count].text, sizeof parts->text, "epoch %" PRId64 "/%" PRId64, p->epoch, p->epochs);
        parts[count++].rank = 4;
    }
    if (measured) {
        snprintf(parts[count].text, sizeof parts->text, "loss %.4f", p->loss);
        parts[count++].rank = 1;
        snprintf(parts[count].text, sizeof parts->text, "train error %.1f %%", 100 * p->error);
        parts[count++].rank = 3;
    }
    if (p->images_per_s > 0) {
        snprintf(parts[count].text, sizeof parts->text, p->images_per_s < 10 ? "%.1f images/s" : "%.0f images/s",
                 p->images_per_s);
        parts[count++].rank = 5;
    }
    if (p->units > 0 && measured) {
        snprintf(parts[count].text, sizeof parts->text, "units %.1f/%d", p->units_run, p->units);
        parts[count++].rank = 6;
    }
    format_duration(p->eta_s, eta, sizeof eta);
    snprintf(parts[count].text, sizeof parts->text, "ETA %s", eta);
    parts[count++].rank = 2;
    return count;
}

/* Joins the parts by two blanks into line, without those of the highest ranks if it would be wider than width. */
static void join_parts(const struct part *parts, int count, int width, char *line, size_t size) {
    for (int most = MAX_PARTS; most >= 0; most--) {
        size_t length = 0;
        line[0] = '\0';
        for (int i = 0; i < count; i++)
            if (parts[i].rank <= most && length < size)
                length += (size_t)snprintf(line + length, size - length, "%s%s", length > 0 ? "  " : "", parts[i].text);
        if (length < (size_t)width)
            return;
    }
    if (width > 0 && strlen(line) >= (size_t)width)
        line[width - 1] = '\0';
}

static void draw(const char *line) {
    fprintf(stderr, "\r%s\033[K", line);
    state.shown = true;
    state.drawn_s = now_s();
}

static void show_evaluation(const struct dd_train_progress *p) {
    const char *best = "";
    if (p->eval_best)
        best = state.colour ? ", \033[1mbest\033[0m" : ", best";
    clear_line();
    fprintf(stderr, "iteration %" PRId64 ": %s error %.2f %% (loss %.4f)%s\n", p->iteration,
            p->eval_split ? p->eval_split : "test", 100 * p->eval_error, p->eval_loss, best);
}

/* An evaluation or a recalibration on its way. */
static void show_phase(const struct dd_train_progress *p) {
    char line[128], eta[32];
    const double now = now_s();
    if (p->done == 0)
        state.phase_s = now;
    if (state.terminal ? now - state.drawn_s < redraw_s : now - state.phase_s < plain_line_s)
        return;
    format_duration(p->eta_s, eta, sizeof eta);
    snprintf(line, sizeof line, "%s%s%s  batch %" PRId64 "/%" PRId64 "  ETA %s",
             strcmp(p->phase, "eval") == 0 ? "evaluating" : "recalibrating", p->eval_split ? " " : "",
             p->eval_split ? p->eval_split : "", p->done, p->count, eta);
    if (state.terminal) {
        draw(line);
        return;
    }
    fprintf(stderr, "%s\n", line);
    state.phase_s = now;
}

static void show_step(const struct dd_train_progress *p) {
    char line[512];
    struct part parts[MAX_PARTS];
    bool training = !p->phase || strcmp(p->phase, "train") == 0;
    if (!training) {
        show_phase(p);
    } else if (state.terminal) {
        /* a whole frame is due for the last step and for a change of phase, else ten a second */
        if (state.shown && now_s() - state.drawn_s < redraw_s && p->iteration < p->iterations)
            return;
        join_parts(parts, step_parts(p, parts), terminal_width(), line, sizeof line);
        draw(line);
    } else if (p->logged) {
        join_parts(parts, step_parts(p, parts), (int)sizeof line, line, sizeof line);
        fprintf(stderr, "%s\n", line);
    }
}

void progress_update(void *user, const struct dd_train_progress *progress) {
    (void)user;
    pthread_mutex_lock(&state.mutex);
    if (state.active) {
        if (progress->evaluated)
            show_evaluation(progress);
        else
            show_step(progress);
        fflush(stderr);
    }
    pthread_mutex_unlock(&state.mutex);
}
