/* SPDX-License-Identifier: MIT */
/*
 * What isn't in any log: IRC people who are concerned are told at once, by a job on each worker's thread. Who dies in
 * between hasn't been told.
 */
#ifndef DAEMON_IRC_TELL_H
#define DAEMON_IRC_TELL_H

#include "daemon/irc/irc.h"
#include "daemon/irc/watchers.h"

#define IRC_TELL_ROOMS_MAX 100

struct irc_tell {
	struct irc_tell *next; /* what else there is to be told, at once: irc_tell_later() */
	/* Whom: those in any of these rooms (n_rooms 0: it doesn't matter), of that id (0: likewise), but for one; who has
	 * all of these capabilities and none of those; flags: enum irc_user_flags; status: one of these in the first room. */
	uint32_t rooms[IRC_TELL_ROOMS_MAX];
	unsigned n_rooms;
	uint64_t to_id, except_id;
	uint32_t to_index; /* to_id's place in the table of clients */
	uint32_t caps, not_caps;
	uint32_t flags;
	char metadata_key[48]; /* who wants to be told of that key; "": it is about none */
	uint8_t status;
	char to_account[TEXT_NICK_MAX + 1]; /* who is logged in so; "": it doesn't matter */
	/* And who has extended-monitor, too, and is one of these; freed with it. */
	struct irc_watcher *watchers;
	size_t n_watchers;
	/* What: a line without its end, who did it, when, and client-only tags for those who have tags. */
	char line[IRC_BODY_MAX];
	char head[IRC_SERVER_NAME_MAX + 8]; /* before it, with the nick of who is told between; "": none */
	char account[TEXT_NICK_MAX + 1];
	uint64_t time_us;
	char client_tags[IRC_TAGS_DATA_MAX + 64]; /* and msgid */
};

/* With the client's account and the time; NULL without memory. */
struct irc_tell *irc_tell_new(struct irc_call *call);
/*
 * Done when the transaction is committed: who shares a channel with the client, or watches it by extended-monitor, and has these capabilities, gets
 * ":NICK!USER@HOST " and the rest. The client itself doesn't.
 */
void irc_tell_near(struct irc_call *call, uint32_t caps, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The same, for those in one room. */
void irc_tell_room(struct irc_call *call, const struct room *room, uint32_t caps, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Takes it, and what is chained to it by next, over; done when the transaction is committed. */
void irc_tell_later(struct irc_call *call, struct irc_tell *t);
/* Those who are in a room with the client are in its rooms. */
void irc_tell_add_rooms(struct irc_call *call, struct irc_tell *t);
/* Takes it over; at once. */
void irc_tell_now(struct context *ctx, struct irc_tell *t);
/* The same, for all who have these flags (enum irc_user_flags), the client itself as well. */
void irc_tell_flagged(struct irc_call *call, uint32_t flags, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
