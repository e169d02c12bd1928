/* SPDX-License-Identifier: MIT */
/*
 * What is decided in a room that is shared with other machines. There a record isn't changed where somebody decides, but by what is
 * told of it, on every node, this one included, when that comes back in the order of the cluster's stream: so all nodes have
 * the same changes one after the other, whoever decided at the same time. What is told is the change itself, in full.
 */
#ifndef DAEMON_CHANNELS_FOLLOW_H
#define DAEMON_CHANNELS_FOLLOW_H

#include "daemon/rooms/speech.h"

struct irc_channels;

/*
 * An event that was just put into the room's own log, which is locked: the draft of the record is changed by what it tells.
 * What can't have been decided is no change, as the event may be from anybody who can write into the stream. cs: NULL is fine.
 */
void irc_follow(struct irc_channels *cs, const struct room *room, const struct speech_event *e);
/* Right before the commit of these events: irc_channels_seal(). */
void irc_follow_seal(struct irc_channels *cs, const struct room *room);

#endif
