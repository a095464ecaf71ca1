/* See scratch.h. Images are written by a few lines of our own, which share nothing with the decoder. */
#include "support/scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include <depthdrop/log.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"

static char folder[64];
static char messages[1 << 16];

static void collect(void *user, dd_log_level level, const char *message) {
    (void)user;
    (void)level;
    size_t used = strlen(messages);
    snprintf(messages + used, sizeof messages - used, "%s\n", message);
}

int scratch_create(void **state) {
    (void)state;
    strcpy(folder, "/tmp/depthdrop-test-XXXXXX");
    dd_log_set(collect, NULL);
    return mkdtemp(folder) ? 0 : -1;
}

int scratch_remove(void **state) {
    (void)state;
    dd_log_set(NULL, NULL);
    char *command = dd_format("chmod -R u+rwX '%s'; rm -rf '%s'", folder, folder);
    int result = command ? system(command) : -1;
    free(command);
    return result;
}

const char *scratch_path(const char *format, ...) {
    static char paths[8][512];
    static int next;
    char *path = paths[next++ % 8];
    int used = snprintf(path, sizeof paths[0], "%s/", folder);
    va_list args;
    va_start(args, format);
    vsnprintf(path + used, sizeof paths[0] - (size_t)used, format, args);
    va_end(args);
    return path;
}

static void make_parent(const char *path) {
    char *parent = dd_strdup(path);
    assert_non_null(parent);
    *strrchr(parent, '/') = 0;
    assert_int_equal(dd_make_folder(parent), DD_OK);
    free(parent);
}

void scratch_write(const char *path, const void *data, size_t size) {
    make_parent(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (size_t i = 0; !data && i < size; i++)
        fputc(0, file);
    if (data)
        assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

void scratch_write_gzip(const char *path, const void *data, size_t size) {
    make_parent(path);
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    if (size > 0)
        assert_int_equal(gzwrite(file, data, (unsigned)size), size);
    assert_int_equal(gzclose(file), Z_OK);
}

uint8_t *scratch_read(const char *path, size_t *size) {
    uint8_t *data;
    assert_int_equal(dd_file_read(path, (size_t)1 << 30, &data, size), DD_OK);
    return data;
}

static void put_word(FILE *file, uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8)
        fputc((int)(word >> shift & 255), file);
}

static void put_chunk(FILE *file, const char *type, const uint8_t *data, size_t size) {
    put_word(file, (uint32_t)size);
    fwrite(type, 1, 4, file);
    if (size > 0)
        fwrite(data, 1, size, file);
    uLong sum = crc32(crc32(0, (const Bytef *)type, 4), data, (uInt)size);
    put_word(file, (uint32_t)(size > 0 ? sum : crc32(0, (const Bytef *)type, 4)));
}

void scratch_png_lines(const char *path, int height, int width, int components, const uint8_t *lines, size_t size) {
    static const uint8_t colour_types[5] = {0, 0, 4, 2, 6};
    uint8_t head[13] = {0, 0, (uint8_t)(width >> 8), (uint8_t)width, 0, 0, (uint8_t)(height >> 8), (uint8_t)height,
                        8, colour_types[components]};
    uLongf packed_size = compressBound(size);
    uint8_t *packed = dd_calloc(packed_size, 1);
    assert_non_null(packed);
    assert_int_equal(compress(packed, &packed_size, lines, size), Z_OK);
    make_parent(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite("\x89PNG\r\n\x1a\n", 1, 8, file);
    put_chunk(file, "IHDR", head, sizeof head);
    put_chunk(file, "IDAT", packed, packed_size);
    put_chunk(file, "IEND", NULL, 0);
    assert_int_equal(fclose(file), 0);
    free(packed);
}

void scratch_png(const char *path, int height, int width, int components, const uint8_t *pixels) {
    size_t line = (size_t)width * (size_t)components;
    uint8_t *lines = dd_calloc((size_t)height, line + 1);
    assert_non_null(lines);
    for (int y = 0; y < height; y++) /* filter type 0 before each line */
        memcpy(lines + (size_t)y * (line + 1) + 1, pixels + (size_t)y * line, line);
    scratch_png_lines(path, height, width, components, lines, (line + 1) * (size_t)height);
    free(lines);
}

/* Entropy-coded bits, the highest first; a byte 0xff is followed by a stuffed zero. */
struct bits { FILE *file; unsigned waiting; int count; };

static void put_bits(struct bits *bits, unsigned value, int count) {
    for (int i = count - 1; i >= 0; i--) {
        bits->waiting = bits->waiting << 1 | (value >> i & 1);
        if (++bits->count < 8)
            continue;
        fputc((int)bits->waiting, bits->file);
        if (bits->waiting == 0xff)
            fputc(0, bits->file);
        bits->waiting = 0;
        bits->count = 0;
    }
}

/* A block that is flat: its DC difference by size class (four bits each), then "no more" in one bit. */
static void put_block(struct bits *bits, int difference) {
    int magnitude = abs(difference), class = 0;
    while (magnitude >> class)
        class++;
    put_bits(bits, (unsigned)class, 4);
    put_bits(bits, (unsigned)(difference < 0 ? difference + (1 << class) - 1 : difference), class);
    put_bits(bits, 0, 1);
}

void scratch_jpeg(const char *path, int rows, int columns, int components, const uint8_t *blocks) {
    static const uint8_t tables[] = {
        0xff, 0xc4, 0, 29, 0x00, 0, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
        0xff, 0xc4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    int previous[3] = {0};
    make_parent(path);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite("\xff\xd8\xff\xdb\0\x43\0", 1, 7, file);
    for (int i = 0; i < 64; i++)
        fputc(8, file); /* a coefficient of 1 shifts the block by 1 */
    fprintf(file, "\xff\xc0%c%c%c%c%c%c%c%c", 0, 8 + 3 * components, 8, 8 * rows >> 8, 8 * rows & 255, 8 * columns >> 8,
            8 * columns & 255, components);
    for (int i = 1; i <= components; i++)
        fprintf(file, "%c%c%c", i, 0x11, 0);
    fwrite(tables, 1, sizeof tables, file);
    fprintf(file, "\xff\xda%c%c%c", 0, 6 + 2 * components, components);
    for (int i = 1; i <= components; i++)
        fprintf(file, "%c%c", i, 0);
    fprintf(file, "%c%c%c", 0, 63, 0);
    struct bits bits = {.file = file};
    for (int i = 0; i < rows * columns * components; i++) {
        int value = blocks[i] - 128;
        put_block(&bits, value - previous[i % components]);
        previous[i % components] = value;
    }
    while (bits.count > 0)
        put_bits(&bits, 1, 1);
    fwrite("\xff\xd9", 1, 2, file);
    assert_int_equal(fclose(file), 0);
}

const uint8_t *scratch_pixels(int number, int height, int width, int components) {
    static uint8_t pixels[64 * 64 * 4];
    assert_true((size_t)(height * width * components) <= sizeof pixels);
    for (int i = 0; i < height * width * components; i++)
        pixels[i] = (uint8_t)(number * 41 + i * 13 + i / 7);
    return pixels;
}

void scratch_broken(const char *path, int kind) {
    size_t size;
    const char *good = scratch_path("good.%s", kind % 2 ? "png" : "jpg");
    if (kind % 2)
        scratch_png(good, 16, 16, 3, scratch_pixels(1, 16, 16, 3));
    else
        scratch_jpeg(good, 8, 8, 3, scratch_pixels(1, 8, 8, 3));
    uint8_t *bytes = scratch_read(good, &size);
    switch (kind / 2) {
    case 0: size -= 2; break;             /* the end marker is missing, or a part of the end chunk's checksum */
    case 1: size /= 2; break;
    case 2: size = 0; break;
    case 3: size = 5; break;
    case 4: memset(bytes, 'x', size); break;
    case 5: bytes[kind % 2 ? 50 : 4] ^= 0x7f; break; /* a PNG's data; the length of a JPEG's first segment */
    default: memset(bytes + (kind % 2 ? 16 : 2), 0, size - 40);
    }
    scratch_write(path, bytes, size);
    free(bytes);
}

const char *scratch_log(void) {
    return messages;
}

void scratch_clear_log(void) {
    messages[0] = 0;
}

dd_dataset *scratch_open(const struct dd_dataset_options *options, dd_status status, const char *const *words) {
    dd_dataset *dataset = (dd_dataset *)1;
    dd_status found = dd_dataset_open(options, &dataset);
    if (found != status)
        fail_msg("'%s' gives status %d (%s), %d was expected", options->spec, found, dd_error_message(), status);
    for (int i = 0; words && words[i]; i++)
        if (!strstr(dd_error_message(), words[i]))
            fail_msg("'%s' lacks '%s' in its message: %s", options->spec, words[i], dd_error_message());
    if (status != DD_OK)
        assert_null(dataset);
    return dataset;
}
