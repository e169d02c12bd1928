/* SPDX-License-Identifier: MIT */
/*
 * What was said in a room, as text for a member who asks for it: the newest lines from the room's log, which has them
 * first and whatever the database does, and before those what the history answered. Only what the room shows to who
 * did not receive it when it was said, without comings and goings.
 */
#ifndef DAEMON_PAST_H
#define DAEMON_PAST_H

#include "daemon/history/questions.h"
#include "daemon/rooms/room.h"

/* Before the nick; and what is missing. */
enum past_style {
	PAST_CHAT,     /* "* [2026-11-24 10:00:00] " */
	PAST_DATAGRAM, /* "#PAST 1764000000000000 2026-11-24T10:00:00Z ", with the number */
	/* {"number":N,"time":US,"kind":"message","nick":"...","text":"..."}, -- "kind" may be "action", and "missing" with "lines"
	 * instead of nick and text. A comma stands behind each, instead of the line's end. */
	PAST_JSON,
};

struct past {
	/* Filled by the caller: */
	enum past_style style;
	unsigned wanted;  /* the most lines, */
	uint64_t before;  /* all of which have a lower number than this; 0: the newest ones */
	size_t space;	  /* for the text */
	bool stored_only; /* nothing from the log: the answer is to a search */
	/* The result: */
	unsigned n;	  /* lines */
	bool more;	  /* there are older ones */
	uint64_t oldest;  /* the number of the first line, from which the next ones are asked for */
	const char *text; /* the oldest line first */
	size_t len;
	char *buf; /* its own */
};

/* How much text one line can be, whoever said it. */
#define PAST_LINE_MAX (80 + SPEECH_NICK_MAX + SPEECH_TEXT_MAX)
/* In PAST_JSON: clean text has nothing to escape but quotes, backslashes and tabs. */
#define PAST_JSON_MAX (160 + 2 * (SPEECH_NICK_MAX + SPEECH_TEXT_MAX))

/*
 * With the room's own log locked: puts the lines together. a: the answer to the question for as many lines before that
 * number; NULL: what the log has has to do. Returns 0 or -ENOMEM; past_free() must follow.
 */
int past_collect(struct past *p, const struct room *room, const struct answer *a);
void past_free(struct past *p);

/* Cuts the word "before:NUMBER" from the end of a text, with the spaces. False: there is none. */
bool past_cut_before(const char *text, size_t *len, uint64_t *ret);

#endif
