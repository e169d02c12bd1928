/* SPDX-License-Identifier: MIT */
/* The ring of events: filled only while somebody watches, and honest about what was overwritten. */
#include "tests/unit/unit.h"

#include "daemon/base/log_watch.h"
#include "daemon/base/logger.h"

#include <string.h>
#include <unistd.h>

static void say(const char *message_id, const char *room, const char *text)
{
	log_event(LOG_DEBUG, &(struct log_fields){.message_id = message_id, .client = 7, .room = room}, "%s",
		  text);
}

static void nobody_watches(void **state)
{
	struct log_entry e;
	uint64_t missed;

	(void)state;
	say(EVENT_JOINED, "lobby", "before");
	uint64_t next = log_watch();
	assert_false(log_watch_next(&next, &e, &missed));
	log_unwatch();
	say(EVENT_JOINED, "lobby", "after");
	assert_false(log_watch_next(&next, &e, &missed));
}

/* Whatever the level of the log is; what has no word is not shown. */
static void events_are_shown_with_their_fields(void **state)
{
	struct log_entry e;
	uint64_t missed;

	(void)state;
	uint64_t next = log_watch();
	say(EVENT_JOINED, "lobby", "alice \033[31mjoins");
	say(EVENT_CONTROL, "lobby", "an admin");
	say(NULL, NULL, "nothing");
	say(EVENT_LEFT, NULL, "she leaves");
	assert_true(log_watch_next(&next, &e, &missed));
	assert_string_equal(e.kind, "joined");
	assert_string_equal(e.room, "lobby");
	assert_string_equal(e.text, "alice \\x1b[31mjoins");
	assert_int_equal(e.client, 7);
	assert_true(e.time_us > 0);
	assert_true(log_watch_next(&next, &e, &missed));
	assert_string_equal(e.kind, "left");
	assert_string_equal(e.room, "");
	assert_false(log_watch_next(&next, &e, &missed));
	assert_int_equal(missed, 0);
	log_unwatch();
}

static void who_is_slow_learns_how_much_is_missing(void **state)
{
	struct log_entry e;
	uint64_t missed, first, n = 0;

	(void)state;
	uint64_t next = log_watch();
	for (unsigned i = 0; i < 1500; i++)
		say(EVENT_JOINED, "lobby", i == 1499 ? "last" : "x");
	assert_true(log_watch_next(&next, &e, &first));
	for (n = 1; log_watch_next(&next, &e, &missed); n++)
		assert_int_equal(missed, 0);
	assert_true(first > 0);
	assert_int_equal(first + n, 1500);
	assert_string_equal(e.text, "last");
	log_unwatch();
}

static void the_descriptor_tells(void **state)
{
	int fd = log_watch_fd();
	uint64_t v;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(log_watch_fd(), fd);
	assert_int_equal(read(fd, &v, sizeof(v)), -1);
	log_watch();
	say(EVENT_JOINED, "lobby", "x");
	assert_int_equal(read(fd, &v, sizeof(v)), sizeof(v));
	log_unwatch();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nobody_watches),
	    cmocka_unit_test(events_are_shown_with_their_fields),
	    cmocka_unit_test(who_is_slow_learns_how_much_is_missing),
	    cmocka_unit_test(the_descriptor_tells),
	};

	log_open(LOG_CRIT);
	return cmocka_run_group_tests_name("log_watch", tests, NULL, NULL);
}
