/* SPDX-License-Identifier: MIT */
/* Checks on text that comes from outside: names of rooms, UTF-8 (RFC 3629), what a terminal would act on.
 * Only text_clean() allocates memory. */
#ifndef COMMON_TEXT_H
#define COMMON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_NICK_MAX 32
#define TEXT_ROOM_MAX 64

/* How much text_sanitise() can grow its input: one bad byte becomes the three bytes of U+FFFD. */
#define TEXT_SANITISE_GROWTH 3

/* A room is [A-Za-z0-9_.-]{1,64}. */
bool text_room_valid(const char *s, size_t len);

/* Whether text_sanitise() would return the text as it is. */
bool text_is_clean(const char *s, size_t len);

/* Whether it is UTF-8, whatever a terminal would make of it. */
bool text_is_utf8(const char *s, size_t len);

/*
 * Copies text with control characters (C0 but tab, DEL, C1, line separators, bidirectional overrides) and
 * ill-formed UTF-8 replaced with U+FFFD, one for each maximal ill-formed part (Unicode 15, 3.9 "Substitution
 * of Maximal Subparts"). dst has space for TEXT_SANITISE_GROWTH * len bytes and doesn't overlap src. Returns
 * the bytes written; no NUL is added.
 */
size_t text_sanitise(char *dst, const char *src, size_t len);

/* How many of the first most bytes of UTF-8 there are, or are left if it is cut where a character begins. */
size_t text_cut(const char *s, size_t len, size_t most);

/*
 * The text as text_sanitise() makes it: itself if it is clean, else a copy in *ret_buf, which the caller
 * free()s (NULL otherwise). NULL without memory.
 */
const char *text_clean(const char *s, size_t *len, char **ret_buf);

/*
 * Copies text for a log or a terminal: whatever text_sanitise() would replace, and the backslash, becomes
 * \xNN. Cuts what doesn't fit. Always ends dst with NUL and returns dst.
 */
char *text_escape(char *dst, size_t size, const char *src, size_t len);

/* "4096", "64K", "4M", "1G" to bytes. Returns 0, or -EINVAL or -ERANGE. */
int text_parse_size(const char *s, uint64_t *ret);

#endif
