/* SPDX-License-Identifier: MIT */
/*
 * Positions in rooms that become true with their client's state. A crash is a second mapping of the same file:
 * whatever has been stored by then is there, and the rest is not.
 */
#include "tests/unit/state/one_client.h"
#include "tests/unit/state/steps.h"

#include "daemon/io/memfd.h"
#include "daemon/rooms/room.h"
#include "daemon/state/clients.h"
#include "daemon/state/file.h"
#include "daemon/state/memberships.h"

#include <stdlib.h>
#include <string.h>

/* As engine/transaction.c does it. */
static struct client_state *begin(struct fixture *f)
{
	uint32_t next = !(atomic_load(&f->c->live) & 1);

	if (f->c->st[next].generation > f->c->st[!next].generation)
		memberships_forget_draft(f->cs, f->c);
	f->c->st[next] = f->c->st[!next];
	f->c->st[next].generation++;
	return &f->c->st[next];
}

static void commit(struct fixture *f)
{
	atomic_store(&f->c->live, !(atomic_load(&f->c->live) & 1));
	if (f->c->has_left)
		memberships_sweep(f->cs, f->c);
}

/* The process has died, and the next one looks at what is there. */
static void crash(struct fixture *f)
{
	uint32_t index = clients_index(f->cs, f->c);

	clients_close(f->cs);
	assert_int_equal(clients_open(f->fd, false, &f->cs), 0);
	f->c = clients_at(f->cs, index);
	memberships_rebuild(f->cs);
	clients_rebuild(f->cs);
}

static unsigned rooms_of(struct fixture *f)
{
	unsigned n = 0;

	for (const struct membership *m = NULL; (m = membership_next(f->cs, f->c, m));)
		n++;
	return n;
}

static struct membership *in_room(struct fixture *f, uint32_t room)
{
	for (struct membership *m = NULL; (m = membership_next(f->cs, f->c, m));)
		if (m->room == room)
			return m;
	return NULL;
}

static void assert_place(struct fixture *f, uint32_t room, uint64_t cursor, uint64_t seq)
{
	const struct membership *m = in_room(f, room);
	struct position p = {0, 0};

	assert_non_null(m);
	assert_true(membership_get(f->c, client_live(f->c), m, &p));
	assert_int_equal(p.cursor, cursor);
	assert_int_equal(p.seq, seq);
}

static struct position at(uint64_t cursor, uint64_t seq)
{
	return (struct position){cursor, seq};
}

static void join_true(struct fixture *f, uint32_t room, uint64_t cursor, uint64_t seq)
{
	assert_non_null(membership_join(f->cs, f->c, begin(f), room, at(cursor, seq)));
	commit(f);
}

static void many_rooms(void **state)
{
	struct fixture *f = *state;

	for (uint32_t room = 1; room <= 50; room++)
		join_true(f, room, room * 10, room);
	assert_int_equal(rooms_of(f), 50);
	struct client_state *next = begin(f);
	for (uint32_t room = 1; room <= 50; room += 2)
		membership_leave(f->c, next, in_room(f, room));
	for (uint32_t room = 2; room <= 50; room += 2)
		membership_move(f->c, next, in_room(f, room), at(room * 100, room + 1));
	assert_int_equal(rooms_of(f), 50);
	commit(f);
	for (unsigned i = 0; i < 2; i++, crash(f)) {
		assert_int_equal(rooms_of(f), 25);
		assert_null(in_room(f, 1));
		for (uint32_t room = 2; room <= 50; room += 2)
			assert_place(f, room, room * 100, room + 1);
	}
	/* What was given back is used again. */
	uint32_t high = atomic_load(&f->cs->file->header.memberships_high);
	for (uint32_t room = 1; room <= 50; room += 2)
		join_true(f, room, room, room);
	assert_int_equal(atomic_load(&f->cs->file->header.memberships_high), high);
	assert_int_equal(rooms_of(f), 50);
}

/* Dead before the commit: nothing of it has happened, in any of the rooms. */
static void before_the_commit(void **state)
{
	struct fixture *f = *state;

	join_true(f, 1, 10, 1);
	join_true(f, 2, 20, 2);
	for (unsigned i = 0; i < 3; i++) {
		struct client_state *next = begin(f);
		membership_move(f->c, next, in_room(f, 1), at(1000, 100));
		membership_leave(f->c, next, in_room(f, 2));
		assert_non_null(membership_join(f->cs, f->c, next, 3, at(30, 3)));
		if (i == 2)
			memset(next, 0, sizeof(*next)); /* and the draft itself is damaged */
		crash(f);
		assert_int_equal(rooms_of(f), 2);
		assert_place(f, 1, 10, 1);
		assert_place(f, 2, 20, 2);
	}
	/* And what that has left does not count when its generation is used by another change. */
	struct client_state *next = begin(f);
	membership_move(f->c, next, in_room(f, 2), at(25, 3));
	commit(f);
	crash(f);
	assert_int_equal(rooms_of(f), 2);
	assert_place(f, 1, 10, 1);
	assert_place(f, 2, 25, 3);
}

/* The same within one process: a transaction that is not committed. */
static void abandoned(void **state)
{
	struct fixture *f = *state;

	join_true(f, 1, 10, 1);
	join_true(f, 2, 20, 2);
	struct client_state *next = begin(f);
	membership_move(f->c, next, in_room(f, 1), at(1000, 100));
	membership_leave(f->c, next, in_room(f, 2));
	membership_join(f->cs, f->c, next, 3, at(30, 3));
	begin(f);
	commit(f);
	for (unsigned i = 0; i < 2; i++, crash(f)) {
		assert_int_equal(rooms_of(f), 2);
		assert_place(f, 1, 10, 1);
		assert_place(f, 2, 20, 2);
	}
}

/* Dead after the store of `live`: all of it has, though nobody came to tidy up. */
static void after_the_commit(void **state)
{
	struct fixture *f = *state;

	join_true(f, 1, 10, 1);
	join_true(f, 2, 20, 2);
	struct client_state *next = begin(f);
	membership_move(f->c, next, in_room(f, 1), at(1000, 100));
	membership_leave(f->c, next, in_room(f, 2));
	membership_join(f->cs, f->c, next, 3, at(30, 3));
	atomic_store(&f->c->live, !(atomic_load(&f->c->live) & 1));
	crash(f);
	assert_int_equal(rooms_of(f), 2);
	assert_place(f, 1, 1000, 100);
	assert_place(f, 3, 30, 3);
}

/* Several moves in one transaction, and in many: the place that counts is never the one that is written. */
static void moves_in_a_row(void **state)
{
	struct fixture *f = *state;

	join_true(f, 1, 0, 0);
	for (uint64_t i = 1; i < 100; i++) {
		struct client_state *next = begin(f);
		for (uint64_t k = 0; k < 3; k++) {
			membership_move(f->c, next, in_room(f, 1), at(i * 10 + k, i));
			assert_place(f, 1, (i - 1) * 10 + (i > 1 ? 2 : 0), i - 1);
		}
		if (i % 7 == 0) {
			crash(f);
			assert_place(f, 1, (i - 1) * 10 + (i > 1 ? 2 : 0), i - 1);
			next = begin(f);
			membership_move(f->c, next, in_room(f, 1), at(i * 10 + 2, i));
		}
		commit(f);
		assert_place(f, 1, i * 10 + 2, i);
	}
}

/* What a successor would find if it came now: where the client is in rooms 1 to 3, as one number. */
static uint64_t found(struct fixture *f)
{
	const struct client_state *st = client_live(f->c);
	uint64_t sum = 0;

	for (uint32_t i = 0; i < atomic_load(&f->cs->file->header.memberships_high); i++) {
		const struct membership *m = &f->cs->file->memberships[i];
		struct position p;
		if (membership_is_of(f->cs, f->c, m) && membership_get(f->c, st, m, &p))
			for (uint64_t k = 0, digit = p.cursor * 10 + p.seq; k <= m->room; k++, digit *= 1000)
				sum += k == m->room ? digit : 0;
	}
	return sum;
}

static void change(struct fixture *f)
{
	struct client_state *next = begin(f);

	membership_move(f->c, next, in_room(f, 1), at(3, 3));
	membership_leave(f->c, next, in_room(f, 2));
	membership_join(f->cs, f->c, next, 3, at(4, 4));
	commit(f);
}

struct walk {
	struct fixture *f;
	uint64_t before, after, now;
	bool changed;
};

static void walk_change(void *arg)
{
	change(((struct walk *)arg)->f);
}

static bool walk_look(void *arg)
{
	struct walk *w = arg;

	w->now = found(w->f);
	w->changed |= w->now != w->before;
	return w->now == (w->changed ? w->after : w->before);
}

/* Dead after any instruction: all of a change has happened or nothing, and it never goes back. */
static void after_any_instruction(void **state)
{
	struct fixture *f = *state;
	struct walk w = {.f = f, .after = 33000 + 44000000000};

	for (uint64_t i = 1; i <= 2; i++) { /* so that both places are in use */
		struct client_state *next = begin(f);
		for (uint32_t room = 1; room <= 2; room++)
			if (i == 1)
				membership_join(f->cs, f->c, next, room, at(i, i));
			else
				membership_move(f->c, next, in_room(f, room), at(i, i));
		commit(f);
	}
	w.before = found(f);
	assert_int_equal(w.before, 22000 + 22000000);
	unsigned steps = steps_of(walk_change, walk_look, &w);
	assert_int_equal(w.now, w.after);
	assert_in_range(steps, 100, 1000000);
}

static void direct(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(membership_room(f->cs, client_live(f->c)), ROOM_NONE);
	membership_set_direct(f->cs, f->c, begin(f), 5, at(50, 5));
	commit(f);
	membership_set_direct(f->cs, f->c, begin(f), 5, at(60, 6));
	commit(f);
	assert_int_equal(rooms_of(f), 1);
	struct client_state *next = begin(f);
	membership_set_direct(f->cs, f->c, next, 6, at(7, 7));
	assert_int_equal(membership_room(f->cs, client_live(f->c)), 5);
	assert_int_equal(membership_place(f->cs, client_live(f->c)).cursor, 60);
	assert_int_equal(membership_room(f->cs, next), 6);
	assert_int_equal(membership_place(f->cs, next).cursor, 7);
	crash(f);
	assert_int_equal(membership_room(f->cs, client_live(f->c)), 5);
	membership_set_direct(f->cs, f->c, begin(f), 6, at(7, 7));
	commit(f);
	for (unsigned i = 0; i < 2; i++, crash(f)) {
		assert_int_equal(rooms_of(f), 1);
		assert_int_equal(membership_room(f->cs, client_live(f->c)), 6);
		assert_true(membership_is_of(f->cs, f->c, membership_direct(f->cs, client_live(f->c))));
	}
	membership_set_direct(f->cs, f->c, begin(f), ROOM_NONE, at(0, 0));
	commit(f);
	assert_int_equal(rooms_of(f), 0);
	assert_int_equal(membership_room(f->cs, client_live(f->c)), ROOM_NONE);
}

/* Whatever is changed by anybody else is not believed, nor is an older place in its stead. */
static void damage(void **state)
{
	struct fixture *f = *state;

	for (unsigned what = 0; what < 6; what++) {
		membership_set_direct(f->cs, f->c, begin(f), 1, at(10, 1));
		commit(f);
		membership_set_direct(f->cs, f->c, begin(f), 1, at(20, 2));
		commit(f);
		struct membership *m = in_room(f, 1);
		unsigned now = atomic_load(&m->at[0].cursor) == 20 ? 0 : 1;
		_Atomic uint64_t *words[] = {&m->at[now].mark, &m->at[now].cursor, &m->at[now].seq};
		if (what < 3)
			atomic_fetch_xor(words[what], 1 << 20);
		else if (what == 3)
			m->room ^= 1;
		else if (what == 4)
			m->flags = 1;
		else
			atomic_store(&m->client, 77);
		crash(f);
		assert_int_equal(rooms_of(f), 0);
		assert_false(membership_is_of(f->cs, f->c, membership_direct(f->cs, client_live(f->c))));
		begin(f)->direct = 0;
		commit(f);
	}
}

/* A client that goes takes its memberships along, also when it dies within that; its successor has none. */
static void release(void **state)
{
	struct fixture *f = *state;

	join_true(f, 1, 10, 1);
	join_true(f, 2, 10, 1);
	struct client_state *next = begin(f);
	for (uint32_t room = 1; room <= 2; room++)
		membership_move(f->c, next, in_room(f, room), at(20, 2));
	commit(f);
	atomic_store(&f->c->cookie, 0); /* and then it died */
	crash(f);
	struct client *other = clients_allocate(f->cs);
	assert_ptr_equal(other, f->c);
	atomic_store(&f->c->cookie, 2);
	crash(f);
	assert_int_equal(rooms_of(f), 0);
	join_true(f, 3, 10, 1);
	clients_release(f->cs, f->c);
	f->c = clients_allocate(f->cs);
	atomic_store(&f->c->cookie, 3);
	assert_int_equal(rooms_of(f), 0);
	crash(f);
	assert_int_equal(rooms_of(f), 0);
	/* In a place that was another one's. */
	join_true(f, 3, 30, 3);
	assert_place(f, 3, 30, 3);
	crash(f);
	assert_place(f, 3, 30, 3);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(many_rooms),	  CASE(before_the_commit),     CASE(abandoned), CASE(after_the_commit),
	    CASE(moves_in_a_row), CASE(after_any_instruction), CASE(direct),	CASE(damage),
	    CASE(release),
	};

	return cmocka_run_group_tests_name("memberships", tests, NULL, NULL);
}
