/* SPDX-License-Identifier: MIT */
/*
 * Who watches a nick: a table in memory, which each process makes anew of what its clients have (watched.h). Most
 * nicks nobody watches, so that is found out fast. Any thread.
 */
#ifndef DAEMON_IRC_WATCHERS_H
#define DAEMON_IRC_WATCHERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct irc_watchers;

struct irc_watcher {
	uint64_t id;
	uint32_t index; /* in the table of clients */
};

/* Who watches it already does so no more than once. Without memory it isn't noted, and false. */
bool irc_watchers_add(struct irc_watchers *ws, const char *nick, size_t len, const struct irc_watcher *who);
void irc_watchers_remove(struct irc_watchers *ws, const char *nick, size_t len,
			 const struct irc_watcher *who);
/* An array to be freed, in *ret, and how many they are; 0, and NULL: nobody, or there is no memory. */
size_t irc_watchers_find(struct irc_watchers *ws, const char *nick, size_t len, struct irc_watcher **ret);

/* Returns 0 or -ENOMEM. */
int irc_watchers_new(struct irc_watchers **ret);
void irc_watchers_free(struct irc_watchers *ws);

#endif
