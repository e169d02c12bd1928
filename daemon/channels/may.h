/* SPDX-License-Identifier: MIT */
/*
 * Whether somebody may speak in a channel, come in, or decide there, by whatever transport: what its record says, for whoever
 * has it, as the log is locked. NULL: there is no record, as nobody ever decided anything.
 */
#ifndef DAEMON_CHANNELS_MAY_H
#define DAEMON_CHANNELS_MAY_H

#include "daemon/channels/record.h"

#include <stdbool.h>
#include <stddef.h>

/* The status of that client there: enum irc_channel_status. */
uint8_t irc_channel_status(const struct irc_channel *ch, uint64_t id);
/* With that of its account ("": it has none), which has one in rooms that are shared with other machines. id 0: only that. */
uint8_t irc_channel_status_of(const struct irc_channel *ch, uint64_t id, const char *account);
/* The one who asks, as others see it. */
struct irc_channel_who {
	uint64_t id;			/* of the client */
	const char *source;		/* NICK!USER@HOST */
	const char *account, *realname; /* account "": none */
	bool is_member;
	bool is_oper; /* of the server: comes in anywhere, and decides anywhere */
};

/* Why not. */
enum irc_channel_why {
	IRC_WHY_MAY, /* it may */
	IRC_WHY_OUTSIDE,
	IRC_WHY_REMOVED, /* it is on its way out */
	IRC_WHY_MODERATED,
	IRC_WHY_LOGIN, /* it is for those who have an account */
	IRC_WHY_BANNED,
	IRC_WHY_INVITE,
	IRC_WHY_KEY,
	IRC_WHY_FULL,
};

enum irc_channel_why irc_channel_may_speak(const struct irc_channel *ch, const struct irc_channel_who *who);
/* n: how many are in it, with who asks. The key is as it was given. */
enum irc_channel_why irc_channel_may_enter(const struct irc_channel *ch, const struct irc_channel_who *who,
					   const char *key, size_t key_len, uint32_t n);
/* Decide what operators do. */
bool irc_channel_may_decide(const struct irc_channel *ch, const struct irc_channel_who *who);
/* Where everybody may, that is who may speak. */
bool irc_channel_may_set_topic(const struct irc_channel *ch, const struct irc_channel_who *who);

/* Whether a mask of that list ('b', 'e', 'I') is somebody's: NICK!USER@HOST, or what "a:" and "r:" are about. Those of "m:" are
 * about who speaks, not about who comes in. */
bool irc_list_has(const struct irc_channel *ch, char kind, bool speaks, const char *source,
		  const char *account, const char *realname);
bool irc_ban_matches(const char *mask, const char *source, const char *account, const char *realname);
/* Whether it is kept out, or from speaking, by the lists. */
bool irc_channel_bans(const struct irc_channel *ch, const struct irc_channel_who *who, bool speaks);

#endif
