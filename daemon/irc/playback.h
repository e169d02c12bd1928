/* SPDX-License-Identifier: MIT */
/*
 * What was said in a room, for a client that is told of it later: the events of its log, and before those what the history
 * answered (history/questions.h), in the client's own form. Only what the room shows to who did not receive it when it was
 * said.
 */
#ifndef DAEMON_IRC_PLAYBACK_H
#define DAEMON_IRC_PLAYBACK_H

#include "daemon/history/questions.h"
#include "daemon/irc/irc.h"

/* The most messages that one answer has; the configuration may say less. */
#define IRC_HISTORY_MAX 100
unsigned irc_history_most(const struct config *c);

/* Which events; a limit that is 0 is none. */
struct irc_span {
	uint64_t from, before;	     /* numbers: [from, before) */
	uint64_t since_us, until_us; /* [since, until) */
	bool forward;		     /* the oldest ones of those; else the newest */
	bool events;		     /* comings and goings, too */
	unsigned limit;
};

/* Whose private messages, to each other: how they are called now, and their clients' ids. */
struct irc_letters {
	uint64_t mine, theirs;
	char my_nick[TEXT_NICK_MAX + 1], their_nick[TEXT_NICK_MAX + 1];
};

struct irc_playback {
	struct irc_span span;
	const struct irc_letters *letters; /* NULL: what was said in the room; else it is the private one */
	const struct shared *shared;
	const struct room *room;
	unsigned form;
	uint64_t count; /* of the log: what is behind it comes otherwise */
	size_t space;	/* bytes */
	/* The result: */
	struct irc_played {
		char *text; /* lines, each with CR LF */
		size_t len;
	} * at;
	size_t n, bytes;
	bool full;	/* that is all there may be */
	bool reaches;	/* what is in the log begins before what is wanted */
	uint64_t first; /* the number from which on the log has all */
};

/* A playback of a room that the client is in, with nothing in it. */
struct irc_playback irc_playback_of(struct irc_call *call, const struct room *room, struct irc_span span);
/* With the log pinned or locked: adds what it has. False: what lies before that may be wanted as well. */
bool irc_playback_log(struct irc_playback *p, const struct logring_view *v);
/* With the log pinned: all of it, with the answer to irc_playback_question(). */
void irc_playback_whole(struct irc_playback *p, const struct logring_view *v, const struct answer *a);
struct question_request irc_playback_question(const struct irc_playback *p);
/* Puts it into the answer, the oldest first. */
void irc_playback_say(struct irc_call *call, const struct irc_playback *p);
void irc_playback_clear(struct irc_playback *p);

/* Who joined, in the transaction, with the log locked: the last messages before, if the client can't ask for them. */
void irc_playback_joined(struct irc_call *call, const struct room *room);

#endif
