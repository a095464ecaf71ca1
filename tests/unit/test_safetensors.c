/* src/format/safetensors.c: round trips, every kind of damage, seeded random damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/philox.h"
#include "format/safetensors.h"
#include "support/scratch.h"

enum { SEED = 11 };

static const float numbers[] = {0.0f, -0.0f, 1.5f, -3e38f, 1e-45f, INFINITY, -INFINITY, 3.14159265f, 8.0f, 9.0f};

static const struct dd_st_tensor tensors[] = {
    {.name = "conv1.weight", .rank = 4, .dims = {2, 1, 1, 3}, .count = 6, .data = numbers},
    {.name = "a \"quoted\" \\ name\n\x01 \xc3\xa4", .rank = 1, .dims = {2}, .count = 2, .data = numbers + 6},
    {.name = "scalar", .rank = 0, .count = 1, .data = numbers + 8},
    {.name = "none", .rank = 2, .dims = {0, 7}, .count = 0, .data = NULL},
    {.name = "last", .rank = 1, .dims = {1}, .count = 1, .data = numbers + 9},
};
enum { TENSORS = sizeof tensors / sizeof tensors[0] };

static const char *const keys[] = {"net", "classes", "empty"};
static const char *const values[] = {"resnet14", "[\"a/\\\"b\\\"\",\"\xc3\xbc\"]", ""};

static const char *write_sample(void) {
    const char *path = scratch_path("sample.safetensors");
    assert_int_equal(dd_st_write(path, tensors, TENSORS, keys, values, 3), DD_OK);
    return path;
}

static void assert_sample(const struct dd_st_file *file) {
    assert_int_equal(file->tensor_count, TENSORS);
    for (int i = 0; i < TENSORS; i++) {
        const struct dd_st_tensor *found = &file->tensors[i];
        assert_string_equal(found->name, tensors[i].name);
        assert_ptr_equal(dd_st_find(file, tensors[i].name), found);
        assert_int_equal(found->rank, tensors[i].rank);
        assert_memory_equal(found->dims, tensors[i].dims, sizeof found->dims);
        assert_int_equal(found->count, tensors[i].count);
        if (found->count > 0)
            assert_memory_equal(found->data, tensors[i].data, found->count * sizeof(float));
    }
    assert_int_equal(file->meta_count, 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(file->meta_keys[i], keys[i]);
        assert_string_equal(dd_st_meta(file, keys[i]), values[i]);
    }
    assert_null(dd_st_meta(file, "nothing"));
    assert_null(dd_st_find(file, "nothing"));
}

static void test_round_trip(void **state) {
    (void)state;
    struct dd_st_file file;
    const char *path = write_sample();
    assert_int_equal(dd_st_read(path, &file), DD_OK);
    assert_sample(&file);
    assert_int_equal((8 + file.bytes[0] + 256 * file.bytes[1]) % 8, 0);
    dd_st_free(&file);
    dd_st_free(&file);

    size_t size, again_size;
    uint8_t *bytes = scratch_read(path, &size), *again = scratch_read(write_sample(), &again_size);
    assert_int_equal(size, again_size);
    assert_memory_equal(bytes, again, size);
    free(bytes);
    free(again);
}

static void test_empty(void **state) {
    (void)state;
    struct dd_st_file file;
    const char *path = scratch_path("empty.safetensors");
    assert_int_equal(dd_st_write(path, NULL, 0, NULL, NULL, 0), DD_OK);
    assert_int_equal(dd_st_read(path, &file), DD_OK);
    assert_true(file.tensor_count == 0 && file.meta_count == 0);
    dd_st_free(&file);
}

/* A file of this header and data_bytes zero bytes; length -1: the header's own. */
static const char *write_raw(const char *header, size_t header_bytes, int64_t length, size_t data_bytes) {
    const char *path = scratch_path("raw.safetensors");
    uint8_t bytes[4096] = {0};
    uint64_t told = length < 0 ? header_bytes : (uint64_t)length;
    for (int i = 0; i < 8; i++)
        bytes[i] = (uint8_t)(told >> 8 * i);
    memcpy(bytes + 8, header, header_bytes);
    scratch_write(path, bytes, 8 + header_bytes + data_bytes);
    return path;
}

static void expect_refused(const char *path, const char *what, const char *word) {
    struct dd_st_file file;
    dd_status status = dd_st_read(path, &file);
    if (status != DD_ERROR_DATA || !strstr(dd_error_message(), word) || !strstr(dd_error_message(), path))
        fail_msg("%s: status %d, message '%s', expected: %s", what, status, dd_error_message(), word);
    assert_true(!file.bytes && !file.tensors && file.tensor_count == 0 && file.meta_count == 0);
}

#define ONE(shape, begin, end) "{\"a\":{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" begin "," end "]}}"
#define TWO(begin, end) "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}," \
                        "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[" begin "," end "]}}"

static void test_bad_headers(void **state) {
    (void)state;
    static const struct { const char *header; size_t data; const char *word; } cases[] = {
        {"", 0, "does not begin"},
        {" {}", 0, "does not begin"},
        {"[]", 0, "does not begin"},
        {"{", 0, "JSON"},
        {"{}x", 0, "JSON"},
        {"{\"a\":1}", 0, "no object"},
        {"{\"\xff\":1}", 0, "JSON"},
        {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, "JSON"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "no string"},
        {"{\"__metadata__\":[]}", 0, "no object"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "duplicate"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", 0, "duplicate"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype"},
        {"{\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "F16"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "duplicate"},
        {ONE("[1.0]", "0", "4"), 4, "whole number"},
        {ONE("[-1]", "0", "4"), 4, "whole number"},
        {ONE("[\"1\"]", "0", "4"), 4, "whole number"},
        {ONE("[1,1,1,1,1,1,1,1,1]", "0", "4"), 4, "dimensions"},
        {ONE("[4294967296,4294967296,4294967296]", "0", "4"), 4, "too large"},
        {ONE("[4611686018427387904]", "0", "0"), 0, "asks for"},
        {ONE("[99999999999999999999]", "0", "4"), 4, "JSON"},
        {ONE("[1]", "0", "8"), 8, "asks for"},
        {ONE("[1]", "4", "0"), 4, "data_offsets"},
        {ONE("[1]", "-4", "0"), 4, "data_offsets"},
        {ONE("[1]", "0.0", "4"), 4, "data_offsets"},
        {ONE("[1]", "4", "8"), 8, "hole"},
        {ONE("[1]", "0", "4"), 8, "follow the last"},
        {ONE("[1]", "0", "4"), 3, "cut off"},
        {ONE("[1]", "0", "4"), 0, "cut off"},
        {"{}", 1, "follow the last"},
        {TWO("12", "16"), 16, "hole"},
        {TWO("4", "8"), 8, "overlap"},
        {TWO("0", "4"), 8, "overlap"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "duplicate"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refused(write_raw(cases[i].header, strlen(cases[i].header), -1, cases[i].data), cases[i].header,
                       cases[i].word);
    expect_refused(write_raw("{}", 2, 100000001, 0), "a header of over 100 MB", "100000000");
    expect_refused(write_raw("{}", 2, INT64_MAX, 0), "a header of 2^63 - 1 bytes", "100000000");
    expect_refused(write_raw("{}", 2, 3, 0), "a header longer than the file", "cut off");
    expect_refused(scratch_path("not there"), "a missing file", "");
    assert_int_equal(dd_make_folder(scratch_path("folder")), DD_OK);
    expect_refused(scratch_path("folder"), "a folder", "");
}

/* What the reference library takes too: any order of tensors, unpadded headers, spaces behind, unknown keys inside. */
static void test_foreign_headers(void **state) {
    (void)state;
    static const char *const headers[] = {
        "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[8,12],\"note\":1}}   \n",
    };
    for (size_t i = 0; i < 2; i++) {
        for (size_t more = 0; more < 4; more++) { /* every alignment of the data */
            char text[512];
            struct dd_st_file file;
            snprintf(text, sizeof text, "%s%*s", headers[i], (int)more, "");
            const char *path = write_raw(text, strlen(text), -1, 12);
            FILE *out = fopen(path, "r+b");
            assert_non_null(out);
            assert_int_equal(fseek(out, -12, SEEK_END), 0);
            assert_int_equal(fwrite(numbers + 7, sizeof(float), 3, out), 3);
            assert_int_equal(fclose(out), 0);
            assert_int_equal(dd_st_read(path, &file), DD_OK);
            assert_int_equal(file.tensor_count, 2);
            assert_string_equal(file.tensors[0].name, "a");
            assert_int_equal((uintptr_t)file.tensors[0].data % sizeof(float), 0);
            assert_memory_equal(file.tensors[0].data, numbers + 7, 2 * sizeof(float));
            assert_memory_equal(file.tensors[1].data, numbers + 9, sizeof(float));
            dd_st_free(&file);
        }
    }
}

/* Tensors of other types between floats, which then lie at any alignment; the plain reader refuses such a file. */
static void test_mixed(void **state) {
    (void)state;
    static const char header[] = "{\"steps\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[0,8]},"
                                 "\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},"
                                 "\"flag\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[16,17]},"
                                 "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[17,21]},"
                                 "\"c\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[21,29]},"
                                 "\"half\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[29,35]}}";
    for (int more = 0; more < 4; more++) { /* every alignment of the data */
        char text[600];
        uint8_t data[35] = {0};
        struct dd_st_file file;
        snprintf(text, sizeof text, "%s%*s", header, more, "");
        memcpy(data + 8, numbers + 2, 2 * sizeof(float));
        memcpy(data + 17, numbers + 4, sizeof(float));
        memcpy(data + 21, numbers + 7, 2 * sizeof(float));
        const char *path = write_raw(text, strlen(text), -1, sizeof data);
        FILE *out = fopen(path, "r+b");
        assert_non_null(out);
        assert_int_equal(fseek(out, -(long)sizeof data, SEEK_END), 0);
        assert_int_equal(fwrite(data, 1, sizeof data, out), sizeof data);
        assert_int_equal(fclose(out), 0);
        assert_int_equal(dd_st_read(path, &file), DD_ERROR_DATA);
        assert_int_equal(dd_st_read_mixed(path, &file), DD_OK);
        assert_int_equal(file.tensor_count, 6);
        assert_memory_equal(dd_st_find(&file, "a")->data, numbers + 2, 2 * sizeof(float));
        assert_memory_equal(dd_st_find(&file, "b")->data, numbers + 4, sizeof(float));
        assert_memory_equal(dd_st_find(&file, "c")->data, numbers + 7, 2 * sizeof(float));
        assert_int_equal((uintptr_t)dd_st_find(&file, "b")->data % sizeof(float), 0);
        assert_null(dd_st_find(&file, "steps")->data);
        assert_string_equal(dd_st_find(&file, "half")->type, "BF16");
        dd_st_free(&file);
    }
    const char *bad = "{\"a\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[0,8]}}";
    struct dd_st_file file;
    assert_int_equal(dd_st_read_mixed(write_raw(bad, strlen(bad), -1, 8), &file), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), "2 numbers of 8"));
    bad = "{\"a\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]}}";
    assert_int_equal(dd_st_read_mixed(write_raw(bad, strlen(bad), -1, 8), &file), DD_ERROR_DATA);
}

/* Cut off at every length: never anything but a clean refusal. */
static void test_cut_off(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = scratch_read(write_sample(), &size);
    const char *path = scratch_path("cut.safetensors");
    for (size_t length = 0; length < size; length++) {
        scratch_write(path, bytes, length);
        expect_refused(path, "a cut off file", "");
    }
    uint8_t *longer = malloc(size + 1);
    assert_non_null(longer);
    memcpy(longer, bytes, size);
    longer[size] = 0;
    scratch_write(path, longer, size + 1);
    expect_refused(path, "a byte too many", "1 bytes follow");
    free(longer);
    free(bytes);
}

/* Random bytes of the header changed: a clean refusal, or a file that is whole in itself. */
static void test_random_damage(void **state) {
    (void)state;
    size_t size;
    uint8_t *bytes = scratch_read(write_sample(), &size);
    const char *path = scratch_path("damaged.safetensors");
    size_t header = 8 + bytes[0] + 256u * bytes[1];
    int refused = 0;
    for (uint32_t i = 0; i < 1500; i++) {
        uint32_t words[4];
        struct dd_st_file file;
        dd_philox(SEED, i, 0, DD_STREAM_BENCH, 0, words);
        uint8_t *damaged = malloc(size);
        assert_non_null(damaged);
        memcpy(damaged, bytes, size);
        for (uint32_t j = 0; j <= i % 3; j++)
            damaged[words[j] % header] = (uint8_t)(words[3] >> 8 * j);
        scratch_write(path, damaged, size);
        free(damaged);
        dd_status status = dd_st_read(path, &file);
        if (status != DD_OK && status != DD_ERROR_DATA)
            fail_msg("seed %d, damage %u: status %d (%s)", SEED, i, status, dd_error_message());
        refused += status != DD_OK;
        float sum = 0;
        for (int t = 0; t < file.tensor_count; t++) /* every number can be reached */
            for (size_t k = 0; k < file.tensors[t].count; k++)
                sum += file.tensors[t].data[k];
        assert_true(sum != 12345.0f);
        dd_st_free(&file);
    }
    assert_in_range(refused, 500, 1500);
    free(bytes);
}

static void test_unwritable(void **state) {
    (void)state;
    struct dd_st_tensor twice[2] = {tensors[0], tensors[0]}, bad = tensors[0];
    const char *path = scratch_path("unwritten.safetensors"), *not_text = "\xff";
    assert_int_equal(dd_st_write(path, twice, 2, NULL, NULL, 0), DD_ERROR_INTERNAL);
    bad.count++;
    assert_int_equal(dd_st_write(path, &bad, 1, NULL, NULL, 0), DD_ERROR_INTERNAL);
    assert_int_equal(dd_st_write(path, tensors, 1, keys, &not_text, 1), DD_ERROR_INTERNAL);
    bad = tensors[0];
    bad.name = (char *)(uintptr_t)"__metadata__";
    assert_int_equal(dd_st_write(path, &bad, 1, NULL, NULL, 0), DD_ERROR_INTERNAL);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(dd_st_write(scratch_path("no/such/folder/x"), tensors, 1, NULL, NULL, 0), DD_ERROR_DATA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_empty), cmocka_unit_test(test_bad_headers),
        cmocka_unit_test(test_foreign_headers), cmocka_unit_test(test_cut_off), cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_unwritable), cmocka_unit_test(test_mixed),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
