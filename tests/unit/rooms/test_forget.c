/* SPDX-License-Identifier: MIT */
/* Messages that are taken out of a room's log: which ones, what is left of them, and who is shown what. */
#include "tests/unit/rooms/rooms.h"

#include "daemon/rooms/forget.h"
#include "daemon/rooms/speech.h"

#include <string.h>

static const struct room_settings defaults = {.log_size = 65536, .history = 5, .announce_max = 10};
static const struct rooms_limits limits = {10, 0, 0};

struct fixture {
	struct test_rooms t;
	struct room *room;
};

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (test_rooms_open(&f->t, 1) < 0 || rooms_configure(f->t.rooms, NULL, 0, &defaults, &limits) < 0)
		return -1;
	rooms_settle(f->t.rooms, NULL, NULL);
	return rooms_enter(f->t.rooms, "den", 0, &anybody, &f->room);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	rooms_leave(f->t.rooms, f->room, 0);
	test_rooms_close(&f->t);
	free(f);
	return 0;
}

static void say_at(struct fixture *f, const char *nick, const char *text, uint64_t time_us)
{
	const struct speech_event e = {.time_us = time_us,
				       .kind = RECORD_MESSAGE,
				       .nick = nick,
				       .nick_len = (uint8_t)strlen(nick),
				       .text = text,
				       .text_len = strlen(text)};
	struct slot_set kick = {0};
	struct speech s = {0};

	assert_int_equal(speech_replay(&s, f->room, &e), 0);
	speech_commit(&s, f->t.rooms, &kick);
}

/* The whole log as it would be sent. */
static const char *bytes(struct fixture *f)
{
	static char text[4096];
	struct logring_view v;

	logring_lock(f->room->log);
	logring_peek(f->room->log, &v);
	size_t n = v.head - v.floor;
	assert_true(n < sizeof(text));
	memcpy(text, logring_at(&v, v.floor), n);
	text[n] = '\0';
	logring_unlock(f->room->log);
	return text;
}

static bool shown(struct fixture *f, uint64_t seq)
{
	struct logring_view v;

	logring_lock(f->room->log);
	logring_peek(f->room->log, &v);
	bool r = speech_shows(f->room, logring_record(f->room->log, seq),
			      logring_at(&v, logring_start(f->room->log, &v, seq)));
	logring_unlock(f->room->log);
	return r;
}

static void one_nick(void **state)
{
	struct fixture *f = *state;

	say_at(f, "alice", "secret", 10);
	say_at(f, "bob", "hello", 20);
	say_at(f, "Alice", "x", 30);
	say_at(f, "alicex", "y", 40);
	assert_int_equal(room_forget(f->room, &(struct room_forget){.nick = "alice"}), 2);
	assert_string_equal(bytes(f), "             \nbob: hello\n        \nalicex: y\n");
	assert_false(shown(f, 0));
	assert_true(shown(f, 1));
	assert_false(shown(f, 2));
	assert_true(shown(f, 3));
	/* Nobody has to forget it again. */
	assert_int_equal(room_forget(f->room, &(struct room_forget){.nick = "alice"}), 0);
}

static void some_time(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 1; i <= 5; i++)
		say_at(f, "alice", "z", i * 10);
	assert_int_equal(room_forget(f->room, &(struct room_forget){.since_us = 20, .before_us = 40}), 2);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(shown(f, i), i != 1 && i != 2);
	assert_int_equal(room_forget(f->room, &(struct room_forget){0}), 3);
}

/* More than is looked at under one lock, and what the log no longer has. */
static void many(void **state)
{
	struct fixture *f = *state;
	struct logring_view v;

	for (unsigned i = 0; i < 20000; i++)
		say_at(f, i % 2 ? "alice" : "bob", "0123456789", 100 + i);
	logring_lock(f->room->log);
	logring_peek(f->room->log, &v);
	logring_unlock(f->room->log);
	uint64_t n = v.count - v.first;
	assert_true(v.first > 0 && n > 600);
	assert_in_range(room_forget(f->room, &(struct room_forget){.nick = "bob"}), n / 2, n / 2 + 1);
	for (uint64_t i = v.first; i < v.count; i++)
		assert_int_equal(shown(f, i), i % 2 == 1);
}

/* A process that takes the log over shows nothing of it either. */
static void it_stays_forgotten(void **state)
{
	struct fixture *f = *state;

	say_at(f, "alice", "secret", 10);
	say_at(f, "bob", "hello", 20);
	room_forget(f->room, &(struct room_forget){.nick = "alice"});
	rooms_leave(f->t.rooms, f->room, 0);
	rooms_close(f->t.rooms);
	assert_int_equal(rooms_open(f->t.fd, false, f->t.slots, &f->t.rooms), 0);
	assert_int_equal(rooms_enter(f->t.rooms, "den", 0, &anybody, &f->room), 0);
	assert_false(shown(f, 0));
	assert_true(shown(f, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(one_nick, setup, teardown),
	    cmocka_unit_test_setup_teardown(some_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(many, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_stays_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests_name("forget", tests, NULL, NULL);
}
