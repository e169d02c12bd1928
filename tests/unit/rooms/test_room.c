/* SPDX-License-Identifier: MIT */
/* The rooms: how they are made, configured, emptied and taken back, and who is woken by their news. */
#include "tests/unit/rooms/rooms.h"

#include "daemon/config/config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct room_settings defaults = {.log_size = 65536, .history = 5, .announce_max = 10};

static int setup(void **state)
{
	struct test_rooms *f = calloc(1, sizeof(*f));

	*state = f;
	return test_rooms_open(f, 2);
}

static void configure(struct test_rooms *f, const char *name, unsigned max_rooms, int64_t linger)
{
	struct room_config c = {.settings = {.log_size = 131072, .history = 7, .announce_max = 3}};

	const struct rooms_limits limits = {max_rooms, 2, linger};

	snprintf(c.name, sizeof(c.name), "%s", name);
	assert_int_equal(rooms_configure(f->rooms, &c, 1, &defaults, &limits), 0);
}

/* Whoever reads for clients may be overrun by nobody; the main thread, the last of the slots, by everybody.
 */
static void no_room_waits_for_the_main_thread(void **state)
{
	struct test_rooms *f = *state;
	struct room *r;
	struct logring_view v;
	char line[1000];

	memset(line, 'x', sizeof(line) - 1);
	line[sizeof(line) - 1] = '\0';
	assert_int_equal(rooms_enter(f->rooms, "den", 2, &anybody, &r), 0);
	for (unsigned i = 0; i < 200; i++) {
		assert_false(room_crowded(f->rooms, r));
		test_rooms_say(r, line, strlen(line));
	}
	assert_int_equal(rooms_enter_existing(f->rooms, "den", 0, &r), 0);
	for (unsigned i = 0; i < 40; i++)
		test_rooms_say(r, line, strlen(line));
	assert_true(room_crowded(f->rooms, r));
	logring_lock(r->log);
	logring_peek(r->log, &v);
	logring_unlock(r->log);
	logring_flushed(r->log, 0, &v);
	assert_false(room_crowded(f->rooms, r));
	rooms_leave(f->rooms, r, 2);
	rooms_leave(f->rooms, r, 0);
}

static void configured_and_made(void **state)
{
	struct test_rooms *f = *state;
	struct room *r;

	configure(f, "lobby", 10, 0);
	assert_int_equal(rooms_enter_existing(f->rooms, "lobby", 0, &r), 0);
	assert_true(r->configured);
	assert_int_equal(r->history, 7);
	assert_int_equal(logring_size(r->log), 131072);
	assert_int_equal(room_members(r), 1);
	assert_int_equal(rooms_enter_existing(f->rooms, "den", 0, &r), -ENOENT);
	assert_int_equal(rooms_enter(f->rooms, "den", 1, &anybody, &r), 0);
	assert_int_equal(r->history, 5);
	assert_ptr_equal(rooms_enter_index(f->rooms, r->index, 0), r);
	assert_int_equal(room_members(r), 2);
	assert_null(rooms_enter_index(f->rooms, ROOM_PRIVATE, 0));
	assert_null(rooms_enter_index(f->rooms, 999, 0));
	assert_null(rooms_enter_index(f->rooms, UINT32_MAX, 0));
}

static void empty_rooms_go(void **state)
{
	struct test_rooms *f = *state;
	struct room *r;

	configure(f, "lobby", 10, 1000000);
	assert_int_equal(rooms_enter(f->rooms, "den", 0, &anybody, &r), 0);
	test_rooms_say(r, "old", strlen("old"));
	rooms_expire(f->rooms, INT64_MAX / 2);
	assert_int_equal(rooms_enter_existing(f->rooms, "den", 0, &r), 0); /* it has a member */
	rooms_leave(f->rooms, r, 0);
	rooms_leave(f->rooms, r, 0);
	rooms_expire(f->rooms, r->empty_since + 500000);
	assert_int_equal(rooms_enter_existing(f->rooms, "den", 0, &r), 0);
	rooms_leave(f->rooms, r, 0);
	rooms_expire(f->rooms, r->empty_since + 1500000);
	assert_int_equal(rooms_enter_existing(f->rooms, "den", 0, &r), -ENOENT);
	assert_int_equal(rooms_enter_existing(f->rooms, "lobby", 0, &r), 0); /* configured ones stay */
	/* Its place is used again, and nothing of it is left. */
	assert_int_equal(rooms_enter(f->rooms, "new", 0, &anybody, &r), 0);
	assert_int_equal(logring_count(r->log), 0);
}

static void too_many_rooms(void **state)
{
	struct test_rooms *f = *state;
	struct room *a, *b, *c;

	configure(f, "lobby", 3, INT64_MAX / 2);
	assert_int_equal(rooms_enter(f->rooms, "a", 0, &anybody, &a), 0);
	assert_int_equal(rooms_enter(f->rooms, "b", 0, &anybody, &b), 0);
	assert_int_equal(rooms_enter(f->rooms, "c", 0, &anybody, &c), -ENOSPC);
	rooms_leave(f->rooms, a, 0);
	assert_int_equal(rooms_enter(f->rooms, "c", 0, &anybody, &c), 0); /* the empty one makes way */
	assert_int_equal(rooms_enter_existing(f->rooms, "a", 0, &a), -ENOENT);
}

static void survive(void **state)
{
	struct test_rooms *f = *state;
	struct room *r;
	char name[16];

	configure(f, "lobby", 1000, 0);
	for (unsigned i = 0; i < 50; i++) {
		snprintf(name, sizeof(name), "room%u", i);
		assert_int_equal(rooms_enter(f->rooms, name, 0, &anybody, &r), 0);
		test_rooms_say(r, name, strlen(name));
	}
	uint32_t index = r->index;
	rooms_close(f->rooms);
	assert_int_equal(rooms_open(f->fd, false, f->slots, &f->rooms), 0);
	for (unsigned i = 0; i < 50; i++) {
		struct logring_view v;
		snprintf(name, sizeof(name), "room%u", i);
		assert_int_equal(rooms_enter_existing(f->rooms, name, 0, &r), 0);
		logring_lock(r->log);
		logring_peek(r->log, &v);
		assert_int_equal(v.count, 1);
		assert_memory_equal(logring_at(&v, 0), name, strlen(name));
		logring_unlock(r->log);
	}
	assert_int_equal(r->index, index);
}

static void wakes_who_listens(void **state)
{
	struct test_rooms *f = *state;
	struct slot_set kick = {{0}};
	struct room *r;

	configure(f, "lobby", 10, 0);
	assert_int_equal(rooms_enter_existing(f->rooms, "lobby", 1, &r), 0);
	rooms_mark(f->rooms, r, &kick);
	assert_int_equal(kick.bits[0], 1 << 1);
	assert_true(wakeup_pending(slots_wakeup(f->slots, 1)));
	assert_false(wakeup_pending(slots_wakeup(f->slots, 0)));
	rooms_kick(f->rooms, &kick, 0);
	assert_int_equal(kick.bits[0], 0);
	rooms_mark(f->rooms, r, &kick);
	assert_int_equal(kick.bits[0], 0); /* it knows already */
}

static void readers_are_not_members(void **state)
{
	struct test_rooms *f = *state;
	struct room *r;

	configure(f, "lobby", 10, 0);
	assert_int_equal(rooms_enter(f->rooms, "den", 2, &anybody, &r), 0); /* behind the workers' slots */
	assert_int_equal(room_members(r), 0);
	rooms_expire(f->rooms, INT64_MAX / 2);
	assert_int_equal(rooms_enter_existing(f->rooms, "den", 1, &r), 0); /* but who reads keeps it open */
	assert_int_equal(room_members(r), 1);
}

static void refuses_other_files(void **state)
{
	struct test_rooms *f = *state;
	struct rooms *rs;
	int fd = memfd_new("zeroes", rooms_file_size()), small = memfd_new("small", 4096);

	assert_int_equal(rooms_open(fd, false, f->slots, &rs), -EBADMSG);
	assert_int_equal(rooms_open(small, false, f->slots, &rs), -EINVAL);
	assert_int_equal(rooms_open(STDIN_FILENO, false, f->slots, &rs), -EBADF);
	close(fd);
	close(small);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, test_rooms_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(no_room_waits_for_the_main_thread),
	    CASE(configured_and_made),
	    CASE(empty_rooms_go),
	    CASE(too_many_rooms),
	    CASE(survive),
	    CASE(wakes_who_listens),
	    CASE(readers_are_not_members),
	    CASE(refuses_other_files),
	};

	return cmocka_run_group_tests_name("room", tests, NULL, NULL);
}
