/* src/dataset/idx.c: MNIST's files, plain and gzip'd, whole and damaged. */
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

enum { COUNT = 7, HEIGHT = 3, WIDTH = 4, IMAGES = 16 + COUNT * HEIGHT * WIDTH, LABELS = 8 + COUNT };

/* The bytes of a sample's files; tests damage copies of them. */
static uint8_t images[IMAGES], labels[LABELS];

static void put_word(uint8_t *at, uint32_t word) {
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(word >> (24 - 8 * i));
}

static int make_sample(void **state) {
    put_word(images, 0x803);
    put_word(images + 4, COUNT);
    put_word(images + 8, HEIGHT);
    put_word(images + 12, WIDTH);
    put_word(labels, 0x801);
    put_word(labels + 4, COUNT);
    for (int i = 16; i < IMAGES; i++)
        images[i] = (uint8_t)(37 * i);
    for (int i = 0; i < COUNT; i++)
        labels[8 + i] = (uint8_t)((i * 3) % 5);
    return scratch_create(state);
}

static const char *file_of(const char *folder, const char *prefix, const char *kind, const char *ending) {
    return scratch_path("%s/%s-%s-ubyte%s", folder, prefix, strcmp(kind, "images") == 0 ? "images-idx3" : "labels-idx1",
                        ending);
}

static void write_split(const char *folder, const char *prefix, bool zipped) {
    void (*write)(const char *, const void *, size_t) = zipped ? scratch_write_gzip : scratch_write;
    write(file_of(folder, prefix, "images", zipped ? ".gz" : ""), images, IMAGES);
    write(file_of(folder, prefix, "labels", zipped ? ".gz" : ""), labels, LABELS);
}

static dd_dataset *open_folder(const char *source, const char *folder, bool train, bool test, dd_status status,
                               const char *const *words) {
    char spec[600];
    snprintf(spec, sizeof spec, "%s:%s", source, scratch_path("%s", folder));
    struct dd_dataset_options options = {.spec = spec, .need_train = train, .need_test = test};
    return scratch_open(&options, status, words);
}

static void assert_images(const struct dd_images *found, const char *split) {
    assert_string_equal(found->split, split);
    assert_true(found->count == COUNT && found->channels == 1 && found->height == HEIGHT && found->width == WIDTH);
    assert_memory_equal(found->pixels, images + 16, IMAGES - 16);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(found->labels[i], labels[8 + i]);
}

static void test_whole(void **state) {
    (void)state;
    uint64_t hashes[2];
    for (int zipped = 0; zipped < 2; zipped++) {
        const char *folder = zipped ? "zipped" : "plain";
        write_split(folder, "train", zipped);
        write_split(folder, "t10k", zipped);
        dd_dataset *dataset = open_folder("idx", folder, true, true, DD_OK, NULL);
        assert_string_equal(dataset->name, "idx");
        assert_images(&dataset->train, "train");
        assert_images(&dataset->test, "test");
        assert_int_equal(dataset->classes, 5);
        assert_string_equal(dataset->class_names[4], "4");
        hashes[zipped] = dataset->train.hash;
        dd_dataset_close(&dataset);
        assert_null(dataset);
        dd_dataset_close(&dataset);
    }
    assert_true(hashes[0] == hashes[1] && hashes[0] != 0);
}

static void test_one_split(void **state) {
    (void)state;
    write_split("only-test", "t10k", false);
    dd_dataset *dataset = open_folder("idx", "only-test", false, true, DD_OK, NULL);
    assert_int_equal(dataset->train.count, 0);
    assert_images(&dataset->test, "test");
    assert_int_equal(dataset->classes, 5);
    dd_dataset_close(&dataset);
    open_folder("idx", "only-test", true, true, DD_ERROR_DATA, WORDS("train-labels-idx1-ubyte"));
    labels[8] = 9; /* more classes in training than in the test images */
    write_split("more", "train", false);
    labels[8] = 0;
    write_split("more", "t10k", false);
    dataset = open_folder("idx", "more", false, true, DD_OK, NULL);
    assert_int_equal(dataset->classes, 10);
    dd_dataset_close(&dataset);
    dataset = open_folder("fashion-mnist", "more", true, false, DD_OK, NULL);
    assert_string_equal(dataset->class_names[9], "Ankle boot");
    assert_int_equal(dataset->test.count, 0);
    dd_dataset_close(&dataset);
}

/* Damage: the file's kind, a place in it and the byte that goes there, or another length. */
static void test_damage(void **state) {
    (void)state;
    static const struct { const char *kind; int at; uint8_t byte; size_t length; const char *words[3]; } cases[] = {
        {"images", 3, 1, IMAGES, {"0x00000801", "0x00000803"}},
        {"images", 7, COUNT - 1, IMAGES, {"6 images", "7 labels"}},
        {"labels", 7, COUNT + 1, LABELS + 1, {"7 images", "8 labels"}},
        {"labels", 7, 200, LABELS, {""}},
        {"images", 4, 0xff, IMAGES, {"dimension 0", "byte 4"}},
        {"images", 8, 0x7f, IMAGES, {"dimension 1", "byte 8"}},
        {"images", 15, 0, IMAGES, {"dimension 2", "byte 12"}},
        {"images", 0, 0, IMAGES - 1, {"cut off"}},
        {"images", 0, 0, 16, {"cut off"}},
        {"images", 0, 0, 9, {"cut off", "byte 9", "16"}},
        {"images", 0, 0, 0, {"cut off", "byte 0"}},
        {"images", 0, 0, IMAGES + 1, {"goes on behind byte 100"}},
        {"labels", 3, 3, LABELS, {"0x00000803", "0x00000801"}},
        {"labels", 0, 0, LABELS - 1, {"cut off"}},
        {"labels", 0, 0, LABELS + 3, {"goes on behind byte 15"}},
        {"labels", 10, 10, LABELS, {"label 10", "record 2", "byte 10"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int zipped = 0; zipped < 2; zipped++) {
            const char *folder = zipped ? "damaged-zip" : "damaged", *ending = zipped ? ".gz" : "";
            uint8_t bytes[IMAGES + 8] = {0};
            bool is_image = strcmp(cases[i].kind, "images") == 0;
            memcpy(bytes, is_image ? images : labels, is_image ? IMAGES : LABELS);
            if (cases[i].at > 0)
                bytes[cases[i].at] = cases[i].byte;
            write_split(folder, "train", zipped);
            (zipped ? scratch_write_gzip : scratch_write)(file_of(folder, "train", cases[i].kind, ending), bytes,
                                                          cases[i].length);
            /* what a gzip file can hold is known roughly, so that a cut off one is noticed later, in other words */
            const char *words[] = {cases[i].kind, cases[i].words[0], zipped ? NULL : cases[i].words[1], NULL};
            open_folder("fashion-mnist", folder, true, false, DD_ERROR_DATA, words);
        }
    }
}

/* A gzip file cut off at every byte, and with every byte changed: refused, or read as it was. */
static void test_damaged_gzip(void **state) {
    (void)state;
    size_t size;
    write_split("gzip", "train", true);
    uint8_t *bytes = scratch_read(file_of("gzip", "train", "images", ".gz"), &size);
    for (size_t length = 0; length < size; length++) {
        scratch_write(file_of("gzip", "train", "images", ".gz"), bytes, length);
        open_folder("fashion-mnist", "gzip", true, false, DD_ERROR_DATA, WORDS("train-images"));
    }
    for (size_t at = 0; at < size; at++) {
        char spec[600];
        dd_dataset *dataset;
        bytes[at] ^= 0x55;
        scratch_write(file_of("gzip", "train", "images", ".gz"), bytes, size);
        bytes[at] ^= 0x55;
        snprintf(spec, sizeof spec, "fashion-mnist:%s", scratch_path("gzip"));
        dd_status status = dd_dataset_open(&(struct dd_dataset_options){.spec = spec, .need_train = true}, &dataset);
        if (status == DD_OK) /* times and names in gzip's head do not matter */
            assert_images(&dataset->train, "train");
        else if (status != DD_ERROR_DATA)
            fail_msg("byte %zu changed: status %d (%s)", at, status, dd_error_message());
        dd_dataset_close(&dataset);
    }
    free(bytes);
}

/* A header that asks for far more than its gzip file can hold is refused before anything is allocated. */
static void test_bomb(void **state) {
    (void)state;
    uint8_t head[16];
    memcpy(head, images, 16);
    put_word(head + 4, INT32_MAX);
    put_word(head + 8, 16384);
    put_word(head + 12, 16384);
    write_split("bomb", "train", true);
    scratch_write_gzip(file_of("bomb", "train", "images", ".gz"), head, 16);
    open_folder("idx", "bomb", true, false, DD_ERROR_DATA, WORDS("cut off", "hold at most"));
}

static void test_missing(void **state) {
    (void)state;
    open_folder("idx", "nowhere", true, true, DD_ERROR_DATA, WORDS("nowhere"));
    scratch_write(scratch_path("half/train-images-idx3-ubyte"), images, IMAGES);
    open_folder("fashion-mnist", "half", true, true, DD_ERROR_DATA, WORDS("train-labels-idx1-ubyte"));
    assert_int_equal(dd_make_folder(file_of("odd", "train", "images", "")), DD_OK);
    open_folder("fashion-mnist", "odd", true, true, DD_ERROR_DATA, WORDS("regular file"));
}

static void test_sizes_differ(void **state) {
    (void)state;
    write_split("differ", "train", false);
    put_word(images + 8, WIDTH);
    put_word(images + 12, HEIGHT);
    write_split("differ", "t10k", false);
    put_word(images + 8, HEIGHT);
    put_word(images + 12, WIDTH);
    open_folder("idx", "differ", true, true, DD_ERROR_DATA, WORDS("3x4", "4x3"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole), cmocka_unit_test(test_one_split), cmocka_unit_test(test_damage),
        cmocka_unit_test(test_damaged_gzip), cmocka_unit_test(test_bomb), cmocka_unit_test(test_missing),
        cmocka_unit_test(test_sizes_differ),
    };
    return cmocka_run_group_tests(tests, make_sample, scratch_remove);
}
