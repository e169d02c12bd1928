/* SPDX-License-Identifier: MIT */
/* Wildcards by going back to the last * only, which is enough: what was before that has its match for good.
 * Of UTF-8 only the beginnings of characters matter, for which no library is needed. */
#include "daemon/channels/mask.h"

#include <stdio.h>
#include <string.h>

static char mask_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static const char *mask_next_character(const char *s)
{
	s++;
	while (((unsigned char)*s & 0xc0) == 0x80)
		s++;
	return s;
}

/* One step of both, if the mask's next one is no *. */
static bool mask_step(const char **mask, const char **text)
{
	const char *m = *mask;

	if (*m == '?') {
		*mask = m + 1;
		*text = mask_next_character(*text);
		return true;
	}
	if (*m == '\\' && (m[1] == '*' || m[1] == '?'))
		m++;
	if (!*m || mask_lower(*m) != mask_lower(**text))
		return false;
	*mask = m + 1;
	(*text)++;
	return true;
}

bool irc_mask_match(const char *mask, const char *text)
{
	const char *star = NULL, *from = NULL;

	while (*text) {
		if (*mask == '*') {
			star = ++mask;
			from = text;
		} else if (!mask_step(&mask, &text)) {
			if (!star)
				return false;
			mask = star;
			text = ++from;
		}
	}
	while (*mask == '*')
		mask++;
	return !*mask;
}

static void mask_cut(char *s)
{
	size_t n = strlen(s), i = n;

	while (i > 0 && ((unsigned char)s[i - 1] & 0xc0) == 0x80)
		i--;
	if (i == 0 || (unsigned char)s[i - 1] < 0xc0)
		return;
	unsigned char c = (unsigned char)s[i - 1];
	size_t need = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
	if (n - (i - 1) < need)
		s[i - 1] = '\0';
}

struct mask_part {
	int len;
	const char *at;
};

static struct mask_part mask_part(const char *from, const char *to)
{
	return from < to ? (struct mask_part){(int)(to - from), from} : (struct mask_part){1, "*"};
}

void irc_mask_normalise(const char *s, size_t len, char *ret, size_t size)
{
	if (len == 0)
		s = "";
	const char *end = s + len, *prefix = s;
	bool extended = len >= 2 && s[1] == ':' && ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z'));

	if (extended && *s != 'm') {
		snprintf(ret, size, "%.*s", (int)len, s);
		mask_cut(ret);
		return;
	}
	if (extended)
		s += 2;
	const char *bang = memchr(s, '!', (size_t)(end - s)), *rest = bang ? bang + 1 : s;
	const char *at = memchr(rest, '@', (size_t)(end - rest));
	const char *user_end = at ? at : end;
	struct mask_part nick = bang ? mask_part(s, bang) : at ? mask_part(s, s) : mask_part(s, end);
	struct mask_part user = bang || at ? mask_part(rest, user_end) : mask_part(s, s);
	struct mask_part host = at ? mask_part(at + 1, end) : mask_part(s, s);
	snprintf(ret, size, "%.*s%.*s!%.*s@%.*s", extended ? 2 : 0, prefix, nick.len, nick.at, user.len,
		 user.at, host.len, host.at);
	mask_cut(ret);
}
