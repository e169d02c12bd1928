/* SPDX-License-Identifier: MIT */
/*
 * People as IRC has them. Nicks are those of common/nick.h, of which IRC can't have all: some bytes would end a nick in a
 * line of IRC, or be taken for something else at its beginning.
 */
#ifndef DAEMON_CHANNELS_NICKS_H
#define DAEMON_CHANNELS_NICKS_H

#include "common/text.h"

#include <stdbool.h>
#include <stddef.h>

/* Bytes of a user name. */
#define IRC_USER_MAX 12
/* The host of those who have come by other means than IRC. */
#define IRC_HOST_OF_OTHERS "chat"
/* Bytes of a nick as it is shown: each byte that IRC can't have becomes three. */
#define IRC_SHOWN_MAX ((size_t)3 * TEXT_NICK_MAX)

/*
 * Whether somebody who comes by IRC may have that nick, which is normalised (nick_normalise()). Others may have one that
 * isn't (an address, "a,b", "@x"): it is shown with the full-width form of each byte that IRC can't have ("@x" with U+FF20),
 * which nobody's nick has, and which is the same nick when somebody types it, as nick_normalise() makes that byte of it.
 */
bool irc_nick_possible(const char *nick, size_t len);
/* Writes the nick as IRC people see it, with a NUL; returns its length. */
size_t irc_nick_show(const char *nick, size_t len, char ret[static IRC_SHOWN_MAX + 1]);
/*
 * The user name of who has none, being here by other means than IRC: the letters and digits of the nick, or "x". With a NUL.
 * size: at most so many bytes, with it.
 */
void irc_user_of_nick(const char *nick, size_t len, char *ret, size_t size);

#endif
