/* SPDX-License-Identifier: MIT */
/*
 * Whom one client watches (MONITOR), and what it was last told of each: so whoever compares that with who is here tells
 * it everything once, also in the next process. It is a blob of the client's (blobs.h).
 */
#ifndef DAEMON_IRC_WATCHED_H
#define DAEMON_IRC_WATCHED_H

#include "daemon/irc/records.h"

#include <stdbool.h>
#include <stddef.h>

#define IRC_WATCHED_MAX 100

struct irc_watched_nick {
	bool is_here; /* as it was told */
	uint8_t len;
	char nick[TEXT_NICK_MAX]; /* normalised */
};

struct irc_watched {
	size_t n;
	struct irc_watched_nick at[IRC_WATCHED_MAX];
};

/* The blob's length; and what is in one: false: it is none. */
size_t irc_watched_pack(const struct irc_watched *w, char ret[static IRC_BLOB_MONITOR_MAX]);
bool irc_watched_unpack(const char *data, size_t len, struct irc_watched *ret);

/* NULL: it isn't watched. */
struct irc_watched_nick *irc_watched_find(struct irc_watched *w, const char *nick, size_t len);
/* The one that is there already, or is new; NULL: there is no space for one more. */
struct irc_watched_nick *irc_watched_add(struct irc_watched *w, const char *nick, size_t len);
/* False: it wasn't watched. */
bool irc_watched_remove(struct irc_watched *w, const char *nick, size_t len);

#endif
