/* src/dataset/cifar.c: both binary forms, whole and damaged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "support/scratch.h"

enum { PIXELS = 3072, RECORDS = 3, TEN = 1 + PIXELS, HUNDRED = 2 + PIXELS };

static uint8_t pixel_of(int file, int record, int i) {
    return (uint8_t)(file * 83 + record * 31 + i * 7);
}

static int label_of(int file, int record, int classes) {
    return (file * RECORDS + record) * 7 % classes;
}

/* Records of file number file, with label_bytes labels each; the coarse label is the fine one's fifth. */
static void fill_records(uint8_t *bytes, int file, int label_bytes) {
    for (int r = 0; r < RECORDS; r++) {
        int label = label_of(file, r, label_bytes == 1 ? 10 : 100);
        uint8_t *record = bytes + r * (label_bytes + PIXELS);
        record[0] = (uint8_t)(label / 5);
        record[label_bytes - 1] = (uint8_t)label;
        for (int i = 0; i < PIXELS; i++)
            record[label_bytes + i] = pixel_of(file, r, i);
    }
}

static const char *name_of(int file) {
    static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                                        "data_batch_5.bin", "test_batch.bin"};
    return names[file];
}

static void write_ten(const char *folder) {
    static uint8_t bytes[RECORDS * TEN];
    for (int file = 0; file < 6; file++) {
        fill_records(bytes, file, 1);
        scratch_write(scratch_path("%s/%s", folder, name_of(file)), bytes, sizeof bytes);
    }
}

static void write_hundred(const char *folder) {
    static uint8_t bytes[RECORDS * HUNDRED];
    for (int file = 0; file < 2; file++) {
        fill_records(bytes, file, 2);
        scratch_write(scratch_path("%s/%s", folder, file == 0 ? "train.bin" : "test.bin"), bytes, sizeof bytes);
    }
}

static dd_dataset *open_folder(const char *source, const char *folder, bool train, bool test, dd_status status,
                               const char *const *words) {
    char spec[600];
    snprintf(spec, sizeof spec, "%s:%s", source, scratch_path("%s", folder));
    struct dd_dataset_options options = {.spec = spec, .need_train = train, .need_test = test};
    return scratch_open(&options, status, words);
}

static void assert_records(const struct dd_images *images, int first_file, int files, int classes) {
    assert_true(images->count == files * RECORDS && images->channels == 3);
    assert_true(images->height == 32 && images->width == 32);
    for (int i = 0; i < images->count; i++) {
        int file = first_file + i / RECORDS;
        assert_int_equal(images->labels[i], label_of(file, i % RECORDS, classes));
        for (int j = 0; j < PIXELS; j++)
            assert_int_equal(images->pixels[i * PIXELS + j], pixel_of(file, i % RECORDS, j));
    }
}

static void test_ten(void **state) {
    (void)state;
    static const char *const folders[] = {"ten", "archive/cifar-10-batches-bin"}, *const given[] = {"ten", "archive"};
    for (int i = 0; i < 2; i++) {
        write_ten(folders[i]);
        scratch_clear_log();
        dd_dataset *dataset = open_folder("cifar10", given[i], true, true, DD_OK, NULL);
        assert_records(&dataset->train, 0, 5, 10);
        assert_records(&dataset->test, 5, 1, 10);
        assert_true(dataset->classes == 10 && strcmp(dataset->class_names[9], "truck") == 0);
        assert_non_null(strstr(scratch_log(), "data_batch_1.bin: has 3 records")); /* fewer than published: told */
        dd_dataset_close(&dataset);
    }
}

static void test_names_file(void **state) {
    (void)state;
    static const char names[] = "ape\nbee\ncow\ndog\nelk\nfox\ngnu\nhen\nibis\njay\n\n";
    write_ten("named");
    const char *path = scratch_path("named/batches.meta.txt");
    scratch_write(path, names, sizeof names - 1);
    dd_dataset *dataset = open_folder("cifar10", "named", false, true, DD_OK, NULL);
    assert_int_equal(dataset->train.count, 0);
    assert_string_equal(dataset->class_names[8], "ibis");
    dd_dataset_close(&dataset);
    scratch_write(path, names, 11);
    open_folder("cifar10", "named", false, true, DD_ERROR_DATA, WORDS("batches.meta.txt", "names 3 classes"));
    scratch_write(path, "ape\nbee\ncow\ndog\nelk\nfox\ngnu\nhen\nibis\njay\nkea\n", 46);
    open_folder("cifar10", "named", false, true, DD_ERROR_DATA, WORDS("names 11 classes"));
    static const char latin[] = "ape\nbee\ncow\ndog\nelk\nfox\ngnu\nhen\nibis\n\xe9lan\n";
    scratch_write(path, latin, sizeof latin - 1);
    open_folder("cifar10", "named", false, true, DD_ERROR_DATA, WORDS("class 9", "UTF-8"));
}

static void test_hundred(void **state) {
    (void)state;
    write_hundred("hundred/cifar-100-binary");
    dd_dataset *dataset = open_folder("cifar100", "hundred", true, true, DD_OK, NULL);
    assert_records(&dataset->train, 0, 1, 100);
    assert_records(&dataset->test, 1, 1, 100);
    assert_int_equal(dataset->classes, 100);
    assert_string_equal(dataset->class_names[0], "apple");
    assert_string_equal(dataset->class_names[50], "mouse");
    assert_string_equal(dataset->class_names[99], "worm");
    for (int i = 1; i < 100; i++) /* the published order is the alphabet's */
        assert_true(strcmp(dataset->class_names[i - 1], dataset->class_names[i]) < 0);
    dd_dataset_close(&dataset);
}

/* A byte of a file changed, or its length. */
static void test_damage(void **state) {
    (void)state;
    static const struct { int at; uint8_t byte; size_t length; const char *words[4]; } cases[] = {
        {0, 0, RECORDS * TEN - 1, {"data_batch_3.bin", "record 2", "byte 6146", "3072 of its 3073"}},
        {0, 0, TEN + 1, {"data_batch_3.bin", "record 1", "byte 3073", ": 1 of its 3073"}},
        {0, 0, 1, {"data_batch_3.bin", "record 0"}},
        {0, 0, 0, {"data_batch_3.bin", "empty"}},
        {0, 0, 10000 * TEN + TEN, {"data_batch_3.bin", "more than", "30730000"}},
        {2 * TEN, 10, RECORDS * TEN, {"data_batch_3.bin", "record 2", "label 10", "byte 6146"}},
    };
    uint8_t *bytes = calloc(10001, TEN);
    assert_non_null(bytes);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *words[] = {cases[i].words[0], cases[i].words[1], cases[i].words[2], cases[i].words[3], NULL};
        write_ten("damaged");
        fill_records(bytes, 2, 1);
        if (cases[i].byte)
            bytes[cases[i].at] = cases[i].byte;
        scratch_write(scratch_path("damaged/data_batch_3.bin"), bytes, cases[i].length);
        open_folder("cifar10", "damaged", true, true, DD_ERROR_DATA, words);
    }
    free(bytes);
}

static void test_damaged_hundred(void **state) {
    (void)state;
    static uint8_t bytes[RECORDS * HUNDRED];
    write_hundred("bad");
    fill_records(bytes, 0, 2);
    bytes[HUNDRED + 1] = 100;
    scratch_write(scratch_path("bad/train.bin"), bytes, sizeof bytes);
    open_folder("cifar100", "bad", true, true, DD_ERROR_DATA,
                WORDS("train.bin", "record 1", "byte 3074", "has label 100"));
    bytes[HUNDRED] = 20;
    bytes[HUNDRED + 1] = 99;
    scratch_write(scratch_path("bad/train.bin"), bytes, sizeof bytes);
    open_folder("cifar100", "bad", true, true, DD_ERROR_DATA, WORDS("record 1", "coarse label 20"));
}

static void test_missing(void **state) {
    (void)state;
    write_ten("missing");
    assert_int_equal(remove(scratch_path("missing/data_batch_4.bin")), 0);
    open_folder("cifar10", "missing", true, true, DD_ERROR_DATA, WORDS("data_batch_4.bin", "missing"));
    dd_dataset *dataset = open_folder("cifar10", "missing", false, true, DD_OK, NULL);
    dd_dataset_close(&dataset);
    open_folder("cifar10", "nowhere", true, true, DD_ERROR_DATA, WORDS("nowhere"));
    open_folder("cifar100", "missing", true, true, DD_ERROR_DATA, WORDS("train.bin"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ten), cmocka_unit_test(test_names_file), cmocka_unit_test(test_hundred),
        cmocka_unit_test(test_damage), cmocka_unit_test(test_damaged_hundred), cmocka_unit_test(test_missing),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
