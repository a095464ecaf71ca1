/* src/dataset/folder*.c, dataset.c, convert.c: listing, broken files, sizes, channels, the cache, models, usage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/philox.h"
#include "support/scratch.h"

enum { SEED = 5 };

static dd_dataset *open_options(struct dd_dataset_options options, const char *folder, dd_status status,
                                const char *const *words) {
    char spec[600], cache[600];
    snprintf(spec, sizeof spec, "folder:%s", scratch_path("%s", folder));
    snprintf(cache, sizeof cache, "%s", scratch_path("cache"));
    options.spec = spec;
    options.cache_dir = cache;
    scratch_clear_log();
    return scratch_open(&options, status, words);
}

static dd_dataset *open_both(const char *folder, dd_status status, const char *const *words) {
    return open_options((struct dd_dataset_options){.need_train = true, .need_test = true}, folder, status, words);
}

static void assert_log(const char *word) {
    if (!strstr(scratch_log(), word))
        fail_msg("the log lacks '%s': %s", word, scratch_log());
}

static void assert_no_log(const char *word) {
    if (strstr(scratch_log(), word))
        fail_msg("the log holds '%s': %s", word, scratch_log());
}

/* Colour images of one size: classes b, a and C in train, a in test. */
static void write_plain(const char *folder) {
    scratch_png(scratch_path("%s/train/b/2.png", folder), 5, 6, 3, scratch_pixels(2, 5, 6, 3));
    scratch_png(scratch_path("%s/train/b/10.PNG", folder), 5, 6, 3, scratch_pixels(1, 5, 6, 3));
    scratch_png(scratch_path("%s/train/a/z.png", folder), 5, 6, 3, scratch_pixels(0, 5, 6, 3));
    scratch_png(scratch_path("%s/train/C/x.png", folder), 5, 6, 3, scratch_pixels(3, 5, 6, 3));
    scratch_png(scratch_path("%s/test/b/t.png", folder), 5, 6, 3, scratch_pixels(4, 5, 6, 3));
}

/* image i of images is [height][width][components], its first channels. */
static void assert_image(const struct dd_images *images, int i, const uint8_t *pixels, int components) {
    int plane = images->height * images->width;
    for (int c = 0; c < images->channels; c++)
        for (int j = 0; j < plane; j++) {
            uint8_t found = images->pixels[(i * images->channels + c) * plane + j];
            uint8_t expected = pixels[j * components + (components < 3 ? 0 : c)];
            if (found != expected)
                fail_msg("image %d, channel %d, pixel %d: %d, %d was expected", i, c, j, found, expected);
        }
}

static void test_order_and_labels(void **state) {
    (void)state;
    static const int numbers[] = {3, 0, 1, 2}, labels[] = {0, 1, 2, 2};
    write_plain("plain");
    dd_dataset *dataset = open_both("plain", DD_OK, NULL);
    assert_string_equal(dataset->name, "folder");
    assert_int_equal(dataset->classes, 3);
    assert_string_equal(dataset->class_names[0], "C");
    assert_string_equal(dataset->class_names[2], "b");
    assert_int_equal(dataset->train.count, 4);
    assert_true(dataset->train.height == 5 && dataset->train.width == 6 && dataset->train.channels == 3);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(dataset->train.labels[i], labels[i]);
        assert_image(&dataset->train, i, scratch_pixels(numbers[i], 5, 6, 3), 3);
    }
    assert_int_equal(dataset->test.labels[0], 2);
    assert_string_equal(dataset->test.split, "test");
    assert_no_log("passed over");
    dd_dataset_close(&dataset);
}

static void test_val_and_test(void **state) {
    (void)state;
    write_plain("val");
    assert_int_equal(rename(scratch_path("val/test"), scratch_path("val/val")), 0);
    dd_dataset *dataset = open_both("val", DD_OK, NULL);
    assert_string_equal(dataset->test.split, "val");
    dd_dataset_close(&dataset);
    scratch_png(scratch_path("val/test/a/1.png"), 5, 6, 3, scratch_pixels(9, 5, 6, 3));
    scratch_png(scratch_path("val/test/a/2.png"), 5, 6, 3, scratch_pixels(9, 5, 6, 3));
    dataset = open_both("val", DD_OK, NULL);
    assert_string_equal(dataset->test.split, "test");
    assert_int_equal(dataset->test.count, 2);
    dd_dataset_close(&dataset);
}

static void test_passed_over(void **state) {
    (void)state;
    write_plain("others");
    scratch_write(scratch_path("others/train/a/notes.txt"), "x", 1);
    scratch_write(scratch_path("others/train/a/more.txt"), "x", 1);
    scratch_write(scratch_path("others/train/a/.hidden.png"), "x", 1);
    scratch_write(scratch_path("others/train/README"), "x", 1);
    scratch_write(scratch_path("others/train/.git/x.png"), "x", 1);
    scratch_png(scratch_path("others/train/a/inner.png/1.png"), 5, 6, 3, scratch_pixels(0, 5, 6, 3));
    dd_dataset *dataset = open_both("others", DD_OK, NULL);
    assert_int_equal(dataset->train.count, 4);
    assert_int_equal(dataset->classes, 3);
    assert_log("2 files are passed over");
    assert_log("1 folders inside of class folders");
    dd_dataset_close(&dataset);
}

/* Grey throughout gives one channel; a colour image anywhere gives three; alpha goes. */
static void test_channels(void **state) {
    (void)state;
    scratch_png(scratch_path("grey/train/a/1.png"), 4, 4, 1, scratch_pixels(1, 4, 4, 1));
    scratch_png(scratch_path("grey/train/b/2.png"), 4, 4, 2, scratch_pixels(2, 4, 4, 2));
    scratch_png(scratch_path("grey/test/b/3.png"), 4, 4, 1, scratch_pixels(3, 4, 4, 1));
    dd_dataset *dataset = open_both("grey", DD_OK, NULL);
    assert_true(dataset->train.channels == 1 && dataset->test.channels == 1);
    assert_image(&dataset->train, 0, scratch_pixels(1, 4, 4, 1), 1);
    assert_image(&dataset->train, 1, scratch_pixels(2, 4, 4, 2), 2);
    dd_dataset_close(&dataset);
    for (int i = 0; i < 2; i++) { /* decoded, then from the cache */
        scratch_png(scratch_path("grey/test/b/4.png"), 4, 4, 4, scratch_pixels(4, 4, 4, 4));
        dataset = open_both("grey", DD_OK, NULL);
        assert_true(dataset->train.channels == 3 && dataset->test.channels == 3);
        assert_image(&dataset->train, 1, scratch_pixels(2, 4, 4, 2), 2);
        assert_image(&dataset->test, 1, scratch_pixels(4, 4, 4, 4), 4);
        dd_dataset_close(&dataset);
    }
}

static void test_jpeg(void **state) {
    (void)state;
    static const uint8_t grey[6] = {0, 255, 90, 128, 127, 3};
    static const uint8_t colour[12] = {128, 128, 128, 76, 85, 255, 150, 44, 21, 29, 255, 107}; /* Y, Cb, Cr */
    static const uint8_t expected[4][3] = {{128, 128, 128}, {254, 0, 0}, {0, 255, 1}, {0, 0, 254}};
    scratch_jpeg(scratch_path("jpeg/train/a/1.JPEG"), 2, 3, 1, grey);
    dd_dataset *dataset = open_options((struct dd_dataset_options){.need_train = true}, "jpeg", DD_OK, NULL);
    assert_true(dataset->train.channels == 1 && dataset->train.height == 16 && dataset->train.width == 24);
    for (int i = 0; i < 16 * 24; i++)
        assert_int_equal(dataset->train.pixels[i], grey[i / 24 / 8 * 3 + i % 24 / 8]);
    dd_dataset_close(&dataset);
    scratch_jpeg(scratch_path("jpeg/train/a/0.jpg"), 2, 2, 3, colour);
    dataset = open_options((struct dd_dataset_options){.need_train = true}, "jpeg", DD_OK, NULL);
    assert_true(dataset->train.count == 2 && dataset->train.channels == 3 && dataset->train.width == 16);
    for (int i = 0; i < 3 * 256; i++)
        assert_in_range(dataset->train.pixels[i] + 2 - expected[i % 256 / 16 / 8 * 2 + i % 16 / 8][i / 256], 0, 4);
    dd_dataset_close(&dataset);
}

static void test_image_size(void **state) {
    (void)state;
    static const char *const bad[] = {"", "0", "x", "8x", "x8", "8x8x8", "-8", "+8", " 8", "8.5", "8 ", "16385", "8x-8",
                                      "99999999999999999999"};
    write_plain("sizes");
    scratch_png(scratch_path("sizes/train/C/y.png"), 9, 20, 4, scratch_pixels(6, 9, 20, 4));
    dd_dataset *dataset = open_both("sizes", DD_OK, NULL);
    assert_true(dataset->train.height == 5 && dataset->train.width == 6 && dataset->test.height == 5);
    dd_dataset_close(&dataset);
    struct dd_dataset_options wide = {.need_test = true, .need_train = true, .image_size = "8x12"};
    dataset = open_options(wide, "sizes", DD_OK, NULL);
    assert_true(dataset->train.height == 8 && dataset->train.width == 12 && dataset->test.width == 12);
    dd_dataset_close(&dataset);
    dataset = open_options((struct dd_dataset_options){.need_test = true, .image_size = "8"}, "sizes", DD_OK, NULL);
    assert_true(dataset->test.height == 8 && dataset->test.width == 8);
    dd_dataset_close(&dataset);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        open_options((struct dd_dataset_options){.need_test = true, .image_size = bad[i]}, "sizes", DD_ERROR_USAGE,
                     WORDS("image size"));
}

/* Up to 1 % is left out and told, the second time from the cache; above, an error lists ten. */
static void test_broken_share(void **state) {
    (void)state;
    for (int i = 0; i < 200; i++)
        scratch_png(scratch_path("share/train/%c/%03d.png", 'a' + i % 2, i), 8, 8, 3, scratch_pixels(i, 8, 8, 3));
    scratch_broken(scratch_path("share/train/a/000.png"), 1);
    scratch_broken(scratch_path("share/train/b/051.png"), 5);
    for (int again = 0; again < 2; again++) {
        dd_dataset *dataset = open_options((struct dd_dataset_options){.need_train = true}, "share", DD_OK, NULL);
        assert_int_equal(dataset->train.count, 198);
        assert_image(&dataset->train, 0, scratch_pixels(2, 8, 8, 3), 3);
        assert_image(&dataset->train, 99 + 25, scratch_pixels(53, 8, 8, 3), 3);
        assert_int_equal(dataset->train.labels[98], 0);
        assert_int_equal(dataset->train.labels[99], 1);
        assert_log("2 of 200 images");
        assert_log("a/000.png");
        assert_log("b/051.png");
        assert_log(again ? "from the cache" : "decoding 200 images");
        dd_dataset_close(&dataset);
    }
    for (int i = 100; i < 112; i++)
        scratch_broken(scratch_path("share/train/%c/%03d.png", 'a' + i % 2, i), 1 + 2 * (i % 7));
    open_options((struct dd_dataset_options){.need_train = true}, "share", DD_ERROR_DATA,
                 WORDS("14 of 200", "1 %", "a/000.png", "and 4 more"));
}

static void test_all_broken(void **state) {
    (void)state;
    scratch_broken(scratch_path("none/train/a/1.png"), 3);
    scratch_broken(scratch_path("none/train/b/2.jpg"), 2);
    for (int sized = 0; sized < 2; sized++)
        open_options((struct dd_dataset_options){.need_train = true, .image_size = sized ? "8" : NULL}, "none",
                     DD_ERROR_DATA, WORDS("2 of 2", "a/1.png", "b/2.jpg"));
}

static void test_bad_folders(void **state) {
    (void)state;
    open_both("nowhere", DD_ERROR_DATA, WORDS("nowhere", "no such folder"));
    scratch_write(scratch_path("file"), "x", 1);
    open_both("file", DD_ERROR_DATA, WORDS("file", "folder was expected"));
    assert_int_equal(dd_make_folder(scratch_path("void")), DD_OK);
    open_both("void", DD_ERROR_DATA, WORDS("'train'"));
    assert_int_equal(dd_make_folder(scratch_path("void/train")), DD_OK);
    open_options((struct dd_dataset_options){.need_train = true}, "void", DD_ERROR_DATA, WORDS("0 class folders"));
    assert_int_equal(dd_make_folder(scratch_path("void/train/a")), DD_OK);
    open_options((struct dd_dataset_options){.need_train = true}, "void", DD_ERROR_DATA, WORDS("train/a", "no image"));
    write_plain("untested");
    assert_int_equal(rename(scratch_path("untested/test"), scratch_path("untested/tset")), 0);
    open_both("untested", DD_ERROR_DATA, WORDS("'test'", "'val'"));
    write_plain("foreign");
    scratch_png(scratch_path("foreign/test/x/1.png"), 5, 6, 3, scratch_pixels(1, 5, 6, 3));
    open_both("foreign", DD_ERROR_DATA, WORDS("test/x", "no such class"));
    write_plain("latin");
    scratch_png(scratch_path("latin/train/caf\xe9/1.png"), 5, 6, 3, scratch_pixels(1, 5, 6, 3));
    open_both("latin", DD_ERROR_DATA, WORDS("UTF-8"));
    write_plain("locked");
    assert_int_equal(chmod(scratch_path("locked/train/b"), 0), 0);
    if (geteuid() != 0)
        open_both("locked", DD_ERROR_DATA, WORDS("train/b"));
}

/* Labels by a model: its order, classes that the data lack, classes that it lacks; its shape. */
static void test_model(void **state) {
    (void)state;
    char b[] = "b", a[] = "a", c[] = "C", d[] = "d";
    char *const all[] = {b, d, a, c}, *const few[] = {a, c};
    write_plain("model");
    scratch_png(scratch_path("model/test/a/u.png"), 5, 6, 3, scratch_pixels(5, 5, 6, 3));
    struct dd_dataset_options options = {.need_test = true, .model_classes = all, .model_class_count = 4, .channels = 1,
                                         .height = 10, .width = 12};
    for (int i = 0; i < 2; i++) { /* with and without training images beside */
        dd_dataset *dataset = open_options(options, "model", DD_OK, NULL);
        assert_true(dataset->classes == 4 && strcmp(dataset->class_names[1], "d") == 0);
        assert_true(dataset->test.count == 2 && dataset->test.labels[0] == 2 && dataset->test.labels[1] == 0);
        assert_true(dataset->test.channels == 1 && dataset->test.height == 10 && dataset->test.width == 12);
        uint8_t pixels[120];
        assert_int_equal(dd_image_read(scratch_path("model/test/a/u.png"), 1, 10, 12, pixels), DD_OK);
        assert_memory_equal(dataset->test.pixels, pixels, sizeof pixels);
        dd_dataset_close(&dataset);
        if (i == 0)
            assert_int_equal(rename(scratch_path("model/train"), scratch_path("model/trained")), 0);
    }
    options.model_classes = few;
    options.model_class_count = 2;
    open_options(options, "model", DD_ERROR_DATA, WORDS("'b'", "unknown to the model"));
}

/* Any change of the folder is seen; damage of the cache is a miss. */
static void test_cache(void **state) {
    (void)state;
    const struct dd_dataset_options options = {.need_train = true};
    write_plain("cached");
    dd_dataset *dataset = open_options(options, "cached", DD_OK, NULL);
    uint64_t hash = dataset->train.hash;
    dd_dataset_close(&dataset);
    for (int i = 0; i < 2; i++) {
        struct dd_dataset_options other = options;
        other.no_cache = i == 1;
        dataset = open_options(other, "cached", DD_OK, NULL);
        assert_true(dataset->train.hash == hash);
        assert_log(i == 0 ? "from the cache" : "decoding 4 images");
        assert_string_equal(dataset->train.split, "train");
        dd_dataset_close(&dataset);
    }
    /* written anew with its modification time set back: only its change time tells */
    struct stat before;
    size_t size;
    const char *path = scratch_path("cached/train/a/z.png");
    uint8_t *bytes = scratch_read(path, &size);
    assert_int_equal(stat(path, &before), 0);
    scratch_write(path, bytes, size);
    free(bytes);
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    dataset = open_options(options, "cached", DD_OK, NULL);
    assert_log("decoding 4 images");
    dd_dataset_close(&dataset);
}

static void test_damaged_cache(void **state) {
    (void)state;
    const struct dd_dataset_options options = {.need_test = true};
    write_plain("fragile");
    dd_dataset *dataset = open_options(options, "fragile", DD_OK, NULL);
    uint64_t hash = dataset->test.hash;
    dd_dataset_close(&dataset);
    char newest[600] = "";
    time_t newest_time = 0;
    long newest_ns = 0;
    DIR *folder = opendir(scratch_path("cache/decoded"));
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat info;
        const char *path = scratch_path("cache/decoded/%s", entry->d_name);
        if (entry->d_name[0] == '.' || stat(path, &info) != 0)
            continue;
        if (info.st_mtim.tv_sec > newest_time ||
            (info.st_mtim.tv_sec == newest_time && info.st_mtim.tv_nsec > newest_ns)) {
            newest_time = info.st_mtim.tv_sec;
            newest_ns = info.st_mtim.tv_nsec;
            snprintf(newest, sizeof newest, "%s", path);
        }
    }
    closedir(folder);
    size_t size;
    uint8_t *bytes = scratch_read(newest, &size);
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t words[4];
        dd_philox(SEED, i, 0, DD_STREAM_BENCH, 0, words);
        size_t at = i < 30 ? words[0] % 72 : words[0] % size, length = i % 5 == 4 ? words[1] % size : size;
        bytes[at] ^= (uint8_t)(1 << words[2] % 8);
        scratch_write(newest, bytes, length);
        bytes[at] ^= (uint8_t)(1 << words[2] % 8);
        dataset = open_options(options, "fragile", DD_OK, NULL);
        if (dataset->test.hash != hash)
            fail_msg("seed %d, damage %u at byte %zu of a cached file shows in the images", SEED, i, at);
        assert_log("decoding 1 images");
        dd_dataset_close(&dataset);
    }
    free(bytes);
}

static void test_usage(void **state) {
    (void)state;
    static const char *const specs[] = {"", "nothing", "folder", "folder:", "cifar10", "fashion-mnist:", "shapes:x",
                                        "Folder:x", "cifar:x"};
    struct dd_dataset_options options = {.need_train = true};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        options.spec = specs[i];
        scratch_open(&options, DD_ERROR_USAGE, WORDS("data set"));
    }
    options.spec = "shapes";
    options.image_size = "8";
    scratch_open(&options, DD_ERROR_USAGE, WORDS("image size"));
    options.image_size = NULL;
    options.channels = 2;
    scratch_open(&options, DD_ERROR_USAGE, WORDS("channels"));
    char *long_spec = calloc(1, 5000);
    assert_non_null(long_spec);
    memset(long_spec, 'f', 4999);
    memcpy(long_spec, "folder:", 7);
    scratch_open(&(struct dd_dataset_options){.spec = long_spec}, DD_ERROR_USAGE, NULL);
    free(long_spec);
    int count = 0;
    while (dd_dataset_source_help(count)) {
        assert_true(strlen(dd_dataset_source_help(count)->form) > 0);
        count++;
    }
    assert_int_equal(count, 6);
    assert_null(dd_dataset_source_help(-1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_labels), cmocka_unit_test(test_val_and_test),
        cmocka_unit_test(test_passed_over), cmocka_unit_test(test_channels), cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_image_size), cmocka_unit_test(test_broken_share), cmocka_unit_test(test_all_broken),
        cmocka_unit_test(test_bad_folders), cmocka_unit_test(test_model), cmocka_unit_test(test_cache),
        cmocka_unit_test(test_damaged_cache), cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
