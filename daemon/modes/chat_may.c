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

struct irc_other chat_other(struct connection *c, const struct speaker *who)
{
	const struct client_state *st = connection_state(c);
	bool is_account = st->flags & CLIENT_ACCOUNT;

	return (struct irc_other){
	    .speaker = who,
	    .is_account = is_account,
	    .is_oper = is_account && irc_config_operator(&chat_config(c)->irc, st->nick, st->nick_len, true),
	};
}

enum irc_channel_why chat_why_silent(struct connection *c, const struct room *room)
{
	/* Else who speaks needn't be looked up among the operators. */
	if (!irc_others_are_asked(chat_channels(c), room))
		return IRC_WHY_MAY;
	const struct speaker who = chat_speaker(c);
	const struct irc_other other = chat_other(c, &who);

	return irc_others_may_speak(chat_channels(c), room, &other);
}

void chat_reply_silent(struct connection *c, const struct room *room, enum irc_channel_why why,
		       size_t consumed)
{
	count(chat_counters(c), COUNT_ROOM_REFUSED, 1);
	chat_reply(c, consumed, "* You can't speak in %s: %s.\n", room->name, irc_others_why_silent(why));
}
