/* SPDX-License-Identifier: MIT */
/*
 * Tables for people (libsmartcols). On a terminal they are no wider than it; columns without space are left
 * out.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table;

/*
 * Titles end with NULL; the most important ones come first. One that begins with '>' is of a column of
 * numbers, one with '~' of a column that may be cut.
 */
struct table *table_new(const char *const *titles);
/* The next cell; a row is complete when each column has one. */
void table_add(struct table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Writes it to stdout, the titles bold on a terminal unless NO_COLOR is set, and frees it. */
void table_print(struct table *t);

/* "3 min 20 s", "2 d 4 h"; "12.3 kB". */
char *format_duration(double seconds, char dst[static 32]);
char *format_bytes(int64_t bytes, char dst[static 32]);
/* Sizes as in the configuration: "64K", "4M". */
char *format_size(int64_t bytes, char dst[static 32]);

#endif
