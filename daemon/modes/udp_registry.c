/* SPDX-License-Identifier: MIT */
/*
 * UDP mode "registry": addresses that have registered (#REG) are members of the listener's room.
 * docs/PROTOCOL.md is the users' side of this. A member's entry in the table of clients keeps its address,
 * nick and place in the room, so that registrations outlive the process. A message may be sent twice around a
 * crash, but is not skipped.
 */
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/config/config.h"
#include "daemon/engine/limits.h"
#include "daemon/engine/transaction.h"
#include "daemon/modes/udp_members.h"
#include "daemon/net/cookie.h"
#include "daemon/net/udp.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct registry {
	struct members *members;
	struct room *room; /* entered as long as there are members */
	char room_name[TEXT_ROOM_MAX + 1];
	struct cookies *cookies;
	uint64_t private_seq;
};

static const char bye[] = "#BYE\n";

static struct context *context_of(struct udp_listener *u)
{
	return udp_base(u)->ctx;
}

static struct shared *shared_of(struct udp_listener *u)
{
	return context_of(u)->shared;
}

/* --- the members --- */

static int64_t active_us(const struct member *m)
{
	return atomic_load_explicit(&m->client->datagram.active_us, memory_order_relaxed);
}

/* A datagram has come from it: the lease begins anew. */
static void touch(struct registry *g, struct member *m, int64_t now)
{
	atomic_store_explicit(&m->client->datagram.active_us, now, memory_order_relaxed);
	members_touch(g->members, m);
}

/* Which of our addresses it talks to, as the next process has to answer from there, too. */
static void put_local(struct client_state *next, const struct udp_local *local)
{
	_Static_assert(sizeof(next->local) == sizeof(local->address), "an address fits");
	if (local->known)
		memcpy(next->local, &local->address, sizeof(next->local));
}

static void note_local(struct udp_listener *u, struct member *m, const struct udp_local *local)
{
	if (!local->known ||
	    (m->local.known && memcmp(&m->local.address, &local->address, sizeof(local->address)) == 0))
		return;
	m->local = *local;
	put_local(transaction_begin(m->client), local);
	transaction_commit(context_of(u), m->client, NULL);
}

static struct member *add_member(struct udp_listener *u, struct client *c, const union address *a)
{
	const struct registry *g = udp_data(u);

	return members_add(g->members, c, clients_index(shared_of(u)->clients, c), a);
}

/* Forgets the process's side of it. */
static void drop_member(struct udp_listener *u, struct member *m)
{
	const struct registry *g = udp_data(u);

	roster_release(shared_of(u)->roster, m->roster);
	members_remove(g->members, m);
}

static const struct client_state *state(const struct member *m)
{
	return client_live(m->client);
}

static void leave_room(struct udp_listener *u, struct registry *g)
{
	rooms_leave(shared_of(u)->rooms, g->room, context_of(u)->slot);
}

/* Ends a registration: the room is told, its entry is free again. */
static void remove_member(struct udp_listener *u, struct member *m, bool announce)
{
	struct registry *g = udp_data(u);
	struct shared *shared = shared_of(u);
	struct room *room = g->room;
	struct client *c = m->client;
	const struct client_state *st = state(m);
	char from[ADDRESS_TEXT_MAX];

	struct client_state *next = transaction_begin(c);
	next->room = ROOM_NONE;
	next->flags |= CLIENT_CLOSING;
	bool tell = announce && room_announces(room);
	if (tell) {
		logring_lock(room->log);
		room_put_notice(room, c->id, "%.*s left %s", st->nick_len, st->nick, room->name);
	}
	FAULT("udp-remove");
	transaction_commit(context_of(u), c, tell ? room : NULL);
	leave_room(u, g);
	limits_give(shared->limits, &m->address, udp_base(u)->origin);
	count(context_of(u)->counters, COUNT_CLIENTS_CLOSED, 1);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_LEFT,
				       .client = c->id,
				       .room = g->room_name,
				       .listener = udp_base(u)->name,
				       .address = &m->address},
		  "%.*s left %s", st->nick_len, st->nick, g->room_name);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_CLIENT_CLOSED,
				       .client = c->id,
				       .room = g->room_name,
				       .listener = udp_base(u)->name,
				       .address = &m->address},
		  "client %" PRIu64 " from %s is no longer registered", c->id,
		  address_peer(&m->address, from));
	drop_member(u, m);
	clients_release(shared->clients, c);
}

static void send_away(struct udp_listener *u, struct member *m, bool announce)
{
	udp_say(u, &m->address, &m->local, bye, sizeof(bye) - 1);
	remove_member(u, m, announce);
}

/* --- registering --- */

__attribute__((format(printf, 3, 4))) static void reply(struct udp_listener *u, const struct datagram *d,
							const char *format, ...)
{
	char text[256];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	udp_say(u, &d->from, &d->local, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static void refuse(struct udp_listener *u, const struct datagram *d, const char *why)
{
	count(context_of(u)->counters, COUNT_DATAGRAMS_REFUSED, 1);
	reply(u, d, "#ERR %s\n", why);
}

static void confirm(struct udp_listener *u, const struct member *m)
{
	char text[TEXT_NICK_MAX + 32];
	int n = snprintf(text, sizeof(text), "#OK %.*s %" PRId64 "\n", state(m)->nick_len, state(m)->nick,
			 udp_base(u)->config->lease_us / SECOND_US);

	udp_say(u, &m->address, &m->local, text, (size_t)n);
}

/*
 * Asks for proof of the address. The answer is never longer than the question, so that a forged source gains
 * nothing: whoever asks in fewer bytes is told to fill up.
 */
static void ask_for_proof(struct udp_listener *u, const struct datagram *d)
{
	struct registry *g = udp_data(u);
	char text[] = "#COOKIE xxxxxxxx\n", cookie[COOKIE_LEN];
	static const char pad[] = "#PAD 16\n";

	cookies_make(g->cookies, &d->from, context_of(u)->now, cookie);
	memcpy(text + 8, cookie, COOKIE_LEN);
	size_t all = sizeof(text) - 1;
	count(context_of(u)->counters, COUNT_COOKIES, 1);
	if (d->len >= all - 1)
		udp_say(u, &d->from, &d->local, text, d->len >= all ? all : all - 1);
	else
		udp_say(u, &d->from, &d->local, pad, d->len >= sizeof(pad) - 1 ? sizeof(pad) - 1 : 4);
}

/* Takes the nick of that entry of the roster; the room hears of it. */
static void take_nick(struct udp_listener *u, struct member *m, struct roster_entry *entry, const char *nick,
		      size_t len)
{
	const struct registry *g = udp_data(u);
	const struct client_state *st = state(m);
	struct client_state *next = transaction_begin(m->client);
	bool tell = room_announces(g->room);
	if (tell) {
		logring_lock(g->room->log);
		room_put_notice(g->room, m->client->id, "%.*s is now %.*s", st->nick_len, st->nick, (int)len,
				nick);
	}
	next->nick_len = (uint8_t)len;
	memset(next->nick, 0, sizeof(next->nick));
	memcpy(next->nick, nick, len);
	log_event(LOG_DEBUG,
		  &(struct log_fields){.message_id = EVENT_RENAMED,
				       .client = m->client->id,
				       .room = g->room->name,
				       .listener = udp_base(u)->name,
				       .address = &m->address},
		  "%.*s is now %.*s", st->nick_len, st->nick, (int)len, nick);
	transaction_commit(context_of(u), m->client, tell ? g->room : NULL);
	roster_release(shared_of(u)->roster, m->roster);
	m->roster = entry;
}

/* Changes the nick of a member, as /nick does. NULL, or why it can't be. */
static const char *rename_member(struct udp_listener *u, struct member *m, const char *nick, size_t len)
{
	struct registry *g = udp_data(u);
	const struct client_state *st = state(m);
	struct shared *shared = shared_of(u);
	struct roster_entry *entry;

	if (st->nick_len == len && memcmp(st->nick, nick, len) == 0)
		return NULL;
	if (!limits_allow(&m->nicks_due, context_of(u)->config->nick_changes_per_minute, 60 * SECOND_US,
			  context_of(u)->now)) {
		count(context_of(u)->counters, COUNT_CHANGES_REFUSED, 1);
		return "too many changes of name";
	}
	int r =
	    roster_claim(shared->roster, nick, len, m->client->id, m->index, g->room->index, false, &entry);
	if (r < 0)
		return r == -EEXIST  ? "that name is taken"
		       : r == -EPERM ? "that name is reserved"
				     : "not now";
	take_nick(u, m, entry, nick, len);
	return NULL;
}

/* Its nick is an account's or a relay's now, or can't be one any more. */
static void make_guest(struct udp_listener *u, struct member *m)
{
	const struct registry *g = udp_data(u);
	struct roster_entry *entry;
	char guest[TEXT_NICK_MAX + 1];
	int n = snprintf(guest, sizeof(guest), "guest%" PRIu64, m->client->id);

	if (roster_claim(shared_of(u)->roster, guest, (size_t)n, m->client->id, m->index, g->room->index,
			 true, &entry) < 0) {
		log_event(LOG_WARNING, &(struct log_fields){.client = m->client->id, .address = &m->address},
			  "client %" PRIu64 ": its nick is lost", m->client->id);
		return;
	}
	take_nick(u, m, entry, guest, (size_t)n);
	confirm(u, m);
}

/* The table's entry for an address that has proved to be real; counted in the limits. NULL: *ret_why says
 * why. */
static struct client *make_entry(struct udp_listener *u, const union address *a, const char **ret_why)
{
	struct shared *shared = shared_of(u);

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
	memcpy(c->datagram.address, a, address_len(a));
	atomic_store_explicit(&c->datagram.active_us, context_of(u)->now, memory_order_relaxed);
	c->st[0].room = ROOM_NONE;
	c->st[0].private_seq = logring_count(rooms_private(shared->rooms)->log);
	client_seal(c, &c->st[0]);
	return c;
}

/* Enters a client whose entry is made under that nick. False: the nick or the room can't be had. */
static bool enter(struct udp_listener *u, struct member *m, const char *nick, size_t len,
		  const char **ret_why)
{
	struct registry *g = udp_data(u);
	struct shared *shared = shared_of(u);
	struct room *room;

	int r = rooms_enter(shared->rooms, g->room_name, context_of(u)->slot, &(struct room_guest){0}, &room);
	if (r < 0) {
		*ret_why = r == -EACCES ? "this room is for its members only" : "there are too many rooms";
		return false;
	}
	r = roster_claim(shared->roster, nick, len, m->client->id, m->index, room->index, false, &m->roster);
	if (r < 0) {
		rooms_leave(shared->rooms, room, context_of(u)->slot);
		*ret_why = r == -EEXIST	 ? "that name is taken"
			   : r == -EPERM ? "that name is reserved"
					 : "not now";
		return false;
	}
	g->room = room;
	/* From here on a successor finds it; without a nick it was not confirmed, and is forgotten. */
	atomic_store_explicit(&m->client->cookie, m->client->id, memory_order_release);
	FAULT("udp-entry");
	struct client_state *next = transaction_begin(m->client);
	next->flags |= CLIENT_GREETED;
	next->nick_len = (uint8_t)len;
	memcpy(next->nick, nick, len);
	next->room = room->index;
	put_local(next, &m->local);
	logring_lock(room->log);
	if (room_announces(room))
		room_put_notice(room, m->client->id, "%.*s joined %s", (int)len, nick, room->name);
	next->cursor = logring_pending_head(room->log);
	next->cursor_seq = m->seq = logring_pending(room->log);
	atomic_store_explicit(&m->client->datagram.sent_seq, m->seq, memory_order_relaxed);
	FAULT("udp-register");
	transaction_commit(context_of(u), m->client, room);
	return true;
}

static void register_member(struct udp_listener *u, const struct datagram *d, const char *nick, size_t len)
{
	struct registry *g = udp_data(u);
	const char *why = NULL;
	char guest[TEXT_NICK_MAX + 1], from[ADDRESS_TEXT_MAX];
	struct client *c = make_entry(u, &d->from, &why);
	struct member *m = c ? add_member(u, c, &d->from) : NULL;

	if (m) {
		m->local = d->local;
		if (!nick) {
			len = (size_t)snprintf(guest, sizeof(guest), "guest%" PRIu64, c->id);
			nick = guest;
		}
		if (enter(u, m, nick, len, &why)) {
			udp_count_accepted(u);
			count(context_of(u)->counters, COUNT_CLIENTS_ACCEPTED, 1);
			log_event(LOG_DEBUG,
				  &(struct log_fields){.message_id = EVENT_CLIENT_OPENED,
						       .client = c->id,
						       .room = g->room->name,
						       .listener = udp_base(u)->name,
						       .address = &m->address},
				  "client %" PRIu64 " from %s registered", c->id,
				  address_peer(&m->address, from));
			log_event(LOG_DEBUG,
				  &(struct log_fields){.message_id = EVENT_JOINED,
						       .client = c->id,
						       .room = g->room->name,
						       .listener = udp_base(u)->name,
						       .address = &m->address},
				  "%.*s joined %s", (int)len, nick, g->room->name);
			confirm(u, m);
			return;
		}
		drop_member(u, m);
	}
	if (c) {
		limits_give(shared_of(u)->limits, &d->from, udp_base(u)->origin);
		clients_release(shared_of(u)->clients, c);
	}
	refuse(u, d, why ? why : "out of memory");
}

struct word {
	const char *at;
	size_t len;
};

static struct word next_word(const char **at, const char *end)
{
	while (*at < end && (**at == ' ' || **at == '\t'))
		++*at;
	struct word w = {*at, 0};
	while (*at < end && **at != ' ' && **at != '\t')
		++*at;
	w.len = (size_t)(*at - w.at);
	return w;
}

/* #REG [NICK|* [COOKIE]] */
static void command_reg(struct udp_listener *u, struct datagram *d, struct member *m, const char *at,
			const char *end)
{
	struct registry *g = udp_data(u);
	struct word nick = next_word(&at, end), cookie = next_word(&at, end);

	if (nick.len == 1 && nick.at[0] == '*')
		nick.len = 0; /* "any" */
	if (!m && !prefixes_contain(&udp_base(u)->config->trusted, &d->from) &&
	    !cookies_check(g->cookies, &d->from, context_of(u)->now, cookie.at, cookie.len)) {
		ask_for_proof(u, d);
		return;
	}
	char normal[TEXT_NICK_MAX + 1];
	int n = nick.len ? nick_normalise(nick.at, nick.len, normal) : 0;
	if (n < 0) {
		refuse(u, d, "a name has 1 to 32 bytes, no space, : or *, and doesn't begin with / # or [");
		return;
	}
	nick = (struct word){normal, (size_t)n};
	if (!m) {
		register_member(u, d, nick.len ? nick.at : NULL, nick.len);
		return;
	}
	const char *why = nick.len ? rename_member(u, m, nick.at, nick.len) : NULL;
	if (why)
		refuse(u, d, why);
	else
		confirm(u, m);
}

/* --- messages --- */

/* Messages of many members that are put under one lock and committed as one step. */
struct run {
	struct room *room; /* locked; NULL: there is no run */
	uint64_t before;
};

static void run_end(struct udp_listener *u, struct run *run)
{
	if (!run->room)
		return;
	count(context_of(u)->counters, COUNT_MESSAGES, logring_pending(run->room->log) - run->before);
	logring_commit(run->room->log);
	logring_unlock(run->room->log);
	rooms_mark(shared_of(u)->rooms, run->room, &context_of(u)->kick);
	run->room = NULL;
}

/* False if the room has to be delivered first. */
static bool run_begin(struct udp_listener *u, struct run *run)
{
	struct registry *g = udp_data(u);

	if (run->room)
		return true;
	logring_lock(g->room->log);
	if (room_crowded(shared_of(u)->rooms, g->room)) {
		logring_unlock(g->room->log);
		return false;
	}
	run->room = g->room;
	run->before = logring_pending(g->room->log);
	return true;
}

/* False if it has to be tried again. */
static bool say(struct udp_listener *u, struct run *run, const struct member *m, const char *text, size_t len)
{
	_cleanup_free_ char *buf = NULL;
	char head[TEXT_NICK_MAX + 2];

	if (!run_begin(u, run))
		return false;
	bool raw = run->room->raw;
	size_t head_len = room_head(raw, state(m)->nick, state(m)->nick_len, text, len, head);
	if (!raw)
		text = text_clean(text, &len, &buf);
	struct record record = {.time_us = (uint64_t)clock_us(CLOCK_REALTIME),
				.sender = m->client->id,
				.kind = RECORD_MESSAGE,
				.text = (uint16_t)head_len};
	if (text && !logring_put(run->room->log, &record, head, head_len, text, len)) {
		run_end(u, run);
		return say(u, run, m, text, len);
	}
	return true;
}

static bool is_command(struct word w, const char *name)
{
	return w.len == strlen(name) && strncasecmp(w.at, name, w.len) == 0;
}

/* False if it has to be tried again next turn; nothing has happened then. */
static bool take(struct udp_listener *u, struct run *run, struct datagram *d)
{
	struct registry *g = udp_data(u);
	struct member *m = members_find(g->members, &d->from);
	const char *text = d->data, *end = d->data + d->len, *at = text;
	unsigned max = context_of(u)->config->max_message;
	int64_t now = context_of(u)->now;

	if (end > text && end[-1] == '\n')
		end--;
	if (end > text && end[-1] == '\r')
		end--;
	struct word command = next_word(&at, end);
	if (command.at != text)
		command.len = 0;
	bool quits = is_command(command, "#DEREG") || (end - text == 4 && memcmp(text, "quit", 4) == 0);
	bool special = (command.len > 0 && text[0] == '#' && !(command.len > 1 && text[1] == '#')) || quits;

	if (!m) {
		run_end(u, run);
		if (is_command(command, "#REG"))
			command_reg(u, d, NULL, at, end);
		else
			udp_count_ignored(u);
		return true;
	}
	if (!special && end > text && !run_begin(u, run))
		return false;
	m->received += d->len;
	note_local(u, m, &d->local);
	touch(g, m, now);
	if (special) {
		run_end(u, run);
		if (quits) {
			send_away(u, m, true);
			return true;
		}
		if (is_command(command, "#REG"))
			command_reg(u, d, m, at, end);
		else
			refuse(u, d, "there is no such command; there are #REG and #DEREG");
		return true;
	}
	size_t len = (size_t)(end - text);
	const char *why =
	    g->room->read_only	      ? "this room is read-only"
	    : len == 0		      ? "the message is empty"
	    : len > max		      ? "the message is longer than max_message"
	    : memchr(text, '\n', len) ? "a message is one line"
	    : !limits_allow(&m->lines_due, context_of(u)->config->lines_per_second, SECOND_US, now)
		? "too many messages"
		: NULL;
	if (why) {
		refuse(u, d, why);
		return true;
	}
	bool hashes = text[0] == '#'; /* "##x" says "#x" */
	return say(u, run, m, text + hashes, len - hashes);
}

static size_t registry_received(struct udp_listener *u, struct datagram *d, size_t n)
{
	struct run run = {.room = NULL};
	size_t i = 0;

	while (i < n && take(u, &run, &d[i]))
		i++;
	run_end(u, &run);
	return i;
}

/* --- delivery --- */

/* What begins with '#' is the server's word over UDP, so a message that does gets one more. */
static bool is_stuffed(const struct logring_view *v, uint64_t start)
{
	return *logring_at(v, start) == '#';
}

/* The messages from seq on that fit one send: one, or several of the same length as segments of one. */
static uint64_t gather(const struct udp_listener *u, struct logring *log, const struct logring_view *v,
		       uint64_t seq, struct udp_out *o)
{
	uint64_t start = logring_start(log, v, seq), end = logring_record(log, seq)->end, n = 1;
	uint64_t len = end - start;

	o->data = logring_at(v, start);
	o->segment = 0;
	o->stuffed = is_stuffed(v, start);
	if (udp_has_segments(u) && len <= UDP_SEGMENT_MAX && !o->stuffed)
		for (; seq + n < v->count && n < UDP_SEGMENTS_MAX; n++) {
			uint64_t next = logring_record(log, seq + n)->end;
			if (next - end > len || next - start > UDP_SEGMENTED_MAX || is_stuffed(v, end))
				break;
			bool last = next - end < len; /* the last segment may be shorter */
			end = next;
			if (last) {
				n++;
				break;
			}
		}
	o->len = end - start;
	if (n > 1)
		o->segment = (uint16_t)len;
	return n;
}

/* What is in a batch, for when its results are known. */
struct batch {
	struct udp_out out[UDP_BATCH];
	struct member *members[UDP_BATCH];
	uint64_t upto[UDP_BATCH], count[UDP_BATCH];
	size_t n;
};

/* False if the socket is full: the rest comes later. */
static bool send_batch(struct udp_listener *u, struct batch *b)
{
	bool all = true;

	if (b->n == 0)
		return true;
	udp_send(u, b->out, b->n);
	FAULT("udp-sent");
	for (size_t i = 0; i < b->n; i++) {
		struct member *m = b->members[i];
		int e = b->out[i].error;
		if (e == -EAGAIN || e == -EOPNOTSUPP) {
			all = false;
			continue;
		}
		if (m->seq != b->upto[i] - b->count[i])
			continue; /* behind one that could not be sent */
		m->seq = b->upto[i];
		if (e == 0)
			m->sent += b->out[i].len;
		else
			m->dropped += b->count[i];
		atomic_store_explicit(&m->client->datagram.sent_seq, m->seq, memory_order_relaxed);
	}
	b->n = 0;
	return all;
}

/* True when everybody has everything; false when the socket is full. */
static bool deliver_room(struct udp_listener *u)
{
	struct registry *g = udp_data(u);
	struct logring *log = g->room->log;
	struct logring_view v;
	struct batch b = {.n = 0};
	bool all = true;

	logring_pin(log, context_of(u)->slot, &v);
	for (struct member *m = members_oldest(g->members); m && all; m = m->newer) {
		if (m->seq < v.first) {
			/* Datagrams may be lost; a slow socket doesn't hold the room. */
			m->dropped += v.first - m->seq;
			udp_count_dropped(u, v.first - m->seq);
			m->seq = v.first;
		}
		for (uint64_t seq = m->seq; seq < v.count && all;) {
			struct udp_out *o = &b.out[b.n];
			*o = (struct udp_out){.to = &m->address, .local = &m->local};
			uint64_t n = gather(u, log, &v, seq, o);
			seq += n;
			b.members[b.n] = m;
			b.upto[b.n] = seq;
			b.count[b.n++] = n;
			if (b.n == UDP_BATCH)
				all = send_batch(u, &b);
		}
	}
	if (all)
		all = send_batch(u, &b);
	logring_flushed(log, context_of(u)->slot, &v);
	logring_unpin(log, context_of(u)->slot);
	return all;
}

static void deliver_private(struct udp_listener *u)
{
	struct registry *g = udp_data(u);
	struct logring *log = rooms_private(shared_of(u)->rooms)->log;
	struct logring_view v;

	logring_lock(log);
	logring_peek(log, &v);
	if (g->private_seq < v.first) {
		udp_count_dropped(u, v.first - g->private_seq);
		g->private_seq = v.first;
	}
	/* What the socket doesn't take now is sent when it does. */
	for (; g->private_seq < v.count && !udp_is_blocked(u); g->private_seq++) {
		uint64_t i = g->private_seq;
		const struct record *r = logring_record(log, i);
		struct member *m = members_at(g->members, r->target_index);
		if (!m || m->client->id != r->target || i < state(m)->private_seq)
			continue;
		uint64_t start = logring_start(log, &v, i);
		struct udp_out o = {.to = &m->address,
				    .local = &m->local,
				    .data = logring_at(&v, start),
				    .len = r->end - start};
		udp_send(u, &o, 1);
		if (o.error == -EAGAIN)
			break;
		transaction_begin(m->client)->private_seq = i + 1;
		transaction_commit(context_of(u), m->client, NULL);
	}
	logring_unlock(log);
}

static void registry_deliver(struct udp_listener *u, uint32_t room)
{
	struct registry *g = udp_data(u);

	if (room == ROOM_PRIVATE || room == ROOM_NONE)
		deliver_private(u);
	if (room == ROOM_PRIVATE)
		return;
	if (members_count(g->members) == 0 || (room != ROOM_NONE && room != g->room->index))
		return;
	if (udp_is_blocked(u)) {
		/* A full socket doesn't hold the room up. */
		logring_caught_up(g->room->log, context_of(u)->slot);
		return;
	}
	/* Segments may turn out not to work; then once more without. */
	if (!deliver_room(u) && !udp_is_blocked(u))
		deliver_room(u);
}

/* --- time, errors, the end --- */

static void registry_reloaded(struct udp_listener *u)
{
	const struct registry *g = udp_data(u);

	for (struct member *m = members_oldest(g->members); m; m = m->newer)
		if (!m->roster || roster_is_reserved(shared_of(u)->roster, m->roster))
			make_guest(u, m);
}

static void registry_tick(struct udp_listener *u)
{
	struct registry *g = udp_data(u);
	int64_t now = context_of(u)->now;

	struct member *m;

	while ((m = members_oldest(g->members)) && now - active_us(m) > udp_base(u)->config->lease_us) {
		count(context_of(u)->counters, COUNT_CLIENTS_IDLE, 1);
		send_away(u, m, true);
	}
}

static void registry_unreachable(struct udp_listener *u, const union address *a)
{
	const struct registry *g = udp_data(u);
	struct member *m = members_find(g->members, a);

	if (m)
		remove_member(u, m, true);
}

static void registry_goodbye(struct udp_listener *u, bool announce)
{
	struct registry *g = udp_data(u);

	if (members_count(g->members) > 0)
		deliver_room(u);
	for (struct member *m; (m = members_oldest(g->members));)
		send_away(u, m, announce);
}

static void registry_each(struct udp_listener *u, void (*fn)(const struct client_info *info, void *arg),
			  void *arg)
{
	struct registry *g = udp_data(u);
	int64_t now = context_of(u)->now;
	struct logring_view v = {0};

	if (members_count(g->members) > 0) {
		logring_lock(g->room->log);
		logring_peek(g->room->log, &v);
	}
	for (const struct member *m = members_oldest(g->members); m; m = m->newer) {
		const struct client_state *st = state(m);
		int64_t left = active_us(m) + udp_base(u)->config->lease_us - now;
		struct client_info info = {
		    .id = m->client->id,
		    .address = m->address,
		    .mode = "registry",
		    .age_us = now > m->began ? now - m->began : 0,
		    .idle_us = now - active_us(m),
		    .received = m->received,
		    .sent = m->sent,
		    .behind = v.head - logring_start(g->room->log, &v, m->seq > v.first ? m->seq : v.first),
		    .dropped = m->dropped,
		    .lease_us = left > 0 ? left : 0,
		    .covered = true,
		};
		snprintf(info.listener, sizeof(info.listener), "%s", udp_base(u)->name);
		memcpy(info.nick, st->nick, st->nick_len);
		snprintf(info.room, sizeof(info.room), "%s", g->room->name);
		fn(&info, arg);
	}
	if (members_count(g->members) > 0)
		logring_unlock(g->room->log);
}

static bool registry_kick(struct udp_listener *u, uint64_t id, const char *text, union address *ret_from)
{
	struct registry *g = udp_data(u);
	struct member *m = members_oldest(g->members);

	while (m && m->client->id != id)
		m = m->newer;
	if (!m)
		return false;
	*ret_from = m->address;
	udp_say(u, &m->address, &m->local, text, strlen(text));
	send_away(u, m, true);
	return true;
}

/* --- coming up --- */

/* Why an entry of a process before can't be trusted, or NULL. */
static const char *check_entry(struct udp_listener *u, const struct client *c, union address *ret)
{
	const struct registry *g = udp_data(u);
	const struct client_state *st = client_live(c);
	const struct room *room = st->room < ROOM_NONE ? rooms_at(shared_of(u)->rooms, st->room) : NULL;

	if (atomic_load(&c->live) > 1 || st->seal != client_seal_of(c, st) ||
	    !nick_well_formed(st->nick, st->nick_len))
		return "its entry is damaged";
	_Static_assert(sizeof(*ret) <= sizeof(c->datagram.address), "an address fits");
	memcpy(ret, c->datagram.address, sizeof(*ret));
	if ((ret->sa.sa_family != AF_INET && ret->sa.sa_family != AF_INET6) || address_port(ret) == 0)
		return "its address is damaged";
	if (!room || strcmp(room->name, g->room_name) != 0)
		return "its room is gone";
	return NULL;
}

/* Whether it was never confirmed, or was about to go. */
static bool is_void(const struct client *c)
{
	const struct client_state *st = client_live(c);

	return st->seal == client_seal_of(c, st) &&
	       (!(st->flags & CLIENT_GREETED) || st->flags & CLIENT_CLOSING);
}

static bool restore(struct udp_listener *u, struct client *c)
{
	struct registry *g = udp_data(u);
	struct shared *shared = shared_of(u);
	union address a;

	if (is_void(c))
		return false;
	const char *why = check_entry(u, c, &a);
	if (!why && members_find(g->members, &a))
		why = "its address is another one's";
	if (!why && limits_take(shared->limits, &a, udp_base(u)->origin, NULL) < 0)
		why = "out of memory";
	struct member *m = why ? NULL : add_member(u, c, &a);
	if (m) {
		const struct client_state *st = client_live(c);
		uint64_t sent = atomic_load(&c->datagram.sent_seq);
		g->room = rooms_enter_index(shared->rooms, st->room, context_of(u)->slot);
		uint64_t count = logring_count(g->room->log);
		memcpy(&m->local.address, st->local, sizeof(st->local));
		m->local.known = !IN6_IS_ADDR_UNSPECIFIED(&m->local.address);
		m->seq = sent < st->cursor_seq ? st->cursor_seq : sent;
		if (m->seq > count)
			m->seq = count;
		if (active_us(m) > context_of(u)->now)
			atomic_store(&c->datagram.active_us, context_of(u)->now);
		if (st->private_seq < g->private_seq)
			g->private_seq = st->private_seq;
		if (!nick_valid(st->nick, st->nick_len) ||
		    roster_claim(shared->roster, st->nick, st->nick_len, c->id, m->index, st->room, false,
				 &m->roster) < 0)
			make_guest(u, m);
		return true;
	}
	log_event(LOG_ERR,
		  &(struct log_fields){
		      .message_id = EVENT_STATE_REFUSED, .client = c->id, .listener = udp_base(u)->name},
		  "client %" PRIu64 " can't be taken over: %s", c->id, why ? why : "out of memory");
	return false;
}

static int by_activity(const void *a, const void *b)
{
	int64_t x = atomic_load(&(*(struct client *const *)a)->datagram.active_us);
	int64_t y = atomic_load(&(*(struct client *const *)b)->datagram.active_us);

	return x < y ? -1 : x > y;
}

static void registry_started(struct udp_listener *u)
{
	struct registry *g = udp_data(u);
	struct clients *clients = shared_of(u)->clients;
	_cleanup_free_ struct client **found = NULL;
	size_t n = 0, room = 0;
	struct client *c;

	g->private_seq = logring_count(rooms_private(shared_of(u)->rooms)->log);
	for (uint32_t i = 0; (c = clients_at(clients, i)); i++) {
		if (!client_is_datagram(c) || c->origin != udp_base(u)->origin)
			continue;
		if (n == room) {
			room = room ? room * 2 : 64;
			struct client **more = reallocarray(found, room, sizeof(struct client *));
			if (!more)
				abort(); /* a crash is recovered from; a lost registration is not */
			found = more;
		}
		found[n++] = c;
	}
	if (n > 0)
		qsort(found, n, sizeof(struct client *), by_activity);
	for (size_t i = 0; i < n; i++)
		if (!restore(u, found[i]))
			clients_release(clients, found[i]);
	if (members_count(g->members) > 0)
		rooms_remark(shared_of(u)->rooms, g->room, context_of(u)->slot);
}

static void registry_closed(void *data)
{
	struct registry *g = data;

	cookies_free(g->cookies);
	members_free(g->members);
	free(g);
}

static int registry_opened(struct udp_listener *u, const struct listener_config *config, void **ret_data)
{
	struct registry *g = calloc(1, sizeof(*g));

	(void)u;
	if (!g)
		return -ENOMEM;
	memcpy(g->room_name, config->room, sizeof(g->room_name));
	g->members = members_new();
	if (!g->members || cookies_new(&g->cookies) < 0) {
		registry_closed(g);
		return -ENOMEM;
	}
	*ret_data = g;
	return 0;
}

const struct udp_behaviour udp_registry = {
    .opened = registry_opened,
    .started = registry_started,
    .received = registry_received,
    .deliver = registry_deliver,
    .tick = registry_tick,
    .reloaded = registry_reloaded,
    .unreachable = registry_unreachable,
    .goodbye = registry_goodbye,
    .each = registry_each,
    .kick = registry_kick,
    .closed = registry_closed,
};

const struct handler handler_udp_registry = {
    .type = "udp",
    .mode = "registry",
    .transport = TRANSPORT_UDP,
    .uses_room = true,
    .uses_lease = true,
    .udp = &udp_registry,
};
