/* SPDX-License-Identifier: MIT */
/*
 * What is decided in a room, for people who come by other means than IRC: as IRC sees them they are NICK!USER@chat, where USER is
 * the letters and digits of the nick, and their account is their nick. "Locked" is the room's own log,
 * also of a room that is shared with other machines.
 *
 * cs is NULL as long as no listener speaks IRC.
 */
#ifndef DAEMON_CHANNELS_OTHERS_H
#define DAEMON_CHANNELS_OTHERS_H

#include "daemon/channels/may.h"
#include "daemon/rooms/speech.h"

struct irc_channels;

/* One of them. */
struct irc_other {
	const struct speaker *speaker;
	bool is_account; /* the nick is that of its account */
	bool is_oper;	 /* of the server */
};

/* Whether there is anything to ask in that room. Takes no lock. */
bool irc_others_are_asked(struct irc_channels *cs, const struct room *room);
/* As speech_try(), so that what follows may be asked then. */
bool irc_others_try(struct irc_channels *cs, struct speech *s, const struct rooms *rooms, struct room *room);
/* The room's log is locked; who asks is in it. */
enum irc_channel_why irc_others_may_speak(struct irc_channels *cs, const struct room *room,
					  const struct irc_other *who);
/* It holds the room (rooms_enter()), whose log isn't locked. */
enum irc_channel_why irc_others_may_enter(struct irc_channels *cs, const struct room *room,
					  const struct irc_other *who, const char *key, size_t key_len);
/* The log is locked; who asks is in it. */
bool irc_others_may_decide(struct irc_channels *cs, const struct room *room, const struct irc_other *who);
bool irc_others_may_set_topic(struct irc_channels *cs, const struct room *room, const struct irc_other *who);
/* Whether it was removed, but hasn't left yet. The log is locked. */
bool irc_others_is_removed(struct irc_channels *cs, const struct room *room, uint64_t id);
/*
 * It is in the room from the commit on, or is no more, which has to follow: its invitation is used up and the status there that it
 * had before a reboot, or its status gone. The log is locked, and nothing may fail between this and the commit. s: the speech in which
 * it has entered.
 */
void irc_others_come(struct irc_channels *cs, struct room *room, const struct irc_other *who,
		     struct speech *s);
void irc_others_go(struct irc_channels *cs, const struct room *room, uint64_t id);

/* Tells the room, of whomever, that it has that status (enum irc_channel_status, 0: nothing is told) back. */
void irc_others_tell_back(struct speech *s, struct room *room, const struct speaker *who, uint8_t status);

/* What they are told: "it is moderated", why they can't speak in a room; "is full", why they can't enter one. */
const char *irc_others_why_silent(enum irc_channel_why why);
const char *irc_others_why_outside(enum irc_channel_why why);

#endif
