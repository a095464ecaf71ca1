/* Placement of tensors: no two that are live together overlap, limits hold, shapes alone decide. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/philox.h"
#include "plan/plan.h"
#include "plan/memory.h"

static void check_disjoint(const struct dd_memory_item *items, int count, const struct dd_memory_arenas *arenas) {
    for (int i = 0; i < count; i++) {
        if (items[i].first > items[i].last)
            continue;
        assert_in_range(items[i].arena, 0, arenas->count - 1);
        assert_true(items[i].offset + items[i].bytes <= arenas->bytes[items[i].arena]);
        for (int j = 0; j < i; j++) {
            const bool together = items[j].first <= items[i].last && items[i].first <= items[j].last;
            if (items[j].first > items[j].last || !together || items[i].arena != items[j].arena)
                continue;
            assert_true(items[i].offset + items[i].bytes <= items[j].offset ||
                        items[j].offset + items[j].bytes <= items[i].offset);
        }
    }
}

static void test_random_lifetimes(void **state) {
    (void)state;
    for (uint32_t round = 0; round < 50; round++) {
        struct dd_memory_item items[60];
        for (uint32_t i = 0; i < 60; i++) {
            uint32_t w[4];
            dd_philox(7, round, i, 0, 0, w);
            const int first = (int)(w[0] % 40);
            items[i] =
                (struct dd_memory_item){.bytes = 1 + w[1] % 5000, .first = first, .last = first + (int)(w[2] % 12) - 1};
        }
        struct dd_memory_arenas arenas;
        assert_int_equal(dd_memory_place(items, 60, 128, 12000, &arenas), DD_OK);
        check_disjoint(items, 60, &arenas);
        for (int i = 0; i < 60; i++)
            if (items[i].arena >= 0)
                assert_int_equal(items[i].offset % 128, 0);
        for (int i = 0; i < arenas.count; i++)
            assert_true(arenas.bytes[i] <= 12000);
    }
}

static void test_chain_reuses_memory(void **state) {
    (void)state;
    struct dd_memory_item items[100];
    for (int i = 0; i < 100; i++)
        items[i] = (struct dd_memory_item){.bytes = 1024, .first = i, .last = i + 1};
    struct dd_memory_arenas arenas;
    assert_int_equal(dd_memory_place(items, 100, 128, 1 << 20, &arenas), DD_OK);
    assert_int_equal(arenas.count, 1);
    assert_int_equal(arenas.bytes[0], 2048);
}

static void test_too_large(void **state) {
    (void)state;
    struct dd_memory_item item = {.bytes = 4096, .first = 0, .last = 1};
    struct dd_memory_arenas arenas;
    assert_int_equal(dd_memory_place(&item, 1, 128, 1024, &arenas), DD_ERROR_MEMORY);
}

/** A plan for shape alone: ResNet-50 at 224x224 and batch 256 on a device that allows 1 GiB a buffer. */
static void test_large_network(void **state) {
    (void)state;
    const struct dd_net_options net_options = {
        .name = "resnet50", .shortcut = "projection", .channels = 3, .height = 224, .width = 224, .classes = 1000};
    dd_net *net;
    assert_int_equal(dd_net_create(&net_options, &net), DD_OK);
    const struct dd_device_info info = {.type = DD_DEVICE_GPU,
                                        .compute_units = 40,
                                        .global_bytes = (uint64_t)64 << 30,
                                        .max_alloc_bytes = (uint64_t)1 << 30,
                                        .local_bytes = 32768,
                                        .max_work_group = 256,
                                        .base_align_bytes = 512,
                                        .float_width = 1,
                                        .usable = true};
    const struct dd_plan_options options = {.batch = 256, .training = true, .algorithm = "auto"};
    struct dd_plan_choice choice;
    uint64_t large = 0, small = 0, inference = 0;
    assert_int_equal(dd_plan_choose(net, &info, &options, &choice), DD_OK);
    assert_int_equal(choice.vector, 1);
    assert_int_equal(dd_plan_bytes(net, &info, &options, &choice, &large), DD_OK);
    struct dd_plan_options other = options;
    other.batch = 128;
    assert_int_equal(dd_plan_bytes(net, &info, &other, &choice, &small), DD_OK);
    other.training = false;
    assert_int_equal(dd_plan_bytes(net, &info, &other, &choice, &inference), DD_OK);
    assert_true(large > ((uint64_t)8 << 30) && large < ((uint64_t)32 << 30));
    assert_true(small < large && inference < small / 4);
    other = options;
    other.batch = 4096; /* the stem's output alone is 12.8 GiB */
    assert_int_equal(dd_plan_bytes(net, &info, &other, &choice, &large), DD_ERROR_MEMORY);
    assert_int_equal(dd_plan_check_size(net, &info, &other, &choice, &large), DD_ERROR_MEMORY);
    int needed, fits;
    const char *advice = strstr(dd_error_message(), "the largest batch that would fit is ");
    assert_int_equal(sscanf(dd_error_message(), "resnet50 at batch 4096 needs %d MiB", &needed), 1);
    assert_true(needed > 100000);
    assert_non_null(advice);
    assert_int_equal(sscanf(advice, "the largest batch that would fit is %d", &fits), 1);
    other.batch = fits;
    assert_int_equal(dd_plan_check_size(net, &info, &other, &choice, &large), DD_OK);
    other.batch = fits + 1;
    assert_int_equal(dd_plan_check_size(net, &info, &other, &choice, &large), DD_ERROR_MEMORY);
    free(choice.algorithm);
    other.batch = 4096;
    assert_int_equal(dd_plan_choose(net, &info, &other, &choice),
                     DD_OK); /* what to run does not depend on its fitting */
    free(choice.algorithm);
    dd_net_destroy(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random_lifetimes),
                                       cmocka_unit_test(test_chain_reuses_memory), cmocka_unit_test(test_too_large),
                                       cmocka_unit_test(test_large_network)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
