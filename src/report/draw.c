/*
 * Figures through gnuplot: one script, DIR/figures.gp, which a user may edit and run again, draws all of them. gnuplot
 * is a process of its own; nothing of it is linked.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "report/internal.h"

extern char **environ;

/* Told apart by most people with colour-blindness (Okabe and Ito, 2008). */
static const char *const colours[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                      "#e69f00", "#56b4e9", "#000000", "#8c6d1f"};
enum { COLOURS = sizeof colours / sizeof *colours, WIDTH = 860, PLOT_HEIGHT = 400, KEY_LINE = 22 };
static const int point_types[] = {7, 5, 9, 13, 11};
enum { POINT_TYPES = sizeof point_types / sizeof *point_types };

/* ---- the script ---- */

static void write_quoted(FILE *out, const char *text) {
    fputc('\'', out);
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputc('\'', out);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, out);
    }
    fputc('\'', out);
}

static void write_setting(FILE *out, const char *setting, const char *text) {
    fprintf(out, "set %s ", setting);
    write_quoted(out, text);
    fputc('\n', out);
}

static void write_points(FILE *out, const struct dd_figure *figure, size_t index) {
    const struct dd_line *line = &figure->lines[index];
    const double x_scale = figure->x_percent ? 100 : 1, y_scale = figure->y_percent ? 100 : 1;
    fprintf(out, "$line%zu << END\n", index);
    for (size_t i = 0; i < line->count; i++) {
        const struct dd_point *p = &line->points[i];
        const bool bar = isfinite(p->low) && isfinite(p->high);
        fprintf(out, "%.9g %.9g %.9g %.9g\n", x_scale * p->x, y_scale * p->y, y_scale * (bar ? p->low : p->y),
                y_scale * (bar ? p->high : p->y));
    }
    fputs("END\n", out);
}

static void write_line(FILE *out, const struct dd_line *line, size_t index) {
    static const char *const styles[] = {[DD_LOOK_LINE] = "using 1:2 with lines lw 1.6",
                                         [DD_LOOK_POINTS] = "using 1:2 with linespoints lw 1.6 ps 0.9",
                                         [DD_LOOK_ERROR_BARS] = "using 1:2:3:4 with yerrorlines lw 1.6 ps 0.9",
                                         [DD_LOOK_DASHED] = "using 1:2 with linespoints lw 1.6 ps 0.7 dt 2"};
    fprintf(out, "$line%zu %s", index, styles[line->look]);
    if (line->look != DD_LOOK_LINE)
        fprintf(out, " pt %d", point_types[(line->colour < 0 ? POINT_TYPES - 1 : line->colour % POINT_TYPES)]);
    else if (line->colour >= COLOURS)
        fprintf(out, " dt %d", 2 + line->colour / COLOURS);
    fprintf(out, " lc rgb '%s' title ", line->colour < 0 ? "#777777" : colours[line->colour % COLOURS]);
    write_quoted(out, line->label);
}

/* The legend stands below the plot, a line for each label, and the picture is as much higher. */
static int write_key(FILE *out, const struct dd_figure *figure) {
    int lines = 0;
    for (size_t i = 0; i < figure->line_count; i++)
        lines += figure->lines[i].count > 0;
    fprintf(out, "set key outside below left vertical Left reverse maxcols 1 maxrows %d samplen 3 title ' '\n", lines);
    return PLOT_HEIGHT + KEY_LINE * (lines + 1);
}

static void write_figure(FILE *out, const struct dd_figure *figure) {
    fprintf(out, "\nreset\nset border 3 lc rgb '#444444'\nset tics nomirror\nset grid lc rgb '#dddddd' lt 1 dt 1\n");
    for (size_t i = 0; i < figure->line_count; i++)
        if (figure->lines[i].count > 0)
            write_points(out, figure, i);
    write_setting(out, "title", figure->title);
    write_setting(out, "xlabel", figure->x_label);
    fputs("set xlabel offset 0,0.3\nset autoscale xfix\n", out);
    write_setting(out, "ylabel", figure->y_label);
    const int height = write_key(out, figure);
    if (figure->from_zero)
        fputs("set yrange [0:*]\nset offsets graph 0.02, graph 0.02, graph 0.04, 0\n", out);
    else
        fputs("set xzeroaxis lc rgb '#444444'\nset offsets graph 0.03, graph 0.03, graph 0.06, graph 0.06\n", out);
    if (figure->lines[0].look == DD_LOOK_LINE)
        fputs("set xrange [0:*] noextend\n", out);
    fprintf(out, "set terminal svg noenhanced size %d,%d font 'sans-serif,14' background '#ffffff'\n", WIDTH, height);
    fprintf(out, "set output '%s.svg'\nplot ", figure->name);
    bool first = true;
    for (size_t i = 0; i < figure->line_count; i++)
        if (figure->lines[i].count > 0) {
            fputs(first ? "" : ", \\\n     ", out);
            write_line(out, &figure->lines[i], i);
            first = false;
        }
    fprintf(out,
            "\nset terminal pngcairo noenhanced size %d,%d fontscale 2 linewidth 2 pointscale 2 background '#ffffff'\n",
            2 * WIDTH, 2 * height);
    fprintf(out, "set output '%s.png'\nreplot\nset output\n", figure->name);
}

static dd_status write_script(const struct dd_report *report, const char *path) {
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        return dd_fail_memory("script", 4096);
    fputs("# The figures of a report by depthdrop: gnuplot figures.gp draws them anew.\nset encoding utf8\n", out);
    for (size_t f = 0; f < report->figure_count; f++)
        if (report->figures[f].missing[0] == '\0')
            write_figure(out, &report->figures[f]);
    const bool whole = fclose(out) == 0;
    dd_status status = whole ? dd_file_write(path, text, size) : dd_fail_memory("script", size);
    free(text);
    return status;
}

/* ---- the process ---- */

/* Starts gnuplot in dir with its messages on a pipe, whose reading end is *messages. An error number, 0: started. */
static int start_gnuplot(const char *dir, pid_t *pid, int *messages) {
    char *const arguments[] = {"gnuplot", "--default-settings", "figures.gp", NULL};
    posix_spawn_file_actions_t actions;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    int error = posix_spawn_file_actions_init(&actions);
    if (error == 0) {
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
        posix_spawn_file_actions_addchdir_np(&actions, dir);
        error = posix_spawnp(pid, arguments[0], &actions, NULL, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    *messages = ends[0];
    if (error != 0)
        close(ends[0]);
    return error;
}

/* The beginning of what gnuplot says, on one line; the rest is read and dropped so that it need not wait. */
static void read_messages(int fd, char *text, size_t size) {
    char block[512];
    size_t length = 0;
    for (ssize_t got; (got = read(fd, block, sizeof block)) > 0 || (got < 0 && errno == EINTR);)
        for (ssize_t i = 0; i < got; i++) {
            const bool blank = (unsigned char)block[i] <= ' ';
            if (length + 1 < size && !(blank && (length == 0 || text[length - 1] == ' ')))
                text[length++] = blank ? ' ' : block[i];
        }
    text[length] = '\0';
}

static dd_status run_gnuplot(const char *dir) {
    char text[300];
    int messages = -1, state = 0;
    pid_t pid;
    const int error = start_gnuplot(dir, &pid, &messages);
    if (error == ENOENT)
        return dd_fail(DD_ERROR_INTERNAL,
                       "gnuplot, which draws the figures, is not installed (apt install gnuplot-nox); "
                       "%s/report.json has the numbers",
                       dir);
    if (error != 0)
        return dd_fail(DD_ERROR_INTERNAL, "gnuplot cannot be started: %s", strerror(error));
    read_messages(messages, text, sizeof text);
    close(messages);
    while (waitpid(pid, &state, 0) < 0 && errno == EINTR)
        ;
    if (WIFEXITED(state) && WEXITSTATUS(state) == 0)
        return DD_OK;
    if (WIFSIGNALED(state))
        return dd_fail(DD_ERROR_INTERNAL, "gnuplot was ended by signal %d while drawing %s/figures.gp", WTERMSIG(state),
                       dir);
    return dd_fail(DD_ERROR_INTERNAL, "gnuplot failed on %s/figures.gp (version 5.2 or newer is needed): %s", dir,
                   text);
}

/* ---- the folder ---- */

static bool is_old(const char *name) {
    const char *dot = strrchr(name, '.');
    char figure[256];
    if (strcmp(name, "index.html") == 0)
        return true;
    if (dot == NULL || (strcmp(dot, ".svg") != 0 && strcmp(dot, ".png") != 0))
        return false;
    snprintf(figure, sizeof figure, "%.*s", (int)(dot - name), name);
    return dd_figure_is_name(figure);
}

static dd_status remove_file(const char *dir, const char *name) {
    char *path = dd_path_join(dir, name);
    dd_status status = DD_OK;
    if (path == NULL)
        return dd_fail_memory("path", strlen(dir));
    if (unlink(path) != 0 && errno != ENOENT)
        status = dd_fail(DD_ERROR_DATA, "%s, of an earlier report, cannot be removed: %s", path, strerror(errno));
    free(path);
    return status;
}

dd_status dd_report_remove_old(const char *dir) {
    char **names;
    int count;
    dd_status status = DD_OK;
    DD_TRY(dd_folder_names(dir, &names, &count));
    for (int i = 0; i < count && status == DD_OK; i++)
        if (is_old(names[i]))
            status = remove_file(dir, names[i]);
    dd_names_free(&names, count);
    return status;
}

dd_status dd_report_draw(const struct dd_report *report, const char *dir) {
    char *script = dd_path_join(dir, "figures.gp");
    if (script == NULL)
        return dd_fail_memory("path", strlen(dir));
    const dd_status status = write_script(report, script);
    free(script);
    return status == DD_OK ? run_gnuplot(dir) : status;
}
