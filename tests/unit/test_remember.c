/*
 * What src/rt remembers on disk: built programs (cache.c) and self-test verdicts (verdict.c). Needs a device. The
 * kernel is this file's own table, so it is linked without the generated one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/thread.h"
#include "rt/buffer.h"
#include "rt/internal.h"
#include "rt/launch.h"
#include "rt/verdict.h"
#include "tests/support/no_device.h"

static const char add_source[] = "kernel void add(global int *x, int n, int a) {\n"
                                 "    int i = get_global_id(0);\n"
                                 "    if (i < n) x[i] += a + EXTRA;\n"
                                 "}\n";

const struct dd_kernel_source dd_kernel_sources[] = {{"test/add.cl", add_source, sizeof add_source - 1}, {0, 0, 0}};

static char folder[] = "/tmp/depthdrop-remember-XXXXXX"; /* cache folder of this run */
static dd_device *device;

static void ok(dd_status status) {
    if (status != DD_OK)
        fail_msg("status %d: %s", status, dd_error_message());
}

/** Runs `add` from program: whether the binary works. */
static void run_add(cl_program program) {
    cl_int code;
    cl_kernel kernel = clCreateKernel(program, "add", &code);
    assert_int_equal(code, CL_SUCCESS);
    cl_mem x;
    cl_int n = 16, a = 3, host[16];
    size_t global = 16;
    ok(dd_buffer_create(device, sizeof host, "test buffer", &x));
    assert_int_equal(clSetKernelArg(kernel, 0, sizeof x, &x) | clSetKernelArg(kernel, 1, sizeof n, &n) |
                         clSetKernelArg(kernel, 2, sizeof a, &a), CL_SUCCESS);
    assert_int_equal(clEnqueueNDRangeKernel(device->queue, kernel, 1, NULL, &global, NULL, 0, NULL, NULL), CL_SUCCESS);
    ok(dd_buffer_read(device, x, 0, sizeof host, host));
    for (int i = 0; i < 16; i++)
        assert_int_equal(host[i], a + 5);
    assert_int_equal(clReleaseKernel(kernel), CL_SUCCESS);
    dd_buffer_release(device, &x);
}

static void assert_remembered(bool expected, const char *options, const char *what) {
    cl_program program = dd_binary_load(device, &dd_kernel_sources[0], options);
    if ((program != NULL) != expected)
        fail_msg("%s: a program was %sfound", what, program ? "" : "not ");
    if (program)
        run_add(program);
    dd_program_release(&program);
}

static void test_binaries_on_disk(void **state) {
    (void)state;
    const char *options = "-cl-std=CL1.2 -w -DEXTRA=5";
    long live = dd_rt_live_objects();
    char *own = dd_path_join(folder, "binaries"), *programs = dd_cache_folder(own, "programs"), **names;
    char *cache_dir = device->cache_dir;
    int count;
    cl_program program;
    device->cache_dir = own;
    assert_remembered(false, options, "before");
    ok(dd_program_build(device, "test/add.cl", "-DEXTRA=5", &program));
    dd_binary_store(device, &dd_kernel_sources[0], options, program);
    assert_remembered(true, options, "stored");
    assert_remembered(false, "-cl-std=CL1.2 -w -DEXTRA=6", "other options");
    ok(dd_folder_names(programs, &names, &count));
    assert_int_equal(count, 1);
    char *path = dd_path_join(programs, names[0]);
    uint8_t *data;
    size_t size;
    ok(dd_file_read(path, 1 << 26, &data, &size));
    const size_t places[] = {0, 24, 40, 48, 63, 64, size / 2, size - 1}; /* magic, key, size, check, binary */
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char what[64];
        snprintf(what, sizeof what, "byte %zu of %zu damaged", places[i], size);
        data[places[i]] ^= 0x20;
        ok(dd_file_write(path, data, size));
        assert_remembered(false, options, what);
        data[places[i]] ^= 0x20;
    }
    const size_t lengths[] = {0, 10, 64, 65, size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char what[64];
        snprintf(what, sizeof what, "cut to %zu of %zu", lengths[i], size);
        ok(dd_file_write(path, data, lengths[i]));
        assert_remembered(false, options, what);
    }
    ok(dd_file_write(path, data, size));
    assert_remembered(true, options, "whole again");
    assert_int_equal(dd_rt_live_objects(), live + 1);
    free(data);
    free(path);
    dd_names_free(&names, count);
    free(programs);
    free(own);
    device->cache_dir = cache_dir;
}

static void test_cache_switch(void **state) {
    (void)state;
    char name[128];
    memcpy(name, device->info.platform_name, sizeof name);
    unsetenv("DEPTHDROP_NO_CACHE");
    snprintf(device->info.platform_name, sizeof device->info.platform_name, "NVIDIA CUDA");
    assert_false(dd_binary_cache_used(device));
    snprintf(device->info.platform_name, sizeof device->info.platform_name, "Some other OpenCL");
    assert_true(dd_binary_cache_used(device));
    cl_program first, second;
    ok(dd_program_build(device, "test/add.cl", "-DEXTRA=20", &first)); /* goes to the disk */
    ok(dd_program_build(device, "test/add.cl", "-DEXTRA=20", &second));
    assert_ptr_equal(first, second);
    assert_remembered(false, "-cl-std=CL1.2 -w -DEXTRA=21", "not built");
    cl_program found = dd_binary_load(device, &dd_kernel_sources[0], "-cl-std=CL1.2 -w -DEXTRA=20");
    assert_non_null(found);
    dd_program_release(&found);
    setenv("DEPTHDROP_NO_CACHE", "1", 1);
    assert_false(dd_binary_cache_used(device));
    unsetenv("DEPTHDROP_NO_CACHE");
    memcpy(device->info.platform_name, name, sizeof name);
}

static void test_verdicts(void **state) {
    (void)state;
    struct dd_device_info info = device->info, other = device->info;
    char *path = dd_path_join(folder, "selftest.json");
    snprintf(other.driver, sizeof other.driver, "another \"driver\" \xc3\xa9");
    assert_int_equal(dd_verdict_read(folder, &info), DD_SELFTEST_UNTESTED);
    dd_verdict_write(folder, &info, DD_SELFTEST_PASSED);
    dd_verdict_write(folder, &other, DD_SELFTEST_FAILED);
    assert_int_equal(dd_verdict_read(folder, &info), DD_SELFTEST_PASSED);
    assert_int_equal(dd_verdict_read(folder, &other), DD_SELFTEST_FAILED);
    dd_verdict_write(folder, &info, DD_SELFTEST_FAILED);
    assert_int_equal(dd_verdict_read(folder, &info), DD_SELFTEST_FAILED);
    dd_verdict_write(folder, &info, DD_SELFTEST_UNTESTED);
    assert_int_equal(dd_verdict_read(folder, &info), DD_SELFTEST_UNTESTED);
    static const char *const damaged[] = {
        "", "{", "[]", "{\"format\": 1}", "{\"format\": 2, \"verdicts\": {}}", "\xff",
    };
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        ok(dd_file_write(path, damaged[i], strlen(damaged[i])));
        assert_int_equal(dd_verdict_read(folder, &info), DD_SELFTEST_UNTESTED);
        dd_verdict_write(folder, &info, DD_SELFTEST_PASSED);
        assert_int_equal(dd_verdict_read(folder, &info), DD_SELFTEST_PASSED);
    }
    for (int i = 0; i < 70; i++) { /* more than are kept */
        snprintf(other.driver, sizeof other.driver, "driver %d", i);
        dd_verdict_write(folder, &other, DD_SELFTEST_PASSED);
    }
    assert_int_equal(dd_verdict_read(folder, &other), DD_SELFTEST_PASSED);
    assert_int_equal(dd_verdict_read(folder, &info), DD_SELFTEST_UNTESTED);
    dd_verdict_write(path, &info, DD_SELFTEST_PASSED); /* a file, no folder: only logged */
    assert_int_equal(dd_verdict_read(path, &info), DD_SELFTEST_UNTESTED);
    free(path);
}

enum { WRITERS = 4, VERDICTS = 8 }; /* each */

static void driver_of(struct dd_device_info *info, int writer, int i) {
    *info = device->info;
    snprintf(info->driver, sizeof info->driver, "writer %d, driver %d", writer, i);
}

static void write_verdicts(void *cache_dir, int writer) {
    for (int i = 0; i < VERDICTS; i++) {
        struct dd_device_info info;
        driver_of(&info, writer, i);
        dd_verdict_write(cache_dir, &info, DD_SELFTEST_PASSED);
    }
}

/* None loses what another has written: the lock is as good among threads as it is among processes. */
static void test_writers_at_once(void **state) {
    (void)state;
    char *own = dd_path_join(folder, "writers");
    dd_parallel_for(WRITERS, WRITERS, write_verdicts, own);
    for (int w = 0; w < WRITERS; w++)
        for (int i = 0; i < VERDICTS; i++) {
            struct dd_device_info info;
            driver_of(&info, w, i);
            if (dd_verdict_read(own, &info) != DD_SELFTEST_PASSED)
                fail_msg("the verdict about \"%s\" is lost", info.driver);
        }
    free(own);
}

static int open_device(void **state) {
    (void)state;
    struct dd_device_options options;
    dd_device_options_default(&options);
    options.cache_dir = folder;
    if (dd_device_open(&options, &device) == DD_OK)
        return 0;
    print_error("%s\n", dd_error_message());
    return -1;
}

static int close_device(void **state) {
    (void)state;
    dd_device_close(&device);
    if (dd_rt_live_objects() != 0) {
        print_error("%ld OpenCL objects are left\n", dd_rt_live_objects());
        return -1;
    }
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_binaries_on_disk),
        cmocka_unit_test(test_cache_switch),
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_writers_at_once),
    };
    const int status = dd_test_no_device();
    if (status != 0)
        return status;
    if (!mkdtemp(folder))
        return 1;
    int failures = cmocka_run_group_tests_name("remember", tests, open_device, close_device);
    char *command = dd_format("rm -rf '%s'", folder);
    if (!command || system(command) != 0)
        failures++;
    free(command);
    return failures != 0;
}
