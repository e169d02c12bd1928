/* SPDX-License-Identifier: MIT */
/* Who is away, and what it says of that. */
#ifndef DAEMON_IRC_AWAY_H
#define DAEMON_IRC_AWAY_H

#include "daemon/irc/irc.h"

/* Why the client of that index and id, whose record u is, is away, with a NUL; returns its length, which is 0 if it is here. Any thread. */
size_t irc_away_text(const struct irc *irc, uint32_t index, uint64_t id, const struct irc_user *u,
		     char ret[static IRC_BLOB_AWAY_MAX + 1]);
/* It comes into a room: if it is away those there who want to know are told. */
void irc_away_on_join(struct irc_call *call, const struct room *room);

#endif
