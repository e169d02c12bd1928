/* SPDX-License-Identifier: MIT */
/* Connections that are in many rooms: see seats.h. */
#include "daemon/engine/seats.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/engine/connection_own.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How far the log of another room is searched for the copy of an event, and how much older (us) a client's QUIT may be
 * there: who dies between two of them goes on in the next process. */
#define SEATS_SEARCH_MAX 4096
#define SEATS_QUIT_US 60000000

struct seat {
	struct connection *of;
	struct room *room;
	struct membership *membership;
	uint64_t since; /* no event below that number was told it; 0 in a new process, where nobody knows */
	struct seat *next; /* of its connection */
	/* Of those in this room whose streams go on with another one's log. */
	struct seat *room_next, *room_prev;
};

static struct clients *seats_clients(const struct connection *c)
{
	return c->ctx->shared->clients;
}

static struct seat **seats_of(const struct connection *c)
{
	return &c->ctx->connections->seats[connection_index(c)];
}

static struct seat *seats_find(const struct connection *c, const struct room *room)
{
	struct seat *s = *seats_of(c);

	while (s && s->room != room)
		s = s->next;
	return s;
}

static struct membership *seats_membership(const struct connection *c, const struct room *room)
{
	struct membership *m = NULL;
	struct position p;

	while ((m = membership_next(seats_clients(c), c->client, m)))
		if (m->room == room->index && membership_get(c->client, connection_state(c), m, &p))
			return m;
	return NULL;
}

/* Where it is in the room: the direct one's place is not always committed. */
static struct position seats_place(const struct connection *c, const struct seat *s)
{
	struct position p = {0, 0};

	if (s->room == c->room)
		return (struct position){c->pos, c->seq};
	(void)!membership_get(c->client, connection_state(c), s->membership, &p);
	return p;
}

/* The same, as it will be with the transaction, if one is under way. */
static struct position seats_next_place(const struct connection *c, const struct seat *s)
{
	const struct client_state *draft = connection_draft(c);
	struct position p, committed = seats_place(c, s);

	if (draft && membership_get(c->client, draft, s->membership, &p) && p.seq > committed.seq)
		return p;
	return committed;
}

unsigned seats_count(const struct connection *c)
{
	unsigned n = 0;

	for (const struct seat *s = *seats_of(c); s; s = s->next)
		n++;
	return n;
}

bool seats_in(const struct connection *c, const struct room *room)
{
	return seats_find(c, room) != NULL;
}

struct room *seats_room(const struct connection *c, const char *name)
{
	const struct seat *s = *seats_of(c);

	while (s && strcmp(s->room->name, name) != 0)
		s = s->next;
	return s ? s->room : NULL;
}

struct room *seats_room_at(const struct connection *c, uint32_t index)
{
	const struct seat *s = *seats_of(c);

	while (s && s->room->index != index)
		s = s->next;
	return s ? s->room : NULL;
}

void seats_each(struct connection *c, bool (*fn)(struct connection *c, struct room *room, void *arg),
		void *arg)
{
	struct seat *next;

	for (struct seat *s = *seats_of(c); s; s = next) {
		next = s->next;
		if (!fn(c, s->room, arg))
			return;
	}
}

void seats_describe(const struct connection *c, char *text, size_t size)
{
	const struct seat *s = *seats_of(c);
	unsigned n = seats_count(c);

	*text = 0;
	if (n == 2 && strlen(s->room->name) + strlen(s->next->room->name) + 2 <= size)
		snprintf(text, size, "%s,%s", s->room->name, s->next->room->name);
	else if (n == 1)
		snprintf(text, size, "%s", s->room->name);
	else if (n > 1)
		snprintf(text, size, "%.*s,+%u", (int)size - 8, s->room->name, n - 1);
}

/* --- who waits in which room --- */

static void seats_wait(struct seat *s)
{
	struct seat **head = &s->of->ctx->connections->waiting[s->room->index];

	s->room_prev = NULL;
	s->room_next = *head;
	if (*head)
		(*head)->room_prev = s;
	*head = s;
}

static void seats_wait_no_more(struct seat *s)
{
	if (s->room_prev)
		s->room_prev->room_next = s->room_next;
	else
		s->of->ctx->connections->waiting[s->room->index] = s->room_next;
	if (s->room_next)
		s->room_next->room_prev = s->room_prev;
}

/* Its outbox is empty: what comes next is this room's log. */
static void seats_turn_to(struct connection *c, struct seat *s)
{
	struct seat *before = c->room ? seats_find(c, c->room) : NULL;
	struct client_state *draft = connection_begin(c);

	draft->direct = membership_number(seats_clients(c), s->membership);
	FAULT("seat-turn");
	connection_commit(c, NULL);
	if (before) {
		connection_unlink(c);
		seats_wait(before);
	}
	seats_wait_no_more(s);
	connection_link(c, s->room);
}

static bool seats_has_news(const struct connection *c, const struct seat *s)
{
	return logring_count(s->room->log) > seats_place(c, s).seq;
}

bool seats_turn(struct connection *c)
{
	for (struct seat *s = *seats_of(c); s; s = s->next) {
		if (s->room == c->room || !seats_has_news(c, s))
			continue;
		seats_turn_to(c, s);
		return true;
	}
	return false;
}

void seats_turn_all(struct connections *cs, uint32_t room)
{
	struct seat *next;

	for (struct seat *s = cs->waiting[room]; s; s = next) {
		struct connection *c = s->of;
		next = s->room_next;
		if (c->phase >= PHASE_DOOMED)
			continue;
		if (c->blocked || output_is_pending(c))
			c->behind = true;
		else if (seats_has_news(c, s))
			seats_turn_to(c, s);
	}
	/* If there is nobody to deliver to, nobody else says that this thread is not late, and speakers wait for it. */
	if (cs->waiting[room] && !cs->members[room])
		logring_caught_up(cs->waiting[room]->room->log, cs->ctx->slot);
}

bool seats_lack_something(const struct connection *c)
{
	for (const struct seat *s = *seats_of(c); s; s = s->next)
		if (seats_has_news(c, s))
			return true;
	return false;
}

/* --- coming and going --- */

static void seats_sit_down(struct connection *c, struct room *room, struct membership *m)
{
	struct seat *s = calloc(1, sizeof(*s));

	if (!s)
		abort(); /* it is in there already; and a crash is recovered from */
	*s = (struct seat){.of = c, .room = room, .membership = m, .next = *seats_of(c)};
	*seats_of(c) = s;
	if (m == membership_direct(seats_clients(c), connection_state(c)))
		connection_link(c, room);
	else
		seats_wait(s);
}

int seats_join(struct connection *c, const struct room *room, struct position p)
{
	return membership_join(seats_clients(c), c->client, connection_draft(c), room->index, p) ? 0
												 : -ENOSPC;
}

void seats_joined(struct connection *c, struct room *room)
{
	seats_sit_down(c, room, seats_membership(c, room));
	(*seats_of(c))->since = seats_place(c, *seats_of(c)).seq;
	c->behind = true;
}

void seats_leave(struct connection *c, const struct room *room)
{
	const struct seat *s = seats_find(c, room);
	struct client_state *draft = connection_draft(c);

	membership_leave(c->client, draft, s->membership);
	if (draft->direct == membership_number(seats_clients(c), s->membership))
		draft->direct = 0;
}

void seats_left(struct connection *c, struct room *room)
{
	struct seat **link = seats_of(c);

	while ((*link)->room != room)
		link = &(*link)->next;
	struct seat *s = *link;
	*link = s->next;
	if (c->room == room) {
		connection_unlink(c);
		c->room = NULL;
		c->behind = true;
	} else {
		seats_wait_no_more(s);
	}
	free(s);
	connection_give_room_back(c, room);
}

void seats_restore(struct connection *c)
{
	struct membership *m = NULL;
	struct position p;

	while ((m = membership_next(seats_clients(c), c->client, m))) {
		struct room *room = membership_get(c->client, connection_state(c), m, &p)
					? rooms_enter_index(c->ctx->shared->rooms, m->room, c->ctx->slot)
					: NULL;
		if (room)
			seats_sit_down(c, room, m);
	}
	c->behind = true;
}

void seats_give_up(struct connection *c)
{
	struct seat *s;

	while ((s = *seats_of(c)))
		seats_left(c, s->room);
}

void seats_free(struct connection *c)
{
	struct seat *s;

	while ((s = *seats_of(c))) {
		*seats_of(c) = s->next;
		free(s);
	}
}

/* --- places --- */

void seats_go_on_at(struct connection *c, const struct room *room, struct position p)
{
	membership_move(c->client, connection_draft(c), seats_find(c, room)->membership, p);
}

bool seats_settle(struct connection *c, struct room *room, size_t reserve)
{
	struct client_state *draft = connection_draft(c);
	const struct seat *s = seats_find(c, room);
	struct position p = {0, 0};

	writing_wrap(c);
	(void)!membership_get(c->client, draft, s->membership, &p);
	return output_settle_at(c, room, &p, reserve) && (seats_go_on_at(c, room, p), true);
}

/* --- what is told in many rooms --- */

static bool seats_is_copy(const struct record *a, const struct record *b)
{
	return a->kind == b->kind && a->sender == b->sender &&
	       (a->kind == RECORD_QUIT || a->time_us == b->time_us);
}

/* Among those before its place there, from the newest on. */
static bool seats_passed_in(struct connection *c, const struct seat *s, const struct record *event)
{
	const struct logring *log = s->room->log;
	struct logring_view v;
	uint64_t seq;
	bool found = false;

	logring_pin(s->room->log, c->ctx->slot, &v);
	const uint64_t first = s->since > v.first ? s->since : v.first;
	const uint64_t slack = event->kind == RECORD_QUIT ? SEATS_QUIT_US : 0;
	seq = seats_next_place(c, s).seq;
	if (seq > v.count)
		seq = v.count;
	for (unsigned n = 0; !found && seq > first && n < SEATS_SEARCH_MAX; n++) {
		const struct record *r = logring_record(log, --seq);
		if (r->time_us + slack < event->time_us)
			break;
		found = seats_is_copy(r, event);
	}
	logring_unpin(s->room->log, c->ctx->slot);
	return found;
}

bool seats_passed_elsewhere(struct connection *c, const struct room *room, const struct record *event)
{
	for (const struct seat *s = *seats_of(c); s; s = s->next)
		if (s->room != room && seats_passed_in(c, s, event))
			return true;
	return false;
}
