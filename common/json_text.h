/* SPDX-License-Identifier: MIT */
/*
 * JSON that is written piece by piece into a space that the caller has. What goes to all members of a room must not fail for
 * want of memory, and be the same bytes each time: so it isn't a library's.
 */
#ifndef COMMON_JSON_TEXT_H
#define COMMON_JSON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json_text {
	char *at;
	size_t len, size;
	bool cut; /* something didn't fit, so it is no JSON */
};

/* As it is. */
void json_put(struct json_text *t, const char *text);
/* The same with a NUL-terminated format, whose text has at most 127 bytes. */
void json_putf(struct json_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A string, with its quotes. What isn't UTF-8 becomes U+FFFD: then it may have text_sanitise()'s growth. */
void json_put_string(struct json_text *t, const char *s, size_t len);
/* ,"name":"..." */
void json_put_member(struct json_text *t, const char *name, const char *s, size_t len);
/* ,"name":N */
void json_put_number(struct json_text *t, const char *name, uint64_t v);

#endif
