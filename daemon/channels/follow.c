/* SPDX-License-Identifier: MIT */
/* From the event to the change that it tells of: see follow.h. */
#include "daemon/channels/follow.h"

#include "daemon/channels/channels.h"
#include "daemon/channels/decide.h"

#include <string.h>

static void follow_topic(struct irc_deciding *d, const struct speech_event *e)
{
	char topic[IRC_TOPIC_MAX + 1] = "";

	if (e->text_len > IRC_TOPIC_MAX)
		return;
	memcpy(topic, e->text, e->text_len);
	irc_decide_topic(d, topic);
}

void irc_follow(struct irc_channels *cs, const struct room *room, const struct speech_event *e)
{
	/* A bridge may have a longer name than a person; nothing else is cut. */
	const struct speaker who = {.nick = e->nick,
				    .nick_len = e->nick_len < TEXT_NICK_MAX ? e->nick_len : TEXT_NICK_MAX};
	struct irc_deciding d = {.channels = cs, .room = room, .by = &who, .time_us = e->time_us};

	if (cs && !room->raw && e->kind == RECORD_TOPIC)
		follow_topic(&d, e);
}

void irc_follow_seal(struct irc_channels *cs, const struct room *room)
{
	if (cs)
		irc_channels_seal(cs, room, logring_pending(room->log));
}
