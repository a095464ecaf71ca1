#include "train/runlog.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"

dd_status dd_runlog_open(const char *dir, struct dd_runlog *log) {
    *log = (struct dd_runlog){.best = INFINITY, .last_eval = -1, .replace = -1};
    log->path = dd_path_join(dir, "log.jsonl");
    if (log->path == NULL)
        return dd_fail_memory("path", strlen(dir));
    const int fd = open(log->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return dd_fail(DD_ERROR_DATA, "cannot open %s: %s", log->path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        return dd_fail(DD_ERROR_USAGE,
                       "the run folder %s is in use by another process; wait for it or choose another --run", dir);
    }
    log->file = fdopen(fd, "r+");
    if (log->file == NULL) {
        close(fd);
        return dd_fail(DD_ERROR_DATA, "cannot open %s: %s", log->path, strerror(errno));
    }
    return DD_OK;
}

void dd_runlog_close(struct dd_runlog *log) {
    if (log->file != NULL)
        fclose(log->file);
    free(log->path);
    *log = (struct dd_runlog){0};
}

/* ---- reading back ---- */

/* What a line says; -1 and NaN where it has no such key. */
struct line {
    int64_t iteration;
    double train_s, error;
    bool evaluation, best_split; /* best_split: an evaluation of the split that counts for the best error */
};

/** False if the text is no line of a log. */
static bool parse_line(const char *text, const char *best_split, struct line *line) {
    json_t *root = json_loads(text, 0, NULL);
    const json_t *at = json_object_get(root, "iteration"), *train_s = json_object_get(root, "train_s");
    const json_t *error = json_object_get(root, "error");
    const char *split = json_string_value(json_object_get(root, "split"));
    *line = (struct line){.iteration = json_is_integer(at) ? json_integer_value(at) : -1,
                          .train_s = json_is_number(train_s) ? json_number_value(train_s) : NAN,
                          .error = json_is_number(error) ? json_number_value(error) : NAN,
                          .evaluation = split != NULL,
                          .best_split = split != NULL && strcmp(split, best_split) == 0};
    json_decref(root);
    return line->iteration >= 0;
}

/** Takes a line that stays into account. */
static void take_line(struct dd_runlog *log, const struct line *line, int64_t *time_at) {
    log->lines++;
    if (isfinite(line->train_s)) {
        log->train_s = line->train_s;
        *time_at = line->iteration;
    }
    if (line->evaluation)
        log->last_eval = line->iteration;
    if (line->best_split && line->error < log->best)
        log->best = line->error;
}

/** log->train_s is of iteration time_at: on to the checkpoint's, towards the first line behind it. */
static void interpolate_time(struct dd_runlog *log, const struct line *line, int64_t iteration, int64_t time_at) {
    const double passed = line->train_s - log->train_s;
    if (line->iteration > iteration && time_at < iteration && isfinite(passed))
        log->train_s += passed * (double)(iteration - time_at) / (double)(line->iteration - time_at);
}

/** Reads up to the first line that goes: *end, where it begins. False if it is damaged and others follow. */
static bool read_lines(struct dd_runlog *log, const struct dd_log_cut *cut, char **text, size_t *capacity, off_t *end) {
    int64_t time_at = 0;
    ssize_t length;
    while ((length = getline(text, capacity, log->file)) > 0) {
        struct line line;
        if ((*text)[length - 1] != '\n' || !parse_line(*text, cut->best_split, &line))
            return getline(text, capacity, log->file) <= 0; /* nothing follows: torn while it was written */
        const bool here = line.iteration == cut->iteration;
        if (line.iteration > cut->iteration || (here && line.evaluation && !cut->evaluated)) {
            interpolate_time(log, &line, cut->iteration, time_at);
            return true;
        }
        take_line(log, &line, &time_at);
        if (here && !line.evaluation && cut->stopped)
            log->replace = *end;
        *end += length;
    }
    return true;
}

/** Ends the file at an offset, where the next line goes. */
static dd_status end_at(struct dd_runlog *log, off_t end) {
    if (fseeko(log->file, end, SEEK_SET) != 0 || ftruncate(fileno(log->file), end) != 0)
        return dd_fail(DD_ERROR_DATA, "cannot cut %s back: %s", log->path, strerror(errno));
    return DD_OK;
}

dd_status dd_runlog_cut(struct dd_runlog *log, const struct dd_log_cut *cut) {
    char *text = NULL;
    size_t capacity = 0;
    off_t end = 0;
    log->lines = 0;
    log->train_s = 0;
    log->best = INFINITY;
    log->last_eval = log->replace = -1;
    rewind(log->file);
    errno = 0;
    const bool whole = read_lines(log, cut, &text, &capacity, &end);
    const int error = errno; /* ENOMEM ends getline without a mark on the stream */
    free(text);
    if (!whole)
        return dd_fail(DD_ERROR_DATA, "%s is damaged: line %lld is no line of a log; repair it or take it out",
                       log->path, (long long)log->lines + 1);
    if (ferror(log->file) || error == ENOMEM)
        return dd_fail(DD_ERROR_DATA, "cannot read %s: %s", log->path, strerror(error));
    return end_at(log, end);
}

/* ---- writing ---- */

static dd_status write_line(struct dd_runlog *log, json_t *line) {
    if (log->replace >= 0) {
        const dd_status status = end_at(log, log->replace);
        log->replace = -1;
        if (status != DD_OK) {
            json_decref(line);
            return status;
        }
    }
    DD_TRY(dd_json_line(line, log->file));
    if (ferror(log->file) || fflush(log->file) != 0)
        return dd_fail(DD_ERROR_DATA, "cannot write %s: %s; the last checkpoint is whole, resume when there is room",
                       log->path, strerror(errno));
    return DD_OK;
}

dd_status dd_runlog_step(struct dd_runlog *log, const struct dd_log_step *step) {
    char *gates = dd_calloc((size_t)step->units + 1, 1);
    if (gates == NULL)
        return dd_fail_memory("a line of the log", (size_t)step->units);
    for (int u = 0; u < step->units; u++)
        gates[u] = step->gates[u] ? '1' : '0';
    json_t *line =
        json_pack("{s:s, s:I, s:I, s:o, s:o, s:s, s:i, s:o, s:o}", "event", "step", "iteration",
                  (json_int_t)step->iteration, "epoch", (json_int_t)step->epoch, "loss", dd_json_number(step->loss),
                  "lr", dd_json_number(step->lr), "gates", gates, "units_run", step->units_run, "images_per_s",
                  dd_json_number(step->images_per_s), "train_s", dd_json_number(step->train_s));
    free(gates);
    return write_line(log, line);
}

dd_status dd_runlog_eval(struct dd_runlog *log, const struct dd_log_eval *eval) {
    json_t *line =
        json_pack("{s:s, s:I, s:s, s:o, s:o, s:I, s:s}", "event", "eval", "iteration", (json_int_t)eval->iteration,
                  "split", eval->split, "error", dd_json_number(eval->error), "loss", dd_json_number(eval->loss),
                  "images", (json_int_t)eval->images, "statistics", eval->statistics);
    if (line != NULL && strcmp(eval->statistics, "running") != 0) {
        json_object_set_new(line, "error_running", dd_json_number(eval->error_running));
        json_object_set_new(line, "loss_running", dd_json_number(eval->loss_running));
    }
    return write_line(log, line);
}

dd_status dd_runlog_sync(struct dd_runlog *log) {
    if (fflush(log->file) != 0 || fsync(fileno(log->file)) != 0)
        return dd_fail(DD_ERROR_DATA, "cannot sync %s: %s; the last checkpoint is whole", log->path, strerror(errno));
    return DD_OK;
}
