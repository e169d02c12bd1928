/* SPDX-License-Identifier: MIT */
/* Whether people of chat may speak in their room: what its configuration says, and what was decided there. */
#include "daemon/modes/chat.h"

bool chat_may_speak(struct connection *c, const struct room *room, size_t consumed)
{
	if (!room->read_only)
		return true;
	count(chat_counters(c), COUNT_ROOM_REFUSED, 1);
	chat_reply(c, consumed, "* Room %s is read-only.\n", room->name);
	return false;
}

enum irc_channel_why chat_why_silent(struct connection *c, const struct room *room)
{
	const struct speaker who = chat_speaker(c);
	const struct irc_other other = {&who, connection_state(c)->flags & CLIENT_ACCOUNT};

	return irc_others_may_speak(chat_channels(c), room, &other);
}

void chat_reply_silent(struct connection *c, const struct room *room, enum irc_channel_why why,
		       size_t consumed)
{
	count(chat_counters(c), COUNT_ROOM_REFUSED, 1);
	chat_reply(c, consumed, "* You can't speak in %s: %s.\n", room->name, irc_others_why_silent(why));
}
