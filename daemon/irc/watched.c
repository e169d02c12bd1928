/* SPDX-License-Identifier: MIT */
/* The list of whom a client watches. As a blob it is a byte for each nick (its length, and whether it is here), and the nick. */
#include "daemon/irc/watched.h"

#include "common/nick.h"

#include <string.h>

#define WATCHED_HERE 0x80

_Static_assert(IRC_WATCHED_MAX *(1 + TEXT_NICK_MAX) <= IRC_BLOB_MONITOR_MAX, "the longest list is a blob");
_Static_assert(TEXT_NICK_MAX < WATCHED_HERE, "a length has a bit to spare");

size_t irc_watched_pack(const struct irc_watched *w, char ret[static IRC_BLOB_MONITOR_MAX])
{
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++) {
		const struct irc_watched_nick *one = &w->at[i];
		ret[n++] = (char)(one->len | (one->is_here ? WATCHED_HERE : 0));
		memcpy(ret + n, one->nick, one->len);
		n += one->len;
	}
	return n;
}

bool irc_watched_unpack(const char *data, size_t len, struct irc_watched *ret)
{
	ret->n = 0;
	for (size_t at = 0; at < len;) {
		uint8_t head = (uint8_t)data[at++], n = head & (WATCHED_HERE - 1);
		if (ret->n == IRC_WATCHED_MAX || n == 0 || n > TEXT_NICK_MAX || n > len - at) {
			ret->n = 0;
			return false;
		}
		struct irc_watched_nick *one = &ret->at[ret->n++];
		*one = (struct irc_watched_nick){.is_here = head & WATCHED_HERE, .len = n};
		memcpy(one->nick, data + at, n);
		at += n;
	}
	return true;
}

struct irc_watched_nick *irc_watched_find(struct irc_watched *w, const char *nick, size_t len)
{
	for (size_t i = 0; i < w->n; i++)
		if (nick_equal(w->at[i].nick, w->at[i].len, nick, len))
			return &w->at[i];
	return NULL;
}

struct irc_watched_nick *irc_watched_add(struct irc_watched *w, const char *nick, size_t len)
{
	struct irc_watched_nick *one = irc_watched_find(w, nick, len);

	if (one || w->n == IRC_WATCHED_MAX || len > TEXT_NICK_MAX)
		return one;
	one = &w->at[w->n++];
	*one = (struct irc_watched_nick){.len = (uint8_t)len};
	memcpy(one->nick, nick, len);
	return one;
}

bool irc_watched_remove(struct irc_watched *w, const char *nick, size_t len)
{
	struct irc_watched_nick *one = irc_watched_find(w, nick, len);

	if (!one)
		return false;
	w->n--;
	memmove(one, one + 1, (size_t)(&w->at[w->n] - one) * sizeof(*one));
	return true;
}
