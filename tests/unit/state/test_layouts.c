/* SPDX-License-Identifier: MIT */
/* The state of an earlier layout is read, whole or not at all, however far an attempt before had got. */
#include "tests/unit/unit.h"

#include "daemon/base/logger.h"
#include "daemon/rooms/room.h"
#include "daemon/state/clients.h"
#include "daemon/state/layouts.h"
#include "daemon/state/memberships.h"
#include "tests/old_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	struct old_state_files old;
	struct sockets *passed;
	struct slots *slots;
	int rooms_fd, clients_fd; /* what was made of it */
	struct rooms *rooms;
	struct clients *cs;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	log_open(LOG_CRIT);
	old_state_new(&f->old);
	f->rooms_fd = f->clients_fd = -1;
	if (sockets_take(&f->passed) < 0 || slots_new(1, &f->slots) < 0)
		return -1;
	*state = f;
	return 0;
}

static void let_go(struct fixture *f)
{
	clients_close(f->cs);
	rooms_close(f->rooms);
	f->cs = NULL;
	f->rooms = NULL;
	if (f->rooms_fd >= 0)
		close(f->rooms_fd);
	if (f->clients_fd >= 0)
		close(f->clients_fd);
	f->rooms_fd = f->clients_fd = -1;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	let_go(f);
	sockets_close(f->passed);
	old_state_free(&f->old);
	slots_free(f->slots);
	free(f);
	return 0;
}

static void pass(struct fixture *f, int fd, const char *name)
{
	sockets_give_back(f->passed, fcntl(fd, F_DUPFD_CLOEXEC, 3), name);
}

static void pass_old(struct fixture *f)
{
	pass(f, f->old.rooms_fd, "chatd-rooms");
	pass(f, f->old.clients_fd, "chatd-clients");
}

/* Takes over what was passed. */
static bool adopt(struct fixture *f)
{
	bool refused;

	assert_int_equal(layouts_adopt(f->passed, &refused), 0);
	f->rooms_fd = sockets_claim(f->passed, LAYOUTS_ROOMS_NAME);
	f->clients_fd = sockets_claim(f->passed, LAYOUTS_CLIENTS_NAME);
	assert_int_equal(sockets_claim(f->passed, "chatd-rooms"), -ENOENT);
	assert_int_equal(sockets_claim(f->passed, "chatd-clients"), -ENOENT);
	return refused;
}

static void open_all(struct fixture *f)
{
	assert_int_equal(rooms_open(f->rooms_fd, false, f->slots, &f->rooms), 0);
	assert_int_equal(clients_open(f->clients_fd, false, &f->cs), 0);
	memberships_rebuild(f->cs);
	clients_rebuild(f->cs);
}

static void convert(struct fixture *f)
{
	f->rooms_fd = layout4_convert_rooms(f->old.rooms_fd);
	f->clients_fd = layout4_convert_clients(f->old.clients_fd, f->old.rooms_fd);
	assert_true(f->rooms_fd >= 0 && f->clients_fd >= 0);
	open_all(f);
}

static bool is_sound(const struct client *c)
{
	return client_live(c)->seal == client_seal_of(c, client_live(c));
}

static void rooms_come_along(void **state)
{
	struct fixture *f = *state;
	struct logring_view v;
	char text[32];

	convert(f);
	struct room *lobby = rooms_at(f->rooms, 1);
	assert_string_equal(lobby->name, "lobby");
	assert_false(lobby->born);
	assert_false(lobby->members_only);
	assert_int_equal(logring_count(lobby->log), OLD_MESSAGES);
	logring_lock(lobby->log);
	logring_peek(lobby->log, &v);
	for (uint64_t i = 0; i < OLD_MESSAGES; i++) {
		const struct record *r = logring_record(lobby->log, i);
		uint64_t start = logring_start(lobby->log, &v, i);
		int n = snprintf(text, sizeof(text), "guest1: %u\n", (unsigned)i);
		assert_int_equal(start, old_state_start((unsigned)i));
		assert_int_equal(r->end - start, n);
		assert_memory_equal(logring_at(&v, start), text, n);
		assert_int_equal(r->time_us, i);
		assert_int_equal(r->text, 8);
		assert_int_equal(r->nick_at, 0);
		/* It was not written then, but "guest1" stands before ": ". */
		/* An action's line may look like the server's, so what nobody wrote is not made up. */
		assert_int_equal(r->nick_len, i % 10 == 7 ? 0 : 6);
	}
	logring_unlock(lobby->log);
	assert_null(rooms_at(f->rooms, 2));
	assert_true(rooms_at(f->rooms, 3)->members_only);
	assert_true(lobby->epoch != 0 && lobby->epoch != rooms_at(f->rooms, 3)->epoch);
	assert_int_equal(rooms_count(f->rooms), 2);
}

static void clients_come_along(void **state)
{
	struct fixture *f = *state;
	struct position p;

	f->old.clients->entries[0].live = 1;
	convert(f);
	struct client *alice = clients_at(f->cs, 0), *dev = clients_at(f->cs, 2),
		      *carol = clients_at(f->cs, 3);
	assert_int_equal(atomic_load(&alice->cookie), 1000);
	assert_int_equal(atomic_load(&alice->sealed_cookie), 1000);
	assert_int_equal(atomic_load(&alice->active_us), 7);
	const struct client_state *st = client_live(alice);
	assert_int_equal(st->in_parsed, 101);
	assert_int_equal(st->out_end, 201);
	assert_memory_equal(st->nick, "alice", 5);
	assert_int_equal(st->rights, CLIENT_OPEN);
	assert_int_equal(membership_room(f->cs, st), 1);
	assert_true(membership_get(alice, st, membership_direct(f->cs, st), &p));
	assert_int_equal(p.cursor, old_state_start(OLD_MESSAGES - 1));
	assert_int_equal(p.seq, OLD_MESSAGES - 1);
	assert_int_equal(membership_room(f->cs, client_live(dev)), 1);
	assert_int_equal(membership_place(f->cs, client_live(dev)).seq, OLD_MESSAGES - 2);
	assert_int_equal(atomic_load(&dev->sent_seq), OLD_MESSAGES - 1);
	assert_int_equal(membership_room(f->cs, client_live(carol)), ROOM_NONE);
	assert_true(is_sound(alice) && is_sound(dev) && is_sound(carol));
	assert_memory_equal(clients_inbox(f->cs, alice) + 100, "inbox", 5);
	assert_memory_equal(clients_outbox(f->cs, carol) + 4000, "outbox", 6);
	/* And what is common to all. */
	assert_int_equal(clients_next_id(f->cs), 10);
	assert_int_equal(clients_history(f->cs)->takeovers, 3);
	assert_string_equal(clients_origin(f->cs, 0)->listener, "chat");
	assert_int_equal(atomic_load(clients_peers(f->cs, 0)), 4);
	assert_int_equal(atomic_load(&clients_scratch(f->cs, 0)->beat_us), 99);
	assert_int_equal(atomic_load(&clients_counters(f->cs, 0)[2]), 77);
	assert_ptr_equal(clients_allocate(f->cs), clients_at(f->cs, 1)); /* the free place */
}

/* A commit that a crash cut is carried out if its message is in the room, and only then. */
static void intents(void **state)
{
	struct fixture *f = *state;
	struct old_scratch *s = &f->old.clients->scratches[5];

	for (unsigned i = 0; i < 3; i++) {
		s->client = 0;
		s->live_after = 1;
		s->room = 1;
		s->count = i == 1 ? OLD_MESSAGES + 1 : OLD_MESSAGES;
		s->intent = old_intent(s) + (i == 2 ? 2 : 0); /* damaged */
		convert(f);
		assert_int_equal(client_live(clients_at(f->cs, 0))->in_parsed, i == 0 ? 101 : 100);
		assert_int_equal(membership_place(f->cs, client_live(clients_at(f->cs, 0))).seq,
				 i == 0 ? OLD_MESSAGES - 1 : OLD_MESSAGES - 2);
		assert_int_equal(atomic_load(&clients_scratch(f->cs, 5)->intent), 0);
		let_go(f);
	}
}

/* Input that was received and not parsed is where it was. */
static void scratches(void **state)
{
	struct fixture *f = *state;
	struct old_scratch *s = &f->old.clients->scratches[5];

	s->base = 100;
	memcpy(s->data, "half a li", 9);
	s->owner = 1; /* whatever the mark is: the same in both layouts */
	convert(f);
	assert_int_equal(atomic_load(&clients_scratch(f->cs, 5)->owner), 1);
	assert_int_equal(clients_scratch(f->cs, 5)->base, 100);
	assert_memory_equal(clients_scratch(f->cs, 5)->data, "half a li", 9);
}

/* What was damage is still seen as such. */
static void damage_stays(void **state)
{
	struct fixture *f = *state;

	f->old.clients->entries[0].st[0].nick[0] ^= 1;
	f->old.clients->entries[2].live = 7;
	f->old.clients->entries[3].st[0].cursor ^= 1;
	convert(f);
	for (unsigned i = 0; i < OLD_CLIENTS; i++)
		assert_true(i == 1 || !is_sound(clients_at(f->cs, i)));
	let_go(f);
	/* Twice damaged isn't whole again. */
	f->old.clients->entries[0].live = 6;
	convert(f);
	assert_false(is_sound(clients_at(f->cs, 0)));
	let_go(f);
	/* A log's damage costs that log. */
	uint64_t word = 0;
	assert_int_equal(pwrite(f->old.rooms_fd, &word, 8, (off_t)f->old.rooms->slots[1].off), 8);
	convert(f);
	assert_null(rooms_at(f->rooms, 1));
	assert_non_null(rooms_at(f->rooms, 3));
}

static void nothing_is_passed(void **state)
{
	struct fixture *f = *state;

	assert_false(adopt(f));
	assert_true(f->rooms_fd < 0 && f->clients_fd < 0);
}

static void adopted(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	pass_old(f);
	assert_false(adopt(f));
	open_all(f);
	assert_int_equal(fstat(f->old.clients_fd, &st), 0);
	assert_int_equal(f->cs->file->header.made_from, st.st_ino);
	assert_int_equal(membership_room(f->cs, client_live(clients_at(f->cs, 0))), 1);
}

/* An attempt before this one was killed when it had stored some, or all, of the new files. */
static void an_attempt_was_cut(void **state)
{
	struct fixture *f = *state;

	for (unsigned stored = 1; stored <= 3; stored++) {
		pass_old(f);
		assert_false(adopt(f));
		struct stat before, after;
		assert_int_equal(fstat(f->clients_fd, &before), 0);
		pass_old(f);
		if (stored & 1)
			pass(f, f->rooms_fd, LAYOUTS_ROOMS_NAME);
		if (stored & 2)
			pass(f, f->clients_fd, LAYOUTS_CLIENTS_NAME);
		let_go(f);
		assert_false(adopt(f));
		assert_int_equal(fstat(f->clients_fd, &after), 0);
		/* Complete as it is, it counts: somebody may have been served from it. */
		assert_true((before.st_ino == after.st_ino) == (stored == 3));
		open_all(f);
		assert_int_equal(membership_room(f->cs, client_live(clients_at(f->cs, 0))), 1);
		let_go(f);
	}
	/* Of the old ones only the rooms were left. */
	pass_old(f);
	assert_false(adopt(f));
	pass(f, f->rooms_fd, LAYOUTS_ROOMS_NAME);
	pass(f, f->clients_fd, LAYOUTS_CLIENTS_NAME);
	pass(f, f->old.rooms_fd, "chatd-rooms");
	let_go(f);
	assert_false(adopt(f));
	open_all(f);
	assert_int_equal(membership_room(f->cs, client_live(clients_at(f->cs, 0))), 1);
}

/* New files that were made from another table are from before an older build was run once more. */
static void a_stale_attempt(void **state)
{
	struct fixture *f = *state;
	struct old_state_files other;

	old_state_new(&other);
	pass(f, other.rooms_fd, "chatd-rooms");
	pass(f, other.clients_fd, "chatd-clients");
	assert_false(adopt(f));
	pass(f, f->rooms_fd, LAYOUTS_ROOMS_NAME);
	pass(f, f->clients_fd, LAYOUTS_CLIENTS_NAME);
	let_go(f);
	f->old.clients->header.next_id = 20;
	pass_old(f);
	assert_false(adopt(f));
	open_all(f);
	assert_int_equal(clients_next_id(f->cs), 20);
	old_state_free(&other);
}

static void one_file_only(void **state)
{
	struct fixture *f = *state;

	pass(f, f->old.rooms_fd, "chatd-rooms");
	assert_false(adopt(f));
	assert_true(f->rooms_fd >= 0 && f->clients_fd < 0);
	let_go(f);
	pass(f, f->old.clients_fd, "chatd-clients");
	assert_false(adopt(f));
	assert_true(f->rooms_fd < 0 && f->clients_fd >= 0);
}

static void what_is_damaged_is_refused(void **state)
{
	struct fixture *f = *state;

	f->old.clients->header.layout = 3;
	pass_old(f);
	assert_true(adopt(f));
	assert_true(f->rooms_fd >= 0 && f->clients_fd < 0);
	let_go(f);
	f->old.clients->header.layout = 4;
	f->old.rooms->slots[3].off -= 65536; /* within the one before it */
	pass_old(f);
	assert_false(adopt(f));
	assert_true(f->rooms_fd < 0 && f->clients_fd >= 0);
	let_go(f);
	/* Something else altogether. */
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	pass(f, null, "chatd-rooms");
	pass(f, null, "chatd-clients");
	assert_true(adopt(f));
	assert_true(f->rooms_fd < 0 && f->clients_fd < 0);
	close(null);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(rooms_come_along),
	    CASE(clients_come_along),
	    CASE(intents),
	    CASE(scratches),
	    CASE(damage_stays),
	    CASE(nothing_is_passed),
	    CASE(adopted),
	    CASE(an_attempt_was_cut),
	    CASE(a_stale_attempt),
	    CASE(one_file_only),
	    CASE(what_is_damaged_is_refused),
	};

	return cmocka_run_group_tests_name("layouts", tests, NULL, NULL);
}
