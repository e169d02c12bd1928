/* SPDX-License-Identifier: MIT */
/*
 * One line of IRC, taken apart where it lies: RFC 1459 as modern.ircdocs.horse has it, with the tags of IRCv3
 * (https://ircv3.net/specs/extensions/message-tags). Nothing is copied, and nothing ends with NUL.
 */
#ifndef DAEMON_IRC_LINE_H
#define DAEMON_IRC_LINE_H

#include <stdbool.h>
#include <stddef.h>

#define IRC_PARAMS_MAX 15
#define IRC_BODY_MAX 512       /* bytes, with CR LF; all of a line but its tags */
#define IRC_TAGS_MAX 8191      /* bytes, in all: '@' and the space behind them included */
#define IRC_TAGS_DATA_MAX 4094 /* bytes between those two, from a client */
#define IRC_INPUT_MAX (2 + IRC_TAGS_DATA_MAX + IRC_BODY_MAX) /* the longest line that a client may send */

struct irc_arg {
	const char *at;
	size_t len;
};

/* What isn't there has the length 0; a parameter may be empty as well. */
struct irc_line {
	struct irc_arg tags;   /* without '@', as they stand */
	struct irc_arg source; /* without ':' */
	struct irc_arg command;
	struct irc_arg params[IRC_PARAMS_MAX]; /* the last one has all of the rest */
	unsigned n_params;
};

/*
 * s is a line without its end. Returns 0; -EINVAL: there is no command, or a NUL, CR or LF in it; -E2BIG: more tags than a
 * client may send; -EMSGSIZE: the rest is too long. For the latter two *ret is filled in as far as it could be:
 * the command, unless it is too far behind, for an answer.
 */
int irc_line_parse(const char *s, size_t len, struct irc_line *ret);

/* ASCII case-insensitive. */
bool irc_arg_is(struct irc_arg a, const char *word);
/* The same, byte by byte. */
bool irc_arg_equals(struct irc_arg a, const char *word);
/* Copies it with a NUL; -EMSGSIZE, and "" in ret, if it does not fit. */
int irc_arg_copy(struct irc_arg a, char *ret, size_t size);
/*
 * The pieces of "a,b,c", one at each call: *at is 0 at first. False: there are no more. Empty ones are left out.
 */
bool irc_arg_next(struct irc_arg list, size_t *at, struct irc_arg *ret);

/*
 * The value of a tag, unescaped, to buf with a NUL. If a key is there more than once the last one counts. Returns 0;
 * -ENOENT: there is no such tag; -EMSGSIZE: it does not fit. A tag without a value has "".
 */
int irc_tag_get(struct irc_arg tags, const char *key, char *buf, size_t size);
/*
 * The client-only tags, which are passed on as they stand: "+key=value", one at each call; *at is 0 at first. False: there
 * are no more. What has no valid key or isn't UTF-8 is left out; a key may come again.
 */
bool irc_tag_next_client(struct irc_arg tags, size_t *at, struct irc_arg *ret_whole);
/*
 * Escapes a value. Returns how long that is; it is in dst, with a NUL, if that is below size, else "" is.
 */
size_t irc_tag_escape(char *dst, size_t size, const char *s, size_t len);

#endif
