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
    *log = (struct dd_runlog){.best = INFINITY, .last_eval = -1};
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

/** Takes one line into account; false if it is broken or beyond iteration (an evaluation: beyond last_eval). */
static bool keep_line(struct dd_runlog *log, const char *line, int64_t iteration, int64_t last_eval,
                      const char *best_split) {
    json_t *root = json_loads(line, 0, NULL);
    const json_t *at = json_object_get(root, "iteration");
    const int64_t most = json_object_get(root, "split") != NULL ? last_eval : iteration;
    const bool keep = json_is_integer(at) && json_integer_value(at) <= most;
    if (keep) {
        const json_t *train_s = json_object_get(root, "train_s"), *error = json_object_get(root, "error");
        const char *split = json_string_value(json_object_get(root, "split"));
        if (json_is_number(train_s))
            log->train_s = json_number_value(train_s);
        if (split != NULL)
            log->last_eval = json_integer_value(at);
        if (split != NULL && strcmp(split, best_split) == 0 && json_is_number(error) &&
            json_number_value(error) < log->best)
            log->best = json_number_value(error);
    }
    json_decref(root);
    return keep;
}

dd_status dd_runlog_cut(struct dd_runlog *log, int64_t iteration, bool evaluated, const char *best_split) {
    const int64_t last_eval = evaluated ? iteration : iteration - 1;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    off_t end = 0;
    log->train_s = 0;
    log->best = INFINITY;
    log->last_eval = -1;
    rewind(log->file);
    while ((length = getline(&line, &capacity, log->file)) > 0) {
        if (line[length - 1] != '\n' || !keep_line(log, line, iteration, last_eval, best_split))
            break;
        end += length;
    }
    free(line);
    if ((length < 0 && !feof(log->file)) || fseeko(log->file, end, SEEK_SET) != 0 ||
        ftruncate(fileno(log->file), end) != 0)
        return dd_fail(DD_ERROR_DATA, "cannot cut %s back: %s", log->path, strerror(errno));
    return DD_OK;
}

/* ---- writing ---- */

static dd_status write_line(struct dd_runlog *log, json_t *line) {
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
