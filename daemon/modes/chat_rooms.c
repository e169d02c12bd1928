/* SPDX-License-Identifier: MIT */
/*
 * How people of the TCP mode "chat" enter rooms, leave them, and change their names. Each is one transaction,
 * in which the room hears of it and the client's entry says so.
 */
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/fault.h"
#include "daemon/engine/expel.h"
#include "daemon/engine/nicks.h"
#include "daemon/modes/chat.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* --- rooms --- */

/* What was decided there. */
static int chat_ask_in(struct connection *c, const struct chat_door *door, struct room *room)
{
	const struct irc_other other = chat_other(c, &door->who);
	enum irc_channel_why why =
	    irc_others_may_enter(chat_channels(c), room, &other, door->key.at, door->key.len);

	if (why == IRC_WHY_MAY)
		return 0;
	count(chat_counters(c), COUNT_ROOM_REFUSED, 1);
	rooms_leave(chat_shared(c)->rooms, room, chat_slot(c));
	return -CHAT_KEPT_OUT - (int)why;
}

int chat_find_room(struct connection *c, const struct chat_door *door, struct room **ret)
{
	const struct client_state *st = connection_state(c);
	const char *name = door->name;
	bool account = st->flags & CLIENT_ACCOUNT;
	const struct room_guest guest = {
	    .is_member = account && config_is_member(chat_config(c), name, st->nick, st->nick_len),
	    .address = door->opener,
	};
	int r = rooms_enter(chat_shared(c)->rooms, name, chat_slot(c), &guest, ret);

	if (r == -EACCES)
		count(chat_counters(c), COUNT_ROOM_REFUSED, 1);
	if (r == -ENOSPC || r == -EDQUOT) {
		count(chat_counters(c), COUNT_ROOMS_FULL, 1);
		char from[ADDRESS_TEXT_MAX];
		const struct log_fields fields = chat_fields(c, EVENT_CLIENT_REFUSED, name);
		log_limited(LOG_TOPIC_ROOMS, LOG_NOTICE, &fields,
			    "client %" PRIu64 " from %s could not open room %s: %s", connection_id(c),
			    address_peer(connection_address(c), from), name,
			    r == -EDQUOT ? "its address has opened too many" : "there are too many");
	}
	return r < 0 ? r : chat_ask_in(c, door, *ret);
}

const char *chat_why_not_entered(int error)
{
	if (chat_is_kept_out(error))
		return irc_others_why_outside((enum irc_channel_why)(-error - CHAT_KEPT_OUT));
	return error == -EACCES	  ? "is for its members only"
	       : error == -EDQUOT ? "can't be opened: you have opened too many"
	       : error == -ENOSPC ? "can't be opened: there are too many rooms"
	       : error == -EAGAIN
		   ? "can't be opened yet: what was said there before can't be read; try again in a moment"
		   : "can't be entered now";
}

void chat_events_find(struct connection *c, const struct room *room, unsigned wanted, uint64_t above,
		      size_t space, struct chat_events *ret)
{
	struct logring_view v;
	size_t bytes = 0;

	*ret = (struct chat_events){.at = wanted > 0 ? malloc(wanted * sizeof(*ret->at)) : NULL};
	logring_peek(room->log, &v);
	uint64_t seq = v.count;
	while (logring_back(room->log, &v, &seq)) {
		const struct record *r = logring_record(room->log, seq);
		uint64_t start = logring_start(room->log, &v, seq), number = room_number(room, r, seq);
		size_t len = r->end - start;
		if (number <= above)
			break;
		if (!speech_shows(room, r, logring_at(&v, start)))
			continue;
		size_t size = connection_event_size(c, room, seq, r, logring_at(&v, start), len);
		ret->more = !ret->at || ret->n == wanted || bytes + size > space;
		if (ret->more)
			break;
		bytes += size;
		ret->first = number;
		ret->at[ret->n++] = seq;
	}
}

void chat_events_write(struct connection *c, const struct room *room, struct chat_events *events)
{
	struct logring_view v;

	logring_peek(room->log, &v);
	while (events->n-- > 0) {
		const struct record *r = logring_record(room->log, events->at[events->n]);
		uint64_t start = logring_start(room->log, &v, events->at[events->n]);
		(void)!connection_write_event(c, room, events->at[events->n], r, logring_at(&v, start),
					      r->end - start);
	}
	free(take_ptr(events->at));
}

/* The last messages of a room; announcements are left out. Its own log is locked. */
static void chat_write_history(struct connection *c, const struct room *room)
{
	struct chat_events events;

	chat_events_find(c, room, room->history, 0, connection_event_space(c, CHAT_REPLY_MAX), &events);
	chat_events_write(c, room, &events);
}

void chat_enter(struct connection *c, struct client_state *next, struct room *room)
{
	const struct speaker who = {.id = connection_id(c),
				    .index = connection_index(c),
				    .nick = next->nick,
				    .nick_len = next->nick_len};
	const struct chat_words *words = chat_words(c);
	struct speech s = {0};

	speech_begin_reading(&s, room);
	if (words)
		words->entered(c, room);
	else
		chat_write_history(c, room);
	speech_enter(&s, room, &who);
	/* Behind its own line; where that goes to other machines first, it will come. */
	connection_place(c, room,
			 (struct position){logring_pending_head(room->log), logring_pending(room->log)});
	FAULT("join");
	const struct irc_other other = {.speaker = &who, .is_account = next->flags & CLIENT_ACCOUNT};
	irc_others_come(chat_channels(c), room, &other, &s);
	connection_commit(c, speech_room(&s));
	connection_set_room(c, room);
	(void)!roster_enter(chat_shared(c)->roster, *connection_roster(c), room->index); /* its only one */
	const struct client_state *st = connection_state(c);
	const struct log_fields fields = chat_fields(c, EVENT_JOINED, room->name);
	log_event(LOG_DEBUG, &fields, "%.*s joined %s", st->nick_len, st->nick, room->name);
}

/* In an entry that is about to go: otherwise a successor would have two clients of a nick that is free
 * already. */
static void chat_erase_nick(struct client_state *next)
{
	next->flags |= CLIENT_CLOSING;
	client_set_nick(next, "", 0);
}

bool chat_leave(struct connection *c, enum chat_leaving how)
{
	struct room *room = connection_room(c);
	const struct speaker who = chat_speaker(c);

	if (!room)
		return true;
	struct client_state *next = connection_begin(c);
	struct speech s = {0};
	speech_begin_reading(&s, room);
	if (!connection_settle(c, CHAT_REPLY_MAX) && how != CHAT_IS_GONE) {
		speech_drop(&s);
		connection_abandon(c);
		return false;
	}
	/* Of who was removed all were told that already. */
	if (!connection_is_ending(c) && !irc_others_is_removed(chat_channels(c), room, who.id))
		speech_leave(&s, room, &who, how != CHAT_MOVES);
	connection_place(c, NULL, (struct position){0, 0});
	if (how == CHAT_IS_GONE)
		chat_erase_nick(next);
	uint32_t index = room->index;
	char name[TEXT_ROOM_MAX + 1];
	memcpy(name, room->name, sizeof(name)); /* the room may close when nobody is there */
	const struct client_state *st = connection_state(c);
	FAULT("leave");
	if (!connection_is_ending(c)) /* at chatd's end it is to find what it had */
		irc_others_go(chat_channels(c), room, who.id);
	connection_commit(c, speech_room(&s));
	connection_set_room(c, NULL);
	roster_leave(chat_shared(c)->roster, *connection_roster(c), index);
	const struct log_fields fields = chat_fields(c, EVENT_LEFT, name);
	log_event(LOG_DEBUG, &fields, "%.*s left %s", st->nick_len, st->nick, name);
	return true;
}

/* by: who has removed it; NULL: it isn't known any more. */
static void chat_leave_removed(struct connection *c, const char *by, const char *why)
{
	struct room *room = connection_room(c);

	connection_begin(c);
	logring_lock(room->log);
	/* It may have gone and come back since. */
	if (!irc_others_is_removed(chat_channels(c), room, connection_id(c))) {
		logring_unlock(room->log);
		connection_abandon(c);
		return;
	}
	/* What tells it so is in the log; if that doesn't fit it is told below all the same. */
	connection_settle(c, CHAT_REPLY_MAX);
	logring_unlock(room->log);
	connection_place(c, NULL, (struct position){0, 0});
	if (connection_space(c) >= CHAT_REPLY_MAX && by)
		connection_printf(c, "* %s has removed you from %s%s%s. You are in no room; /join one.\n", by,
				  room->name, why[0] ? ": " : "", why);
	else if (connection_space(c) >= CHAT_REPLY_MAX)
		connection_printf(c, "* You have been removed from %s. You are in no room; /join one.\n",
				  room->name);
	FAULT("irc-removed");
	connection_commit(c, NULL);
	uint32_t index = room->index;
	connection_set_room(c, NULL);
	roster_leave(chat_shared(c)->roster, *connection_roster(c), index);
	connection_hurry(c);
}

void chat_expelled(struct connection *c, const struct expulsion *e)
{
	const struct room *room = connection_room(c);

	if (room && room->index == expel_room(e))
		chat_leave_removed(c, expel_by(e), expel_reason(e));
}

void chat_leave_where_removed(struct connection *c)
{
	const struct room *room = connection_room(c);

	if (room && irc_others_are_asked(chat_channels(c), room))
		chat_leave_removed(c, NULL, "");
}

/* --- names --- */

int chat_claim(struct connection *c, const char *nick, size_t len, unsigned title, struct roster_entry **ret)
{
	struct shared *shared = chat_shared(c);

	return nicks_claim(shared, clients_at(shared->clients, connection_index(c)), nick, len, title, ret);
}

void chat_give_up_nick(struct connection *c)
{
	chat_erase_nick(connection_begin(c));
	connection_commit(c, NULL);
}

/* Whether the room is told, which it isn't of who was removed already. */
static bool chat_tell_rename(struct connection *c, struct speech *s, const struct speaker *who,
			     const char *nick, size_t len)
{
	struct room *room = connection_room(c);

	if (!room)
		return false;
	speech_begin(s, room);
	return !irc_others_is_removed(chat_channels(c), room, who->id) &&
	       speech_rename(s, room, who, nick, len);
}

void chat_rename(struct connection *c, struct roster_entry *entry, const char *nick, size_t len, bool tell)
{
	const struct client_state *st = connection_state(c);
	struct room *room = connection_room(c);
	struct client_state *next = connection_draft(c);
	const struct speaker who = chat_speaker(c);
	const struct chat_words *words = chat_words(c);
	struct speech s = {0};

	if (words)
		words->named(c, nick, len);
	if (!chat_tell_rename(c, &s, &who, nick, len) && tell && !words)
		connection_printf(c, "* You are now %.*s.\n", (int)len, nick);
	client_set_nick(next, nick, len);
	char old[32 + TEXT_NICK_MAX];
	if (st->nick_len > 0)
		snprintf(old, sizeof(old), "%.*s", st->nick_len, st->nick);
	else /* a login, before which there was no name */
		snprintf(old, sizeof(old), "client %" PRIu64, connection_id(c));
	const struct log_fields fields = chat_fields(c, EVENT_RENAMED, room ? room->name : NULL);
	log_event(LOG_DEBUG, &fields, "%s is now %.*s", old, (int)len, nick);
	FAULT("nick");
	connection_commit(c, speech_room(&s));
	bool was_lost = !*connection_roster(c);
	roster_replace(chat_shared(c)->roster, connection_roster(c), entry);
	if (was_lost && room)
		(void)!roster_enter(chat_shared(c)->roster, entry, room->index);
}

void chat_check_nick(struct connection *c)
{
	struct roster *roster = chat_shared(c)->roster;
	const struct client_state *st = connection_state(c);
	struct roster_entry *entry, *mine = *connection_roster(c);
	const struct room *room = connection_room(c);
	bool lost = mine && roster_is_lost(roster, mine);
	char guest[TEXT_NICK_MAX + 1];

	if (st->nick_len == 0 || (st->flags & CLIENT_CLOSING && !room) ||
	    (mine && (st->flags & CLIENT_ACCOUNT ? !lost : !roster_is_reserved(roster, mine))))
		return;
	size_t n = roster_guest(roster, connection_id(c), guest);
	if (chat_claim(c, guest, n, ROSTER_ENTITLED, &entry) < 0) {
		log_event(LOG_WARNING,
			  &(struct log_fields){.client = connection_id(c), .address = connection_address(c)},
			  "client %" PRIu64 ": its nick is lost", connection_id(c));
		return;
	}
	chat_begin_reply(c, 0);
	/* A client that doesn't read finds out when it does, by what the room is told. */
	if (connection_space(c) >= CHAT_REPLY_MAX)
		connection_printf(c, "* %.*s %s; you are %s.\n", st->nick_len, st->nick,
				  lost ? "is somebody's on another node"
				  : roster_check(roster, st->nick, st->nick_len) == -EPERM
				      ? "is reserved now"
				      : "can't be your name any more",
				  guest);
	connection_draft(c)->flags &= (uint16_t)~CLIENT_ACCOUNT;
	chat_rename(c, entry, guest, n, false);
}
