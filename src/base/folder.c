/* Folders, paths and the clock. */
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

bool dd_file_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool dd_is_folder(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/** Makes path and its parents: 0 or errno. */
static int make_folders(const char *path) {
    char *part = dd_strdup(path);
    if (!part)
        return ENOMEM;
    int error = *path ? 0 : ENOENT;
    for (char *at = part; *at && !error; at++) {
        if (at[1] != '/' && at[1] != 0)
            continue;
        char next = at[1];
        at[1] = 0;
        error = mkdir(part, 0777) == 0 ? 0 : errno;
        if (error && dd_is_folder(part)) /* there already, or on a read-only parent */
            error = 0;
        at[1] = next;
    }
    free(part);
    return error;
}

static dd_status fail_folder(const char *path, const char *what, int error) {
    return dd_fail(error == ENOMEM ? DD_ERROR_MEMORY : DD_ERROR_DATA, "%s: this folder cannot be %s: %s", path, what,
                   strerror(error == EEXIST ? ENOTDIR : error));
}

dd_status dd_make_folder(const char *path) {
    int error = make_folders(path);
    return error ? fail_folder(path, "made", error) : DD_OK;
}

/** What keeps files and folders from being made in path: 0 or errno. */
static int entry_error(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0)
        return errno == ENOENT ? ENOTDIR : errno; /* ENOENT: a link that leads nowhere */
    if (!S_ISDIR(info.st_mode))
        return ENOTDIR;
    return access(path, W_OK | X_OK) == 0 ? 0 : errno;
}

dd_status dd_check_folder(const char *path) {
    struct stat info;
    char *copy = dd_strdup(path), *there = copy;
    if (!copy)
        return fail_folder(path, "made", ENOMEM);
    while (lstat(there, &info) != 0 && errno == ENOENT && strcmp(there, ".") && strcmp(there, "/"))
        there = dirname(there);
    int error = *path ? entry_error(there) : ENOENT;
    free(copy);
    return error ? fail_folder(path, dd_is_folder(path) ? "written" : "made", error) : DD_OK;
}

char *dd_path_join(const char *dir, const char *name) {
    size_t length = strlen(dir);
    return dd_format("%s%s%s", dir, length && dir[length - 1] == '/' ? "" : "/", name);
}

/** The folder without "/<sub>", not yet created; NULL if there is none. */
static char *cache_root(const char *cache_dir) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache_dir && *cache_dir)
        return dd_strdup(cache_dir);
    if (xdg && *xdg == '/') /* the XDG specification has relative paths ignored */
        return dd_path_join(xdg, "depthdrop");
    if (home && *home == '/')
        return dd_path_join(home, ".cache/depthdrop");
    return NULL;
}

char *dd_cache_folder(const char *cache_dir, const char *sub) {
    char *folder = cache_root(cache_dir);
    if (folder && sub) {
        char *below = dd_path_join(folder, sub);
        free(folder);
        folder = below;
    }
    if (folder && make_folders(folder) != 0) {
        free(folder);
        folder = NULL;
    }
    return folder;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static dd_status collect_names(DIR *dir, const char *path, char ***names, int *count) {
    size_t capacity = 0;
    for (;;) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry)
            return errno ? dd_fail(DD_ERROR_DATA, "%s: cannot be listed: %s", path, strerror(errno)) : DD_OK;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        DD_TRY(dd_grow(names, &capacity, (size_t)*count + 1, sizeof **names));
        char *name = dd_strdup(entry->d_name);
        if (!name)
            return dd_fail_memory(path, strlen(entry->d_name) + 1);
        (*names)[(*count)++] = name;
    }
}

dd_status dd_folder_names(const char *path, char ***names, int *count) {
    *names = NULL;
    *count = 0;
    DIR *dir = opendir(path);
    if (!dir)
        return dd_fail(DD_ERROR_DATA, "%s: this folder cannot be opened: %s", path, strerror(errno));
    dd_status status = collect_names(dir, path, names, count);
    closedir(dir);
    if (status != DD_OK) {
        dd_names_free(names, *count);
        *count = 0;
    } else if (*count) {
        qsort(*names, (size_t)*count, sizeof **names, by_bytes);
    }
    return status;
}

void dd_names_free(char ***names, int count) {
    for (int i = 0; i < count; i++)
        free((*names)[i]);
    free(*names);
    *names = NULL;
}

struct aged_file {
    char *path;
    uint64_t size;
    struct timespec modified;
};

static int by_age(const void *a, const void *b) {
    const struct aged_file *x = a, *y = b;
    if (x->modified.tv_sec != y->modified.tv_sec)
        return x->modified.tv_sec < y->modified.tv_sec ? -1 : 1;
    return (x->modified.tv_nsec > y->modified.tv_nsec) - (x->modified.tv_nsec < y->modified.tv_nsec);
}

void dd_folder_trim(const char *path, uint64_t limit) {
    char **names = NULL;
    int count = 0, files = 0;
    uint64_t total = 0;
    if (dd_folder_names(path, &names, &count) != DD_OK)
        return;
    struct aged_file *aged = dd_calloc((size_t)count, sizeof *aged);
    for (int i = 0; aged && i < count; i++) {
        struct stat info;
        char *inner = dd_path_join(path, names[i]);
        if (inner && stat(inner, &info) == 0 && S_ISREG(info.st_mode)) {
            aged[files++] = (struct aged_file){.path = inner, .size = (uint64_t)info.st_size, .modified = info.st_mtim};
            total += (uint64_t)info.st_size;
        } else {
            free(inner);
        }
    }
    if (files)
        qsort(aged, (size_t)files, sizeof *aged, by_age);
    for (int i = 0; i < files; i++) {
        if (total > limit && unlink(aged[i].path) == 0)
            total -= aged[i].size;
        free(aged[i].path);
    }
    free(aged);
    dd_names_free(&names, count);
}

double dd_now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
