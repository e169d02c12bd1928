/* SPDX-License-Identifier: MIT */
/*
 * Names of channels. A channel is a room: '#' and its name. Nicks are in daemon/channels/nicks.h.
 */
#ifndef DAEMON_IRC_NAMES_H
#define DAEMON_IRC_NAMES_H

#include "common/text.h"
#include "daemon/channels/nicks.h"
#include "daemon/irc/line.h"

#define IRC_CHANNEL_MAX (1 + TEXT_ROOM_MAX)

/* Whether that is meant to be a channel. */
bool irc_is_channel(struct irc_arg a);
/* The name of its room, as it was typed, with a NUL. False: it isn't a channel, or no room can be called that. */
bool irc_room_name(struct irc_arg channel, char ret[static TEXT_ROOM_MAX + 1]);
/* The same name in lower case, which is that of the room that is made, or taken if there is none of exactly that name. */
void irc_room_lower(const char *room, char ret[static TEXT_ROOM_MAX + 1]);
/* Whether two rooms are the same channel for IRC: CASEMAPPING is ascii. */
bool irc_room_same(const char *a, const char *b);

#endif
