/* SPDX-License-Identifier: MIT */
/* JSON as RFC 8259 has it; only what must be is escaped. */
#include "common/json_text.h"

#include "common/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void json_put_bytes(struct json_text *t, const char *s, size_t len)
{
	if (len > t->size - t->len) {
		t->cut = true;
		return;
	}
	memcpy(t->at + t->len, s, len);
	t->len += len;
}

void json_put(struct json_text *t, const char *text)
{
	json_put_bytes(t, text, strlen(text));
}

void json_putf(struct json_text *t, const char *format, ...)
{
	char text[128];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof(text))
		t->cut = true;
	else
		json_put_bytes(t, text, (size_t)n);
}

static bool json_is_plain(char c)
{
	return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

static void json_put_escaped(struct json_text *t, char c)
{
	if (c == '"' || c == '\\')
		json_put_bytes(t, (char[]){'\\', c}, 2);
	else if (c == '\t')
		json_put_bytes(t, "\\t", 2);
	else if (c == '\n')
		json_put_bytes(t, "\\n", 2);
	else
		json_putf(t, "\\u%04x", (unsigned char)c);
}

/* The text is UTF-8. */
static void json_put_utf8(struct json_text *t, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t from = i;
		while (i < len && json_is_plain(s[i]))
			i++;
		json_put_bytes(t, s + from, i - from);
		if (i < len)
			json_put_escaped(t, s[i++]);
	}
}

static bool json_continues(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* The text is made UTF-8 in small pieces, each of which ends where a character does. */
static void json_put_sanitised(struct json_text *t, const char *s, size_t len)
{
	char clean[TEXT_SANITISE_GROWTH * 256];

	while (len > 0) {
		size_t n = len < 256 ? len : 256;
		for (size_t back = 1; n < len && back <= 3 && json_continues(s[n]); back++)
			if (!json_continues(s[n - back])) {
				n -= back;
				break;
			}
		json_put_utf8(t, clean, text_sanitise(clean, s, n));
		s += n;
		len -= n;
	}
}

void json_put_string(struct json_text *t, const char *s, size_t len)
{
	json_put_bytes(t, "\"", 1);
	if (text_is_utf8(s, len))
		json_put_utf8(t, s, len);
	else
		json_put_sanitised(t, s, len);
	json_put_bytes(t, "\"", 1);
}

void json_put_member(struct json_text *t, const char *name, const char *s, size_t len)
{
	json_putf(t, ",\"%s\":", name);
	json_put_string(t, s, len);
}

void json_put_number(struct json_text *t, const char *name, uint64_t v)
{
	json_putf(t, ",\"%s\":%" PRIu64, name, v);
}
