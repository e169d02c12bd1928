/* SPDX-License-Identifier: MIT */
/* First the line's parts, then its arguments, then its tags. */
#include "daemon/irc/line.h"

#include "common/text.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

/* --- the line --- */

static struct irc_arg line_word(const char **s, const char *end)
{
	const char *from = *s, *space = memchr(from, ' ', (size_t)(end - from));
	const char *to = space ? space : end;

	*s = to;
	while (*s < end && **s == ' ')
		(*s)++;
	return (struct irc_arg){from, (size_t)(to - from)};
}

static void line_params(const char *s, const char *end, struct irc_line *ret)
{
	while (s < end) {
		struct irc_arg *arg = &ret->params[ret->n_params++];
		if (*s == ':' || ret->n_params == IRC_PARAMS_MAX) {
			s += *s == ':';
			*arg = (struct irc_arg){s, (size_t)(end - s)};
			return;
		}
		*arg = line_word(&s, end);
	}
}

static bool line_has_end(const char *s, size_t len)
{
	return memchr(s, '\0', len) || memchr(s, '\r', len) || memchr(s, '\n', len);
}

int irc_line_parse(const char *s, size_t len, struct irc_line *ret)
{
	const char *end = s + len, *body = s;
	int r = 0;

	*ret = (struct irc_line){.n_params = 0};
	if (len == 0 || line_has_end(s, len))
		return -EINVAL;
	if (*s == '@') {
		s++;
		const char *space = memchr(s, ' ', (size_t)(end - s));
		/* Bytes count as they come: the space ends the tags even if another one follows. */
		body = space ? space + 1 : end;
		ret->tags = line_word(&s, end);
		if (ret->tags.len > IRC_TAGS_DATA_MAX)
			r = -E2BIG;
	}
	if (r == 0 && (size_t)(end - body) > IRC_BODY_MAX - 2)
		r = -EMSGSIZE;
	while (s < end && *s == ' ')
		s++;
	if (s < end && *s == ':') {
		s++;
		ret->source = line_word(&s, end);
	}
	if (s == end)
		return r ? r : -EINVAL;
	ret->command = line_word(&s, end);
	line_params(s, end, ret);
	return r;
}

/* --- arguments --- */

bool irc_arg_is(struct irc_arg a, const char *word)
{
	return a.len == strlen(word) && strncasecmp(a.at, word, a.len) == 0;
}

bool irc_arg_equals(struct irc_arg a, const char *word)
{
	return a.len == strlen(word) && memcmp(a.at, word, a.len) == 0;
}

int irc_arg_copy(struct irc_arg a, char *ret, size_t size)
{
	bool fits = a.len < size;

	if (fits && a.len > 0)
		memcpy(ret, a.at, a.len);
	if (size > 0)
		ret[fits ? a.len : 0] = '\0';
	return fits ? 0 : -EMSGSIZE;
}

static bool line_next(struct irc_arg list, char separator, size_t *at, struct irc_arg *ret)
{
	while (*at < list.len) {
		const char *from = list.at + *at, *to = memchr(from, separator, list.len - *at);
		size_t n = to ? (size_t)(to - from) : list.len - *at;
		*at += n + 1;
		if (n == 0)
			continue;
		*ret = (struct irc_arg){from, n};
		return true;
	}
	return false;
}

bool irc_arg_next(struct irc_arg list, size_t *at, struct irc_arg *ret)
{
	return line_next(list, ',', at, ret);
}

/* --- tags --- */

/* *ret_value.at is NULL if the tag has none. */
static struct irc_arg tag_split(struct irc_arg whole, struct irc_arg *ret_value)
{
	const char *equals = memchr(whole.at, '=', whole.len);

	*ret_value = (struct irc_arg){NULL, 0};
	if (!equals)
		return whole;
	size_t n = (size_t)(equals - whole.at);
	*ret_value = (struct irc_arg){equals + 1, whole.len - n - 1};
	return (struct irc_arg){whole.at, n};
}

static int tag_unescape(struct irc_arg value, char *buf, size_t size)
{
	size_t o = 0;

	for (size_t i = 0; i < value.len; i++) {
		char c = value.at[i];
		if (c == '\\') {
			if (++i == value.len)
				break;
			c = value.at[i];
			c = (char)(c == ':' ? ';' : c == 's' ? ' ' : c == 'r' ? '\r' : c == 'n' ? '\n' : c);
		}
		if (o + 1 >= size)
			return -EMSGSIZE;
		buf[o++] = c;
	}
	buf[o] = '\0';
	return 0;
}

int irc_tag_get(struct irc_arg tags, const char *key, char *buf, size_t size)
{
	struct irc_arg whole, value, found = {NULL, 0};
	bool any = false;

	if (size == 0)
		return -EMSGSIZE;
	buf[0] = '\0';
	for (size_t at = 0; line_next(tags, ';', &at, &whole);)
		if (irc_arg_equals(tag_split(whole, &value), key)) {
			found = value;
			any = true;
		}
	if (!any)
		return -ENOENT;
	int r = tag_unescape(found, buf, size);
	if (r < 0)
		buf[0] = '\0';
	return r;
}

static bool tag_is_client(struct irc_arg key)
{
	if (key.len < 2 || key.at[0] != '+')
		return false;
	for (size_t i = 1; i < key.len; i++) {
		char c = key.at[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		      c == '-' || c == '.' || c == '/'))
			return false;
	}
	return true;
}

bool irc_tag_next_client(struct irc_arg tags, size_t *at, struct irc_arg *ret_whole)
{
	struct irc_arg value;

	while (line_next(tags, ';', at, ret_whole)) {
		struct irc_arg key = tag_split(*ret_whole, &value);
		if (tag_is_client(key) && text_is_utf8(ret_whole->at, ret_whole->len))
			return true;
	}
	return false;
}

static char tag_escaped(char c)
{
	switch (c) {
	case ';':
		return ':';
	case ' ':
		return 's';
	case '\\':
		return '\\';
	case '\r':
		return 'r';
	case '\n':
		return 'n';
	default:
		return 0;
	}
}

size_t irc_tag_escape(char *dst, size_t size, const char *s, size_t len)
{
	size_t n = len, o = 0;

	for (size_t i = 0; i < len; i++)
		n += tag_escaped(s[i]) != 0;
	if (size > 0)
		dst[0] = '\0';
	if (n >= size)
		return n;
	for (size_t i = 0; i < len; i++) {
		char e = tag_escaped(s[i]);
		if (e)
			dst[o++] = '\\';
		dst[o++] = e ? e : s[i];
	}
	dst[o] = '\0';
	return n;
}
