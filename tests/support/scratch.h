/* A folder of one test program, files and images in it, and the messages that a call logs. */
#ifndef DD_TESTS_SCRATCH_H
#define DD_TESTS_SCRATCH_H

#include <stddef.h>
#include <stdint.h>

#include <depthdrop/dataset.h>

/** cmocka group setup and teardown: a fresh folder, log messages collected; removal. */
int scratch_create(void **state);
int scratch_remove(void **state);

/** Path of a name (printf) in the folder; one of eight buffers used in turn. */
const char *scratch_path(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Writes a file below the folder, creating its parents; a NULL data writes zero bytes. Failure fails the test. */
void scratch_write(const char *path, const void *data, size_t size);
void scratch_write_gzip(const char *path, const void *data, size_t size);

/** Reads a whole file, freed by free(). */
uint8_t *scratch_read(const char *path, size_t *size);

/** A PNG of [height][width][components] bytes: grey, grey and alpha, colour, colour and alpha. */
void scratch_png(const char *path, int height, int width, int components, const uint8_t *pixels);

/** A baseline JPEG of [rows][columns][components] flat 8x8 blocks: grey, or Y, Cb, Cr. */
void scratch_jpeg(const char *path, int rows, int columns, int components, const uint8_t *blocks);

/** A PNG whose inflated data are these size bytes, which need not fit its sizes. */
void scratch_png_lines(const char *path, int height, int width, int components, const uint8_t *lines, size_t size);

/** [height][width][components] bytes, at most 64 * 64 * 4, others for each number; valid until the next call. */
const uint8_t *scratch_pixels(int number, int height, int width, int components);

/** A 16 x 16 (PNG, odd kinds) or 64 x 64 (JPEG, even kinds) file with one kind of damage. */
enum { SCRATCH_BREAKS = 14 };
void scratch_broken(const char *path, int kind);

/** Messages logged since the last call of scratch_clear_log, each followed by a newline. */
const char *scratch_log(void);
void scratch_clear_log(void);

/**
 * Opens the data set and requires status; a failure's message must hold each of the words (NULL ends them). On DD_OK
 * the data set is given back, else NULL.
 */
dd_dataset *scratch_open(const struct dd_dataset_options *options, dd_status status, const char *const *words);

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

#endif
