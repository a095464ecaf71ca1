/* Files: whole reads, atomic writes, folders, paths. Every failure names the file and the system's reason. */
#ifndef DD_BASE_FILE_H
#define DD_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/**
 * Reads a whole regular file into *data (freed by free(); one zero byte follows the last). DD_ERROR_DATA if it is
 * missing, unreadable, no regular file, or larger than limit bytes.
 */
dd_status dd_file_read(const char *path, size_t limit, uint8_t **data, size_t *size);

/** Fills data from an open file. False: it cannot be read (errno), or ends before (errno 0). */
bool dd_read_exactly(int fd, void *data, size_t size);

/** A file being written beside its final name: written, synced, renamed, folder synced; or abandoned. */
struct dd_file_writer {
    char *path, *temporary;
    int fd;
};
dd_status dd_file_writer_open(const char *path, struct dd_file_writer *writer);
dd_status dd_file_writer_write(struct dd_file_writer *writer, const void *data, size_t size);
/**
 * Syncs and renames. On failure (full disk, ...) the old file stands as it was. A failed write or commit abandons the
 * writer, so its temporary is gone. DD_ERROR_DATA.
 */
dd_status dd_file_writer_commit(struct dd_file_writer *writer);
void dd_file_writer_abandon(struct dd_file_writer *writer); /* safe after commit */

/** The four steps in one call. */
dd_status dd_file_write(const char *path, const void *data, size_t size);

/** Creates a folder and its parents; existing ones are fine. */
dd_status dd_make_folder(const char *path);
/**
 * Makes nothing, but fails where dd_make_folder would, or where no file could be made in the folder, as far as that can
 * be told ahead. DD_ERROR_DATA, DD_ERROR_MEMORY.
 */
dd_status dd_check_folder(const char *path);
bool dd_file_exists(const char *path);
bool dd_is_folder(const char *path);

/** "<dir>/<name>", freed by free(); NULL when out of memory. */
char *dd_path_join(const char *dir, const char *name);

/**
 * The cache folder (created): cache_dir, else $XDG_CACHE_HOME/depthdrop, else $HOME/.cache/depthdrop, with "/<sub>"
 * behind it if sub is not NULL. NULL (no error recorded) if there is none or it cannot be made: callers then go
 * without.
 */
char *dd_cache_folder(const char *cache_dir, const char *sub);

/** Names in a folder (without "." and "..") in bytewise order; freed by dd_names_free. DD_ERROR_DATA. */
dd_status dd_folder_names(const char *path, char ***names, int *count);
void dd_names_free(char ***names, int count);

/** Deletes files of a folder, the longest unmodified first, until at most limit bytes are left. Best effort. */
void dd_folder_trim(const char *path, uint64_t limit);

/** Seconds on a monotonic clock. */
double dd_now(void);

#endif
