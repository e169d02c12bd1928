/* SPDX-License-Identifier: MIT */
/* What was said, from the daemon's history: for the subcommands that show it. */
#ifndef CLI_PAST_H
#define CLI_PAST_H

#include "cli/command.h"

struct past_query {
	const char *room, *nick, *text; /* NULL: any */
	double since, until;		/* 0: no limit */
	json_int_t limit;		/* -1: all */
	bool oldest_first, notices;
};

/*
 * Calls fn with each message, a JSON object of type Stored, until it returns false; goes on if chatd is restarted
 * meanwhile. Says on stderr what went wrong. Returns the exit status.
 */
int past_read(const struct options *o, const struct past_query *q, bool (*fn)(json_t *m, void *arg),
	      void *arg);
/* The value of an option that is a time: when.h; never 0. EXIT_DONE, or EXIT_USAGE after a word on stderr, as the others. */
int past_parse_time(const char *option, const char *text, double *ret);
/* Whether something can be in between; option is the name of the second. 0: no limit. */
int past_check_times(double since, const char *option, double until);
/* What nobody can be called, or what has no word; NULL is any. */
int past_check_nick(const char *option, const char *nick);
int past_check_text(const char *option, const char *text);
/* The message as a line of chat, free()d by the caller. */
char *past_line(const json_t *m);
/* "2026-11-24 10:00:00", local time. */
char *past_time(const json_t *m, char dst[static 32]);
/* A member that is a string, else "". */
const char *past_string(const json_t *m, const char *key);

#endif
