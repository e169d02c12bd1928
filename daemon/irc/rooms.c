/* SPDX-License-Identifier: MIT */
/* JOIN and PART, and what who joins is told: the topic, who is there, what was said. */
#include "daemon/irc/commands.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/channels/channels.h"
#include "daemon/channels/may.h"
#include "daemon/channels/others.h"
#include "daemon/engine/limits.h"
#include "daemon/irc/away.h"
#include "daemon/irc/metadata.h"
#include "daemon/irc/names.h"
#include "daemon/irc/people.h"
#include "daemon/irc/playback.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What each channel of a JOIN and of a PART costs: irc_work(). */
#define JOIN_WORK (2 * CONNECTION_COMMAND_WORK)
#define PART_WORK CONNECTION_COMMAND_WORK

/* --- names --- */

bool irc_room_of(struct irc_call *call, struct irc_arg channel, char ret[static TEXT_ROOM_MAX + 1])
{
	char exact[TEXT_ROOM_MAX + 1];

	if (!irc_room_name(channel, exact))
		return false;
	irc_room_lower(exact, ret);
	/* A room that others have made keeps its capitals, and is the same channel only if there is none without. */
	if (strcmp(exact, ret) != 0 && rooms_exists(irc_shared(call)->rooms, exact))
		memcpy(ret, exact, sizeof(exact));
	return true;
}

struct room *irc_own_room(struct irc_call *call, struct irc_arg channel)
{
	char name[TEXT_ROOM_MAX + 1], echo[80];
	struct room *room = NULL;

	if (!irc_room_of(call, channel, name) || !rooms_exists(irc_shared(call)->rooms, name))
		irc_numeric(call, ERR_NOSUCHCHANNEL, "%s", irc_query_echo(channel, echo, sizeof(echo)));
	else if (!(room = seats_room(call->c, name)))
		irc_numeric(call, ERR_NOTONCHANNEL, "#%s", name);
	return room;
}

/* --- what is told of a room --- */

void irc_topic(struct irc_call *call, struct room *room)
{
	const struct irc_channel *ch = irc_channel(call, room);

	if (!ch || !ch->topic[0])
		return;
	irc_numeric(call, RPL_TOPIC, "#%s :%s", room->name, ch->topic);
	irc_numeric(call, RPL_TOPICWHOTIME, "#%s %s %" PRIu64, room->name, ch->topic_by,
		    ch->topic_us / 1000000);
}

/* --- JOIN --- */

struct irc_channel_who irc_channel_who(struct irc_call *call, bool is_member,
				       char source[static IRC_SOURCE_MAX + 1])
{
	const struct irc_user *u = irc_user(call->c);

	return (struct irc_channel_who){.id = connection_id(call->c),
					.source = irc_source(call->c, source),
					.account = u->account,
					.realname = u->realname,
					.is_member = is_member,
					.is_oper = u->flags & IRC_OPER};
}

/* Why it may not come in, or 0. The log is locked. */
static enum irc_numeric join_why_not(struct irc_call *call, const struct room *room, struct irc_arg key)
{
	char source[IRC_SOURCE_MAX + 1];
	const struct irc_channel_who who = irc_channel_who(call, false, source);

	switch (irc_channel_may_enter(irc_channel(call, room), &who, key.at, key.len, room_members(room))) {
	case IRC_WHY_MAY:
		return 0;
	case IRC_WHY_BANNED:
		return ERR_BANNEDFROMCHAN;
	case IRC_WHY_LOGIN:
		return ERR_NEEDREGGEDNICK;
	case IRC_WHY_KEY:
		return ERR_BADCHANNELKEY;
	case IRC_WHY_FULL:
		return ERR_CHANNELISFULL;
	default:
		return ERR_INVITEONLYCHAN;
	}
}

static void join_fail(struct irc_call *call, enum irc_numeric n, const char *room)
{
	irc_numeric(call, n, "#%s", room);
}

/* A channel of nobody's is whose who comes first. */
static void join_make_operator(struct irc_call *call, struct room *room)
{
	struct irc_channel *ch = irc_channel_change(call, room);
	const struct irc_user *u = irc_user(call->c);

	if (ch->created_us == 0)
		ch->created_us = (uint64_t)clock_us(CLOCK_REALTIME);
	ch->n_status = 0; /* of nobody who is there, or is to come back as an operator */
	struct irc_channel_person *p = &ch->status[ch->n_status++];
	memset(p, 0, sizeof(*p));
	p->id = connection_id(call->c);
	p->flags = IRC_STATUS_OP;
	memcpy(p->account, u->account, sizeof(p->account));
}

static void join_forget_past(struct irc_call *call, struct room *room)
{
	const struct irc_channel *now = irc_channel(call, room);
	uint64_t id = connection_id(call->c);

	if (now && irc_channel_has_past(now, id))
		irc_channel_forget_past(irc_channel_change(call, room), id);
}

/* Who was there before a reboot, and has an account, has the status that it had. Returns it. In a shared room the account has it. */
static uint8_t join_come_back(struct irc_call *call, struct room *room)
{
	const char *account = irc_user(call->c)->account;

	if (room->outgoing || !irc_channel_awaits(irc_channel(call, room), account))
		return 0;
	return irc_channel_come_back(irc_channel_change(call, room), connection_id(call->c), account);
}

static void join_done(struct irc_call *call, void *arg)
{
	struct room *room = arg;

	seats_joined(call->c, room);
	(void)!roster_enter(irc_shared(call)->roster, *connection_roster(call->c), room->index);
	const struct log_fields fields = {.message_id = EVENT_JOINED,
					  .client = connection_id(call->c),
					  .room = room->name,
					  .listener = connection_listener(call->c),
					  .address = connection_address(call->c)};
	const struct client_state *st = connection_state(call->c);
	log_event(LOG_DEBUG, &fields, "%.*s joined %s", st->nick_len, st->nick, room->name);
}

/* The room is entered; in the transaction, whose speech holds its log's lock. */
static int join_room(struct irc_call *call, struct room *room)
{
	const struct irc_user *u = irc_user(call->c);
	const struct speaker who = irc_speaker(call->c);
	/* In one that is shared, whoever comes first here may be one of many. */
	bool first = room_members(room) == 1 && !room->configured && !room->outgoing;

	if (first && !irc_channel_awaits_operator(irc_channel(call, room)))
		join_make_operator(call, room);
	join_forget_past(call, room);
	uint8_t back = join_come_back(call, room);
	speech_enter(&call->speech, room, &who);
	/* Behind its own line, and all that was said before. */
	int r = seats_join(call->c, room,
			   (struct position){logring_pending_head(room->log), logring_pending(room->log)});
	if (r < 0)
		return r;
	irc_others_tell_back(&call->speech, room, &who, back);
	if (u->caps & IRC_CAP_EXTENDED_JOIN)
		irc_from_self(call, "JOIN #%s %s :%s", room->name, u->account[0] ? u->account : "*",
			      u->realname);
	else
		irc_from_self(call, "JOIN #%s", room->name);
	irc_topic(call, room);
	irc_markread_joined(call, room);
	irc_names(call, room);
	irc_metadata_join(call, room);
	irc_playback_joined(call, room);
	irc_after(call, join_done, irc_give_room_back, room);
	irc_away_on_join(call, room);
	FAULT("irc-join");
	return 0;
}

bool irc_is_member_of(struct irc_call *call, const char *room)
{
	const struct irc_user *u = irc_user(call->c);

	return u->account[0] && config_is_member(irc_config(call), room, u->account, strlen(u->account));
}

static struct room_guest join_guest(struct irc_call *call, const char *name)
{
	return (struct room_guest){
	    .is_member = irc_is_member_of(call, name),
	    .address = connection_address(call->c),
	};
}

/* The step is over with it, if it isn't the last. */
static enum verdict join_one(struct irc_call *call, struct irc_arg channel, struct irc_arg key)
{
	struct shared *shared = irc_shared(call);
	char name[TEXT_ROOM_MAX + 1], echo[80];
	struct room *room;

	if (!irc_room_of(call, channel, name)) {
		irc_numeric(call, ERR_NOSUCHCHANNEL, "%s", irc_query_echo(channel, echo, sizeof(echo)));
		return HANDLER_MORE;
	}
	/* Who is told that it was removed may be back before its worker has been. */
	irc_leave_where_expelled(call->c, seats_room(call->c, name));
	if (seats_room(call->c, name))
		return HANDLER_MORE;
	if (seats_count(call->c) >= irc_config(call)->max_rooms_per_client) {
		join_fail(call, ERR_TOOMANYCHANNELS, name);
		return HANDLER_MORE;
	}
	/* Programs join all their channels at once; but who says many keys is guessing. */
	if (key.len > 0 && !connection_may_move(call->c)) {
		join_fail(call, ERR_UNAVAILRESOURCE, name);
		return HANDLER_MORE;
	}
	const struct room_guest guest = join_guest(call, name);
	int r = rooms_enter(shared->rooms, name, irc_context(call)->slot, &guest, &room);
	if (r < 0) {
		count(irc_context(call)->counters, r == -EACCES ? COUNT_ROOM_REFUSED : COUNT_ROOMS_FULL, 1);
		join_fail(call,
			  r == -EACCES	 ? ERR_INVITEONLYCHAN
			  : r == -EAGAIN ? ERR_UNAVAILRESOURCE
					 : ERR_TOOMANYCHANNELS,
			  name);
		return HANDLER_MORE;
	}
	irc_begin(call);
	speech_begin_reading(&call->speech, room);
	enum irc_numeric why = join_why_not(call, room, key);
	if (why == 0 && join_room(call, room) < 0)
		why = ERR_TOOMANYCHANNELS;
	if (why == 0) /* or it waits for space, and is in it only then */
		return irc_query_done(call);
	if (why) {
		irc_channels_forget(shared->irc->channels, room);
		speech_drop(&call->speech);
		rooms_leave(shared->rooms, room, irc_context(call)->slot);
		join_fail(call, why, name);
	}
	return HANDLER_MORE;
}

/* For the nth of a command's channels. What is behind the last step that is noted would be done again, and so goes on. */
static enum verdict rooms_pay(struct irc_call *call, unsigned n, unsigned work)
{
	if (n > UINT8_MAX)
		return HANDLER_MORE;
	if (!connection_may_enter(call->c))
		return HANDLER_LIMITED;
	if (call->work >= IRC_TURN_WORK)
		return HANDLER_YIELD;
	irc_work(call, work);
	return HANDLER_MORE;
}

/* What has to be done again, since there was no space for the answer, is paid for then. */
static enum verdict join_once(struct irc_call *call, struct irc_arg channel, struct irc_arg key)
{
	unsigned before = call->work;
	enum verdict verdict = join_one(call, channel, key);

	if (verdict == HANDLER_BLOCKED)
		call->work = before;
	return verdict;
}

struct parting {
	struct irc_call *call;
	bool blocked; /* there is no space for what was said there before */
};

static bool join_part_one(struct connection *c, struct room *room, void *arg)
{
	struct parting *p = arg;

	(void)c;
	irc_work(p->call, PART_WORK);
	p->blocked = !irc_part_room(p->call, room, "");
	irc_commit_step(p->call);
	return !p->blocked;
}

static enum verdict join_run(struct irc_call *call)
{
	const struct irc_arg *channels = &call->line->params[0];
	struct irc_arg channel, key,
	    keys = call->line->n_params > 1 ? call->line->params[1] : (struct irc_arg){"", 0};
	size_t at = 0, key_at = 0;
	unsigned n = 0;

	if (irc_arg_equals(*channels, "0")) {
		struct parting parting = {.call = call};
		seats_each(call->c, join_part_one, &parting);
		return parting.blocked ? HANDLER_BLOCKED : HANDLER_MORE;
	}
	while (irc_arg_next(*channels, &at, &channel)) {
		if (!irc_arg_next(keys, &key_at, &key))
			key = (struct irc_arg){"", 0};
		if (!irc_step(call, n++))
			continue;
		/* There is space for what each is told. */
		if (n > 1 && connection_space(call->c) < IRC_REPLY_MAX)
			return HANDLER_BLOCKED;
		enum verdict verdict = rooms_pay(call, n, JOIN_WORK);
		if (verdict == HANDLER_MORE)
			verdict = join_once(call, channel, key);
		if (verdict != HANDLER_MORE)
			return verdict;
	}
	return HANDLER_MORE;
}

/* --- PART --- */

static void part_done(struct irc_call *call, void *arg)
{
	struct room *room = arg;
	uint32_t index = room->index;

	seats_left(call->c, room);
	roster_leave(irc_shared(call)->roster, *connection_roster(call->c), index);
}

void irc_leave_room(struct irc_call *call, struct room *room)
{
	const struct irc_channel *now = room->outgoing ? NULL : irc_channel(call, room);
	uint64_t id = connection_id(call->c);

	/* At chatd's end everybody goes, and with an account is to find what it had. */
	if (now && irc_channel_status(now, id) && !connection_is_ending(call->c))
		irc_channel_forget_status(irc_channel_change(call, room), id);
	seats_leave(call->c, room);
	call->within = NULL;
	FAULT("irc-leave");
	irc_after(call, part_done, NULL, room);
}

bool irc_part_room(struct irc_call *call, struct room *room, const char *reason)
{
	const struct speaker who = irc_speaker(call->c);

	if (!irc_speak(call, room))
		return false;
	if (reason[0] && !irc_may_speak(call, room))
		reason = "";
	if (!irc_is_expelled(call, room))
		speech_leave_because(&call->speech, room, &who, false, reason, strlen(reason));
	irc_from_self(call, "PART #%s%s%s", room->name, reason[0] ? " :" : "", reason);
	irc_leave_room(call, room);
	return true;
}

static enum verdict part_run(struct irc_call *call)
{
	struct irc_arg channel;
	char reason[IRC_BODY_MAX];
	size_t at = 0;
	unsigned n = 0;

	irc_param(call, 1, reason, sizeof(reason));
	while (irc_arg_next(call->line->params[0], &at, &channel)) {
		if (!irc_step(call, n++))
			continue;
		enum verdict verdict = rooms_pay(call, n, PART_WORK);
		if (verdict != HANDLER_MORE)
			return verdict;
		struct room *room = irc_own_room(call, channel);
		if (room && !irc_part_room(call, room, reason))
			return HANDLER_BLOCKED;
	}
	return HANDLER_MORE;
}

const struct irc_command irc_commands_rooms[] = {
    {.name = "JOIN", .run = join_run, .needs = 1, .enters = true},
    {.name = "PART", .run = part_run, .needs = 1, .enters = true},
    {0},
};
