/* SPDX-License-Identifier: MIT */
/* Text is decoded character by character; runs of printable ASCII, which most of it is, are skipped at
 * once. Not by libunistring: each message goes through here, and it has no call that skips such a run. */
#include "common/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One decoded step: how many bytes it spans, and whether they are well-formed and harmless. */
struct step {
	unsigned len;
	bool well_formed;
	bool control;
};

static bool text_is_continuation(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

/* What breaks a line or turns the writing direction would let a line look like another: U+2028-202E,
 * U+2066-2069. */
static bool text_misleads(const unsigned char *s)
{
	return s[0] == 0xe2 && ((s[1] == 0x80 && s[2] >= 0xa8 && s[2] <= 0xae) ||
				(s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9));
}

/* Decodes the character at s (len > 0); an ill-formed one spans its maximal subpart. */
static struct step text_decode(const unsigned char *s, size_t len)
{
	unsigned char c = s[0], low = 0x80, high = 0xbf;
	unsigned need;

	if (c < 0x80)
		return (struct step){1, true, (c < 0x20 && c != '\t') || c == 0x7f};
	if (c >= 0xc2 && c <= 0xdf)
		need = 1;
	else if (c >= 0xe0 && c <= 0xef)
		need = 2;
	else if (c >= 0xf0 && c <= 0xf4)
		need = 3;
	else
		return (struct step){1, false, false};

	/* The second byte's range excludes overlong forms, surrogates and what lies above U+10FFFF. */
	if (c == 0xe0)
		low = 0xa0;
	else if (c == 0xed)
		high = 0x9f;
	else if (c == 0xf0)
		low = 0x90;
	else if (c == 0xf4)
		high = 0x8f;

	if (len < 2 || s[1] < low || s[1] > high)
		return (struct step){1, false, false};
	for (unsigned i = 2; i <= need; i++)
		if (i >= len || !text_is_continuation(s[i]))
			return (struct step){i, false, false};
	return (struct step){need + 1, true, (c == 0xc2 && s[1] < 0xa0) || (need == 2 && text_misleads(s))};
}

/* 0 if all eight bytes are printable ASCII. If none is above, adding carries nothing from one byte to the next, and 0x7f
 * becomes 0x80; and as long as none is below a space, subtracting borrows nothing. */
static uint64_t text_odd_bytes(const char *s)
{
	const uint64_t ones = 0x0101010101010101ULL, highs = 0x8080808080808080ULL;
	uint64_t w;

	memcpy(&w, s, 8);
	return (w | (w + ones) | (w - ones * 0x20)) & highs;
}

/* Skips printable ASCII many bytes at a time, and the last ones with some of those before: the common case by far. */
static size_t text_ascii_run(const char *s, size_t len)
{
	size_t i = 0;

	while (i + 32 <= len && !(text_odd_bytes(s + i) | text_odd_bytes(s + i + 8) |
				  text_odd_bytes(s + i + 16) | text_odd_bytes(s + i + 24)))
		i += 32;
	while (i + 8 <= len && !text_odd_bytes(s + i))
		i += 8;
	if (i > 0 && i + 8 > len && !text_odd_bytes(s + len - 8))
		return len;
	while (i < len && (unsigned char)(s[i] - 0x20) < 0x7f - 0x20)
		i++;
	return i;
}

bool text_is_clean(const char *s, size_t len)
{
	size_t i = text_ascii_run(s, len);

	while (i < len) {
		struct step st = text_decode((const unsigned char *)s + i, len - i);
		if (!st.well_formed || st.control)
			return false;
		i += st.len;
		i += text_ascii_run(s + i, len - i);
	}
	return true;
}

bool text_is_utf8(const char *s, size_t len)
{
	size_t i = text_ascii_run(s, len);

	while (i < len) {
		struct step st = text_decode((const unsigned char *)s + i, len - i);
		if (!st.well_formed)
			return false;
		i += st.len;
		i += text_ascii_run(s + i, len - i);
	}
	return true;
}

size_t text_sanitise(char *dst, const char *src, size_t len)
{
	char *d = dst;

	for (size_t i = 0; i < len;) {
		size_t run = text_ascii_run(src + i, len - i);
		memcpy(d, src + i, run);
		d += run;
		i += run;
		if (i == len)
			break;
		struct step st = text_decode((const unsigned char *)src + i, len - i);
		if (st.well_formed && !st.control) {
			memcpy(d, src + i, st.len);
			d += st.len;
		} else {
			memcpy(d, "\xef\xbf\xbd", 3);
			d += 3;
		}
		i += st.len;
	}
	return (size_t)(d - dst);
}

const char *text_clean(const char *s, size_t *len, char **ret_buf)
{
	*ret_buf = NULL;
	if (text_is_clean(s, *len))
		return s;
	*ret_buf = malloc(*len * TEXT_SANITISE_GROWTH);
	if (*ret_buf)
		*len = text_sanitise(*ret_buf, s, *len);
	return *ret_buf;
}

char *text_escape(char *dst, size_t size, const char *src, size_t len)
{
	size_t o = 0;

	for (size_t i = 0; i < len;) {
		struct step st = text_decode((const unsigned char *)src + i, len - i);
		bool plain = st.well_formed && !st.control && src[i] != '\\' && src[i] != '\t';
		size_t need = plain ? st.len : 4 * (size_t)st.len;
		if (o + need + 1 > size)
			break;
		if (plain)
			memcpy(dst + o, src + i, st.len);
		else
			for (unsigned k = 0; k < st.len; k++)
				snprintf(dst + o + 4 * (size_t)k, 5, "\\x%02x", (unsigned char)src[i + k]);
		o += need;
		i += st.len;
	}
	dst[o] = '\0';
	return dst;
}

bool text_room_valid(const char *s, size_t len)
{
	if (len < 1 || len > TEXT_ROOM_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = s[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '_' || c == '.' || c == '-'))
			return false;
	}
	return true;
}

int text_parse_size(const char *s, uint64_t *ret)
{
	uint64_t v = 0, unit = 1;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	for (; *s >= '0' && *s <= '9'; s++)
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -ERANGE;
	switch (*s) {
	case 'K':
	case 'k':
		unit = 1ULL << 10;
		s++;
		break;
	case 'M':
	case 'm':
		unit = 1ULL << 20;
		s++;
		break;
	case 'G':
	case 'g':
		unit = 1ULL << 30;
		s++;
		break;
	}
	if (*s)
		return -EINVAL;
	if (__builtin_mul_overflow(v, unit, &v))
		return -ERANGE;
	*ret = v;
	return 0;
}

size_t text_cut(const char *s, size_t len, size_t most)
{
	size_t n = len < most ? len : most;

	while (n > 0 && n < len && text_is_continuation((unsigned char)s[n]))
		n--;
	return n;
}
