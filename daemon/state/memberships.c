/* SPDX-License-Identifier: MIT */
/* Who is in which room, in the file of clients; memberships.h says by which rules it survives a crash. */
#include "daemon/state/memberships.h"

#include "daemon/base/fault.h"
#include "daemon/rooms/room.h"
#include "daemon/state/file.h"

#include <stdlib.h>

/* This many bits of a mark are the check; a generation has the others, which last for years. */
#define CHECK_BITS 16

static uint64_t memberships_mark_of(const struct client *c, const struct membership *m, uint64_t generation,
				    struct position p)
{
	uint64_t h = c->id * 0x9e3779b97f4a7c15ULL + m->room;

#ifndef MEASURE_WITHOUT_SURVIVAL
	h = (h ^ generation) * 0xff51afd7ed558ccdULL;
	h = (h ^ h >> 32 ^ p.cursor) * 0xc4ceb9fe1a85ec53ULL;
	h = (h ^ h >> 32 ^ p.seq) * 0xff51afd7ed558ccdULL;
#else
	(void)p;
#endif
	return generation << CHECK_BITS | h >> (64 - CHECK_BITS);
}

static uint64_t memberships_generation_at(const struct membership *m, unsigned i)
{
	return atomic_load_explicit(&m->at[i].mark, memory_order_relaxed) >> CHECK_BITS;
}

static struct position memberships_position_at(const struct membership *m, unsigned i)
{
	return (struct position){atomic_load_explicit(&m->at[i].cursor, memory_order_relaxed),
				 atomic_load_explicit(&m->at[i].seq, memory_order_relaxed)};
}

/* The place that counts up to that generation; -1: none. */
static int memberships_counting(const struct membership *m, uint64_t generation)
{
	int best = -1;

	for (int i = 0; i < 2; i++) {
		uint64_t g = memberships_generation_at(m, (unsigned)i);
		if (g > 0 && g <= generation &&
		    (best < 0 || g > memberships_generation_at(m, (unsigned)best)))
			best = i;
	}
	return best;
}

/* Whatever is marked is whole. */
static bool memberships_is_sound(const struct client *c, const struct membership *m)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t mark = atomic_load_explicit(&m->at[i].mark, memory_order_relaxed);
		if (mark != 0 &&
		    mark != memberships_mark_of(c, m, mark >> CHECK_BITS, memberships_position_at(m, i)))
			return false;
	}
	return m->flags == 0;
}

bool membership_get(const struct client *c, const struct client_state *st, const struct membership *m,
		    struct position *ret)
{
	int i = memberships_counting(m, st->generation);

	if (i < 0 || !memberships_is_sound(c, m))
		return false;
	*ret = memberships_position_at(m, (unsigned)i);
	return ret->cursor != MEMBERSHIP_LEFT;
}

bool membership_is_of(struct clients *cs, const struct client *c, const struct membership *m)
{
	return atomic_load(&m->client) == file_index(cs, c) + 1;
}

struct membership *membership_direct(struct clients *cs, const struct client_state *st)
{
	return st->direct > 0 && st->direct <= atomic_load(&cs->file->header.memberships_high)
		   ? &cs->file->memberships[st->direct - 1]
		   : NULL;
}

uint32_t membership_number(const struct clients *cs, const struct membership *m)
{
	return (uint32_t)(m - cs->file->memberships) + 1;
}

uint32_t membership_room(struct clients *cs, const struct client_state *st)
{
	const struct membership *m = membership_direct(cs, st);

	return m ? m->room : ROOM_NONE;
}

struct position membership_place(struct clients *cs, const struct client_state *st)
{
	const struct membership *m = membership_direct(cs, st);
	int i = m ? memberships_counting(m, st->generation) : -1;

	return i >= 0 ? memberships_position_at(m, (unsigned)i) : (struct position){0, 0};
}

struct membership *membership_next(struct clients *cs, const struct client *c, const struct membership *m)
{
	uint32_t next = m ? m->next : c->memberships;

	return next ? &cs->file->memberships[next - 1] : NULL;
}

/* --- changing --- */

/* Puts a position where it doesn't count until the draft is true. */
static void memberships_put(const struct client *c, const struct client_state *draft, struct membership *m,
			    struct position p)
{
	int now = memberships_counting(m, draft->generation - 1);
	struct membership_position *to = &m->at[now == 0];

	atomic_store_explicit(&to->mark, 0, memory_order_release);
	FAULT("position-cleared");
	atomic_signal_fence(memory_order_seq_cst);
	atomic_store_explicit(&to->cursor, p.cursor, memory_order_relaxed);
	atomic_store_explicit(&to->seq, p.seq, memory_order_relaxed);
	FAULT("position-written");
	atomic_store_explicit(&to->mark, memberships_mark_of(c, m, draft->generation, p),
			      memory_order_release);
	FAULT("position-marked");
}

/* A free place in the table, plus 1; 0: there is none. */
static uint32_t memberships_take_place(struct clients *cs)
{
	struct file_header *h = &cs->file->header;
	uint32_t place = 0;

	pthread_mutex_lock(&cs->lock);
	if (cs->free_memberships.n > 0)
		place = cs->free_memberships.at[--cs->free_memberships.n] + 1;
	else if (atomic_load(&h->memberships_high) < MEMBERSHIPS_CAPACITY)
		place = atomic_fetch_add(&h->memberships_high, 1) + 1;
	pthread_mutex_unlock(&cs->lock);
	return place;
}

static void memberships_give_place(struct clients *cs, struct membership *m)
{
	atomic_store(&m->client, 0);
	FAULT("membership-freed");
	pthread_mutex_lock(&cs->lock);
	free_places_push(&cs->free_memberships, (uint32_t)(m - cs->file->memberships));
	pthread_mutex_unlock(&cs->lock);
}

struct membership *membership_join(struct clients *cs, struct client *c, const struct client_state *draft,
				   uint32_t room, struct position p)
{
	uint32_t place = memberships_take_place(cs);

	if (!place)
		return NULL;
	struct membership *m = &cs->file->memberships[place - 1];
	m->room = room;
	m->flags = 0;
	for (unsigned i = 0; i < 2; i++)
		atomic_store_explicit(&m->at[i].mark, 0, memory_order_relaxed);
	m->next = c->memberships;
	c->memberships = place;
	/* Whose it is, a successor is told last: before, the place had the marks of another client's. */
	atomic_store_explicit(&m->client, file_index(cs, c) + 1, memory_order_release);
	FAULT("membership-made");
	memberships_put(c, draft, m, p);
	return m;
}

void membership_move(const struct client *c, const struct client_state *draft, struct membership *m,
		     struct position p)
{
	memberships_put(c, draft, m, p);
}

void membership_leave(struct client *c, const struct client_state *draft, struct membership *m)
{
	c->has_left = 1;
	memberships_put(c, draft, m, (struct position){MEMBERSHIP_LEFT, 0});
}

void membership_set_direct(struct clients *cs, struct client *c, struct client_state *draft, uint32_t room,
			   struct position p)
{
	struct membership *m = membership_direct(cs, draft);

	if (m && m->room == room) {
		membership_move(c, draft, m, p);
		return;
	}
	if (m)
		membership_leave(c, draft, m);
	draft->direct = 0;
	if (room == ROOM_NONE)
		return;
	m = membership_join(cs, c, draft, room, p);
	if (!m)
		abort(); /* there are four for each client; and a crash is recovered from */
	draft->direct = membership_number(cs, m);
}

/* Gives those of a client's back that are over, and unlinks them. */
static void memberships_filter(struct clients *cs, struct client *c,
			       bool (*is_over)(const struct client *c, struct membership *m))
{
	uint32_t *link = &c->memberships;

	while (*link) {
		struct membership *m = &cs->file->memberships[*link - 1];
		if (is_over(c, m)) {
			*link = m->next;
			memberships_give_place(cs, m);
		} else {
			link = &m->next;
		}
	}
}

/* Takes the marks away that belong to no state yet. */
static void memberships_wipe(const struct client *c, struct membership *m)
{
	for (unsigned i = 0; i < 2; i++)
		if (memberships_generation_at(m, i) > client_live(c)->generation)
			atomic_store_explicit(&m->at[i].mark, 0, memory_order_release);
}

static bool memberships_wiped_is_over(const struct client *c, struct membership *m)
{
	memberships_wipe(c, m);
	return memberships_counting(m, client_live(c)->generation) < 0;
}

static bool memberships_has_been_left(const struct client *c, struct membership *m)
{
	int i = memberships_counting(m, client_live(c)->generation);

	return i < 0 || memberships_position_at(m, (unsigned)i).cursor == MEMBERSHIP_LEFT;
}

static bool memberships_always(const struct client *c, struct membership *m)
{
	(void)c;
	(void)m;
	return true;
}

void memberships_forget_draft(struct clients *cs, struct client *c)
{
	c->has_left = 0;
	memberships_filter(cs, c, memberships_wiped_is_over);
}

void memberships_sweep(struct clients *cs, struct client *c)
{
	c->has_left = 0;
	memberships_filter(cs, c, memberships_has_been_left);
}

void memberships_release(struct clients *cs, struct client *c)
{
	memberships_filter(cs, c, memberships_always);
}

/* Whose membership it is, if it adds up, in a state that is true; else NULL. */
static struct client *memberships_owner_of(struct clients *cs, const struct membership *m)
{
	uint32_t index = atomic_load(&m->client);
	struct client *c = index > 0 ? file_entry(cs, index - 1) : NULL;
	struct position p;

	return c && atomic_load(&c->cookie) && membership_get(c, client_live(c), m, &p) ? c : NULL;
}

void memberships_rebuild(struct clients *cs)
{
	struct client *c;

	for (uint32_t i = 0; (c = file_entry(cs, i)); i++)
		c->memberships = c->has_left = 0;
	cs->free_memberships.n = 0;
	for (uint32_t i = atomic_load(&cs->file->header.memberships_high); i-- > 0;) {
		struct membership *m = &cs->file->memberships[i];
		c = memberships_owner_of(cs, m);
		if (!c) {
			memberships_give_place(cs, m);
			continue;
		}
		memberships_wipe(c, m);
		m->next = c->memberships;
		c->memberships = i + 1;
	}
}
