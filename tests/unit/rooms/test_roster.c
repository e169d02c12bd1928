/* SPDX-License-Identifier: MIT */
/* Nicks: which are taken, reserved, or chatd's own, and which are in a room. */
#include "tests/unit/unit.h"

#include "common/nick.h"
#include "daemon/rooms/roster.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 3

static int setup(void **state)
{
	return roster_new(0, (struct roster **)state);
}

static int teardown(void **state)
{
	roster_free(*state);
	return 0;
}

static int claim(struct roster *ro, const char *nick, uint64_t id, bool entitled, struct roster_entry **ret)
{
	return roster_claim(ro, nick, strlen(nick), id, (uint32_t)id, entitled, ret);
}

static uint64_t who(struct roster *ro, const char *nick)
{
	uint64_t id;
	uint32_t index;

	return roster_find(ro, nick, strlen(nick), &id, &index) ? id : 0;
}

static void reserve(struct roster *ro, const char *nick)
{
	struct nick_keys keys = nick_keys(nick, strlen(nick));
	uint64_t *all = malloc(sizeof(keys.at));

	memcpy(all, keys.at, sizeof(keys.at));
	roster_reserve(ro, all, NICK_KEYS);
}

static void a_nick_is_had_once(void **state)
{
	struct roster_entry *alice, *henry, *again, *e;

	assert_int_equal(claim(*state, "alice", 1, false, &alice), 0);
	assert_int_equal(claim(*state, "Нenry", 2, false, &henry), 0); /* a Cyrillic capital */
	assert_int_equal(claim(*state, "ALICE", 3, false, &e), -EEXIST);
	assert_int_equal(claim(*state, "аlice", 3, false, &e), -EEXIST);
	assert_int_equal(claim(*state, "a1ice", 3, false, &e), -EEXIST);
	assert_int_equal(claim(*state, "henry", 3, false, &e), -EEXIST);
	assert_int_equal(claim(*state, "нenry", 3, false, &e), -EEXIST);
	assert_int_equal(roster_check(*state, "Alice", 5), -EEXIST);
	assert_int_equal(roster_check(*state, "bob", 3), 0);
	assert_int_equal(roster_check(*state, "b:b", 3), -EINVAL);
	assert_int_equal(who(*state, "aLice"), 1);
	assert_int_equal(who(*state, "HENRY"), 2);
	assert_int_equal(who(*state, "bob"), 0);

	/* Its own may be written in another way. */
	assert_int_equal(claim(*state, "Alice", 1, false, &again), 0);
	roster_release(*state, alice);
	assert_int_equal(who(*state, "alice"), 1);
	roster_release(*state, again);
	assert_int_equal(who(*state, "alice"), 0);
	roster_release(*state, henry);
	assert_int_equal(claim(*state, "henry", 3, false, &e), 0); /* which goes with the roster */
}

static void chatds_own_names_are_nobodys(void **state)
{
	static const char *const nicks[] = {"admin", "chatd", "CHATD",	"сhatd",  "аdmin",  "adrnin",
					    "ADMlN", "Admin", "guest8", "Guestl", "guestіo"};
	struct roster_entry *e;

	for (size_t i = 0; i < sizeof(nicks) / sizeof(*nicks); i++) {
		if (claim(*state, nicks[i], 7, true, &e) != -EPERM)
			fail_msg("%s can be had", nicks[i]);
		assert_int_equal(roster_check(*state, nicks[i], strlen(nicks[i])), -EPERM);
	}
	assert_int_equal(roster_check(*state, "guest7", 6), -EPERM);
	assert_int_equal(claim(*state, "guest7", 7, false, &e), 0);
}

static void what_is_reserved_needs_a_title(void **state)
{
	struct roster_entry *squatter, *owner, *guest, *e;

	assert_int_equal(claim(*state, "аlice", 1, false, &squatter), 0); /* Cyrillic */
	assert_false(roster_is_reserved(*state, squatter));
	reserve(*state, "alice");
	assert_true(roster_is_reserved(*state, squatter));
	assert_int_equal(claim(*state, "Alice", 2, false, &e), -EPERM);
	assert_int_equal(roster_check(*state, "Alice", 5), -EPERM);
	assert_int_equal(claim(*state, "alice", 2, true, &e), -EEXIST);
	roster_release(*state, squatter);
	assert_int_equal(claim(*state, "alice", 2, true, &owner), 0);

	/* A guest finds its name free whatever an account is called. */
	reserve(*state, "guest5");
	assert_int_equal(claim(*state, "guest5", 6, true, &e), -EPERM);
	assert_int_equal(claim(*state, "guest5", 5, false, &guest), 0);
	assert_false(roster_is_reserved(*state, guest));
	assert_false(roster_is_reserved(*state, owner));
}

static void assert_list(struct roster *ro, uint32_t room, size_t size, const char *expected, size_t n,
			size_t shown)
{
	char list[64];
	size_t ret_shown;

	assert_int_equal(roster_list(ro, room, list, size, &ret_shown), n);
	assert_string_equal(list, expected);
	assert_int_equal(ret_shown, shown);
}

static void enter(struct roster *ro, struct roster_entry *e, uint32_t room)
{
	assert_int_equal(roster_enter(ro, e, room), 0);
}

static void a_room_has_its_nicks(void **state)
{
	struct roster_entry *alice, *bob, *eve;

	assert_list(*state, ROOM, 64, "", 0, 0);
	assert_int_equal(claim(*state, "alice", 1, false, &alice), 0);
	assert_int_equal(claim(*state, "bob", 2, false, &bob), 0);
	assert_int_equal(claim(*state, "eve", 3, false, &eve), 0);
	assert_list(*state, ROOM, 64, "", 0, 0);
	enter(*state, alice, ROOM);
	enter(*state, bob, ROOM);
	enter(*state, eve, ROOM);
	assert_list(*state, ROOM, 64, "eve, bob, alice", 3, 3);
	/* As many as fit, each as a whole, and all are counted. */
	assert_list(*state, ROOM, 13, "eve, bob", 3, 2);
	assert_list(*state, ROOM, 4, "", 3, 0);

	roster_leave(*state, bob, ROOM);
	assert_list(*state, ROOM, 64, "eve, alice", 2, 2);
	assert_int_equal(who(*state, "bob"), 2);
	enter(*state, bob, ROOM + 1);
	assert_list(*state, ROOM + 1, 64, "bob", 1, 1);
	roster_leave(*state, bob, ROOM); /* where it isn't */
	roster_leave(*state, bob, UINT32_MAX);
	assert_list(*state, ROOM + 1, 64, "bob", 1, 1);

	roster_release(*state, eve);
	assert_list(*state, ROOM, 64, "alice", 1, 1);
	roster_release(*state, bob);
	roster_release(*state, alice);
	assert_list(*state, ROOM, 64, "", 0, 0);
	assert_list(*state, ROOM + 1, 64, "", 0, 0);
	/* Who has no entry need not be looked after. */
	roster_release(*state, NULL);
	enter(*state, NULL, ROOM);
	roster_leave(*state, NULL, ROOM);
	assert_list(*state, ROOM, 64, "", 0, 0);
	assert_list(*state, UINT32_MAX, 64, "", 0, 0);
}

static void who_is_in_many_rooms_is_in_each(void **state)
{
	struct roster_entry *alice, *bob, *e;

	assert_int_equal(claim(*state, "alice", 1, false, &alice), 0);
	assert_int_equal(claim(*state, "bob", 2, false, &bob), 0);
	for (uint32_t i = 0; i < 4; i++) {
		enter(*state, alice, ROOM + i);
		enter(*state, bob, ROOM + i);
		assert_list(*state, ROOM + i, 64, "bob, alice", 2, 2);
	}
	roster_leave(*state, alice, ROOM + 2);
	roster_leave(*state, alice, ROOM); /* the first one, whose place the next one takes */
	assert_list(*state, ROOM, 64, "bob", 1, 1);
	assert_list(*state, ROOM + 1, 64, "bob, alice", 2, 2);
	assert_list(*state, ROOM + 2, 64, "bob", 1, 1);
	assert_list(*state, ROOM + 3, 64, "bob, alice", 2, 2);
	enter(*state, alice, ROOM + 4);
	assert_list(*state, ROOM + 4, 64, "alice", 1, 1);

	/* Another nick is where the old one was. */
	assert_int_equal(claim(*state, "zoe", 1, false, &e), 0);
	roster_replace(*state, &alice, e);
	assert_ptr_equal(alice, e);
	assert_int_equal(who(*state, "alice"), 0);
	assert_list(*state, ROOM, 64, "bob", 1, 1);
	assert_list(*state, ROOM + 1, 64, "zoe, bob", 2, 2);
	assert_list(*state, ROOM + 2, 64, "bob", 1, 1);
	assert_list(*state, ROOM + 3, 64, "zoe, bob", 2, 2);
	assert_list(*state, ROOM + 4, 64, "zoe", 1, 1);
	roster_leave(*state, alice, ROOM + 1);
	assert_list(*state, ROOM + 1, 64, "bob", 1, 1);

	alice = NULL;
	assert_int_equal(claim(*state, "alice", 4, false, &e), 0);
	roster_replace(*state, &alice, e);
	assert_ptr_equal(alice, e);
	/* All that is left goes with the roster. */
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(a_nick_is_had_once),
	    CASE(chatds_own_names_are_nobodys),
	    CASE(what_is_reserved_needs_a_title),
	    CASE(a_room_has_its_nicks),
	    CASE(who_is_in_many_rooms_is_in_each),
	};

	return cmocka_run_group_tests_name("roster", tests, NULL, NULL);
}
