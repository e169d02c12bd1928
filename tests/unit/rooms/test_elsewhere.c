/* SPDX-License-Identifier: MIT */
/* Who is on other nodes: found by nick and by room, replaced, dropped, and bounded. */
#include "tests/unit/unit.h"

#include "daemon/rooms/elsewhere.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int setup(void **state)
{
	return elsewhere_new(64, (struct elsewhere **)state);
}

static int teardown(void **state)
{
	elsewhere_free(*state);
	return 0;
}

static void put(struct elsewhere *el, const char *node, uint64_t id, const char *nick, const char *room,
		bool account)
{
	struct elsewhere_client c = {
	    .id = id, .since_us = 7, .nick_len = (uint8_t)strlen(nick), .account = account, .kind = "tcp"};

	strcpy(c.nick, nick);
	strcpy(c.room, room);
	assert_true(elsewhere_put(el, elsewhere_node(el, node), &c));
}

/* "NODE/ID" of who has that nick, or "". */
static const char *where(struct elsewhere *el, const char *nick)
{
	static char text[64];
	struct nick_keys keys = nick_keys(nick, strlen(nick));
	struct elsewhere_found f;

	text[0] = '\0';
	if (elsewhere_find(el, &keys, &f))
		snprintf(text, sizeof(text), "%s/%u", f.node, (unsigned)f.client.id);
	return text;
}

static void assert_list(struct elsewhere *el, const char *room, size_t size, const char *expected, size_t n,
			size_t shown)
{
	char buf[256] = "";
	size_t ret;

	assert_int_equal(elsewhere_list(el, room, buf, size, &ret), n);
	assert_string_equal(buf, expected);
	assert_int_equal(ret, shown);
	assert_int_equal(elsewhere_count(el, room), n);
}

static void somebody_is_found_by_nick_and_by_room(void **state)
{
	put(*state, "b", 1, "alice", "lobby", false);
	put(*state, "c", 1, "bob", "lobby", false);
	put(*state, "c", 2, "Нenry", "", false); /* a Cyrillic capital */
	assert_string_equal(where(*state, "ALICE"), "b/1");
	assert_string_equal(where(*state, "a1ice"), "b/1");
	assert_string_equal(where(*state, "henry"), "c/2");
	assert_string_equal(where(*state, "нenry"), "c/2");
	assert_string_equal(where(*state, "carol"), "");
	assert_list(*state, "lobby", 64, "bob, alice", 2, 2);
	assert_list(*state, "lobby", 9, "bob", 2, 1);
	assert_list(*state, "", 64, "", 0, 0);
	assert_int_equal(elsewhere_count(*state, NULL), 3);

	struct elsewhere_room rooms[4];
	size_t n_rooms;
	assert_int_equal(elsewhere_rooms(*state, rooms, 4, &n_rooms), 1);
	assert_int_equal(n_rooms, 1);
	assert_string_equal(rooms[0].name, "lobby");
	assert_int_equal(rooms[0].n, 2);
	put(*state, "d", 1, "x", "one", false);
	put(*state, "d", 2, "y", "two", false);
	assert_int_equal(elsewhere_rooms(*state, rooms, 2, &n_rooms), 2);
	assert_int_equal(n_rooms, 3);
	elsewhere_drop(*state, elsewhere_node(*state, "d"), NULL, NULL);
	assert_int_equal(elsewhere_rooms(*state, rooms, 4, &n_rooms), 1);
	assert_string_equal(rooms[0].name, "lobby");
	assert_int_equal(elsewhere_rooms(NULL, rooms, 4, &n_rooms), 0);

	/* One who moves, and changes the nick. */
	put(*state, "b", 1, "zoe", "den", false);
	assert_string_equal(where(*state, "alice"), "");
	assert_string_equal(where(*state, "zoe"), "b/1");
	assert_list(*state, "lobby", 64, "bob", 1, 1);
	assert_list(*state, "den", 64, "zoe", 1, 1);
	elsewhere_remove(*state, elsewhere_node(*state, "c"), 1);
	elsewhere_remove(*state, elsewhere_node(*state, "c"), 1);
	assert_list(*state, "lobby", 64, "", 0, 0);
	assert_string_equal(where(*state, "bob"), "");

	/* Two of one nick, for the moment: an account has it. */
	put(*state, "b", 5, "ann", "", true);
	put(*state, "c", 5, "ann", "", false);
	assert_string_equal(where(*state, "ann"), "b/5");
	elsewhere_remove(*state, elsewhere_node(*state, "b"), 5);
	assert_string_equal(where(*state, "ann"), "c/5");

	/* A name that is reserved is nobody's who is there. */
	struct elsewhere_client reserved = {.id = 6, .nick_len = 3, .reserved = true, .nick = "joe"};
	struct nick_keys keys = nick_keys("JOE", 3), others = nick_keys("ann", 3);
	assert_false(elsewhere_reserves(*state, &keys));
	assert_true(elsewhere_put(*state, elsewhere_node(*state, "b"), &reserved));
	assert_string_equal(where(*state, "joe"), "");
	assert_true(elsewhere_reserves(*state, &keys));
	assert_false(elsewhere_reserves(*state, &others));
	assert_false(elsewhere_reserves(NULL, &keys));

	/* Without a cluster nobody is elsewhere. */
	assert_string_equal(where(NULL, "ann"), "");
	assert_list(NULL, "lobby", 64, "", 0, 0);
	assert_int_equal(elsewhere_count(NULL, NULL), 0);
}

static char heard[256];

static void hears(void *arg, const char *node, const char *nick, size_t len, bool gone)
{
	size_t n = strlen(heard);

	/* It is so by then. */
	snprintf(heard + n, sizeof(heard) - n, "%s%s.%.*s=%s ", gone ? "-" : "", node, (int)len, nick,
		 len ? where(arg, (char[8]){nick[0], nick[1], nick[2]}) : "");
}

static void assert_told(const char *expected)
{
	assert_string_equal(heard, expected);
	heard[0] = '\0';
}

static void who_listens_is_told_of_every_nick(void **state)
{
	const struct elsewhere_listener l = {hears, *state};
	struct elsewhere_client reserved = {.id = 6, .nick_len = 3, .reserved = true, .nick = "joe"};
	struct elsewhere_node *b = elsewhere_node(*state, "b");

	elsewhere_listen(NULL, &l);
	put(*state, "b", 1, "ann", "lobby", false);
	elsewhere_listen(*state, &l);
	put(*state, "b", 1, "ann", "den", true);
	assert_told("");
	put(*state, "b", 1, "zoe", "den", true);
	put(*state, "b", 2, "bob", "", false);
	assert_told("-b.ann= b.zoe=b/1 b.bob=b/2 ");
	elsewhere_remove(*state, b, 2);
	assert_true(elsewhere_put(*state, b, &reserved));
	put(*state, "b", 6, "joe", "", false);
	assert_told("-b.bob= b.joe=b/6 ");
	elsewhere_begin(*state, b);
	put(*state, "b", 1, "zoe", "den", true);
	elsewhere_end(*state, b);
	assert_told("-b.joe= ");
	elsewhere_drop(*state, b, NULL, NULL);
	assert_told("-b.zoe= ");

	assert_true(elsewhere_is_known(NULL));
	assert_false(elsewhere_is_known(*state));
	elsewhere_set_known(*state, true);
	elsewhere_set_known(*state, true);
	assert_told(".= ");
	assert_true(elsewhere_is_known(*state));
	elsewhere_set_known(*state, false);
	elsewhere_listen(*state, NULL);
	put(*state, "b", 1, "ann", "lobby", false);
	assert_told("");
}

static void a_list_goes_on_where_another_ends(void **state)
{
	char buf[64] = "ann";
	size_t shown;

	put(*state, "b", 1, "bob", "lobby", false);
	assert_int_equal(elsewhere_list(*state, "lobby", buf, sizeof(buf), &shown), 1);
	assert_string_equal(buf, "ann, bob");
}

static void a_node_is_replaced_or_dropped(void **state)
{
	struct elsewhere_node *b = elsewhere_node(*state, "b");

	for (uint64_t i = 1; i <= 5; i++) {
		char nick[8] = {(char)('a' + i)};
		put(*state, "b", i, nick, i < 4 ? "lobby" : "den", false);
	}
	put(*state, "c", 1, "carol", "lobby", false);
	elsewhere_begin(*state, b);
	put(*state, "b", 2, "c", "lobby", false);
	put(*state, "b", 9, "new", "den", false);
	assert_int_equal(elsewhere_count(*state, NULL), 7);
	elsewhere_end(*state, b);
	assert_int_equal(elsewhere_count(*state, NULL), 3);
	assert_list(*state, "lobby", 64, "c, carol", 2, 2);
	assert_list(*state, "den", 64, "new", 1, 1);
}

struct told {
	struct elsewhere *el;
	char text[128];
};

/* What is told is so already, in all rooms. */
static void note(const char *room, const struct elsewhere_nick *nicks, unsigned n, void *arg)
{
	struct told *t = arg;

	sprintf(t->text + strlen(t->text), "%s %u;", room, n);
	assert_non_null(nicks);
	for (unsigned i = 0; i < n; i++)
		assert_true(nicks[i].len > 0 && nick_valid(nicks[i].nick, nicks[i].len));
	assert_list(t->el, "lobby", 64, "eve", 1, 1);
	assert_list(t->el, "den", 64, "", 0, 0);
	assert_int_equal(elsewhere_count(t->el, NULL), 1);
}

static void a_node_that_is_gone_is_told_by_room(void **state)
{
	struct told told = {.el = *state};

	put(*state, "b", 1, "ann", "den", false);
	put(*state, "b", 2, "bob", "lobby", false);
	put(*state, "b", 3, "carol", "lobby", false);
	put(*state, "b", 4, "dave", "", false);
	put(*state, "c", 2, "eve", "lobby", false);
	elsewhere_drop(*state, elsewhere_node(*state, "b"), note, &told);
	assert_string_equal(told.text, "den 1;lobby 2;");
	assert_int_equal(elsewhere_count(*state, NULL), 1);
	assert_list(*state, "lobby", 64, "eve", 1, 1);
	told.text[0] = '\0';
	elsewhere_drop(*state, elsewhere_node(*state, "b"), note, &told);
	elsewhere_drop(*state, elsewhere_node(*state, "c"), NULL, NULL);
	assert_string_equal(told.text, "");
	assert_int_equal(elsewhere_count(*state, NULL), 0);
}

static void note_only(const char *room, const struct elsewhere_nick *nicks, unsigned n, void *arg)
{
	assert_non_null(nicks);
	sprintf((char *)arg + strlen(arg), "%s %u;", room, n);
}

static void who_is_there_is_told_by_room_and_stays(void **state)
{
	char text[128] = "";

	put(*state, "b", 1, "ann", "den", false);
	put(*state, "b", 2, "bob", "den", false);
	put(*state, "b", 3, "dave", "", false);
	put(*state, "c", 2, "eve", "lobby", false);
	for (unsigned i = 0; i < 2; i++) {
		elsewhere_by_room(*state, elsewhere_node(*state, "b"), note_only, text);
		assert_string_equal(text, "den 2;");
		text[0] = '\0';
	}
	assert_int_equal(elsewhere_count(*state, NULL), 4);
}

/* What a node reserves stays so while it is away, and is what it says when it is back. */
static void what_is_reserved_stays(void **state)
{
	static const char *const names[] = {"joe", "sue"};
	struct elsewhere_node *b = elsewhere_node(*state, "b");
	struct nick_keys joe = nick_keys("JOE", 3), sue = nick_keys("sue", 3);
	char name[8], told[128] = "";
	unsigned version = elsewhere_reserved_version(*state);

	put(*state, "b", 1, "ann", "den", false);
	assert_int_equal(elsewhere_reserved_version(*state), version);
	for (unsigned again = 0; again < 2; again++)
		for (uint64_t i = 0; i < 2; i++) {
			struct elsewhere_client c = {
			    .id = ELSEWHERE_RESERVED_ID + i, .reserved = true, .nick_len = 3, .room = "den"};
			memcpy(c.nick, names[i], 3);
			assert_true(elsewhere_put(*state, b, &c));
			assert_int_equal(elsewhere_reserved_version(*state), version + (again ? 2 : i + 1));
		}
	elsewhere_drop(*state, b, note_only, told);
	assert_string_equal(told, "den 1;");
	assert_int_equal(elsewhere_count(*state, "den"), 0);
	assert_int_equal(elsewhere_count(*state, NULL), 2);
	assert_true(elsewhere_reserves(*state, &joe) && elsewhere_reserves(*state, &sue));
	assert_true(b->kept);
	assert_int_equal(elsewhere_reserved_version(*state), version + 2);

	/* It is back, and says otherwise. */
	assert_ptr_equal(elsewhere_node(*state, "b"), b);
	assert_false(b->kept);
	elsewhere_begin(*state, b);
	put(*state, "b", 1, "ann", "den", false);
	struct elsewhere_client c = {
	    .id = ELSEWHERE_RESERVED_ID, .reserved = true, .nick_len = 3, .nick = "sue"};
	assert_true(elsewhere_put(*state, b, &c));
	elsewhere_end(*state, b);
	assert_true(!elsewhere_reserves(*state, &joe) && elsewhere_reserves(*state, &sue));
	assert_int_not_equal(elsewhere_reserved_version(*state), version + 2);

	/* Those that are there have its place, if it is away and there is no other one. */
	elsewhere_drop(*state, b, NULL, NULL);
	for (unsigned i = 0; i < ELSEWHERE_NODES - 1; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_non_null(elsewhere_node(*state, name));
	}
	assert_true(elsewhere_reserves(*state, &sue));
	assert_non_null(elsewhere_node(*state, "another"));
	assert_false(elsewhere_reserves(*state, &sue));
	assert_null(elsewhere_node(*state, "yet"));
	assert_int_equal(elsewhere_count(*state, NULL), 0);
}

static void there_are_only_so_many_nodes(void **state)
{
	char name[8];

	for (unsigned i = 0; i < ELSEWHERE_NODES; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		assert_non_null(elsewhere_node(*state, name));
	}
	assert_null(elsewhere_node(*state, "another"));
	assert_non_null(elsewhere_node(*state, "n7"));
	elsewhere_drop(*state, elsewhere_node(*state, "n7"), NULL, NULL);
	assert_non_null(elsewhere_node(*state, "another"));
	assert_null(elsewhere_node(*state, "n7"));
}

static void all_are_copied_in_parts(void **state)
{
	static struct elsewhere_found at[64];
	bool seen[3][1001] = {{false}};
	size_t all = 0, n;

	for (uint64_t i = 1; i <= 1000; i++) {
		char nick[16];
		snprintf(nick, sizeof(nick), "n%u", (unsigned)i);
		put(*state, i % 3 ? "b" : "c", i, nick, "lobby", false);
	}
	for (uint32_t cursor = 0; (n = elsewhere_copy(*state, &cursor, at, 64)) > 0; all += n)
		for (size_t i = 0; i < n; i++) {
			const struct elsewhere_client *c = &at[i].client;
			bool *was = &seen[at[i].node[0] - 'a'][c->id];
			assert_false(*was);
			*was = true;
			assert_string_equal(at[i].node, c->id % 3 ? "b" : "c");
			assert_string_equal(c->room, "lobby");
			assert_string_equal(c->kind, "tcp");
			assert_int_equal(c->since_us, 7);
			assert_int_equal(strtoul(c->nick + 1, NULL, 10), c->id);
		}
	assert_int_equal(all, 1000);
}

/* --- while others ask --- */

struct asking {
	struct elsewhere *el;
	atomic_bool over;
};

static void *ask_all_the_time(void *arg)
{
	struct asking *a = arg;
	static struct elsewhere_found at[512];
	char buf[1024];
	size_t shown;

	while (!a->over) {
		struct nick_keys keys = nick_keys("n5", 2);
		struct elsewhere_found f;
		uint32_t cursor = 0;
		buf[0] = '\0';
		elsewhere_list(a->el, "lobby", buf, sizeof(buf), &shown);
		if (elsewhere_find(a->el, &keys, &f))
			assert_string_equal(f.client.nick, "n5");
		while (elsewhere_copy(a->el, &cursor, at, 512) > 0)
			;
	}
	return NULL;
}

static void others_may_ask_meanwhile(void **state)
{
	struct asking a = {.el = *state};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, ask_all_the_time, &a), 0);
	for (unsigned round = 0; round < 200; round++) {
		struct elsewhere_node *b = elsewhere_node(*state, "b");
		elsewhere_begin(*state, b);
		for (uint64_t i = 1 + round % 3; i <= 50; i++) {
			char nick[16];
			snprintf(nick, sizeof(nick), "n%u", (unsigned)i);
			put(*state, "b", i, nick, i % 2 ? "lobby" : "den", false);
		}
		elsewhere_end(*state, b);
		if (round % 7 == 0)
			elsewhere_drop(*state, b, NULL, NULL);
	}
	a.over = true;
	pthread_join(thread, NULL);
	assert_int_equal(elsewhere_count(*state, NULL), 49);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(somebody_is_found_by_nick_and_by_room),
	    CASE(who_listens_is_told_of_every_nick),
	    CASE(a_list_goes_on_where_another_ends),
	    CASE(a_node_is_replaced_or_dropped),
	    CASE(a_node_that_is_gone_is_told_by_room),
	    CASE(who_is_there_is_told_by_room_and_stays),
	    CASE(what_is_reserved_stays),
	    CASE(there_are_only_so_many_nodes),
	    CASE(all_are_copied_in_parts),
	    CASE(others_may_ask_meanwhile),
	};

	return cmocka_run_group_tests_name("elsewhere", tests, NULL, NULL);
}
