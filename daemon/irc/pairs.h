/* SPDX-License-Identifier: MIT */
/*
 * What metadata is kept as: "KEY=VALUE" one behind the other, each with its NUL, and "+KEY" for a key that somebody wants to
 * be told of.
 */
#ifndef DAEMON_IRC_PAIRS_H
#define DAEMON_IRC_PAIRS_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a key and of a value, which fit a line with the longest names. */
#define IRC_PAIRS_KEY_MAX 40
#define IRC_PAIRS_VALUE_MAX 256
/* So many keys of one kind. */
#define IRC_PAIRS_MAX 20

struct irc_pairs {
	char *text; /* the caller's, of size bytes */
	size_t len, size;
};

/* Whether that is a key: a-z 0-9 _ . / and -. */
bool irc_pairs_is_key(const char *key);
/* Whether all of it is as it should be: it may come from a memory file. */
bool irc_pairs_are_good(const struct irc_pairs *p);
/* Where the value of a key stands, or NULL. */
const char *irc_pairs_get(const struct irc_pairs *p, const char *key);
bool irc_pairs_wants(const struct irc_pairs *p, const char *key);
/* value NULL: it is none any more. False: there is no space, or too many are there already; nothing is changed. */
bool irc_pairs_set(struct irc_pairs *p, const char *key, const char *value);
bool irc_pairs_want(struct irc_pairs *p, const char *key, bool wants);
/* The next one; *at is 0 at first. False: there is none. *ret_value NULL: that is a key that is wanted. */
bool irc_pairs_next(const struct irc_pairs *p, size_t *at, char ret_key[static IRC_PAIRS_KEY_MAX + 1],
		    const char **ret_value);

#endif
