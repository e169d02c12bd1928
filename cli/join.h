/* SPDX-License-Identifier: MIT */
/*
 * What the files of `chatctl join` share: join.c connects and waits, join_type.c takes what is typed,
 * join_who.c follows what the server says, join_show.c shows it, join_names.c completes names.
 */
#ifndef CLI_JOIN_H
#define CLI_JOIN_H

#include "cli/identity.h"
#include "cli/link.h"

/* Lines that come right after entering a room, without a pause of this length (s), may be old ones. */
#define JOIN_HISTORY_S 1.0

/* readline calls back without an argument, so what its callbacks need is here. */
struct join {
	struct link *link;
	struct identity identity;
	double connected;     /* when, on CLOCK_MONOTONIC */
	double history_until; /* lines up to then may be old; each one moves it on */
	char password_of[64]; /* whose password is being typed; "": a line is */
	bool typing;	      /* readline has the terminal */
	bool colours, times;
	bool ended;	   /* /quit, or the end of the input */
	bool going_down;   /* the server said so */
	bool again;	   /* this is not the first connection */
	int error;	   /* of the last line that was sent */
	bool unsaid;	   /* a line was refused here */
	char removed[200]; /* why chatd removed or banned the person; "": it did not */
};

extern struct join me;

/* CLOCK_MONOTONIC in s. */
double join_now(void);

/* join_names.c: takes the names out of a line of the server, for the Tab key. */
void names_learn(const char *s, size_t len);
/* How long the nick is in "NICK: TEXT" or, of /me, "NICK * TEXT"; 0: this is something else. */
size_t names_nick_len(const char *s, size_t len);
/* readline's rl_attempted_completion_function. */
char **names_complete(const char *text, int start, int end);
void names_free(void);

/* join_show.c: shows a line, above the one being typed. */
void show_line(const char *s, size_t len);
void show_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* join_who.c: a line from the server. */
void who_received(const char *s, size_t len, void *arg);
/* To the server; an error is left in me.error. */
void who_send(const char *line, size_t len);
/* "guest7 in lobby, not alice in ops" */
void who_describe(const struct identity *i, char *dst, size_t size);
/* Says that nothing is said before the person decides. */
void who_say_held(void);

/* join_type.c: has readline take lines, and gives the terminal back. */
void type_start(void);
void type_stop(void);
/* Shows the line being typed, all of it but a password. */
void type_redisplay(void);
/* Whether what is typed, or comes by the pipe, may be taken now. */
bool type_takes_lines(void);
/* Whole lines of a pipe or a file, as far as they may be sent; the rest waits. */
void type_piped(bool readable);

#endif
