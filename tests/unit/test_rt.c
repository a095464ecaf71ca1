/*
 * src/rt on the device that DEPTHDROP_DEVICE names: buffers, launches, injected failures, live objects. The kernels are
 * this file's own table, so it is linked without the generated one. The choice of devices is in test_select.c, what is
 * remembered on disk in test_remember.c.
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

#include "base/mem.h"
#include "rt/buffer.h"
#include "rt/internal.h"
#include "rt/launch.h"
#include "rt/pages.h"
#include "tests/support/no_device.h"

static const char add_source[] =
    "#ifndef EXTRA\n#define EXTRA 0\n#endif\n"
    "kernel void add(global int *x, int n, int a) {\n"
    "    int i = get_global_id(0);\n"
    "    if (i < n) x[i] += a + EXTRA;\n"
    "}\n"
    "kernel void scale(global float *x, float f, global const int *unused) { x[get_global_id(0)] *= f; }\n";
static const char broken_source[] = "kernel void broken(global int *x) {\n    x[0] = no_such_name;\n}\n";

const struct dd_kernel_source dd_kernel_sources[] = {
    {"test/add.cl", add_source, sizeof add_source - 1},
    {"test/broken.cl", broken_source, sizeof broken_source - 1},
    {0, 0, 0},
};

static char folder[] = "/tmp/depthdrop-rt-XXXXXX"; /* cache folder of this run */
static dd_device *device;

static void ok(dd_status status) {
    if (status != DD_OK)
        fail_msg("status %d: %s", status, dd_error_message());
}

static void assert_message(const char *part) {
    if (!strstr(dd_error_message(), part))
        fail_msg("\"%s\" does not say \"%s\"", dd_error_message(), part);
}

static cl_mem new_buffer(size_t bytes) {
    cl_mem buffer;
    ok(dd_buffer_create(device, bytes, "test buffer", &buffer));
    return buffer;
}

/** A launch of `add` over n items. */
static struct dd_kernel_spec add_spec(int n, const char *options) {
    return (struct dd_kernel_spec){.source = "test/add.cl",
                                   .kernel = "add",
                                   .options = options,
                                   .label = "add_i32",
                                   .dims = 1,
                                   .global = {(size_t)n}};
}

static void assert_ints(cl_mem buffer, int count, int first, int step) {
    int *values = dd_calloc((size_t)count, sizeof *values);
    ok(dd_buffer_read(device, buffer, 0, (size_t)count * sizeof *values, values));
    for (int i = 0; i < count; i++)
        if (values[i] != first + i * step)
            fail_msg("element %d of %d is %d, not %d", i, count, values[i], first + i * step);
    free(values);
}

static void test_device(void **state) {
    (void)state;
    const struct dd_device_info *info = dd_device_get_info(device);
    assert_true(info->usable);
    assert_true(info->base_align_bytes >= 64);
    assert_true(info->float_width == 1 || info->float_width == 4 || info->float_width == 8 || info->float_width == 16);
    assert_true(info->compute_units > 0 && info->max_work_group > 0);
    assert_true(info->max_alloc_bytes > 0 && info->global_bytes > 0);
    struct dd_device_info *list;
    int count, defaults = 0;
    ok(dd_device_list(&list, &count));
    assert_string_equal(list[info->index].name, info->name);
    for (int i = 0; i < count; i++) {
        assert_int_equal(list[i].index, i);
        assert_int_equal(list[i].usable, list[i].unusable_reason[0] == 0);
        assert_int_equal(list[i].is_default, list[i].default_reason[0] != 0);
        defaults += list[i].is_default;
    }
    assert_int_equal(defaults, 1);
    assert_true(list[info->index].is_default);
    dd_device_list_free(&list);
    assert_null(list);
}

static void test_open_by_selector(void **state) {
    (void)state;
    long live = dd_rt_live_objects();
    struct dd_device_options options;
    char number[16];
    dd_device *other;
    dd_device_options_default(&options);
    snprintf(number, sizeof number, "%d", device->info.index);
    options.selector = number;
    ok(dd_device_open(&options, &other));
    assert_int_equal(other->info.index, device->info.index);
    dd_device_close(&other);
    assert_null(other);
    dd_device_close(&other); /* empty is fine */
    options.selector = "no such device";
    assert_int_equal(dd_device_open(&options, &other), DD_ERROR_DEVICE);
    assert_null(other);
    assert_message("no such device");
    assert_message(device->info.name);
    assert_int_equal(dd_rt_live_objects(), live);
}

static void test_buffers(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 4, 63, 4096, 1000003};
    uint64_t before = device->allocated_bytes;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint8_t *host = malloc(sizes[s]);
        memset(host, 0xff, sizes[s]);
        cl_mem buffer = new_buffer(sizes[s]);
        assert_in_range(device->allocated_bytes - before, sizes[s], sizes[s] + 16);
        assert_true(device->peak_bytes >= device->allocated_bytes);
        ok(dd_buffer_read(device, buffer, 0, sizes[s], host));
        for (size_t i = 0; i < sizes[s]; i++)
            assert_int_equal(host[i], 0);
        host[sizes[s] - 1] = 0x5a;
        ok(dd_buffer_write(device, buffer, sizes[s] - 1, 1, host + sizes[s] - 1));
        host[sizes[s] - 1] = 0;
        ok(dd_buffer_read(device, buffer, 0, sizes[s], host));
        assert_int_equal(host[sizes[s] - 1], 0x5a);
        dd_buffer_release(device, &buffer);
        assert_null(buffer);
        dd_buffer_release(device, &buffer);
        assert_int_equal(device->allocated_bytes, before);
        free(host);
    }
}

static void test_buffer_limits(void **state) {
    (void)state;
    long live = dd_rt_live_objects();
    uint64_t before = device->allocated_bytes;
    cl_mem buffer;
    char number[32];
    size_t too_large = (size_t)device->info.max_alloc_bytes + 4096;
    assert_int_equal(dd_buffer_create(device, too_large, "activations", &buffer), DD_ERROR_MEMORY);
    assert_null(buffer);
    assert_message("activations");
    assert_message("smaller --batch");
    snprintf(number, sizeof number, "%llu", (unsigned long long)device->info.max_alloc_bytes);
    assert_message(number);
    snprintf(number, sizeof number, "%zu", too_large);
    assert_message(number);
    uint64_t global = device->info.global_bytes;
    device->info.global_bytes = before + 1000; /* as if the rest were taken */
    assert_int_equal(dd_buffer_create(device, 4096, "workspace", &buffer), DD_ERROR_MEMORY);
    device->info.global_bytes = global;
    assert_message("workspace");
    assert_int_equal(dd_buffer_create(device, 0, "nothing", &buffer), DD_ERROR_INTERNAL);
    assert_int_equal(device->allocated_bytes, before);
    assert_int_equal(dd_rt_live_objects(), live);
}

static void test_views(void **state) {
    (void)state;
    size_t align = device->info.base_align_bytes;
    cl_mem buffer = new_buffer(4 * align), view;
    uint64_t before = device->allocated_bytes;
    ok(dd_buffer_view(device, buffer, 2 * align, align, &view));
    assert_int_equal(device->allocated_bytes, before);
    int value = 77, got = 0;
    ok(dd_buffer_write(device, view, 4, sizeof value, &value));
    ok(dd_buffer_read(device, buffer, 2 * align + 4, sizeof got, &got));
    assert_int_equal(got, 77);
    dd_buffer_release(device, &view);
    assert_int_equal(device->allocated_bytes, before);
    assert_int_equal(dd_buffer_view(device, buffer, align + 4, align, &view), DD_ERROR_INTERNAL);
    assert_null(view);
    assert_int_equal(dd_buffer_view(device, buffer, 0, 0, &view), DD_ERROR_INTERNAL);
    dd_buffer_release(device, &buffer);
}

static void test_queued_transfers(void **state) {
    (void)state;
    long live = dd_rt_live_objects();
    int source[64], target[64];
    cl_event event;
    bool complete = false;
    cl_mem a = new_buffer(sizeof source);
    for (int i = 0; i < 64; i++)
        source[i] = 5 + 3 * i;
    ok(dd_buffer_write_async(device, a, 0, sizeof source, source));
    ok(dd_buffer_read_async(device, a, 4, 62 * sizeof *target, target, &event));
    ok(dd_device_flush(device));
    for (int tries = 0; !complete && tries < 10000; tries++) {
        ok(dd_event_poll(event, "reading", &complete));
        if (!complete)
            usleep(100);
    }
    assert_true(complete);
    ok(dd_event_wait(&event, "reading"));
    assert_null(event);
    dd_event_release(&event);
    for (int i = 0; i < 62; i++)
        assert_int_equal(target[i], source[i + 1]);
    ok(dd_buffer_zero(device, a, 5, 6)); /* bytes 5 to 10 */
    ok(dd_buffer_read_async(device, a, 0, sizeof target, target, NULL));
    ok(dd_device_finish(device));
    ok(dd_buffer_zero(device, a, 0, 0));
    for (size_t i = 0; i < sizeof target; i++)
        assert_int_equal(((uint8_t *)target)[i], i >= 5 && i < 11 ? 0 : ((uint8_t *)source)[i]);
    dd_buffer_release(device, &a);
    assert_int_equal(dd_rt_live_objects(), live);
}

static void test_launches(void **state) {
    (void)state;
    long live = dd_rt_live_objects();
    struct dd_launches list = {0};
    cl_mem x = new_buffer(1000 * sizeof(int));
    struct dd_kernel_spec spec = add_spec(1000, NULL);
    size_t group = device->info.max_work_group < 16 ? 1 : 16;
    ok(DD_ADD(&list, device, &spec, DD_MEM(x), DD_INT(1000), DD_INT(2)));
    spec.local[0] = group;
    spec.global[0] = 990; /* is rounded up where groups are wider than 1 */
    spec.options = "-DEXTRA=10";
    ok(DD_ADD(&list, device, &spec, DD_MEM(x), DD_INT(990), DD_INT(1)));
    assert_int_equal(list.at[1].global[0], (990 + group - 1) / group * group);
    uint64_t before = dd_launch_count();
    ok(dd_launches_enqueue(device, &list));
    ok(dd_launch_set(device, &list.at[1], 2, DD_INT(100)));
    ok(dd_launches_enqueue(device, &list));
    assert_int_equal(dd_launch_count() - before, 4);
    assert_ints(x, 990, 2 + 11 + 2 + 110, 0);
    int last;
    ok(dd_buffer_read(device, x, 999 * sizeof last, sizeof last, &last));
    assert_int_equal(last, 4);
    dd_launches_clear(&list);
    assert_int_equal(list.count, 0);
    dd_launches_clear(&list);
    dd_buffer_release(device, &x);
    assert_int_equal(dd_rt_live_objects(), live + 2); /* the device keeps both programs */
}

static void test_argument_kinds(void **state) {
    (void)state;
    struct dd_launches list = {0};
    float factor[2] = {1.5f, -2.0f};
    cl_mem f = new_buffer(sizeof factor);
    ok(dd_buffer_write(device, f, 0, sizeof factor, factor));
    struct dd_kernel_spec scale = {.source = "test/add.cl", .kernel = "scale", .dims = 1, .global = {2}};
    ok(DD_ADD(&list, device, &scale, DD_MEM(f), DD_FLOAT(0.5f), DD_MEM(NULL)));
    ok(dd_launches_enqueue(device, &list));
    ok(dd_buffer_read(device, f, 0, sizeof factor, factor));
    assert_true(factor[0] == 0.75f && factor[1] == -1.0f);
    dd_launches_clear(&list);
    dd_buffer_release(device, &f);
}

static void test_refused_launches(void **state) {
    (void)state;
    struct dd_launches list = {0};
    cl_mem x = new_buffer(64);
    long live = dd_rt_live_objects();
    struct dd_kernel_spec spec = add_spec(16, NULL);
    assert_int_equal(DD_ADD(&list, device, &spec, DD_MEM(x), DD_INT(16)), DD_ERROR_INTERNAL);
    assert_message("add_i32 takes 3 arguments, 2 are given");
    spec.kernel = "nothing";
    assert_int_equal(DD_ADD(&list, device, &spec, DD_MEM(x)), DD_ERROR_DEVICE);
    assert_message("CL_INVALID_KERNEL_NAME");
    spec = add_spec(16, NULL);
    spec.source = "test/missing.cl";
    assert_int_equal(DD_ADD(&list, device, &spec, DD_MEM(x)), DD_ERROR_INTERNAL);
    assert_message("test/missing.cl");
    spec.source = "test/broken.cl";
    spec.kernel = "broken";
    spec.options = "-DEXTRA=7";
    assert_int_equal(DD_ADD(&list, device, &spec, DD_MEM(x)), DD_ERROR_DEVICE);
    assert_message("no_such_name");
    assert_message("test/broken.cl");
    assert_message("-DEXTRA=7");
    spec = add_spec(16, NULL);
    spec.local[0] = (size_t)device->info.max_work_group * 2;
    assert_int_equal(DD_ADD(&list, device, &spec, DD_MEM(x), DD_INT(16), DD_INT(1)), DD_ERROR_DEVICE);
    assert_message("work-groups");
    spec = add_spec(0, NULL);
    assert_int_equal(DD_ADD(&list, device, &spec, DD_MEM(x), DD_INT(0), DD_INT(1)), DD_ERROR_INTERNAL);
    assert_int_equal(list.count, 0);
    dd_launches_clear(&list);
    assert_int_equal(dd_rt_live_objects(), live);
    dd_buffer_release(device, &x);
}

static int destroyed;

static void count_destroyed(void *context) {
    (void)context;
    destroyed++;
}

static dd_status run_call(dd_device *used, void *context) {
    int *calls = context;
    assert_ptr_equal(used, device);
    return ++*calls < 3 ? DD_OK : dd_fail(DD_ERROR_DEVICE, "status 7");
}

static void test_calls(void **state) {
    (void)state;
    struct dd_launches list = {0};
    int calls = 0;
    char label[] = "gemm_16x16";
    struct dd_call call = {.label = label, .run = run_call, .destroy = count_destroyed, .context = &calls};
    uint64_t before = dd_launch_count();
    destroyed = 0;
    ok(dd_launches_add_call(&list, &call));
    ok(dd_launches_add_call(&list, &call));
    label[0] = 'X'; /* the label was copied */
    ok(dd_launches_enqueue(device, &list));
    assert_int_equal(dd_launch_count() - before, 2);
    assert_int_equal(dd_launches_enqueue(device, &list), DD_ERROR_DEVICE);
    assert_string_equal(dd_error_message(), "gemm_16x16: status 7");
    assert_int_equal(dd_launch_set(device, &list.at[0], 0, DD_INT(1)), DD_ERROR_INTERNAL);
    dd_launches_clear(&list);
    assert_int_equal(destroyed, 2);
}

/** Large buffers may lie in memory of ours: they and their views behave as any other, and outlive their release. */
static void test_large_buffers(void **state) {
    (void)state;
    enum { COUNT = 3 << 20 }; /* 12 MiB */
    const uint64_t before = device->allocated_bytes;
    cl_mem all = new_buffer(COUNT * sizeof(int)), end = NULL;
    const size_t align = device->info.base_align_bytes, offset = (COUNT * sizeof(int) - 4096) / align * align;
    struct dd_launches list = {0};
    struct dd_kernel_spec spec = add_spec(COUNT, NULL);
    ok(dd_buffer_zero(device, all, 0, COUNT * sizeof(int)));
    ok(DD_ADD(&list, device, &spec, DD_MEM(all), DD_INT(COUNT), DD_INT(7)));
    ok(dd_launches_enqueue(device, &list));
    assert_ints(all, COUNT, 7, 0);
    ok(dd_buffer_view(device, all, offset, 16, &end));
    ok(dd_launches_enqueue(device, &list));
    dd_buffer_release(device, &all); /* the view, and a command in the queue, still use it */
    assert_ints(end, 4, 14, 0);
    dd_launches_clear(&list);
    dd_buffer_release(device, &end);
    assert_int_equal(device->allocated_bytes, before);
}

/** Huge pages are for parameters and partial sums, too, of which there may be tens of KiB. */
static void test_huge_pages(void **state) {
    (void)state;
    assert_null(dd_huge_pages(4096));
#ifdef __linux__
    void *pages = dd_huge_pages(64 << 10);
    assert_non_null(pages);
    assert_int_equal((uintptr_t)pages % (2 << 20), 0);
    free(pages);
#endif
}

/** Rebinding replaces a buffer in kernels wherever it is bound, and nothing else; a call that uses it says no. */
static void test_rebind(void **state) {
    (void)state;
    struct dd_launches list = {0};
    struct dd_kernel_spec spec = add_spec(4, NULL);
    int calls = -100;
    cl_mem x = new_buffer(4 * sizeof(int)), y = new_buffer(4 * sizeof(int));
    ok(dd_buffer_zero(device, x, 0, 4 * sizeof(int)));
    ok(dd_buffer_zero(device, y, 0, 4 * sizeof(int)));
    ok(DD_ADD(&list, device, &spec, DD_MEM(x), DD_INT(4), DD_INT(5)));
    struct dd_call call = {.label = "a call", .run = run_call, .context = &calls, .uses = {y}};
    ok(dd_launches_add_call(&list, &call));
    assert_true(dd_launches_rebindable(&list, x));
    assert_false(dd_launches_rebindable(&list, y));
    ok(dd_launches_enqueue(device, &list));
    ok(dd_launches_rebind(device, &list, y, x)); /* bound in no kernel */
    ok(dd_launches_rebind(device, &list, x, y));
    ok(dd_launches_enqueue(device, &list));
    ok(dd_launches_enqueue(device, &list));
    assert_ints(x, 4, 5, 0);
    assert_ints(y, 4, 10, 0);
    dd_launches_clear(&list);
    dd_buffer_release(device, &x);
    dd_buffer_release(device, &y);
}

static void test_error_names(void **state) {
    (void)state;
    ok(dd_cl_check(CL_SUCCESS, "nothing"));
    assert_int_equal(dd_cl_check(CL_MEM_OBJECT_ALLOCATION_FAILURE, "step %d", 4), DD_ERROR_MEMORY);
    assert_message("step 4 failed: CL_MEM_OBJECT_ALLOCATION_FAILURE (-4); ");
    assert_message("smaller --batch");
    assert_int_equal(dd_cl_check(CL_OUT_OF_RESOURCES, "x"), DD_ERROR_MEMORY);
    assert_int_equal(dd_cl_check(CL_OUT_OF_HOST_MEMORY, "x"), DD_ERROR_MEMORY);
    assert_int_equal(dd_cl_check(CL_INVALID_VALUE, "x"), DD_ERROR_DEVICE);
    assert_string_equal(dd_cl_error_name(-12345), "an unknown OpenCL error");
}

#ifdef DD_TEST_HOOKS
/** Does one of everything that can be made to fail; stops at the first failure, leaving nothing behind. */
static dd_status one_of_everything(void) {
    struct dd_launches list = {0};
    struct dd_kernel_spec spec = add_spec(4, NULL);
    int calls = -100, host[4] = {1, 2, 3, 4};
    struct dd_call call = {.label = "a call", .run = run_call, .context = &calls};
    cl_mem buffer = NULL, view = NULL;
    cl_event event = NULL;
    dd_status status;
    DD_GOTO(status, error, dd_buffer_create(device, 4096, "a buffer", &buffer));       /* 1, and its fill 2 */
    DD_GOTO(status, error, dd_buffer_view(device, buffer, 0, 64, &view));              /* 3 */
    DD_GOTO(status, error, dd_buffer_write(device, view, 0, sizeof host, host));       /* 4 */
    DD_GOTO(status, error, dd_buffer_write_async(device, view, 0, sizeof host, host)); /* 5 */
    DD_GOTO(status, error, dd_buffer_zero(device, buffer, 1024, 64));                  /* 6 */
    DD_GOTO(status, error, DD_ADD(&list, device, &spec, DD_MEM(buffer), DD_INT(4), DD_INT(1)));
    DD_GOTO(status, error, dd_launches_add_call(&list, &call));
    DD_GOTO(status, error, dd_launches_enqueue(device, &list));                               /* 7 and 8 */
    DD_GOTO(status, error, dd_buffer_read(device, view, 0, sizeof host, host));               /* 9 */
    DD_GOTO(status, error, dd_buffer_read_async(device, view, 0, sizeof host, host, &event)); /* 10 */
    DD_GOTO(status, error, dd_event_wait(&event, "reading"));
error:
    dd_device_finish(device);
    dd_event_release(&event);
    dd_launches_clear(&list);
    dd_buffer_release(device, &view);
    dd_buffer_release(device, &buffer);
    return status;
}

static void test_injected_failures(void **state) {
    (void)state;
    static const char *const said[] = {"allocating", "filling", "viewing", "writing", "writing",
                                       "clearing",   "add_i32", "a call",  "reading", "reading"};
    ok(one_of_everything());
    long live = dd_rt_live_objects();
    uint64_t allocated = device->allocated_bytes;
    for (int i = 0; i < 10; i++) {
        dd_rt_inject_failure(i + 1, i % 2 ? CL_OUT_OF_RESOURCES : CL_INVALID_COMMAND_QUEUE);
        dd_status status = one_of_everything();
        if (status != (i % 2 ? DD_ERROR_MEMORY : DD_ERROR_DEVICE))
            fail_msg("failure %d gave status %d", i + 1, status);
        assert_message(said[i]);
        assert_message(i % 2 ? "CL_OUT_OF_RESOURCES" : "CL_INVALID_COMMAND_QUEUE");
        assert_int_equal(dd_rt_live_objects(), live);
        assert_int_equal(device->allocated_bytes, allocated);
    }
    dd_rt_inject_failure(11, CL_OUT_OF_RESOURCES);
    ok(one_of_everything());
    dd_rt_inject_failure(0, CL_SUCCESS);
    ok(one_of_everything());
}
#endif

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
        cmocka_unit_test(test_device),
        cmocka_unit_test(test_open_by_selector),
        cmocka_unit_test(test_buffers),
        cmocka_unit_test(test_buffer_limits),
        cmocka_unit_test(test_views),
        cmocka_unit_test(test_queued_transfers),
        cmocka_unit_test(test_launches),
        cmocka_unit_test(test_argument_kinds),
        cmocka_unit_test(test_refused_launches),
        cmocka_unit_test(test_calls),
        cmocka_unit_test(test_rebind),
        cmocka_unit_test(test_large_buffers),
        cmocka_unit_test(test_huge_pages),
        cmocka_unit_test(test_error_names),
#ifdef DD_TEST_HOOKS
        cmocka_unit_test(test_injected_failures),
#endif
    };
    const int status = dd_test_no_device();
    if (status != 0)
        return status;
    if (!mkdtemp(folder))
        return 1;
    int failures = cmocka_run_group_tests_name("rt", tests, open_device, close_device);
    char *command = dd_format("rm -rf '%s'", folder);
    if (!command || system(command) != 0)
        failures++;
    free(command);
    return failures != 0;
}
