/* SPDX-License-Identifier: MIT */
/*
 * Whose a nick is, on three nodes with a roster each and a network between them that delays, reorders and loses, while
 * nodes die and are apart. Whatever happens: in the end each nick is one client's, all nodes know the same, and nobody has
 * lost one to somebody who had it later.
 */
#include "tests/unit/unit.h"

#include "daemon/cluster/presence.h"
#include "daemon/cluster/presence_text.h"
#include "daemon/rooms/room.h"
#include "daemon/rooms/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define SEATS 40
#define NICKS 25
#define CLAIMS 20000
#define MS 1000
#define S INT64_C(1000000)

/* A client, and what outlives the process of it. */
struct seat {
	uint64_t id; /* 0: nobody is there */
	unsigned title;
	int64_t since;
	char nick[TEXT_NICK_MAX + 1];
	struct roster_entry *entry; /* of this process */
};

struct node {
	struct world *world;
	char name[2];
	struct roster *roster;
	struct elsewhere *el;
	struct presence *presence; /* NULL: it is down */
	bool connected;
	uint64_t next_id;
	struct seat seats[SEATS];
};

struct claim {
	char nick[TEXT_NICK_MAX + 1];
	unsigned node;
	bool account;
	int64_t since;
};

struct message {
	struct message *next;
	int64_t due;
	char subject[PRESENCE_SUBJECT_MAX];
	size_t len;
	char data[];
};

struct world {
	int64_t now;
	uint64_t random, next_boot;
	unsigned loss, delay_ms, lost; /* in 1000; at most; how many had to give one back */
	struct message *messages;
	struct node nodes[NODES];
	struct claim claims[CLAIMS];
	size_t n_claims;
};

static unsigned dice(struct world *w, unsigned sides)
{
	w->random = w->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(w->random >> 33) % sides;
}

/* --- the network --- */

static void node_sends(void *arg, const char *subject, const char *data, size_t len)
{
	struct world *w = ((struct node *)arg)->world;
	struct message *m, **p = &w->messages;

	if (dice(w, 1000) < w->loss)
		return;
	m = malloc(sizeof(*m) + len + 1);
	assert_non_null(m);
	*m = (struct message){.len = len};
	m->due = w->now + (w->delay_ms ? (int64_t)dice(w, w->delay_ms) * MS : 0);
	snprintf(m->subject, sizeof(m->subject), "%s", subject);
	memcpy(m->data, data, len + 1);
	while (*p && (*p)->due <= m->due)
		p = &(*p)->next;
	m->next = *p;
	*p = m;
}

static void deliver(struct world *w)
{
	while (w->messages && w->messages->due <= w->now) {
		struct message *m = w->messages;
		w->messages = m->next;
		/* What is for others is passed over there. */
		for (unsigned i = 0; i < NODES; i++)
			if (w->nodes[i].presence && w->nodes[i].connected)
				presence_take(w->nodes[i].presence, w->now, m->subject, m->data, m->len);
		free(m);
	}
}

/* --- the nodes --- */

static size_t node_changes(void *arg, struct elsewhere_client *ret, size_t max)
{
	struct node *n = arg;
	struct roster_change at[64];
	size_t k = roster_changes(n->roster, at, max < 64 ? max : 64);

	for (size_t i = 0; i < k; i++) {
		ret[i] = (struct elsewhere_client){.id = at[i].id,
						   .since_us = at[i].since_us,
						   .nick_len = at[i].nick_len,
						   .account = at[i].is_account};
		memcpy(ret[i].nick, at[i].nick, sizeof(ret[i].nick));
	}
	return k;
}

static void node_arrived(void *arg, const char *node, const struct elsewhere_client *c)
{
	roster_contest(((struct node *)arg)->roster, node, c);
}

static const struct presence_ops ops = {.send = node_sends, .changes = node_changes, .arrived = node_arrived};

/* As engine/nicks.c and the modes do it. */
static int seat_claim(struct node *n, struct seat *s, const char *nick, unsigned title, int64_t since)
{
	const struct roster_person who = {s->id, (uint32_t)(s - n->seats), title, since};
	struct roster_entry *e;
	int r = roster_claim(n->roster, nick, strlen(nick), &who, &e);

	if (r < 0)
		return r;
	roster_replace(n->roster, &s->entry, e);
	if (nick != s->nick)
		snprintf(s->nick, sizeof(s->nick), "%s", nick);
	s->since = since;
	s->title = title & ~(unsigned)ROSTER_AGAIN;
	return 0;
}

static void seat_becomes_guest(struct node *n, struct seat *s)
{
	char guest[TEXT_NICK_MAX + 1];

	roster_guest(n->roster, s->id, guest);
	assert_int_equal(seat_claim(n, s, guest, 0, n->world->now), 0);
}

static void seat_leaves(struct node *n, struct seat *s)
{
	if (n->presence)
		roster_release(n->roster, s->entry);
	*s = (struct seat){.id = 0};
}

static void node_up(struct node *n)
{
	struct world *w = n->world;

	assert_int_equal(roster_new(0, &n->roster), 0);
	assert_int_equal(elsewhere_new(64, &n->el), 0);
	assert_int_equal(roster_watch(n->roster, n->name, n->el), 0);
	assert_int_equal(presence_new("chatd", n->name, ++w->next_boot, n->el, &ops, n, &n->presence), 0);
	for (struct seat *s = n->seats; s < n->seats + SEATS; s++) {
		s->entry = NULL;
		if (s->id)
			assert_int_equal(seat_claim(n, s, s->nick, s->title | ROSTER_AGAIN, s->since), 0);
	}
	n->connected = true;
	presence_connected(n->presence, w->now, true);
	presence_start(n->presence);
}

static void node_down(struct node *n)
{
	presence_free(n->presence);
	elsewhere_free(n->el);
	roster_free(n->roster);
	n->presence = NULL;
}

static void node_connects(struct node *n, bool connected)
{
	n->connected = connected;
	presence_connected(n->presence, n->world->now, connected);
}

/* --- what must be --- */

static bool claim_is_before(const struct claim *a, const struct claim *b)
{
	if (a->account != b->account)
		return a->account;
	return a->since != b->since ? a->since < b->since : a->node < b->node;
}

/* Whoever gives a nick back does so for somebody elsewhere who has, or had, the better right to it. */
static void assert_there_was_a_better(struct world *w, const struct claim *mine)
{
	for (size_t i = 0; i < w->n_claims; i++)
		if (strcmp(w->claims[i].nick, mine->nick) == 0 && w->claims[i].node != mine->node &&
		    claim_is_before(&w->claims[i], mine))
			return;
	fail_msg("%s of node %c is lost to somebody who had it later", mine->nick, (char)('a' + mine->node));
}

static struct claim claim_of(const struct node *n, const struct seat *s)
{
	struct claim c = {
	    .node = (unsigned)(n->name[0] - 'a'), .account = s->title & ROSTER_ENTITLED, .since = s->since};

	snprintf(c.nick, sizeof(c.nick), "%s", s->nick);
	return c;
}

static void node_claims(struct node *n, struct seat *s, unsigned number, bool account)
{
	struct world *w = n->world;
	char nick[8];

	if (!s->id) {
		s->id = ++n->next_id;
		seat_becomes_guest(n, s);
	}
	snprintf(nick, sizeof(nick), "nick%u", number);
	if (seat_claim(n, s, nick, account ? ROSTER_ENTITLED : 0, w->now) == 0) {
		assert_true(w->n_claims < CLAIMS);
		w->claims[w->n_claims++] = claim_of(n, s);
	}
}

static void look_for_losers(struct node *n)
{
	for (struct seat *s = n->seats; s < n->seats + SEATS; s++) {
		if (!s->id || !roster_is_lost(n->roster, s->entry))
			continue;
		const struct claim mine = claim_of(n, s);
		assert_there_was_a_better(n->world, &mine);
		n->world->lost++;
		seat_becomes_guest(n, s);
	}
}

static void run(struct world *w, int64_t us)
{
	for (int64_t until = w->now + us; w->now < until;) {
		w->now += 10 * (int64_t)MS;
		deliver(w);
		for (unsigned i = 0; i < NODES; i++) {
			struct node *n = &w->nodes[i];
			if (!n->presence)
				continue;
			if (dice(w, 5) == 0)
				look_for_losers(n);
			if (roster_hurries(n->roster))
				presence_hurry(n->presence);
			presence_tick(n->presence, w->now);
		}
	}
}

/* Who has that nick; NULL: nobody. More than one can't be. */
static const struct seat *holder(struct world *w, const char *nick, unsigned *ret_node)
{
	const struct seat *found = NULL;

	for (unsigned i = 0; i < NODES; i++)
		for (const struct seat *s = w->nodes[i].seats; s < w->nodes[i].seats + SEATS; s++) {
			if (!s->id || strcmp(s->nick, nick) != 0)
				continue;
			if (found)
				fail_msg("%s is of node %c and of node %c", nick, (char)('a' + *ret_node),
					 (char)('a' + i));
			found = s;
			*ret_node = i;
		}
	return found;
}

/* Each node knows exactly who is on the others. */
static void assert_all_is_known(struct world *w)
{
	static struct elsewhere_found at[1024];

	for (unsigned i = 0; i < NODES; i++) {
		uint32_t cursor = 0;
		size_t expected = 0, all = 0;
		for (unsigned k = 0; k < NODES; k++)
			for (unsigned j = 0; j < SEATS && k != i; j++)
				expected += w->nodes[k].seats[j].id != 0;
		for (size_t got; (got = elsewhere_copy(w->nodes[i].el, &cursor, at, 1024)) > 0; all += got)
			for (size_t j = 0; j < got; j++) {
				const struct node *of = &w->nodes[at[j].node[0] - 'a'];
				const struct seat *s = of->seats;
				while (s < of->seats + SEATS && s->id != at[j].client.id)
					s++;
				assert_true(s < of->seats + SEATS);
				assert_string_equal(at[j].client.nick, s->nick);
				assert_int_equal(at[j].client.since_us, s->since);
			}
		assert_int_equal(all, expected);
	}
}

static void settle(struct world *w)
{
	w->loss = w->delay_ms = 0;
	for (unsigned i = 0; i < NODES; i++) {
		if (!w->nodes[i].presence)
			node_up(&w->nodes[i]);
		node_connects(&w->nodes[i], true);
	}
	run(w, 15 * S);
	assert_all_is_known(w);
}

/* --- the tests --- */

static struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->random = seed * 1000003;
	w->now = 100 * S;
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &w->nodes[i];
		n->world = w;
		n->name[0] = (char)('a' + i);
		node_up(n);
	}
	return w;
}

static void world_free(struct world *w)
{
	for (unsigned i = 0; i < NODES; i++)
		node_down(&w->nodes[i]);
	for (struct message *m = w->messages, *next; m; m = next) {
		next = m->next;
		free(m);
	}
	free(w);
}

static unsigned seeds(unsigned n)
{
	return getenv("CHATD_TEST_SEEDS") ? (unsigned)atoi(getenv("CHATD_TEST_SEEDS")) : n;
}

static void something_happens(struct world *w)
{
	struct node *n = &w->nodes[dice(w, NODES)];
	unsigned what = dice(w, 300);

	if (what < 3 && n->presence)
		node_down(n);
	else if (what < 9 && !n->presence)
		node_up(n);
	else if (what < 12 && n->presence) {
		node_down(n);
		node_up(n);
	} else if (what < 18 && n->presence) {
		node_connects(n, !n->connected);
	}
}

/* Everything at once: people come and go and change their nicks, nodes die and are apart. */
static void nobody_loses_a_nick_to_a_later_one(void **state)
{
	unsigned lost = 0;

	(void)state;
	for (unsigned seed = 1; seed <= seeds(12); seed++) {
		struct world *w = world_new(seed);
		unsigned node;
		w->loss = seed % 4 * 60;
		w->delay_ms = seed % 3 * 200;
		for (unsigned i = 0; i < 3000; i++) {
			struct node *n = &w->nodes[dice(w, NODES)];
			struct seat *s = &n->seats[dice(w, SEATS)];
			if (n->presence && dice(w, 3) == 0)
				seat_leaves(n, s);
			else if (n->presence && !(s->title & ROSTER_ENTITLED))
				node_claims(n, s, dice(w, NICKS), dice(w, 12) == 0);
			something_happens(w);
			run(w, (int64_t)dice(w, 4) * 10 * MS);
		}
		settle(w);
		for (unsigned i = 0; i < NICKS; i++) {
			char nick[8];
			snprintf(nick, sizeof(nick), "nick%u", i);
			(void)holder(w, nick, &node);
		}
		lost += w->lost;
		world_free(w);
	}
	assert_true(lost > 100);
}

/* Three nodes give the same nicks away while they are apart. Whatever the order in which they hear of it, and whoever dies
 * on the way: it is always the same one's in the end, and the first one's. */
static void it_is_the_same_ones_in_whatever_order(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= seeds(25); seed++) {
		struct world *w = world_new(77);
		w->loss = 1000;
		for (unsigned i = 0; i < 150; i++) {
			struct node *n = &w->nodes[dice(w, NODES)];
			struct seat *s = &n->seats[dice(w, SEATS)];
			if (!s->id)
				node_claims(n, s, dice(w, NICKS), dice(w, 8) == 0);
			w->now += dice(w, 2) * 10 * MS; /* two at the same instant are not rare */
		}
		size_t claims = w->n_claims;
		w->random = seed;
		w->loss = seed % 4 * 100;
		w->delay_ms = seed % 5 * 300;
		for (unsigned i = 0; i < 400; i++) {
			something_happens(w);
			run(w, (int64_t)dice(w, 6) * 10 * MS);
		}
		settle(w);
		assert_int_equal(w->n_claims, claims);
		for (unsigned i = 0; i < NICKS; i++) {
			const struct claim *first = NULL;
			char nick[8];
			unsigned node;
			snprintf(nick, sizeof(nick), "nick%u", i);
			for (size_t k = 0; k < claims; k++)
				if (strcmp(w->claims[k].nick, nick) == 0 &&
				    (!first || claim_is_before(&w->claims[k], first)))
					first = &w->claims[k];
			const struct seat *s = holder(w, nick, &node);
			assert_int_equal(!s, !first);
			if (!s)
				continue;
			assert_int_equal(node, first->node);
			assert_int_equal(s->since, first->since);
		}
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(nobody_loses_a_nick_to_a_later_one),
	    cmocka_unit_test(it_is_the_same_ones_in_whatever_order),
	};

	return cmocka_run_group_tests_name("names", tests, NULL, NULL);
}
