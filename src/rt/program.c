/* Programs built from the embedded sources, each once per process, source and options. */
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/log.h"
#include "base/mem.h"
#include "rt/internal.h"
#include "rt/launch.h"

/* No relaxed mathematics: results are compared with references. */
static const char common_options[] = "-cl-std=CL1.2 -w";

struct cached_program {
    const struct dd_kernel_source *source;
    char *options;
    cl_program program;
};

struct dd_program_cache {
    struct cached_program *at;
    size_t count, capacity;
};

uint64_t dd_kernels_hash(void) {
    uint64_t hash = 0;
    for (const struct dd_kernel_source *source = dd_kernel_sources; source->name; source++) {
        hash = XXH3_64bits_withSeed(source->name, strlen(source->name), hash);
        hash = XXH3_64bits_withSeed(source->text, source->size, hash);
    }
    return hash;
}

dd_status dd_program_cache_create(struct dd_program_cache **cache) {
    *cache = dd_calloc(1, sizeof **cache);
    return *cache ? DD_OK : dd_fail_memory("program cache", sizeof **cache);
}

void dd_program_release(cl_program *program) {
    if (!*program)
        return;
    cl_int code = clReleaseProgram(*program);
    if (code != CL_SUCCESS)
        dd_warning("releasing a program: %s (%d)", dd_cl_error_name(code), (int)code);
    dd_rt_count(-1);
    *program = NULL;
}

void dd_program_cache_destroy(struct dd_program_cache **cache) {
    if (!*cache)
        return;
    for (size_t i = 0; i < (*cache)->count; i++) {
        dd_program_release(&(*cache)->at[i].program);
        free((*cache)->at[i].options);
    }
    free((*cache)->at);
    free(*cache);
    *cache = NULL;
}

static const struct dd_kernel_source *find_source(const char *name) {
    for (const struct dd_kernel_source *source = dd_kernel_sources; source->name; source++)
        if (!strcmp(source->name, name))
            return source;
    return NULL;
}

/** The compiler's messages, cut after 12 lines; NULL if there are none. Freed by free(). */
static char *build_log(const dd_device *device, cl_program program) {
    size_t size = 0;
    if (clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size) != CL_SUCCESS || size < 2)
        return NULL;
    char *text = dd_calloc(size + 1, 1);
    if (text && clGetProgramBuildInfo(program, device->id, CL_PROGRAM_BUILD_LOG, size, text, NULL) != CL_SUCCESS) {
        free(text);
        return NULL;
    }
    char *end = text;
    for (int line = 0; end && line < 12; line++)
        end = strchr(line ? end + 1 : end, '\n');
    if (end)
        *end = 0;
    return text;
}

static dd_status build_failed(const dd_device *device, cl_program program, cl_int code, const char *name,
                              const char *options) {
    if (code != CL_BUILD_PROGRAM_FAILURE && code != CL_INVALID_BUILD_OPTIONS)
        return dd_cl_check(code, "building %s (%s)", name, options);
    char *log = build_log(device, program);
    dd_status status = dd_fail(DD_ERROR_DEVICE, "the OpenCL compiler of %s refuses %s (%s): %s", device->info.name,
                               name, options, log ? log : "it gives no reason");
    free(log);
    return status;
}

static dd_status build_source(dd_device *device, const struct dd_kernel_source *source, const char *options,
                              cl_program *program) {
    cl_int code;
    *program = clCreateProgramWithSource(device->context, 1, (const char *[]){source->text},
                                         (const size_t[]){source->size}, &code);
    if (!*program)
        return dd_cl_check(code, "loading the source %s", source->name);
    dd_rt_count(1);
    code = clBuildProgram(*program, 1, &device->id, options, NULL, NULL);
    if (code == CL_SUCCESS)
        return DD_OK;
    dd_status status = build_failed(device, *program, code, source->name, options);
    dd_program_release(program);
    return status;
}

static dd_status build(dd_device *device, const struct dd_kernel_source *source, const char *options,
                       cl_program *program) {
    bool on_disk = dd_binary_cache_used(device);
    *program = on_disk ? dd_binary_load(device, source, options) : NULL;
    if (*program)
        return DD_OK;
    DD_TRY(build_source(device, source, options, program));
    if (on_disk)
        dd_binary_store(device, source, options, *program);
    return DD_OK;
}

dd_status dd_program_build(dd_device *device, const char *source, const char *options, cl_program *program) {
    struct dd_program_cache *cache = device->programs;
    const struct dd_kernel_source *found = find_source(source);
    dd_status status;
    *program = NULL;
    if (!found)
        return dd_fail(DD_ERROR_INTERNAL, "there is no kernel source %s", source);
    char *all = dd_format("%s%s%s", common_options, options && *options ? " " : "", options ? options : "");
    if (!all)
        return dd_fail_memory("build options", strlen(source));
    for (size_t i = 0; i < cache->count; i++) {
        if (cache->at[i].source == found && !strcmp(cache->at[i].options, all)) {
            *program = cache->at[i].program;
            free(all);
            return DD_OK;
        }
    }
    DD_GOTO(status, error, dd_grow(&cache->at, &cache->capacity, cache->count + 1, sizeof *cache->at));
    DD_GOTO(status, error, build(device, found, all, program));
    cache->at[cache->count++] = (struct cached_program){.source = found, .options = all, .program = *program};
    return DD_OK;
error:
    free(all);
    return status;
}
