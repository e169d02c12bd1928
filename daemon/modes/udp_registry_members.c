/* SPDX-License-Identifier: MIT */
/*
 * Who is in a UDP registry: entering, changing the nick, and leaving. Each is one transaction, in which the
 * room hears of it and the member's entry says so.
 */
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/nicks.h"
#include "daemon/engine/transaction.h"
#include "daemon/modes/udp_registry.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* --- what a member's entry says --- */

/* Which of our addresses it talks to, as the next process has to answer from there, too. */
static void registry_put_local(struct client_state *next, const struct udp_local *local)
{
	_Static_assert(sizeof(next->local) == sizeof(local->address), "an address fits");
	if (local->known)
		memcpy(next->local, &local->address, sizeof(next->local));
}

void registry_note_local(struct udp_listener *u, struct member *m, const struct udp_local *local)
{
	if (!local->known ||
	    (m->local.known && memcmp(&m->local.address, &local->address, sizeof(local->address)) == 0))
		return;
	m->local = *local;
	registry_put_local(transaction_begin(registry_shared(u)->clients, m->client), local);
	transaction_commit(registry_context(u), m->client, NULL);
}

void registry_touch(struct registry *g, struct member *m, int64_t now)
{
	atomic_store_explicit(&m->client->active_us, now, memory_order_relaxed);
	members_touch(g->members, m);
}

struct member *registry_add(struct udp_listener *u, struct client *c, const union address *a)
{
	const struct registry *g = udp_data(u);

	return members_add(g->members, c, clients_index(registry_shared(u)->clients, c), a);
}

/* Forgets the process's side of it. */
static void registry_drop(struct udp_listener *u, struct member *m)
{
	const struct registry *g = udp_data(u);

	roster_release(registry_shared(u)->roster, m->roster);
	members_remove(g->members, m);
}

/* --- leaving --- */

static void registry_leave_room(struct udp_listener *u, struct registry *g)
{
	rooms_leave(registry_shared(u)->rooms, g->room, registry_context(u)->slot);
}

void registry_remove(struct udp_listener *u, struct member *m, bool announce)
{
	struct registry *g = udp_data(u);
	struct shared *shared = registry_shared(u);
	struct client *c = m->client;
	const struct client_state *st = registry_state(m);
	char from[ADDRESS_TEXT_MAX];

	struct client_state *next = transaction_begin(shared->clients, c);
	membership_set_direct(shared->clients, c, next, ROOM_NONE, (struct position){0, 0});
	next->flags |= CLIENT_CLOSING;
	const struct speaker who = registry_speaker(m);
	struct speech s = {0};
	if (irc_others_are_asked(registry_channels(u), g->room))
		speech_begin_reading(&s, g->room);
	if (announce)
		speech_leave(&s, g->room, &who, true);
	FAULT("udp-remove");
	if (s.room)
		irc_others_go(registry_channels(u), g->room, who.id);
	transaction_commit(registry_context(u), c, speech_room(&s));
	registry_leave_room(u, g);
	limits_give(shared->limits, &m->address, udp_base(u)->origin);
	count(registry_context(u)->counters, COUNT_CLIENTS_CLOSED, 1);
	struct log_fields fields = registry_fields(u, m, EVENT_LEFT, g->room_name);
	log_event(LOG_DEBUG, &fields, "%.*s left %s", st->nick_len, st->nick, g->room_name);
	fields.message_id = EVENT_CLIENT_CLOSED;
	log_event(LOG_DEBUG, &fields, "client %" PRIu64 " from %s is no longer registered", c->id,
		  address_peer(&m->address, from));
	registry_drop(u, m);
	clients_release(shared->clients, c);
}

void registry_send_away(struct udp_listener *u, struct member *m, bool announce)
{
	static const char bye[] = "#BYE\n";

	udp_say(u, &m->address, &m->local, bye, sizeof(bye) - 1);
	registry_remove(u, m, announce);
}

/* --- names --- */

static const char *registry_why_not_named(int error)
{
	return error == -EEXIST	 ? "that name is taken"
	       : error == -EPERM ? "that name is reserved"
				 : "not now";
}

/* Takes the nick of that entry of the roster; the room hears of it. */
static void registry_take_nick(struct udp_listener *u, struct member *m, struct roster_entry *entry,
			       const char *nick, size_t len)
{
	const struct registry *g = udp_data(u);
	const struct client_state *st = registry_state(m);
	struct client_state *next = transaction_begin(registry_shared(u)->clients, m->client);
	const struct speaker who = registry_speaker(m);
	struct speech s = {0};

	speech_rename(&s, g->room, &who, nick, len);
	client_set_nick(next, nick, len);
	const struct log_fields fields = registry_fields(u, m, EVENT_RENAMED, g->room->name);
	log_event(LOG_DEBUG, &fields, "%.*s is now %.*s", st->nick_len, st->nick, (int)len, nick);
	transaction_commit(registry_context(u), m->client, speech_room(&s));
	bool was_lost = !m->roster;
	roster_replace(registry_shared(u)->roster, &m->roster, entry);
	if (was_lost)
		(void)!roster_enter(registry_shared(u)->roster, entry, g->room->index);
}

const char *registry_rename(struct udp_listener *u, struct member *m, const char *nick, size_t len)
{
	const struct client_state *st = registry_state(m);
	struct shared *shared = registry_shared(u);
	struct roster_entry *entry;

	if (st->nick_len == len && memcmp(st->nick, nick, len) == 0)
		return NULL;
	if (!limits_allow(&m->nicks_due, registry_context(u)->config->nick_changes_per_minute, 60 * SECOND_US,
			  registry_context(u)->now)) {
		count(registry_context(u)->counters, COUNT_CHANGES_REFUSED, 1);
		return "too many changes of name";
	}
	int r = nicks_claim(shared, m->client, nick, len, ROSTER_DATAGRAM, &entry);
	if (r < 0)
		return registry_why_not_named(r);
	registry_take_nick(u, m, entry, nick, len);
	return NULL;
}

void registry_make_guest(struct udp_listener *u, struct member *m)
{
	struct roster_entry *entry;
	char guest[TEXT_NICK_MAX + 1];
	size_t n = roster_guest(registry_shared(u)->roster, m->client->id, guest);

	if (nicks_claim(registry_shared(u), m->client, guest, n, ROSTER_ENTITLED | ROSTER_DATAGRAM, &entry) <
	    0) {
		log_event(LOG_WARNING, &(struct log_fields){.client = m->client->id, .address = &m->address},
			  "client %" PRIu64 ": its nick is lost", m->client->id);
		return;
	}
	registry_take_nick(u, m, entry, guest, (size_t)n);
	registry_confirm(u, m);
}

/* --- entering --- */

/* The table's entry for an address that has proved to be real; counted in the limits. NULL: *ret_why says
 * why. */
static struct client *registry_make_entry(struct udp_listener *u, const union address *a,
					  const char **ret_why)
{
	struct shared *shared = registry_shared(u);

	if (!listener_admit(udp_base(u), a, ret_why))
		return NULL;
	struct client *c = clients_allocate(shared->clients);
	if (!c) {
		limits_give(shared->limits, a, udp_base(u)->origin);
		*ret_why = "the server is full";
		return NULL;
	}
	c->connected_us = (uint64_t)clock_us(CLOCK_REALTIME);
	c->origin = (uint16_t)udp_base(u)->origin;
	c->kind = CLIENT_DATAGRAM;
	memcpy(&c->address, a, address_len(a));
	atomic_store_explicit(&c->active_us, registry_context(u)->now, memory_order_relaxed);
	c->st[0].private_seq = logring_count(rooms_private(shared->rooms)->log);
	client_seal(c, &c->st[0]);
	return c;
}

/* What was decided in the room; NULL: it may come in. */
static const char *registry_why_outside(struct udp_listener *u, const struct room *room,
					const struct speaker *who)
{
	enum irc_channel_why why = irc_others_may_enter(
	    registry_channels(u), room, &(struct irc_other){.speaker = who, .is_account = false}, NULL, 0);

	return why == IRC_WHY_MAY      ? NULL
	       : why == IRC_WHY_BANNED ? "you are banned from this room"
	       : why == IRC_WHY_FULL   ? "this room is full"
				       : "this room is for those who are let in only";
}

/* Enters a client whose entry is made under that nick. False: the nick or the room can't be had. */
static bool registry_enter(struct udp_listener *u, struct member *m, const char *nick, size_t len,
			   const char **ret_why)
{
	struct registry *g = udp_data(u);
	struct shared *shared = registry_shared(u);
	struct room *room;

	int r = rooms_enter(shared->rooms, g->room_name, registry_context(u)->slot, &(struct room_guest){0},
			    &room);
	if (r < 0) {
		*ret_why = r == -EACCES ? "this room is for its members only" : "there are too many rooms";
		return false;
	}
	const struct speaker who = {.id = m->client->id, .index = m->index, .nick = nick, .nick_len = len};
	*ret_why = registry_why_outside(u, room, &who);
	r = *ret_why ? -EACCES : nicks_claim(shared, m->client, nick, len, ROSTER_DATAGRAM, &m->roster);
	if (r < 0) {
		rooms_leave(shared->rooms, room, registry_context(u)->slot);
		if (!*ret_why)
			*ret_why = registry_why_not_named(r);
		return false;
	}
	(void)!roster_enter(shared->roster, m->roster, room->index);
	g->room = room;
	/* From here on a successor finds it; without a nick it was not confirmed, and is forgotten. */
	atomic_store_explicit(&m->client->cookie, m->client->id, memory_order_release);
	FAULT("udp-entry");
	struct client_state *next = transaction_begin(registry_shared(u)->clients, m->client);
	next->flags |= CLIENT_GREETED;
	client_set_nick(next, nick, len);
	registry_put_local(next, &m->local);
	struct speech s = {0};
	speech_begin_reading(&s, room);
	speech_enter(&s, room, &who);
	m->seq = logring_pending(room->log);
	membership_set_direct(shared->clients, m->client, next, room->index,
			      (struct position){logring_pending_head(room->log), m->seq});
	atomic_store_explicit(&m->client->sent_seq, m->seq, memory_order_relaxed);
	FAULT("udp-register");
	const struct irc_other other = {.speaker = &who}; /* nobody has an account here */
	irc_others_come(registry_channels(u), room, &other, &s);
	transaction_commit(registry_context(u), m->client, speech_room(&s));
	return true;
}

struct member *registry_register(struct udp_listener *u, const struct datagram *d, const char *nick,
				 size_t len, const char **ret_why)
{
	const struct registry *g = udp_data(u);
	char guest[TEXT_NICK_MAX + 1], from[ADDRESS_TEXT_MAX];

	*ret_why = "out of memory";
	struct client *c = registry_make_entry(u, &d->from, ret_why);
	if (!c)
		return NULL;
	struct member *m = registry_add(u, c, &d->from);
	if (m)
		m->local = d->local;
	if (!nick) {
		len = roster_guest(registry_shared(u)->roster, c->id, guest);
		nick = guest;
	}
	if (!m || !registry_enter(u, m, nick, len, ret_why)) {
		if (m)
			registry_drop(u, m);
		limits_give(registry_shared(u)->limits, &d->from, udp_base(u)->origin);
		clients_release(registry_shared(u)->clients, c);
		return NULL;
	}
	udp_count_accepted(u);
	count(registry_context(u)->counters, COUNT_CLIENTS_ACCEPTED, 1);
	struct log_fields fields = registry_fields(u, m, EVENT_CLIENT_OPENED, g->room->name);
	log_event(LOG_DEBUG, &fields, "client %" PRIu64 " from %s registered", c->id,
		  address_peer(&m->address, from));
	fields.message_id = EVENT_JOINED;
	log_event(LOG_DEBUG, &fields, "%.*s joined %s", (int)len, nick, g->room->name);
	*ret_why = NULL;
	return m;
}
