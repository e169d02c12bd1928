/* SPDX-License-Identifier: MIT */
/* Nicks: which are taken, reserved, or chatd's own, and which are in a room. */
#include "tests/unit/unit.h"

#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/room.h"
#include "daemon/rooms/roster.h"
#include "daemon/rooms/wakeup.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
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

static int claim_since(struct roster *ro, const char *nick, uint64_t id, unsigned title, int64_t since,
		       struct roster_entry **ret)
{
	const struct roster_person who = {id, (uint32_t)id, title, since};

	return roster_claim(ro, nick, strlen(nick), &who, ret);
}

static int claim(struct roster *ro, const char *nick, uint64_t id, bool entitled, struct roster_entry **ret)
{
	return claim_since(ro, nick, id, entitled, clock_us(CLOCK_REALTIME), ret);
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

/* --- what a cluster is told --- */

/* The changes as "ID NICK ROOM" and "ID gone", in the order of the ids. */
static void assert_changes(struct roster *ro, const char *expected)
{
	struct roster_change at[64];
	char text[4096] = "";
	size_t n = roster_changes(ro, at, 64);

	for (uint64_t id = 0; id < 100; id++)
		for (size_t i = 0; i < n; i++) {
			size_t o = strlen(text);
			if (at[i].id != id)
				continue;
			if (at[i].nick_len == 0)
				snprintf(text + o, sizeof(text) - o, "%u gone;", (unsigned)id);
			else
				snprintf(text + o, sizeof(text) - o, "%u %s %d;", (unsigned)id, at[i].nick,
					 at[i].room == ROOM_NONE ? -1 : (int)at[i].room);
		}
	assert_string_equal(text, expected);
}

static void changes_are_told_once_and_as_one(void **state)
{
	struct roster_entry *alice, *bob, *carol, *e;
	struct roster_change at[3];

	assert_int_equal(roster_watch(*state, "a", NULL), 0);
	assert_changes(*state, "");
	assert_int_equal(claim(*state, "alice", 1, false, &alice), 0);
	enter(*state, alice, ROOM);
	assert_int_equal(claim(*state, "bob", 2, false, &bob), 0);
	assert_changes(*state, "1 alice 3;2 bob -1;");
	assert_changes(*state, "");

	/* A nick that is claimed isn't had before it replaces the other one. */
	assert_int_equal(claim(*state, "zoe", 1, false, &e), 0);
	assert_changes(*state, "1 alice 3;");
	roster_replace(*state, &alice, e);
	roster_leave(*state, alice, ROOM);
	enter(*state, alice, ROOM + 1);
	assert_changes(*state, "1 zoe 4;");
	assert_int_equal(claim(*state, "ann", 1, false, &e), 0);
	roster_release(*state, e);
	assert_changes(*state, "1 zoe 4;");

	/* Who comes and goes between two looks was never there. */
	assert_int_equal(claim(*state, "carol", 3, false, &carol), 0);
	roster_release(*state, carol);
	assert_changes(*state, "");

	/* Another client has the place of one that is gone, in this order or in that one. */
	roster_release(*state, bob);
	assert_int_equal(
	    roster_claim(*state, "dave", 4, &(struct roster_person){4, 2, ROSTER_DATAGRAM, 1}, &bob), 0);
	assert_changes(*state, "2 gone;4 dave -1;");
	assert_int_equal(roster_claim(*state, "eve", 3, &(struct roster_person){5, 2, 0, 1}, &e), 0);
	roster_release(*state, bob);
	assert_changes(*state, "4 gone;5 eve -1;");
	roster_release(*state, e);
	roster_release(*state, alice);
	assert_changes(*state, "1 gone;5 gone;");

	/* However few are taken at a time, and however many there are. */
	for (uint32_t i = 0; i < 5000; i++) {
		char nick[16];
		int n = snprintf(nick, sizeof(nick), "n%u", i);
		assert_int_equal(
		    roster_claim(*state, nick, (size_t)n, &(struct roster_person){i + 10, i, 0, 1}, &e), 0);
	}
	size_t all = 0;
	for (size_t n; (n = roster_changes(*state, at, 3)) > 0; all += n)
		assert_true(n <= 3);
	assert_int_equal(all, 5000);
}

/* --- nicks of two nodes --- */

static void is_elsewhere(struct elsewhere *el, const char *node, const char *nick, int64_t since,
			 bool account, struct elsewhere_client *ret)
{
	*ret = (struct elsewhere_client){
	    .id = 7, .since_us = since, .nick_len = (uint8_t)strlen(nick), .account = account};
	strcpy(ret->nick, nick);
	assert_true(elsewhere_put(el, elsewhere_node(el, node), ret));
}

static void a_nick_elsewhere_is_taken(void **state)
{
	struct elsewhere *el;
	struct elsewhere_client c;
	struct roster_entry *e;
	char guest[TEXT_NICK_MAX + 1];

	assert_int_equal(elsewhere_new(64, &el), 0);
	assert_int_equal(roster_watch(*state, "b", el), 0);
	is_elsewhere(el, "c", "alice", 1, false, &c);
	assert_int_equal(claim(*state, "alice", 1, false, &e), -EEXIST);
	assert_int_equal(claim(*state, "A1ICE", 1, false, &e), -EEXIST);
	assert_int_equal(claim(*state, "аlice", 1, false, &e), -EEXIST);
	assert_int_equal(roster_check(*state, "Alice", 5), -EEXIST);
	assert_int_equal(who(*state, "alice"), 0);		  /* not here */
	assert_int_equal(claim(*state, "alice", 1, true, &e), 0); /* by an account */
	roster_release(*state, e);
	is_elsewhere(el, "c", "alice", 1, true, &c);
	assert_int_equal(claim(*state, "alice", 1, true, &e), -EEXIST);
	elsewhere_remove(el, elsewhere_node(el, "c"), 7);
	assert_int_equal(claim(*state, "alice", 1, false, &e), 0);
	roster_release(*state, e);

	/* Guests have the node's name in theirs, and no others have such names. */
	assert_int_equal(roster_guest(*state, 12, guest), 9);
	assert_string_equal(guest, "guest12-b");
	assert_int_equal(claim(*state, "guest12-b", 11, false, &e), -EPERM);
	assert_int_equal(claim(*state, "guest12", 12, false, &e), -EPERM);
	assert_int_equal(claim(*state, "guest12-c", 12, false, &e), -EPERM);
	assert_int_equal(claim(*state, "Guest1z-any", 12, false, &e), 0);
	roster_release(*state, e);
	is_elsewhere(el, "B", "guest12-B", 1, true, &c); /* which looks like that */
	assert_int_equal(claim(*state, "guest12-b", 12, false, &e), 0);
	roster_contest(*state, "B", &c);
	assert_false(roster_is_lost(*state, e));
	roster_release(*state, e);
	elsewhere_free(el);
}

/* Names that others could want are told at once. */
static void who_gets_a_name_hurries(void **state)
{
	struct roster_entry *guest, *e;
	struct wakeup *w;

	assert_int_equal(wakeup_new(&w), 0);
	assert_int_equal(roster_watch(*state, "b", NULL), 0);
	assert_int_equal(claim(*state, "bob", 2, false, &e), 0);
	assert_false(roster_hurries(*state));
	roster_wakes(*state, w);
	assert_int_equal(claim(*state, "guest1-b", 1, false, &guest), 0);
	assert_false(roster_hurries(*state));
	assert_int_equal(claim(*state, "alice", 3, false, &e), 0);
	assert_true(roster_hurries(*state));
	assert_false(roster_hurries(*state));
	assert_int_equal(claim(*state, "carol", 1, false, &e), 0);
	assert_false(roster_hurries(*state)); /* the guest has its old name until then */
	roster_replace(*state, &guest, e);
	assert_true(roster_hurries(*state));
	struct pollfd p = {.fd = wakeup_fd(w), .events = POLLIN};
	assert_int_equal(poll(&p, 1, 0), 1);
	roster_wakes(*state, NULL);
	wakeup_free(w);
}

static void one_of_two_loses(void **state)
{
	static const struct {
		const char *node;
		int64_t since; /* from now */
		bool account, mine, loses;
	} cases[] = {
	    {"c", -1000000, false, false, true}, {"c", 1000000, false, false, false},
	    {"c", 1000000, true, false, true},	 {"c", -1000000, false, true, false},
	    {"c", -1000000, true, true, true},	 {"c", 1000000, true, true, false},
	    {"c", 0, false, false, false},	 {"a", 0, false, false, true},
	};
	struct elsewhere *el;
	struct roster_change change[4];

	assert_int_equal(elsewhere_new(64, &el), 0);
	assert_int_equal(roster_watch(*state, "b", el), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct roster_entry *e;
		struct elsewhere_client c;
		unsigned losses = roster_losses(*state);
		assert_int_equal(claim(*state, "alice", 1, cases[i].mine, &e), 0);
		size_t n = roster_changes(*state, change, 4);
		assert_int_equal(change[n - 1].is_account, cases[i].mine);
		is_elsewhere(el, cases[i].node, "аlice", change[n - 1].since_us + cases[i].since,
			     cases[i].account, &c);
		roster_contest(*state, cases[i].node, &c);
		roster_contest(*state, cases[i].node, &c);
		assert_int_equal(roster_is_lost(*state, e), cases[i].loses);
		assert_int_equal(roster_is_reserved(*state, e), cases[i].loses);
		assert_int_equal(roster_losses(*state) - losses, cases[i].loses);
		roster_release(*state, e);
		elsewhere_remove(el, elsewhere_node(el, cases[i].node), 7);
	}
	elsewhere_free(el);
}

/* Who comes back, as after a restart of this node, has had it for as long as it had. */
static void who_had_a_nick_before_has_it_still(void **state)
{
	struct elsewhere *el;
	struct elsewhere_client c;
	struct roster_entry *e, *other = NULL;
	struct roster_change change[4];

	assert_int_equal(elsewhere_new(64, &el), 0);
	assert_int_equal(roster_watch(*state, "b", el), 0);
	is_elsewhere(el, "c", "alice", 1000, false, &c);
	assert_int_equal(claim_since(*state, "alice", 1, ROSTER_AGAIN, 1001, &e), -EEXIST);
	assert_int_equal(claim_since(*state, "alice", 1, 0, 999, &e), -EEXIST); /* a clock that is behind */
	assert_int_equal(claim_since(*state, "alice", 1, ROSTER_AGAIN, 1000, &e),
			 0); /* by the nodes' names */
	roster_release(*state, e);
	assert_int_equal(claim_since(*state, "alice", 1, ROSTER_AGAIN, 999, &e), 0);
	roster_contest(*state, "c", &c);
	assert_false(roster_is_lost(*state, e));
	assert_int_equal(roster_changes(*state, change, 4), 1);
	assert_int_equal(change[0].since_us, 999);

	/* In another case it is the same one; another name is new. */
	assert_int_equal(claim_since(*state, "Alice", 1, ROSTER_AGAIN, 999, &other), 0);
	roster_contest(*state, "c", &c);
	assert_false(roster_is_lost(*state, other));
	roster_replace(*state, &e, other);
	assert_int_equal(roster_changes(*state, change, 4), 1);
	assert_int_equal(change[0].since_us, 999);
	assert_int_equal(claim_since(*state, "zoe", 1, 0, 5000, &other), 0);
	roster_replace(*state, &e, other);
	assert_int_equal(roster_changes(*state, change, 4), 1);
	assert_int_equal(change[0].since_us, 5000);

	/* Of three who have one, it is the first one's. */
	is_elsewhere(el, "d", "alice", 999, false, &c);
	is_elsewhere(el, "e", "alice", 1001, false, &c);
	assert_int_equal(claim_since(*state, "alice", 2, ROSTER_AGAIN, 1000, &other), -EEXIST);
	struct nick_keys keys = nick_keys("alice", 5);
	struct elsewhere_found found;
	assert_true(elsewhere_find(el, &keys, &found));
	assert_string_equal(found.node, "d");
	elsewhere_free(el);
}

static void names_of_other_nodes_accounts_are_reserved(void **state)
{
	struct elsewhere *el;
	struct elsewhere_client c;
	struct roster_entry *squatter, *owner, *e;
	unsigned version = 0, losses;
	size_t n;

	assert_int_equal(elsewhere_new(64, &el), 0);
	assert_int_equal(roster_watch(*state, "b", el), 0);
	assert_int_equal(claim(*state, "alice", 1, false, &squatter), 0);
	assert_int_equal(claim(*state, "bob", 2, true, &owner), 0);
	losses = roster_losses(*state);
	for (unsigned i = 0; i < 2; i++) {
		is_elsewhere(el, "c", i ? "bob" : "Alice", 1, false, &c);
		c.id = 8 + i;
		c.reserved = true;
		assert_true(elsewhere_put(el, elsewhere_node(el, "c"), &c));
		roster_contest(*state, "c", &c);
	}
	elsewhere_remove(el, elsewhere_node(el, "c"), 7);
	assert_int_equal(roster_losses(*state) - losses, 1);
	assert_true(roster_is_reserved(*state, squatter));
	assert_false(roster_is_lost(*state, squatter));
	assert_false(roster_is_lost(*state, owner));
	roster_release(*state, squatter);
	assert_int_equal(claim(*state, "a1ice", 3, false, &e), -EPERM);
	assert_int_equal(roster_check(*state, "alice", 5), -EPERM);
	assert_int_equal(claim(*state, "alice", 3, true, &e), 0); /* who has proved to be that */
	assert_int_equal(claim(*state, "carol", 4, false, &e), 0);

	/* And this node's names, for the others. */
	char(*names)[TEXT_NICK_MAX + 1] = calloc(1, sizeof(*names));
	strcpy(names[0], "dave");
	roster_reserve_names(*state, names, 1);
	names = roster_names(*state, &version, &n);
	assert_int_equal(n, 1);
	assert_string_equal(names[0], "dave");
	free(names);
	assert_null(roster_names(*state, &version, &n));
	roster_release(*state, owner);
	elsewhere_free(el);
}

/* Workers with their clients, while other nodes' people come and go, and the watcher takes what has changed. */
#define CROWD 40

struct crowd {
	struct roster *ro;
	unsigned number;
	atomic_bool *over;
};

static void *come_and_go(void *arg)
{
	const struct crowd *k = arg;
	struct roster_entry *mine[CROWD] = {NULL}, *e;

	for (unsigned round = 0; round < 300; round++)
		for (unsigned i = 0; i < CROWD; i++) {
			uint64_t id = 1 + k->number * 1000 + i;
			char nick[16];
			/* Both workers, and the other node, want the same ones. */
			snprintf(nick, sizeof(nick), "n%u", (i + round * 7) % (CROWD + 10));
			if (mine[i] && (round % 5 == 4 || roster_is_lost(k->ro, mine[i]))) {
				roster_release(k->ro, mine[i]);
				mine[i] = NULL;
			} else if (claim(k->ro, nick, id, round % 3 == 0, &e) == 0) {
				bool fresh = !mine[i];
				roster_replace(k->ro, &mine[i], e);
				if (fresh)
					enter(k->ro, e, ROOM + i % 3);
			}
		}
	return NULL;
}

static void *watch(void *arg)
{
	const struct crowd *k = arg;
	struct roster_change at[16];
	static bool is_there[4000];
	size_t n;

	/* Once more behind the end, for what changed last. */
	for (bool last = false; !last;) {
		last = *k->over;
		while ((n = roster_changes(k->ro, at, 16)) > 0)
			for (size_t i = 0; i < n; i++) {
				assert_true(at[i].nick_len > 0 || is_there[at[i].id]);
				is_there[at[i].id] = at[i].nick_len > 0;
			}
	}
	size_t all = 0;
	for (size_t i = 0; i < 4000; i++)
		all += is_there[i];
	return (void *)all;
}

static void all_at_once(void **state)
{
	struct elsewhere *el;
	struct elsewhere_client c;
	pthread_t workers[2], watcher;
	struct crowd k[3];
	atomic_bool over = false;
	void *told;

	assert_int_equal(elsewhere_new(64, &el), 0);
	assert_int_equal(roster_watch(*state, "b", el), 0);
	for (unsigned i = 0; i < 3; i++)
		k[i] = (struct crowd){*state, i, &over};
	assert_int_equal(pthread_create(&watcher, NULL, watch, &k[2]), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&workers[i], NULL, come_and_go, &k[i]), 0);
	for (unsigned i = 0; i < 5000; i++) {
		char nick[16];
		snprintf(nick, sizeof(nick), "n%u", i % (CROWD + 10));
		is_elsewhere(el, "c", nick, 1, i % 2, &c);
		roster_contest(*state, "c", &c);
		elsewhere_remove(el, elsewhere_node(el, "c"), 7);
	}
	pthread_join(workers[0], NULL);
	pthread_join(workers[1], NULL);
	over = true;
	pthread_join(watcher, &told);
	/* Who is there in the end is whom the watcher knows. */
	size_t here = 0;
	for (unsigned i = 0; i < CROWD + 10; i++) {
		char nick[16];
		snprintf(nick, sizeof(nick), "n%u", i);
		here += who(*state, nick) != 0;
	}
	assert_int_equal((size_t)told, here);
	elsewhere_free(el);
}

/* Who asks about people gets copies: of a room, of one, of all. */
/* The nicks in the order in which they come or go, with whether somebody has them. */
struct heard {
	struct roster *ro;
	char text[200];
};

static void hear(void *arg, const char *nick, size_t len)
{
	struct heard *h = arg;
	uint64_t id;
	uint32_t index;
	bool here = roster_find(h->ro, nick, len, &id, &index);
	size_t n = strlen(h->text);

	snprintf(h->text + n, sizeof(h->text) - n, "%c%.*s ", here ? '+' : '-', (int)len, nick);
}

static void who_listens_hears_of_nicks(void **state)
{
	struct heard h = {.ro = *state};
	const struct roster_listener l = {hear, &h};
	struct roster_entry *alice, *other;

	assert_int_equal(claim(h.ro, "before", 1, false, &alice), 0);
	roster_listen(h.ro, &l);
	assert_int_equal(claim(h.ro, "alice", 2, false, &other), 0);
	assert_int_equal(roster_enter(h.ro, other, ROOM), 0);
	assert_int_equal(claim(h.ro, "Alice", 3, false, &alice), -EEXIST);
	assert_string_equal(h.text, "+alice ");
	h.text[0] = 0;
	assert_int_equal(claim(h.ro, "bob", 2, false, &alice), 0);
	roster_replace(h.ro, &other, alice);
	assert_string_equal(h.text, "+bob -alice ");
	h.text[0] = 0;
	roster_release(h.ro, alice);
	roster_listen(h.ro, NULL);
	assert_int_equal(claim(h.ro, "carol", 4, false, &alice), 0);
	assert_string_equal(h.text, "-bob ");
}

static void people_are_told(void **state)
{
	enum { PEOPLE = 9000 }; /* more than there are buckets */
	struct roster *ro = *state;
	struct roster_entry *alice, *bob, *e;
	struct roster_member m, some[100], *all;
	static unsigned seen[PEOPLE + 3];
	uint64_t cursor = 0;
	uint32_t rooms[4];
	char nick[16];
	size_t n;

	assert_int_equal(claim(ro, "Alice", 1, true, &alice), 0);
	assert_int_equal(claim(ro, "J\xc3\xbcrgen", 2, false, &bob), 0);
	assert_null(roster_members(ro, ROOM, &n));
	assert_int_equal(n, 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(roster_enter(ro, alice, ROOM + i), 0);
	assert_int_equal(roster_enter(ro, bob, ROOM), 0);
	all = roster_members(ro, ROOM, &n);
	assert_int_equal(n, 2);
	assert_string_equal(all[0].nick, "J\xc3\xbcrgen");
	assert_string_equal(all[1].nick, "Alice");
	assert_true(all[1].id == 1 && all[1].index == 1 && all[1].is_account && !all[0].is_account);
	free(all);

	assert_false(roster_member(ro, "carol", 5, &m));
	assert_true(roster_member(ro, "aLICE", 5, &m));
	assert_string_equal(m.nick, "Alice");
	assert_int_equal(roster_rooms(ro, &m, rooms, 4), 3);
	assert_int_equal(rooms[0] + rooms[1] + rooms[2], 3 * ROOM + 3);
	assert_int_equal(roster_rooms(ro, &m, rooms, 2), 2);
	roster_leave(ro, alice, ROOM);
	assert_int_equal(roster_rooms(ro, &m, rooms, 4), 2);
	m.id = 7; /* somebody else has the nick now */
	assert_int_equal(roster_rooms(ro, &m, rooms, 4), 0);

	for (unsigned i = 3; i < PEOPLE + 3; i++) {
		/* Some are in two buckets: a Greek capital that looks like N, and its small one like v. */
		snprintf(nick, sizeof(nick), i % 2 ? "p%u" : "\xce\x9d%u", i);
		assert_int_equal(claim(ro, nick, i, false, &e), 0);
	}
	while ((n = roster_some(ro, &cursor, some, 100)) > 0)
		for (size_t i = 0; i < n; i++)
			seen[some[i].id]++;
	for (unsigned i = 1; i < PEOPLE + 3; i++)
		assert_int_equal(seen[i], 1);
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
	    CASE(people_are_told),
	    CASE(who_listens_hears_of_nicks),
	    CASE(changes_are_told_once_and_as_one),
	    CASE(a_nick_elsewhere_is_taken),
	    CASE(who_gets_a_name_hurries),
	    CASE(one_of_two_loses),
	    CASE(who_had_a_nick_before_has_it_still),
	    CASE(names_of_other_nodes_accounts_are_reserved),
	    CASE(all_at_once),
	};

	return cmocka_run_group_tests_name("roster", tests, NULL, NULL);
}
