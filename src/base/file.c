/* Whole reads and atomic writes. Folders and paths are in folder.c. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

bool dd_read_exactly(int fd, void *data, size_t size) {
    size_t done = 0;
    while (done < size) {
        errno = 0;
        ssize_t got = read(fd, (uint8_t *)data + done, size - done);
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

static dd_status read_open_file(int fd, const char *path, size_t limit, uint8_t **data, size_t *size) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return dd_fail(DD_ERROR_DATA, "%s: cannot be read: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return dd_fail(DD_ERROR_DATA, "%s: is %s, a regular file was expected", path,
                       S_ISDIR(info.st_mode) ? "a folder" : "no regular file");
    if ((uint64_t)info.st_size > limit)
        return dd_fail(DD_ERROR_DATA, "%s: has %lld bytes, at most %zu were expected", path, (long long)info.st_size,
                       limit);
    size_t bytes = (size_t)info.st_size;
    uint8_t *bytes_read = malloc(bytes + 1);
    if (!bytes_read)
        return dd_fail_memory(path, bytes + 1);
    if (!dd_read_exactly(fd, bytes_read, bytes)) {
        const char *reason = errno != 0 ? strerror(errno) : "it became shorter meanwhile";
        free(bytes_read);
        return dd_fail(DD_ERROR_DATA, "%s: cannot be read: %s", path, reason);
    }
    bytes_read[bytes] = 0;
    *data = bytes_read;
    *size = bytes;
    return DD_OK;
}

dd_status dd_file_read(const char *path, size_t limit, uint8_t **data, size_t *size) {
    *data = NULL;
    *size = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* not to hang on a pipe, which is refused */
    if (fd < 0)
        return dd_fail(DD_ERROR_DATA, "%s: cannot be opened: %s", path, strerror(errno));
    dd_status status = read_open_file(fd, path, limit, data, size);
    close(fd);
    return status;
}

/** Records the system's reason, removes the temporary and gives DD_ERROR_DATA. */
static dd_status writer_failed(struct dd_file_writer *writer, int error) {
    const char *end = dd_file_exists(writer->path) ? "; the old file is kept" : "";
    dd_status status = dd_fail(DD_ERROR_DATA, "%s: cannot be written: %s%s", writer->path, strerror(error), end);
    dd_file_writer_abandon(writer);
    return status;
}

dd_status dd_file_writer_open(const char *path, struct dd_file_writer *writer) {
    static atomic_uint counter;
    *writer = (struct dd_file_writer){.fd = -1, .path = dd_strdup(path)};
    if (!writer->path)
        return dd_fail_memory(path, strlen(path) + 1);
    for (int attempt = 0; attempt < 1000; attempt++) {
        free(writer->temporary);
        writer->temporary = dd_format("%s.%ld-%u.tmp", path, (long)getpid(), atomic_fetch_add(&counter, 1));
        if (!writer->temporary) {
            dd_file_writer_abandon(writer);
            return dd_fail_memory(path, strlen(path) + 32);
        }
        writer->fd = open(writer->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (writer->fd >= 0)
            return DD_OK;
        if (errno != EEXIST) /* else a killed process of the same number left one behind */
            break;
    }
    int error = errno;
    free(writer->temporary); /* not ours to remove */
    writer->temporary = NULL;
    return writer_failed(writer, error);
}

dd_status dd_file_writer_write(struct dd_file_writer *writer, const void *data, size_t size) {
    if (writer->fd < 0)
        return dd_fail(DD_ERROR_INTERNAL, "a file is written that is not open");
    const uint8_t *at = data;
    while (size) {
        ssize_t put = write(writer->fd, at, size);
        if (put < 0 && errno != EINTR)
            return writer_failed(writer, errno);
        if (put > 0) {
            at += put;
            size -= (size_t)put;
        }
    }
    return DD_OK;
}

/** Makes a rename durable. Failure is no loss of data before the next crash, so it is only logged. */
static void sync_folder_of(const char *path) {
    char *folder = dd_strdup(path);
    if (!folder)
        return;
    char *slash = strrchr(folder, '/');
    if (slash)
        slash[slash == folder ? 1 : 0] = 0; /* "/name" is in "/" */
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP) /* some file systems cannot sync folders */
            dd_warning("%s: written, but its folder cannot be synced: %s", path, strerror(errno));
        close(fd);
    }
    free(folder);
}

dd_status dd_file_writer_commit(struct dd_file_writer *writer) {
    if (writer->fd < 0)
        return dd_fail(DD_ERROR_INTERNAL, "a file is committed that is not open");
    if (fsync(writer->fd) != 0 && errno != EINVAL && errno != ENOTSUP)
        return writer_failed(writer, errno);
    int closed = close(writer->fd); /* network file systems report a full disk here */
    writer->fd = -1;
    if (closed != 0 && errno != EINTR)
        return writer_failed(writer, errno);
    if (rename(writer->temporary, writer->path) != 0)
        return writer_failed(writer, errno);
    free(writer->temporary); /* there is none to remove any more */
    writer->temporary = NULL;
    sync_folder_of(writer->path);
    dd_file_writer_abandon(writer);
    return DD_OK;
}

void dd_file_writer_abandon(struct dd_file_writer *writer) {
    if (writer->fd >= 0)
        close(writer->fd);
    if (writer->temporary)
        unlink(writer->temporary);
    free(writer->temporary);
    free(writer->path);
    *writer = (struct dd_file_writer){.fd = -1};
}

dd_status dd_file_write(const char *path, const void *data, size_t size) {
    struct dd_file_writer writer;
    DD_TRY(dd_file_writer_open(path, &writer));
    DD_TRY(dd_file_writer_write(&writer, data, size)); /* a failure has abandoned the writer */
    return dd_file_writer_commit(&writer);
}
