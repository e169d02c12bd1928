/* SPDX-License-Identifier: MIT */
/* Searches find the same whether the index has a message or not; times, nicks and limits narrow what is read. */
#include "tests/unit/history/stored.h"

static void index_all(struct store *s)
{
	uint64_t waiting = 1;

	store_set_search(s, true);
	for (int i = 0; waiting && i < 1000; i++)
		assert_int_equal(store_index(s, 100000, &waiting), 0);
	assert_int_equal(waiting, 0);
}

/* Without an index, with one of half of it, and with one of all. */
static void words_are_found(void **state)
{
	struct store *s = opened(STORE_WRITE), *reader = opened(STORE_READ);
	const struct store_room ops = {.name = "ops", .epoch = 77};
	uint64_t waiting;

	(void)state;
	assert_int_equal(store_begin(s), 0);
	put(s, &lobby, 1, "alice", "The Quick brown fox");
	put(s, &ops, 2, "bob", "a fox is quick");
	put(s, &lobby, 3, "bob", "caf\xc3\xa9 au lait, fox-trot");
	put(s, &lobby, 4, "alice", "nothing");
	assert_int_equal(store_commit(s), 0);
	store_set_search(s, true);
	for (int step = 0; step < 3; step++) {
		assert_heard(reader, &(struct store_query){.text = "fox"},
			     "lobby/3/77 bob: caf\xc3\xa9 au lait, fox-trot\nops/2/77 bob: a fox is quick\n"
			     "lobby/1/77 alice: The Quick brown fox\n");
		assert_heard(reader, &(struct store_query){.text = "FOX quick", .oldest_first = true},
			     "lobby/1/77 alice: The Quick brown fox\nops/2/77 bob: a fox is quick\n");
		assert_heard(reader, &(struct store_query){.text = "quick", .room = "lobby"},
			     "lobby/1/77 alice: The Quick brown fox\n");
		assert_heard(reader, &(struct store_query){.text = "fox", .limit = 1},
			     "lobby/3/77 bob: caf\xc3\xa9 au lait, fox-trot\n");
		assert_heard(reader, &(struct store_query){.text = "cafe"},
			     "lobby/3/77 bob: caf\xc3\xa9 au lait, fox-trot\n");
		assert_heard(reader, &(struct store_query){.text = "\"brown fox\""},
			     "lobby/1/77 alice: The Quick brown fox\n");
		assert_heard(reader, &(struct store_query){.text = "fox-trot"},
			     "lobby/3/77 bob: caf\xc3\xa9 au lait, fox-trot\n");
		assert_heard(reader, &(struct store_query){.text = "\"fox brown\""}, "");
		assert_heard(reader, &(struct store_query){.text = "noth*"}, "lobby/4/77 alice: nothing\n");
		assert_heard(reader, &(struct store_query){.text = "noth"}, "");
		assert_heard(reader, &(struct store_query){.text = "fox", .nick = "BOB", .room = "lobby"},
			     "lobby/3/77 bob: caf\xc3\xa9 au lait, fox-trot\n");
		assert_heard(reader, &(struct store_query){.text = "fox", .before = 3, .after = 1},
			     "ops/2/77 bob: a fox is quick\n");
		assert_int_equal(store_index(s, 2, &waiting), 0);
		assert_int_equal(waiting, step == 0 ? 2 : 0);
	}
	assert_int_equal(store_read(reader, &(struct store_query){.text = " - "}, hear, NULL), -EINVAL);
	store_close(reader);
	store_close(s);
}

/* The index names a room by its id: of one digit, of two, and of three. */
static void each_room_has_its_own(void **state)
{
	struct store *s = opened(STORE_WRITE);
	char name[16], line[64];

	(void)state;
	assert_int_equal(store_begin(s), 0);
	for (unsigned i = 1; i <= 130; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		put(s, &(struct store_room){.name = name, .epoch = 77}, i, "alice", "fox");
	}
	assert_int_equal(store_commit(s), 0);
	index_all(s);
	for (unsigned i = 1; i <= 130; i++) {
		snprintf(name, sizeof(name), "r%u", i);
		snprintf(line, sizeof(line), "r%u/%u/77 alice: fox\n", i, i);
		assert_heard(s, &(struct store_query){.text = "fox", .room = name}, line);
	}
	store_close(s);
}

static void an_index_is_taken_away(void **state)
{
	struct store *s = opened(STORE_WRITE);
	uint64_t waiting;

	(void)state;
	assert_int_equal(store_begin(s), 0);
	put(s, &lobby, 1, "alice", "fox");
	assert_int_equal(store_commit(s), 0);
	index_all(s);
	store_set_search(s, false);
	assert_int_equal(store_index(s, 1, &waiting), 0);
	assert_heard(s, &(struct store_query){.text = "fox"}, "lobby/1/77 alice: fox\n");
	index_all(s);
	assert_heard(s, &(struct store_query){.text = "fox"}, "lobby/1/77 alice: fox\n");
	store_close(s);
}

/* Clocks are set back, and other machines' lines come late: nothing is passed over. */
static void times_narrow_it(void **state)
{
	struct store *s = opened(STORE_WRITE);
	uint64_t number = 1;

	(void)state;
	for (int t = 0; t < 30; t++) {
		assert_int_equal(store_begin(s), 0);
		for (int i = 0; i < 1000; i++, number++) {
			struct store_message m = {.number = number,
						  .event = {.time_us = i == 7 ? 5 : 1000 + number,
							    .nick = "a",
							    .nick_len = 1,
							    .text = "x",
							    .text_len = 1}};

			assert_int_equal(store_put(s, &lobby, &m), 0);
		}
		assert_int_equal(store_commit(s), 0);
	}
	for (int step = 0; step < 2; step++) {
		const char *text = step ? "x" : NULL;

		assert_heard(s, &(struct store_query){.text = text, .since_us = 1, .until_us = 6, .limit = 2},
			     "lobby/29008/77 a: x\nlobby/28008/77 a: x\n");
		assert_heard(
		    s,
		    &(struct store_query){
			.text = text, .room = "lobby", .since_us = 16000, .limit = 2, .oldest_first = true},
		    "lobby/15000/77 a: x\nlobby/15001/77 a: x\n");
		assert_heard(s, &(struct store_query){.text = text, .until_us = 16000, .since_us = 15998},
			     "lobby/14999/77 a: x\nlobby/14998/77 a: x\n");
		index_all(s);
	}
	store_close(s);
}

static bool never(const struct store_message *m, void *arg)
{
	(void)m;
	++*(unsigned *)arg;
	return true;
}

static void a_query_has_an_end(void **state)
{
	struct store *s = opened(STORE_WRITE);
	unsigned n = 0;

	(void)state;
	assert_int_equal(store_begin(s), 0);
	for (uint64_t i = 1; i <= 200000; i++)
		put(s, &lobby, i, "alice", "some words that are to be looked through");
	assert_int_equal(store_commit(s), 0);
	assert_int_equal(
	    store_read(s, &(struct store_query){.text = "nowhere", .time_limit_us = 1}, never, &n), -ETIME);
	store_interrupt(s);
	assert_int_equal(store_read(s, &(struct store_query){.text = "nowhere"}, never, &n), -EINTR);
	assert_int_equal(n, 0);
	assert_int_equal(store_read(s, &(struct store_query){.limit = 5}, never, &n), 0);
	assert_int_equal(n, 5);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(words_are_found, setup, teardown),
	    cmocka_unit_test_setup_teardown(each_room_has_its_own, setup, teardown),
	    cmocka_unit_test_setup_teardown(an_index_is_taken_away, setup, teardown),
	    cmocka_unit_test_setup_teardown(times_narrow_it, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_query_has_an_end, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
