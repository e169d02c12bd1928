/* SPDX-License-Identifier: MIT */
/* TOPIC, KICK and INVITE: what operators, and others where they may, decide in a channel. */
#include "daemon/irc/commands.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/channels/channels.h"
#include "daemon/engine/expel.h"
#include "daemon/irc/msgref.h"
#include "daemon/irc/people.h"
#include "daemon/irc/tell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KICK_REASON_MAX 255

/* --- TOPIC --- */

static void topic_set(struct irc_call *call, struct room *room)
{
	const struct speaker who = irc_speaker(call->c);
	char topic[IRC_TOPIC_MAX + 1], msgid[IRC_MSGID_MAX], source[IRC_SOURCE_MAX + 1];
	const struct irc_channel_who asks = irc_channel_who(call, true, source);

	if (room->raw || !irc_channel_may_set_topic(irc_channel(call, room), &asks)) {
		irc_numeric(call, ERR_CHANOPRIVSNEEDED, "#%s", room->name);
		return;
	}
	irc_text(call->line->params[1], topic, sizeof(topic));
	struct irc_deciding d = irc_deciding(call, room, &who);
	if (!room->outgoing) /* or it is changed when it comes back */
		irc_decide_topic(&d, topic);
	irc_msgid_next(room, msgid);
	speech_topic(&call->speech, room, &who, topic, strlen(topic));
	if (!irc_sees_later(call, room))
		irc_own_event(call, call->speech.time_us, msgid, "", "TOPIC #%s :%s", room->name, topic);
}

static enum verdict topic_run(struct irc_call *call)
{
	struct room *room = irc_own_room(call, call->line->params[0]);

	if (!room)
		return HANDLER_MORE;
	if (!irc_speak(call, room))
		return HANDLER_BLOCKED;
	const struct irc_channel *ch = irc_channel(call, room);
	if (call->line->n_params > 1)
		topic_set(call, room);
	else if (!ch || !ch->topic[0])
		irc_numeric(call, RPL_NOTOPIC, "#%s", room->name);
	else
		irc_topic(call, room);
	return HANDLER_MORE;
}

/* --- KICK --- */

static void kick_expel(struct irc_call *call, void *arg)
{
	expel_now(irc_context(call), arg);
}

static enum verdict kick_one(struct irc_call *call, struct room *room, const char *nick, const char *reason)
{
	const struct speaker who = irc_speaker(call->c);
	struct roster_member victim;
	char victim_nick[TEXT_NICK_MAX + 1], shown[IRC_SHOWN_MAX + 1], msgid[IRC_MSGID_MAX], echo[65];

	if (!irc_speak(call, room))
		return HANDLER_BLOCKED;
	if (!irc_may_decide(call, room)) {
		irc_numeric(call, ERR_CHANOPRIVSNEEDED, "#%s", room->name);
		return HANDLER_MORE;
	}
	if (room->outgoing) {
		irc_standard(call, "FAIL", "KICK", "CANNOT_REMOVE", "",
			     "Nobody can be removed from a channel that several nodes share");
		return HANDLER_MORE;
	}
	if (!irc_find_member(call, room, nick, &victim)) {
		irc_numeric(call, ERR_USERNOTINCHANNEL, "%s #%s",
			    irc_query_echo((struct irc_arg){nick, strlen(nick)}, echo, sizeof(echo)),
			    room->name);
		return HANDLER_MORE;
	}
	const struct client *client = clients_at(irc_shared(call)->clients, victim.index);
	if (client && client_is_datagram(client)) {
		irc_standard(call, "FAIL", "KICK", "CANNOT_REMOVE", "",
			     "It has no connection that could leave the room");
		return HANDLER_MORE;
	}
	snprintf(victim_nick, sizeof(victim_nick), "%.*s", victim.len, victim.nick);
	irc_nick_show(victim.nick, victim.len, shown);
	struct irc_deciding d = irc_deciding(call, room, &who);
	struct irc_user u;
	enum irc_decided done =
	    irc_decide_removal(&d, irc_shared(call)->roster, &victim, irc_member_account(call, &victim, &u));
	if (done != IRC_DECIDED)
		return done == IRC_DECIDED_FULL ? HANDLER_YIELD : HANDLER_MORE;
	irc_msgid_next(room, msgid);
	speech_kick(&call->speech, room, &who, victim_nick, reason, strlen(reason));
	if (!irc_sees_later(call, room))
		irc_own_event(call, call->speech.time_us, msgid, "", "KICK #%s %s :%s", room->name, shown,
			      reason);
	struct expulsion *e = expel_new(victim.id, victim.index, room->index, who.nick, who.nick_len, reason);
	if (e)
		irc_after(call, kick_expel, irc_after_free, e);
	return HANDLER_MORE;
}

/* "KICK #a bob,ann", or as many channels as people. */
static enum verdict kick_run(struct irc_call *call)
{
	struct room *room = NULL;
	struct irc_arg victim, channel = {"", 0};
	char nick[IRC_BODY_MAX], reason[KICK_REASON_MAX + 1] = "";
	size_t at = 0, channel_at = 0;
	bool looked = false;
	unsigned n = 0;

	if (call->line->n_params > 2)
		irc_text(call->line->params[2], reason, sizeof(reason));
	if (!reason[0])
		irc_nick(call->c, reason);
	while (irc_arg_next(call->line->params[1], &at, &victim)) {
		bool is_new = irc_arg_next(call->line->params[0], &channel_at, &channel);
		if (!irc_step(call, n++))
			continue;
		if (is_new || !looked)
			room = irc_own_room(call, channel);
		looked = true;
		if (!room || irc_arg_copy(victim, nick, sizeof(nick)) < 0)
			continue;
		enum verdict verdict = kick_one(call, room, nick, reason);
		if (verdict != HANDLER_MORE)
			return verdict;
	}
	return HANDLER_MORE;
}

bool irc_is_expelled(struct irc_call *call, const struct room *room)
{
	const struct irc_channel *now = room->outgoing ? NULL : irc_channel(call, room);

	return now && irc_channel_lists(now->expelled, now->n_expelled, connection_id(call->c));
}

/* What tells it so is in the log. */
void irc_leave_where_expelled(struct connection *c, struct room *room)
{
	struct irc_call call = {.c = c};
	const struct irc_channel *now;

	if (!room)
		return;
	irc_begin(&call);
	speech_begin_reading(&call.speech, room);
	now = irc_channel(&call, room);
	if (!now || !irc_channel_lists(now->expelled, now->n_expelled, connection_id(c))) {
		irc_abandon(&call);
		return;
	}
	FAULT("irc-expelled");
	seats_settle(c, room, 0);
	/* The record is left as it is: without an event it would change before the client does. A JOIN mends it. */
	irc_leave_room(&call, room);
	irc_commit_step(&call);
	connection_hurry(c);
}

void irc_expelled(struct connection *c, const struct expulsion *e)
{
	irc_leave_where_expelled(c, seats_room_at(c, expel_room(e)));
}

/* --- INVITE --- */

static void invite_tell(struct irc_call *call, struct room *room, const struct roster_member *guest)
{
	char source[IRC_SOURCE_MAX + 1], nick[TEXT_NICK_MAX + 1], shown[IRC_SHOWN_MAX + 1],
	    text[2 * TEXT_ROOM_MAX + TEXT_NICK_MAX];
	struct irc_tell *t = irc_tell_new(call), *others = irc_tell_new(call);
	struct irc_user u;

	snprintf(nick, sizeof(nick), "%.*s", guest->len, guest->nick);
	if (!irc_users_copy(irc_shared(call)->irc->users, guest->index, guest->id, &u)) {
		/* By other means than IRC: it is told in words. */
		struct rooms *rooms = irc_shared(call)->rooms;
		const struct speech_peer to = {guest->id, guest->index};
		char own[TEXT_NICK_MAX + 1];
		snprintf(text, sizeof(text), "%s invites you: /join %s", irc_nick(call->c, own), room->name);
		irc_commit_step(call);
		irc_begin(call);
		speech_note_to(&call->speech, rooms_private(rooms), &to, text);
		free(t);
	} else if (t) {
		t->to_id = guest->id;
		t->to_index = guest->index;
		snprintf(t->line, sizeof(t->line), ":%s INVITE %s #%s", irc_source(call->c, source), nick,
			 room->name);
		irc_tell_later(call, t);
	}
	if (!others)
		return;
	others->rooms[others->n_rooms++] = room->index;
	others->caps = IRC_CAP_INVITE_NOTIFY;
	others->except_id = guest->id;
	irc_nick_show(guest->nick, guest->len, shown);
	snprintf(others->line, sizeof(others->line), ":%s INVITE %s #%s", irc_source(call->c, source), shown,
		 room->name);
	irc_tell_later(call, others);
}

static void invite_note(struct irc_call *call, struct room *room, uint64_t id)
{
	struct irc_channel *ch = irc_channel_change(call, room);

	if (ch->n_invited == IRC_INVITED_MAX)
		memmove(ch->invited, ch->invited + 1, --ch->n_invited * sizeof(*ch->invited));
	ch->invited[ch->n_invited++] = id;
}

/* Where the client is invited to. */
static enum verdict invite_list(struct irc_call *call)
{
	size_t n;
	_cleanup_free_ struct room_info *rooms = rooms_copy(irc_shared(call)->rooms, &n);
	struct irc_look look;

	for (size_t i = 0; rooms && i < n && irc_query_fits(call); i++) {
		if (!irc_look_for(call, rooms[i].name, &look))
			continue;
		const struct irc_channel *ch = look.channel;
		bool invited = ch && irc_channel_lists(ch->invited, ch->n_invited, connection_id(call->c));
		irc_look_away(call, &look);
		if (invited)
			irc_numeric(call, RPL_INVITELIST, "#%s", rooms[i].name);
	}
	irc_numeric(call, RPL_ENDOFINVITELIST, "%s", "");
	return irc_query_done(call);
}

static enum verdict invite_run(struct irc_call *call)
{
	char nick[IRC_BODY_MAX], shown[IRC_SHOWN_MAX + 1], echo[65];
	struct roster_member guest;

	if (call->line->n_params == 0)
		return invite_list(call);
	if (call->line->n_params == 1) {
		irc_numeric(call, ERR_NEEDMOREPARAMS, "INVITE");
		return HANDLER_MORE;
	}
	struct room *room = irc_own_room(call, call->line->params[1]);

	if (!room)
		return HANDLER_MORE;
	irc_param(call, 0, nick, sizeof(nick));
	if (!roster_member(irc_shared(call)->roster, nick, strlen(nick), &guest)) {
		irc_numeric(call, ERR_NOSUCHNICK, "%s",
			    irc_query_echo(call->line->params[0], echo, sizeof(echo)));
		return HANDLER_MORE;
	}
	irc_nick_show(guest.nick, guest.len, shown);
	if (irc_find_member(call, room, nick, &guest)) {
		irc_numeric(call, ERR_USERONCHANNEL, "%s #%s", shown, room->name);
		return HANDLER_MORE;
	}
	if (!irc_speak(call, room))
		return HANDLER_BLOCKED;
	const struct irc_channel *ch = irc_channel(call, room);
	if (ch && ch->modes & IRC_M_INVITE && !irc_may_decide(call, room)) {
		irc_numeric(call, ERR_CHANOPRIVSNEEDED, "#%s", room->name);
		return HANDLER_MORE;
	}
	/* Anybody may tell somebody of a channel; only who decides there opens it to who couldn't come in. */
	if (irc_may_decide(call, room))
		invite_note(call, room, guest.id);
	irc_numeric(call, RPL_INVITING, "%s #%s", shown, room->name);
	invite_tell(call, room, &guest);
	return HANDLER_MORE;
}

const struct irc_command irc_commands_topic[] = {
    {.name = "TOPIC", .run = topic_run, .needs = 1, .cost = 2},
    {.name = "KICK", .run = kick_run, .needs = 2, .cost = 2},
    {.name = "INVITE", .run = invite_run, .cost = 4},
    {0},
};
