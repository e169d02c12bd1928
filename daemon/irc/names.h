/* SPDX-License-Identifier: MIT */
/*
 * Names as IRC has them. A channel is a room: '#' and its name. Nicks are those of common/nick.h, of which IRC can't have
 * all: some bytes would end a nick in a line of IRC, or be taken for something else at its beginning.
 */
#ifndef DAEMON_IRC_NAMES_H
#define DAEMON_IRC_NAMES_H

#include "common/text.h"
#include "daemon/irc/line.h"

#define IRC_CHANNEL_MAX (1 + TEXT_ROOM_MAX)
/* Bytes of a nick as it is shown: each byte that IRC can't have becomes three. */
#define IRC_SHOWN_MAX ((size_t)3 * TEXT_NICK_MAX)

/* Whether that is meant to be a channel. */
bool irc_is_channel(struct irc_arg a);
/* The name of its room, as it was typed, with a NUL. False: it isn't a channel, or no room can be called that. */
bool irc_room_name(struct irc_arg channel, char ret[static TEXT_ROOM_MAX + 1]);
/* The same name in lower case, which is that of the room that is made, or taken if there is none of exactly that name. */
void irc_room_lower(const char *room, char ret[static TEXT_ROOM_MAX + 1]);
/* Whether two rooms are the same channel for IRC: CASEMAPPING is ascii. */
bool irc_room_same(const char *a, const char *b);

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
