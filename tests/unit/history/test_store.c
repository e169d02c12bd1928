/* SPDX-License-Identifier: MIT */
/* The store: what is put is there after a commit, in order, once, with its position; and not after anything else. */
#include "tests/unit/history/stored.h"

static void what_is_committed_is_there(void **state)
{
	struct store *s = opened(STORE_WRITE), *reader = opened(STORE_READ);
	struct stat st;
	uint64_t next;

	(void)state;
	assert_int_equal(store_epoch(s), 77);
	assert_int_equal(store_epoch(reader), 77);
	assert_int_equal(store_position(s, "lobby", 77, &next), -ENOENT);
	assert_int_equal(store_begin(s), 0);
	put(s, &lobby, 5, "alice", "hello");
	put(s, &lobby, 6, "bob", "\xc3\xa4h");
	assert_heard(reader, &(struct store_query){.room = "lobby"}, "");
	assert_int_equal(store_commit(s), 0);
	assert_heard(reader, &(struct store_query){.room = "lobby"},
		     "lobby/6/77 bob: \xc3\xa4h\nlobby/5/77 alice: hello\n");
	assert_heard(reader, &(struct store_query){.room = "nowhere"}, "");
	assert_int_equal(store_position(s, "lobby", 77, &next), 0);
	assert_int_equal(next, 7);
	assert_int_equal(store_position(s, "lobby", 78, &next), -ENOENT);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	store_close(reader);
	store_close(s);

	s = opened(STORE_WRITE);
	assert_int_equal(store_position(s, "lobby", 77, &next), 0);
	assert_int_equal(next, 7);
	assert_heard(s, &(struct store_query){.room = "lobby", .oldest_first = true, .limit = 1},
		     "lobby/5/77 alice: hello\n");
	store_close(s);
}

static void what_is_abandoned_is_not(void **state)
{
	struct store *s = opened(STORE_WRITE);
	struct store_message m = {.number = 1, .event = {.text = "x", .text_len = 1}};
	uint64_t next;

	(void)state;
	assert_int_equal(store_begin(s), 0);
	put(s, &lobby, 1, "alice", "one");
	assert_int_equal(store_commit(s), 0);
	assert_int_equal(store_begin(s), 0);
	put(s, &lobby, 2, "alice", "two");
	assert_int_equal(store_position(s, "lobby", 77, &next), 0);
	assert_int_equal(next, 3);
	store_abandon(s);
	assert_int_equal(store_position(s, "lobby", 77, &next), 0);
	assert_int_equal(next, 2);
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(store_put(s, &lobby, &m), -EEXIST);
	put(s, &lobby, 2, "alice", "again");
	assert_int_equal(store_commit(s), 0);
	assert_heard(s, &(struct store_query){0}, "lobby/2/77 alice: again\nlobby/1/77 alice: one\n");
	store_close(s);
}

static bool list(const struct store_room *room, uint64_t next, int64_t last_us, void *arg)
{
	size_t n = strlen(heard);

	(void)arg;
	snprintf(heard + n, sizeof(heard) - n, "%s %d %d %d%d%d\n", room->name, (int)next, (int)last_us,
		 room->raw, room->read_only, room->members_only);
	return true;
}

static void rooms_are_listed_and_end(void **state)
{
	struct store *s = opened(STORE_WRITE);
	const struct store_room ops = {.name = "ops", .epoch = 9, .raw = true, .members_only = true};
	uint64_t next, floor;

	(void)state;
	assert_int_equal(store_begin(s), 0);
	put(s, &ops, 20, "a", "x");
	put(s, &lobby, 30, "a", "x");
	assert_int_equal(store_commit(s), 0);
	heard[0] = '\0';
	assert_int_equal(store_rooms(s, list, NULL), 0);
	assert_string_equal(heard, "lobby 31 300 000\nops 21 200 101\n");
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(store_room_ended(s, "lobby"), 0);
	assert_int_equal(store_commit(s), 0);
	assert_int_equal(store_position(s, "lobby", 77, &next), -ENOENT);
	assert_int_equal(store_position(s, "ops", 9, &next), 0);
	assert_int_equal(store_floor(s, &floor), 0);
	assert_int_equal(floor, 31);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(what_is_committed_is_there, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_abandoned_is_not, setup, teardown),
	    cmocka_unit_test_setup_teardown(rooms_are_listed_and_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
