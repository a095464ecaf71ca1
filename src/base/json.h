/* JSON that is written and read in several places: values that jansson has no maker for, whole files, lines of a log.
 */
#ifndef DD_BASE_JSON_H
#define DD_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/error.h"

/** Whether JSON can hold text as it is. */
bool dd_is_utf8(const char *text);

/**
 * Text as JSON can hold it: if it is not UTF-8, each of its bytes beyond ASCII becomes U+FFFD. Freed by free(); NULL:
 * out of memory.
 */
char *dd_utf8_text(const char *text);

/* The caller's, as those of jansson; NULL: out of memory. */
json_t *dd_json_number(double value);     /**< null if it is not finite */
json_t *dd_json_string(const char *text); /**< dd_utf8_text of it */

/**
 * Reads a file of at most limit bytes; flags are json_loadb's. hint, NULL or how such a file comes about, ends the
 * message about a damaged one. *root is the caller's, NULL on failure. DD_ERROR_DATA, DD_ERROR_MEMORY.
 */
dd_status dd_json_load_file(const char *path, size_t limit, size_t flags, const char *hint, json_t **root);

/*
 * Both release root, also on failure; root NULL, or path NULL, is what an allocation before has left: DD_ERROR_MEMORY.
 */

/** Replaces a file as dd_file_write does; flags are json_dumps's. DD_ERROR_DATA, DD_ERROR_MEMORY. */
dd_status dd_json_save_file(json_t *root, const char *path, size_t flags);

/** Writes a compact line with 9 digits. A failure of out is for the caller to find (ferror). DD_ERROR_MEMORY. */
dd_status dd_json_line(json_t *root, FILE *out);

#endif
