/* The choice of a device, on made-up lists and answers: no driver is asked. Without the generated kernel table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rt/internal.h"
#include "tests/support/no_device.h"

const struct dd_kernel_source dd_kernel_sources[] = {{0, 0, 0}};

enum { COUNT = 6 };

/** Two CPUs, an emulator, two GPUs, one unusable GPU. */
static void fill(struct dd_entry entries[COUNT]) {
    static const struct {
        int platform, device;
        const char *platform_name, *vendor, *name;
        dd_device_type type;
        uint32_t units, clock;
        bool emulator, usable;
    } made_up[COUNT] = {
        {0, 0, "Portable Computing Language", "AuthenticAMD", "pthread-EPYC", DD_DEVICE_CPU, 4, 3000, false, true},
        {1, 0, "FPGA Emulation", "Intel", "FPGA Emulation Device", DD_DEVICE_OTHER, 64, 3000, true, true},
        {2, 0, "Intel OpenCL", "Intel", "Xeon", DD_DEVICE_CPU, 8, 3000, false, true},
        {3, 0, "NVIDIA CUDA", "NVIDIA Corporation", "Old GPU", DD_DEVICE_GPU, 10, 900, false, false},
        {3, 1, "NVIDIA CUDA", "NVIDIA Corporation", "GeForce 8", DD_DEVICE_GPU, 20, 1500, false, true},
        {4, 0, "AMD", "Advanced Micro Devices", "gfx90a", DD_DEVICE_GPU, 100, 1700, false, true},
    };
    memset(entries, 0, COUNT * sizeof *entries);
    for (int i = 0; i < COUNT; i++) {
        struct dd_device_info *info = &entries[i].info;
        info->index = i;
        info->platform = made_up[i].platform;
        info->device = made_up[i].device;
        snprintf(info->platform_name, sizeof info->platform_name, "%s", made_up[i].platform_name);
        snprintf(info->vendor, sizeof info->vendor, "%s", made_up[i].vendor);
        snprintf(info->name, sizeof info->name, "%s", made_up[i].name);
        info->type = made_up[i].type;
        info->compute_units = made_up[i].units;
        info->clock_mhz = made_up[i].clock;
        info->emulator = made_up[i].emulator;
        info->usable = made_up[i].usable;
        snprintf(info->unusable_reason, sizeof info->unusable_reason, "%s", info->usable ? "" : "it has no compiler");
    }
}

static void assert_default(struct dd_entry *entries, int count, int expected, const char *reason) {
    int index, marked = 0;
    for (int i = 0; i < count; i++)
        entries[i].info.is_default = false;
    dd_entries_mark_default(entries, count);
    for (int i = 0; i < count; i++)
        marked += entries[i].info.is_default;
    assert_int_equal(marked, expected >= 0);
    assert_int_equal(dd_entries_select(entries, count, NULL, &index), expected >= 0 ? DD_OK : DD_ERROR_DEVICE);
    assert_int_equal(index, expected);
    if (expected >= 0)
        assert_non_null(strstr(entries[expected].info.default_reason, reason));
}

static void test_default(void **state) {
    (void)state;
    struct dd_entry entries[COUNT];
    fill(entries);
    assert_default(entries, COUNT, 5, "GPU with most compute");
    entries[5].info.selftest = DD_SELFTEST_FAILED;
    assert_default(entries, COUNT, 4, "GPU with most compute");
    entries[4].info.usable = false;
    assert_default(entries, COUNT, 2, "no usable GPU");
    entries[2].info.selftest = DD_SELFTEST_FAILED;
    assert_default(entries, COUNT, 0, "no usable GPU");
    entries[0].info.usable = false;
    assert_default(entries, COUNT, -1, "");
    assert_non_null(strstr(dd_error_message(), "failed its self-test"));
    assert_non_null(strstr(dd_error_message(), "an emulator"));
    assert_non_null(strstr(dd_error_message(), "install"));
    entries[1].info.emulator = false;
    assert_default(entries, COUNT, 1, "no usable GPU or CPU");
}

static void test_selectors(void **state) {
    (void)state;
    static const struct {
        const char *selector;
        int expected; /* -1: none matches, -2: unusable */
    } cases[] = {
        {"0", 0},         {"5", 5},    {"6", -1},     {"8", -1},    {"3", -2},       {"99999999999999999999", -1},
        {"3:1", 4},       {"3:0", -2}, {"3:2", -1},   {":", -1},    {"1:", -1},      {"cpu", 0},
        {"CPU", 0},       {"gpu", 4},  {"NVIDIA", 4}, {"nvidia", 4}, {"old", -2},    {"intel", 2},
        {"EMULATION", 1}, {"AMD", 0},  {"gfx90", 5},  {"advanced", 5}, {"xyz", -1},  {"", -1},
    };
    struct dd_entry entries[COUNT];
    fill(entries);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int index;
        dd_status status = dd_entries_select(entries, COUNT, cases[i].selector, &index);
        int expected = cases[i].expected >= 0 ? cases[i].expected : -1;
        if (index != expected || status != (expected >= 0 ? DD_OK : DD_ERROR_DEVICE))
            fail_msg("selector \"%s\": device %d, status %d", cases[i].selector, index, status);
        if (cases[i].expected == -1)
            assert_non_null(strstr(dd_error_message(), "5 (4:0) gfx90a"));
        if (cases[i].expected == -2)
            assert_non_null(strstr(dd_error_message(), "it has no compiler"));
    }
}

/** Exactly the name and platform; of several devices the first usable one, whatever the environment names. */
static void test_named(void **state) {
    (void)state;
    struct dd_entry entries[COUNT];
    int index;
    fill(entries);
    setenv("DEPTHDROP_DEVICE", "xeon", 1);
    assert_int_equal(dd_entries_select_named(entries, COUNT, "GeForce 8", "NVIDIA CUDA", &index), DD_OK);
    assert_int_equal(index, 4);
    assert_int_equal(dd_entries_select_named(entries, COUNT, "GeForce", "NVIDIA CUDA", &index), DD_OK);
    assert_int_equal(index, -1);
    assert_int_equal(dd_entries_select_named(entries, COUNT, "GeForce 8", "AMD", &index), DD_OK);
    assert_int_equal(index, -1);
    assert_int_equal(dd_entries_select_named(entries, COUNT, "Old GPU", "NVIDIA CUDA", &index), DD_ERROR_DEVICE);
    assert_int_equal(index, -1);
    assert_non_null(strstr(dd_error_message(), "it has no compiler"));
    snprintf(entries[4].info.name, sizeof entries[4].info.name, "Old GPU");
    assert_int_equal(dd_entries_select_named(entries, COUNT, "Old GPU", "NVIDIA CUDA", &index), DD_OK);
    assert_int_equal(index, 4);
    entries[3].info.usable = true;
    assert_int_equal(dd_entries_select_named(entries, COUNT, "Old GPU", "NVIDIA CUDA", &index), DD_OK);
    assert_int_equal(index, 3);
    unsetenv("DEPTHDROP_DEVICE");
}

static void test_environment(void **state) {
    (void)state;
    struct dd_entry entries[COUNT];
    int index;
    fill(entries);
    setenv("DEPTHDROP_DEVICE", "xeon", 1);
    assert_default(entries, COUNT, 2, "DEPTHDROP_DEVICE");
    assert_int_equal(dd_entries_select(entries, COUNT, "0", &index), DD_OK); /* the option comes first */
    assert_int_equal(index, 0);
    setenv("DEPTHDROP_DEVICE", "nowhere", 1);
    assert_default(entries, COUNT, -1, "");
    assert_non_null(strstr(dd_error_message(), "nowhere"));
    setenv("DEPTHDROP_DEVICE", "", 1);
    assert_default(entries, COUNT, 5, "GPU");
    unsetenv("DEPTHDROP_DEVICE");
}

/** What the functions below answer, in place of the loader's. */
static struct {
    cl_int platforms_code, devices_code[2];
    cl_uint platforms, devices[2];
} answers;

cl_int clGetPlatformIDs(cl_uint size, cl_platform_id *platforms, cl_uint *count) {
    for (cl_uint i = 0; i < size && i < answers.platforms; i++)
        platforms[i] = (cl_platform_id)&answers.devices[i];
    *count = answers.platforms;
    return answers.platforms_code;
}

cl_int clGetDeviceIDs(cl_platform_id platform, cl_device_type type, cl_uint size, cl_device_id *devices,
                      cl_uint *count) {
    (void)type;
    (void)size;
    (void)devices;
    const int i = platform != (cl_platform_id)&answers.devices[0];
    *count = answers.devices[i];
    return answers.devices_code[i];
}

/** Tests are skipped where there is no device, and fail where a driver does, unless another has devices. */
static void test_skipping(void **state) {
    (void)state;
    static const struct {
        cl_int platforms_code;
        cl_uint platforms;
        cl_int devices_code[2];
        cl_uint devices[2];
        int expected;
    } cases[] = {
        {-1001, 0, {0}, {0}, 77},
        {CL_SUCCESS, 0, {0}, {0}, 77},
        {CL_SUCCESS, 2, {CL_DEVICE_NOT_FOUND, CL_DEVICE_NOT_FOUND}, {0}, 77},
        {CL_OUT_OF_RESOURCES, 0, {0}, {0}, 1},
        {CL_SUCCESS, 1, {CL_OUT_OF_HOST_MEMORY}, {0}, 1},
        {CL_SUCCESS, 2, {CL_OUT_OF_RESOURCES, CL_DEVICE_NOT_FOUND}, {0}, 1},
        {CL_SUCCESS, 2, {CL_OUT_OF_RESOURCES, CL_SUCCESS}, {0, 3}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        answers.platforms_code = cases[i].platforms_code;
        answers.platforms = cases[i].platforms;
        memcpy(answers.devices_code, cases[i].devices_code, sizeof answers.devices_code);
        memcpy(answers.devices, cases[i].devices, sizeof answers.devices);
        if (dd_test_no_device() != cases[i].expected)
            fail_msg("case %zu does not end with %d", i, cases[i].expected);
        struct dd_device_info *list;
        int count;
        if (cases[i].expected != 0)
            assert_int_not_equal(dd_device_list(&list, &count), DD_OK);
    }
}

static void test_trim(void **state) {
    (void)state;
    static const struct {
        const char *text, *expected; /* in 8 bytes */
    } cases[] = {
        {"", ""},
        {"   ", ""},
        {"  a b ", "a b"},
        {"abcdefg", "abcdefg"},
        {"abcdef gh", "abcdef"},
        {"abcdef\xc3\xa9", "abcdef"}, /* the cut is inside the last character */
        {"abcde\xc3\xa9", "abcde\xc3\xa9"},
        {"a\xff\xc3z", "a\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xff\xff\xff", "\xef\xbf\xbd\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[8];
        dd_trim_text(text, sizeof text, cases[i].text);
        assert_string_equal(text, cases[i].expected);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_default),     cmocka_unit_test(test_selectors), cmocka_unit_test(test_named),
        cmocka_unit_test(test_environment), cmocka_unit_test(test_skipping),  cmocka_unit_test(test_trim),
    };
    unsetenv("DEPTHDROP_DEVICE");
    return cmocka_run_group_tests_name("select", tests, NULL, NULL);
}
