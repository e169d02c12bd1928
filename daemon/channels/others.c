/* SPDX-License-Identifier: MIT */
/* The questions of people who come by other means than IRC, and what becomes of a record when they come and go. */
#include "daemon/channels/others.h"

#include "daemon/channels/channels.h"
#include "daemon/channels/decide.h"
#include "daemon/channels/nicks.h"

#include <stdio.h>
#include <string.h>

/* As others see it. */
struct other_seen {
	char nick[TEXT_NICK_MAX + 1], account[TEXT_NICK_MAX + 1];
	char source[IRC_SHOWN_MAX + IRC_USER_MAX + sizeof("!@" IRC_HOST_OF_OTHERS)];
};

static struct irc_channel_who other_who(const struct irc_other *o, struct other_seen *seen)
{
	const struct speaker *s = o->speaker;
	int len = (int)(s->nick_len < TEXT_NICK_MAX ? s->nick_len : TEXT_NICK_MAX);
	char shown[IRC_SHOWN_MAX + 1], user[IRC_USER_MAX + 1];

	snprintf(seen->nick, sizeof(seen->nick), "%.*s", len, s->nick);
	snprintf(seen->account, sizeof(seen->account), "%s", o->is_account ? seen->nick : "");
	irc_nick_show(s->nick, (size_t)len, shown);
	irc_user_of_nick(s->nick, (size_t)len, user, sizeof(user));
	snprintf(seen->source, sizeof(seen->source), "%s!%s@" IRC_HOST_OF_OTHERS, shown, user);
	return (struct irc_channel_who){.id = s->id,
					.source = seen->source,
					.account = seen->account,
					.realname = seen->nick,
					.is_member = true,
					.is_oper = o->is_oper};
}

bool irc_others_are_asked(struct irc_channels *cs, const struct room *room)
{
	return cs && irc_channels_are_made(cs, room);
}

bool irc_others_try(struct irc_channels *cs, struct speech *s, const struct rooms *rooms, struct room *room)
{
	return irc_others_are_asked(cs, room) ? speech_try_reading(s, rooms, room)
					      : speech_try(s, rooms, room);
}

enum irc_channel_why irc_others_may_speak(struct irc_channels *cs, const struct room *room,
					  const struct irc_other *o)
{
	struct other_seen seen;

	if (!irc_others_are_asked(cs, room))
		return IRC_WHY_MAY;
	const struct irc_channel_who who = other_who(o, &seen);
	return irc_channel_may_speak(irc_channels_get(cs, room), &who);
}

enum irc_channel_why irc_others_may_enter(struct irc_channels *cs, const struct room *room,
					  const struct irc_other *o, const char *key, size_t key_len)
{
	struct other_seen seen;

	if (!irc_others_are_asked(cs, room))
		return IRC_WHY_MAY;
	const struct irc_channel_who who = other_who(o, &seen);
	logring_lock(room->log);
	enum irc_channel_why why = irc_channel_may_enter(irc_channels_get(cs, room), &who, key, key_len,
							 room_members(room)); /* with itself */
	logring_unlock(room->log);
	return why;
}

bool irc_others_may_decide(struct irc_channels *cs, const struct room *room, const struct irc_other *o)
{
	struct other_seen seen;
	const struct irc_channel_who who = other_who(o, &seen);

	return irc_channel_may_decide(irc_channels_get(cs, room), &who);
}

bool irc_others_may_set_topic(struct irc_channels *cs, const struct room *room, const struct irc_other *o)
{
	struct other_seen seen;
	const struct irc_channel_who who = other_who(o, &seen);

	return irc_channel_may_set_topic(irc_channels_get(cs, room), &who);
}

bool irc_others_is_removed(struct irc_channels *cs, const struct room *room, uint64_t id)
{
	const struct irc_channel *ch = irc_others_are_asked(cs, room) ? irc_channels_get(cs, room) : NULL;

	return ch && irc_channel_lists(ch->expelled, ch->n_expelled, id);
}

void irc_others_tell_back(struct speech *s, struct room *room, const struct speaker *who, uint8_t status)
{
	static const struct speaker chatd = {.nick = "chatd", .nick_len = 5};
	size_t len = who->nick_len < TEXT_NICK_MAX ? who->nick_len : TEXT_NICK_MAX;
	char shown[IRC_SHOWN_MAX + 1], text[IRC_TOLD_MAX];
	struct irc_told told = {0};

	if (status == 0)
		return;
	irc_nick_show(who->nick, len, shown);
	if (status & IRC_STATUS_OP)
		irc_told_add(&told, '+', 'o', shown);
	if (status & IRC_STATUS_VOICE)
		irc_told_add(&told, '+', 'v', shown);
	speech_mode(s, room, &chatd, text, irc_told_text(&told, text));
}

void irc_others_come(struct irc_channels *cs, struct room *room, const struct irc_other *o, struct speech *s)
{
	uint64_t id = o->speaker->id;
	struct other_seen seen;

	if (!irc_others_are_asked(cs, room))
		return;
	const struct irc_channel *now = irc_channels_get(cs, room);
	const struct irc_channel_who who = other_who(o, &seen);
	bool back =
	    !room->outgoing && irc_channel_awaits(now, who.account); /* or it is the account that has it */
	if (!now || (!irc_channel_has_past(now, id) && !back))
		return;
	struct irc_channel *ch = irc_channels_draft(cs, room);
	irc_channel_forget_past(ch, id);
	if (back)
		irc_others_tell_back(s, room, o->speaker, irc_channel_come_back(ch, id, who.account));
	irc_channels_seal(cs, room, logring_pending(room->log));
}

void irc_others_go(struct irc_channels *cs, const struct room *room, uint64_t id)
{
	if (!irc_others_are_asked(cs, room) || !irc_channel_status(irc_channels_get(cs, room), id))
		return;
	irc_channel_forget_status(irc_channels_draft(cs, room), id);
	irc_channels_seal(cs, room, logring_pending(room->log));
}

/* --- words --- */

const char *irc_others_why_silent(enum irc_channel_why why)
{
	return why == IRC_WHY_MODERATED ? "it is moderated"
	       : why == IRC_WHY_BANNED	? "you are banned"
	       : why == IRC_WHY_LOGIN	? "only those who are logged in can"
					: "you have been removed";
}

const char *irc_others_why_outside(enum irc_channel_why why)
{
	return why == IRC_WHY_BANNED   ? "can't be entered: you are banned"
	       : why == IRC_WHY_INVITE ? "is for those who are invited only"
	       : why == IRC_WHY_LOGIN  ? "is for those who are logged in only"
	       : why == IRC_WHY_KEY    ? "has a key: /join ROOM KEY"
				       : "is full";
}
