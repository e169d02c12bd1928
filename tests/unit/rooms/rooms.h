/* SPDX-License-Identifier: MIT */
/* Rooms in a memory file of their own, without anybody else. */
#ifndef TESTS_UNIT_ROOMS_H
#define TESTS_UNIT_ROOMS_H

#include "tests/unit/unit.h"

#include "daemon/io/memfd.h"
#include "daemon/rooms/room.h"

#include <stdlib.h>
#include <unistd.h>

struct test_rooms {
	int fd;
	struct slots *slots;
	struct rooms *rooms;
	unsigned main_thread; /* its slot, which nobody waits for */
};

static const struct room_guest anybody;

static inline int test_rooms_open(struct test_rooms *t, unsigned n_workers)
{
	t->fd = memfd_new("rooms", rooms_file_size());
	assert_int_equal(slots_new(n_workers, &t->slots), 0);
	assert_int_equal(slots_take(t->slots, false, &t->main_thread), 0);
	return rooms_open(t->fd, true, t->slots, &t->rooms);
}

static inline void test_rooms_close(struct test_rooms *t)
{
	rooms_close(t->rooms);
	slots_free(t->slots);
	close(t->fd);
}

/* For a fixture that begins with its rooms. */
static inline int test_rooms_teardown(void **state)
{
	test_rooms_close(*state);
	free(*state);
	return 0;
}

static inline void test_rooms_say(struct room *r, const char *text, size_t len)
{
	struct record record = {0};

	logring_lock(r->log);
	assert_true(logring_put(r->log, &record, "", 0, text, len));
	logring_commit(r->log);
	logring_unlock(r->log);
}

#endif
