/* SPDX-License-Identifier: MIT */
/*
 * What clients are told of this server (005): limits and which forms of IRC it has. By modern.ircdocs.horse, "RPL_ISUPPORT
 * Parameters", and the specifications of IRCv3. What is told here is what the rest of irc/ goes by.
 */
#ifndef DAEMON_IRC_ISUPPORT_H
#define DAEMON_IRC_ISUPPORT_H

#include <stddef.h>

/* A number that is 0 means that there is no such thing; then nothing is said of it. */
struct irc_limits {
	const char *network; /* the caller's */
	unsigned channels;   /* rooms that one client is in */
	unsigned nick, channel, user, host, realname, topic, kick, away,
	    key;	  /* bytes; channel with its '#' */
	unsigned modes;	  /* changes with an argument, in one MODE */
	unsigned list;	  /* masks in the lists of one channel */
	unsigned targets; /* of one PRIVMSG, NOTICE or TAGMSG */
	unsigned monitor; /* nicks that one client watches */
	unsigned history; /* messages in one answer of CHATHISTORY */
};

/* Those of this build, with that network's name. */
struct irc_limits irc_limits_of(const char *network);

#define IRC_ISUPPORT_TOKENS 13	  /* in one line at most */
#define IRC_ISUPPORT_LINE_MAX 400 /* bytes of one line's tokens */

/*
 * Calls fn for each line of tokens, "A=1 B C=x", which is its until it returns; how many there are is returned. Where
 * fn is NULL they are only counted.
 */
size_t irc_isupport(const struct irc_limits *limits, void (*fn)(void *arg, const char *tokens), void *arg);

#endif
