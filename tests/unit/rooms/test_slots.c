/* SPDX-License-Identifier: MIT */
/* The slots of the threads: which are handed out, how many, and for whom a room waits. */
#include "tests/unit/rooms/rooms.h"

#include <errno.h>
#include <string.h>

static void workers_come_first(void **state)
{
	struct slots *s;
	unsigned slot;

	(void)state;
	assert_int_equal(slots_new(3, &s), 0);
	assert_int_equal(slots_count(s), 3);
	assert_int_equal(slots_take(s, false, &slot), 0);
	assert_int_equal(slot, 3);
	assert_int_equal(slots_beyond_workers(s, slot), 0);
	assert_int_equal(slots_count(s), 4);
	assert_true(slots_waited_for(s, 0));
	assert_false(slots_waited_for(s, slot));
	slots_free(s);
}

static void given_back_is_taken_again(void **state)
{
	struct slots *s;
	unsigned a, b, c;

	(void)state;
	assert_int_equal(slots_new(1, &s), 0);
	assert_int_equal(slots_take(s, true, &a), 0);
	assert_int_equal(slots_take(s, true, &b), 0);
	const struct wakeup *w = slots_wakeup(s, a);
	slots_give(s, a);
	/* Somebody may still have it in hand. */
	assert_ptr_equal(slots_wakeup(s, a), w);
	assert_int_equal(slots_count(s), 3);
	assert_int_equal(slots_take(s, false, &c), 0);
	assert_int_equal(c, a);
	assert_ptr_equal(slots_wakeup(s, c), w);
	assert_false(slots_waited_for(s, c));
	assert_int_not_equal(b, c);
	slots_free(s);
}

static void no_more_than_logs_have_readers(void **state)
{
	struct slots *s;
	unsigned slot = 0, n = 1;

	(void)state;
	assert_int_equal(slots_new(LOGRING_READERS + 1, &s), -ENOSPC);
	assert_int_equal(slots_new(1, &s), 0);
	while (slots_take(s, true, &slot) == 0)
		assert_int_equal(slot, n++);
	assert_int_equal(n, LOGRING_READERS);
	slots_give(s, 7);
	assert_int_equal(slots_take(s, true, &slot), 0);
	assert_int_equal(slot, 7);
	slots_free(s);
}

/* A room is crowded if a reader that is waited for has not read it, also one that came after the room. */
static void rooms_wait_for_some(void **state)
{
	static const struct room_settings defaults = {.log_size = LOGRING_SIZE_MIN};
	static char line[1000];
	unsigned service;
	struct test_rooms t;
	struct room *r;

	(void)state;
	assert_int_equal(test_rooms_open(&t, 1), 0);
	assert_int_equal(rooms_configure(t.rooms, NULL, 0, &defaults, &(struct rooms_limits){10, 0, 0}), 0);
	assert_int_equal(rooms_enter(t.rooms, "lobby", t.main_thread, &anybody, &r), 0);
	assert_int_equal(slots_take(t.slots, true, &service), 0);
	memset(line, 'x', sizeof(line));
	for (unsigned i = 0; i < 60; i++)
		test_rooms_say(r, line, sizeof(line));
	assert_false(room_crowded(t.rooms, r));
	assert_int_equal(rooms_enter(t.rooms, "lobby", service, &anybody, &r), 0);
	struct slot_set kick = {{0}};
	rooms_mark(t.rooms, r, &kick);
	assert_true(wakeup_pending(slots_wakeup(t.slots, service)));
	for (unsigned i = 0; i < 60; i++)
		test_rooms_say(r, line, sizeof(line));
	assert_true(room_crowded(t.rooms, r));
	logring_caught_up(r->log, service);
	assert_false(room_crowded(t.rooms, r));
	rooms_leave(t.rooms, r, service);
	rooms_leave(t.rooms, r, t.main_thread);
	test_rooms_close(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(workers_come_first),
	    cmocka_unit_test(given_back_is_taken_again),
	    cmocka_unit_test(no_more_than_logs_have_readers),
	    cmocka_unit_test(rooms_wait_for_some),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
