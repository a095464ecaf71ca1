/*
 * Built programs on disk, for drivers that keep none themselves. A file is a header and the driver's binary; its name
 * is the hash of all that the binary depends on. Any defect is a miss: the caller builds from source. Two processes may
 * write the same file, each by its own temporary. Changing the layout of the file means changing FORMAT.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <xxhash.h>

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "rt/internal.h"
#include "rt/remember.h"

#define FORMAT "depthdrop program 1"

enum { MAX_BINARY = 64 << 20 };
static const uint64_t MAX_FOLDER = (uint64_t)256 << 20; /* beyond it the oldest files go */

struct header {
    char magic[24];           /* FORMAT, zero-padded */
    XXH128_hash_t key;        /* as in the file's name */
    uint64_t size;            /* of the binary that follows */
    XXH128_hash_t check;      /* of the binary */
};

bool dd_binary_cache_used(const dd_device *device) {
    /*
     * These drivers have a disk cache of their own. PoCL 3.1: a program comes from its cache in 23 ms, from a binary in
     * 1.5 ms, but asking for the binary costs 80 ms for each kernel, since it compiles a variant for any group size.
     */
    static const char *const caching[] = {"NVIDIA", "Portable Computing Language", "rusticl", "Clover"};
    if (dd_cache_off())
        return false;
    for (size_t i = 0; i < sizeof caching / sizeof *caching; i++)
        if (strstr(device->info.platform_name, caching[i]))
            return false;
    return true;
}

static void hash_text(XXH3_state_t *state, const char *text) {
    XXH3_128bits_update(state, text, strlen(text) + 1); /* the zero separates neighbours */
}

/** False where memory is out or the driver does not give its version. */
static bool program_key(const dd_device *device, const struct dd_kernel_source *source, const char *options,
                        XXH128_hash_t *key) {
    char platform_version[256] = "";
    if (clGetPlatformInfo(device->platform, CL_PLATFORM_VERSION, sizeof platform_version - 1, platform_version, NULL) !=
        CL_SUCCESS)
        return false;
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return false;
    XXH3_128bits_reset(state);
    hash_text(state, FORMAT);
    hash_text(state, device->info.platform_name);
    hash_text(state, platform_version);
    hash_text(state, device->info.name);
    hash_text(state, device->info.driver);
    hash_text(state, device->info.version);
    hash_text(state, options);
    XXH3_128bits_update(state, source->text, source->size);
    *key = XXH3_128bits_digest(state);
    XXH3_freeState(state);
    return true;
}

/** "<cache folder>/programs/<key>.bin", freed by free(); NULL if there is no folder. */
static char *binary_path(const dd_device *device, XXH128_hash_t key) {
    char *folder = dd_cache_folder(device->cache_dir, "programs"), *path = NULL;
    char *name = dd_format("%016" PRIx64 "%016" PRIx64 ".bin", (uint64_t)key.high64, (uint64_t)key.low64);
    if (folder && name)
        path = dd_path_join(folder, name);
    free(folder);
    free(name);
    return path;
}

/** Whether data is a whole file of this key. */
static bool is_sound(const uint8_t *data, size_t size, XXH128_hash_t key) {
    struct header header;
    char magic[sizeof header.magic] = FORMAT;
    if (size <= sizeof header)
        return false;
    memcpy(&header, data, sizeof header);
    return !memcmp(header.magic, magic, sizeof magic) && XXH128_isEqual(header.key, key) &&
           header.size == size - sizeof header &&
           XXH128_isEqual(header.check, XXH3_128bits(data + sizeof header, size - sizeof header));
}

/** A built program from a sound file; NULL if the driver does not take it. */
static cl_program build_binary(dd_device *device, const uint8_t *binary, size_t size, const char *options) {
    cl_int loaded = CL_INVALID_BINARY, code = CL_SUCCESS;
    cl_program program = clCreateProgramWithBinary(device->context, 1, &device->id, &size, &binary, &loaded, &code);
    if (!program)
        return NULL;
    dd_rt_count(1);
    if (code == CL_SUCCESS && loaded == CL_SUCCESS)
        code = clBuildProgram(program, 1, &device->id, options, NULL, NULL);
    if (code != CL_SUCCESS || loaded != CL_SUCCESS)
        dd_program_release(&program);
    return program;
}

cl_program dd_binary_load(dd_device *device, const struct dd_kernel_source *source, const char *options) {
    XXH128_hash_t key;
    cl_program program = NULL;
    uint8_t *data = NULL;
    size_t size;
    if (!program_key(device, source, options, &key))
        return NULL;
    char *path = binary_path(device, key);
    if (path && dd_file_exists(path) && dd_file_read(path, MAX_BINARY, &data, &size) == DD_OK) {
        if (is_sound(data, size, key))
            program = build_binary(device, data + sizeof(struct header), size - sizeof(struct header), options);
        if (!program)
            dd_debug("%s: this remembered program is damaged or refused; it is built anew", path);
        else if (utimensat(AT_FDCWD, path, NULL, 0) != 0) /* used now: the oldest go first */
            dd_debug("%s: its time cannot be set", path);
    }
    free(data);
    free(path);
    return program;
}

/** Header and binary in one block, freed by free(); NULL if the driver gives none. */
static uint8_t *get_binary(cl_program program, XXH128_hash_t key, size_t *size) {
    struct header header = {.magic = FORMAT, .key = key};
    size_t bytes = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof bytes, &bytes, NULL) != CL_SUCCESS || bytes == 0 ||
        bytes > MAX_BINARY - sizeof header)
        return NULL;
    uint8_t *data = dd_calloc(sizeof header + bytes, 1);
    unsigned char *binary = data ? data + sizeof header : NULL;
    if (!data || clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) != CL_SUCCESS) {
        free(data);
        return NULL;
    }
    header.size = bytes;
    header.check = XXH3_128bits(binary, bytes);
    memcpy(data, &header, sizeof header);
    *size = sizeof header + bytes;
    return data;
}

void dd_binary_store(dd_device *device, const struct dd_kernel_source *source, const char *options,
                     cl_program program) {
    XXH128_hash_t key;
    size_t size = 0;
    if (!program_key(device, source, options, &key))
        return;
    char *path = binary_path(device, key), *folder = dd_cache_folder(device->cache_dir, "programs");
    uint8_t *data = path && folder ? get_binary(program, key, &size) : NULL;
    if (data) {
        dd_folder_trim(folder, MAX_FOLDER - size);
        if (dd_file_write(path, data, size) != DD_OK)
            dd_debug("a program is not remembered: %s", dd_error_message());
    }
    free(data);
    free(folder);
    free(path);
}
