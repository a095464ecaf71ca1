/* src/dataset/image.c, jpeg.c, resize.c, stbi.c: fitting; broken, hostile and randomly damaged files. */
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

#include "base/philox.h"
#include "support/scratch.h"

enum { SEED = 5, MOST = 64 * 64 };

/* A horizontal ramp stays one, a constant stays exactly one, whatever the sizes; the crop is central. */
static void test_resize(void **state) {
    (void)state;
    static const int sizes[][4] = {{40, 40, 10, 10}, {40, 60, 20, 20}, {60, 40, 20, 20}, {10, 10, 40, 40},
                                   {9, 13, 8, 8}, {31, 7, 12, 30}, {64, 3, 8, 8}, {1, 1, 9, 9}, {50, 50, 49, 49}};
    static uint8_t pixels[MOST], fitted[64 * 64];
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        int h = sizes[k][0], w = sizes[k][1], to_h = sizes[k][2], to_w = sizes[k][3];
        double factor = fmax((double)to_h / h, (double)to_w / w), slope = 200.0 / w;
        const char *path = scratch_path("ramp%zu.png", k);
        memset(pixels, 173, sizeof pixels);
        scratch_png(path, h, w, 1, pixels);
        assert_int_equal(dd_image_read(path, 1, to_h, to_w, fitted), DD_OK);
        for (int i = 0; i < to_h * to_w; i++)
            assert_int_equal(fitted[i], 173);
        for (int i = 0; i < h * w; i++)
            pixels[i] = (uint8_t)(20 + slope * (i % w + 0.5) + 0.5);
        scratch_png(path, h, w, 1, pixels);
        assert_int_equal(dd_image_read(path, 1, to_h, to_w, fitted), DD_OK);
        for (int x = 0; x < to_w; x++) {
            double from = w / 2.0 + (x + 0.5 - to_w / 2.0) / factor, reach = fmax(1, 1 / factor);
            if (from < reach || from > w - reach)
                continue; /* the filter is cut at the border */
            double error = fitted[to_w * (to_h / 2) + x] - (20 + slope * from), allowed = 1.5 + slope * 0.5 / factor;
            if (fabs(error) > allowed)
                fail_msg("%dx%d to %dx%d, column %d: off by %g, %g is allowed", h, w, to_h, to_w, x, error, allowed);
        }
    }
}

/* Stripes one pixel wide average out where a filter that antialiases halves the size. */
static void test_antialiased(void **state) {
    (void)state;
    static uint8_t pixels[64 * 64], fitted[16 * 16];
    for (int i = 0; i < 64 * 64; i++)
        pixels[i] = i % 2 ? 255 : 0;
    scratch_png(scratch_path("stripes.png"), 64, 64, 1, pixels);
    assert_int_equal(dd_image_read(scratch_path("stripes.png"), 1, 16, 16, fitted), DD_OK);
    for (int i = 0; i < 16 * 16; i++)
        assert_in_range(fitted[i], 118, 137);
}

static void test_broken_images(void **state) {
    (void)state;
    static uint8_t pixels[3 * 16 * 16];
    for (int kind = 0; kind < SCRATCH_BREAKS; kind++) {
        const char *path = scratch_path("broken%d.%s", kind, kind % 2 ? "png" : "jpg");
        scratch_broken(path, kind);
        if (dd_image_read(path, 3, 16, 16, pixels) != DD_ERROR_DATA || !strstr(dd_error_message(), path))
            fail_msg("damage %d is not refused: %s", kind, dd_error_message());
    }
    assert_int_equal(dd_image_read(scratch_path("no.png"), 3, 16, 16, pixels), DD_ERROR_DATA);
}

/* What would lead the decoder out of its arrays: a code table of 256 and more, an undefined one, odd sampling. */
static void test_hostile_jpeg(void **state) {
    (void)state;
    static const uint8_t blocks[12] = {90, 100, 110, 120, 130, 140, 150, 160, 170, 180, 190, 200};
    enum { FRAME = 7 + 64, TABLES = FRAME + 19, SCAN = TABLES + 53, TABLE_BYTES = 17 + 256 };
    static const struct { size_t at; uint8_t byte; const char *word; } cases[] = {
        {TABLES + 6, 0xff, "code table"}, {TABLES + 4, 0x10, "not defined"}, {TABLES + 4, 0x04, "code table"},
        {TABLES + 21, 16, "symbol 16"}, {SCAN + 6, 0x10, "not defined"}, {SCAN + 6, 0x01, "not defined"},
        {SCAN + 3, 8, "scan header"}, {FRAME + 3, 18, "frame header"}, {FRAME + 11, 0x00, "sampling"},
    };
    uint8_t pixels[64];
    size_t size;
    scratch_jpeg(scratch_path("sound.jpg"), 2, 2, 3, blocks);
    uint8_t *bytes = scratch_read(scratch_path("sound.jpg"), &size);
    assert_true(bytes[FRAME + 1] == 0xc0 && bytes[TABLES + 1] == 0xc4 && bytes[SCAN + 1] == 0xda);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t kept = bytes[cases[i].at];
        bytes[cases[i].at] = cases[i].byte;
        scratch_write(scratch_path("unsound.jpg"), bytes, size);
        bytes[cases[i].at] = kept;
        dd_status status = dd_image_read(scratch_path("unsound.jpg"), 1, 8, 8, pixels);
        if (status != DD_ERROR_DATA || !strstr(dd_error_message(), cases[i].word))
            fail_msg("case %zu: status %d, message: %s", i, status, dd_error_message());
    }
    bytes[FRAME + 11] = 0x33; /* 3 to 2 pixels */
    bytes[FRAME + 14] = 0x22;
    scratch_write(scratch_path("unsound.jpg"), bytes, size);
    assert_int_equal(dd_image_read(scratch_path("unsound.jpg"), 1, 8, 8, pixels), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), "sampling"));
    free(bytes);
    /* counts 255 and 1: 256 codes, whose symbols are all there */
    enum { LENGTH = TABLE_BYTES + 2 };
    uint8_t long_table[6 + TABLE_BYTES + 2] = {0xff, 0xd8, 0xff, 0xc4, LENGTH >> 8, LENGTH & 255, 0x10};
    long_table[6 + 15] = 255;
    long_table[6 + 16] = 1;
    long_table[sizeof long_table - 2] = 0xff;
    long_table[sizeof long_table - 1] = 0xd9;
    scratch_write(scratch_path("unsound.jpg"), long_table, sizeof long_table);
    assert_int_equal(dd_image_read(scratch_path("unsound.jpg"), 1, 8, 8, pixels), DD_ERROR_DATA);
    assert_non_null(strstr(dd_error_message(), "code table"));
}

/* Random bytes changed: refused, or decoded to something; never a fault. */
static void test_random_damage(void **state) {
    (void)state;
    static uint8_t pixels[3 * 16 * 16];
    int refused = 0;
    for (int kind = 0; kind < 2; kind++) {
        size_t size;
        if (kind)
            scratch_png(scratch_path("whole"), 16, 16, 3, scratch_pixels(1, 16, 16, 3));
        else
            scratch_jpeg(scratch_path("whole"), 8, 8, 3, scratch_pixels(1, 8, 8, 3));
        uint8_t *bytes = scratch_read(scratch_path("whole"), &size);
        for (uint32_t i = 0; i < 400; i++) {
            uint32_t words[4];
            dd_philox(SEED, i, (uint32_t)kind, DD_STREAM_BENCH, 0, words);
            size_t at = words[0] % size;
            uint8_t kept = bytes[at];
            bytes[at] = (uint8_t)words[1];
            scratch_write(scratch_path("hurt"), bytes, size);
            bytes[at] = kept;
            dd_status status = dd_image_read(scratch_path("hurt"), 3, 16, 16, pixels);
            if (status != DD_OK && status != DD_ERROR_DATA)
                fail_msg("seed %d, kind %d, damage %u at byte %zu: status %d", SEED, kind, i, at, status);
            refused += status != DD_OK;
        }
        free(bytes);
    }
    assert_in_range(refused, 400, 799); /* a PNG's checksums show nearly every change */
}

/* Sizes that a header may tell but nobody needs, and a PNG that inflates to far more or less than its size says. */
static void test_hostile_images(void **state) {
    (void)state;
    static uint8_t zeros[4 << 20];
    uint8_t pixels[64];
    const char *path = scratch_path("hostile.png");
    static const struct { int height, width; size_t size; const char *word; } cases[] = {
        {1, 20000, 20001, "16384 a side"}, {16384, 16384, 100, "134217728"}, {8, 8, sizeof zeros, "decoded"},
        {8, 8, 71, "decoded"}, {0, 8, 8, "decoded"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_png_lines(path, cases[i].height, cases[i].width, 1, zeros, cases[i].size);
        dd_status status = dd_image_read(path, 1, 8, 8, pixels);
        if (status != DD_ERROR_DATA || !strstr(dd_error_message(), path) || !strstr(dd_error_message(), cases[i].word))
            fail_msg("image %zu: status %d, message: %s", i, status, dd_error_message());
    }
    scratch_png_lines(path, 8, 8, 1, zeros, 72);
    assert_int_equal(dd_image_read(path, 1, 8, 8, pixels), DD_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resize), cmocka_unit_test(test_antialiased), cmocka_unit_test(test_broken_images),
        cmocka_unit_test(test_hostile_jpeg), cmocka_unit_test(test_random_damage),
        cmocka_unit_test(test_hostile_images),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}
