/* SPDX-License-Identifier: MIT */
/* One string after the other; there are few of them. */
#include "daemon/irc/pairs.h"

#include <stdio.h>
#include <string.h>

#define PAIR_MAX (IRC_PAIRS_KEY_MAX + 1 + IRC_PAIRS_VALUE_MAX + 1)

static size_t pairs_key_len(const char *s)
{
	return strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_./-");
}

bool irc_pairs_is_key(const char *key)
{
	size_t n = pairs_key_len(key);

	return n > 0 && n <= IRC_PAIRS_KEY_MAX && key[n] == 0;
}

bool irc_pairs_are_good(const struct irc_pairs *p)
{
	if (p->len > p->size || (p->len > 0 && p->text[p->len - 1] != 0))
		return false;
	for (size_t at = 0; at < p->len; at += strlen(p->text + at) + 1) {
		const char *s = p->text + at + (p->text[at] == '+');
		size_t n = pairs_key_len(s);
		if (n == 0 || n > IRC_PAIRS_KEY_MAX || s[n] != (p->text[at] == '+' ? 0 : '=') ||
		    strlen(s) >= PAIR_MAX)
			return false;
	}
	return true;
}

bool irc_pairs_next(const struct irc_pairs *p, size_t *at, char ret_key[static IRC_PAIRS_KEY_MAX + 1],
		    const char **ret_value)
{
	if (*at >= p->len)
		return false;
	const char *s = p->text + *at;
	*at += strlen(s) + 1;
	bool wanted = *s == '+';
	snprintf(ret_key, IRC_PAIRS_KEY_MAX + 1, "%.*s", (int)pairs_key_len(s + wanted), s + wanted);
	*ret_value = wanted ? NULL : strchr(s, '=') + 1;
	return true;
}

/* Where it begins; p->len: it isn't there. *ret_same: how many there are of its kind. */
static size_t pairs_find(const struct irc_pairs *p, const char *key, bool wanted, const char **ret_value,
			 unsigned *ret_same)
{
	char one[IRC_PAIRS_KEY_MAX + 1];
	size_t found = p->len;

	*ret_same = 0;
	for (size_t at = 0, from = 0; from = at, irc_pairs_next(p, &at, one, ret_value);) {
		if (!*ret_value != wanted)
			continue;
		++*ret_same;
		if (strcmp(one, key) == 0) {
			found = from;
			break;
		}
	}
	return found;
}

const char *irc_pairs_get(const struct irc_pairs *p, const char *key)
{
	const char *value;
	unsigned n;

	return pairs_find(p, key, false, &value, &n) < p->len ? value : NULL;
}

bool irc_pairs_wants(const struct irc_pairs *p, const char *key)
{
	const char *value;
	unsigned n;

	return pairs_find(p, key, true, &value, &n) < p->len;
}

/* s: NULL: only the old one goes. */
static bool pairs_replace(struct irc_pairs *p, const char *key, bool wanted, const char *s)
{
	const char *value;
	unsigned n;
	size_t at = pairs_find(p, key, wanted, &value, &n), new_len = s ? strlen(s) + 1 : 0,
	       old_len = at < p->len ? strlen(p->text + at) + 1 : 0;

	if (p->len - old_len + new_len > p->size || (s && old_len == 0 && n >= IRC_PAIRS_MAX))
		return false;
	memmove(p->text + at, p->text + at + old_len, p->len - at - old_len);
	p->len -= old_len;
	if (s)
		memcpy(p->text + p->len, s, new_len);
	p->len += new_len;
	return true;
}

bool irc_pairs_set(struct irc_pairs *p, const char *key, const char *value)
{
	char pair[PAIR_MAX];

	snprintf(pair, sizeof(pair), "%s=%s", key, value ? value : "");
	return pairs_replace(p, key, false, value ? pair : NULL);
}

bool irc_pairs_want(struct irc_pairs *p, const char *key, bool wants)
{
	char pair[IRC_PAIRS_KEY_MAX + 2];

	snprintf(pair, sizeof(pair), "+%s", key);
	return pairs_replace(p, key, true, wants ? pair : NULL);
}
