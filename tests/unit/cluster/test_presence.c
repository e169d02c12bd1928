/* SPDX-License-Identifier: MIT */
/*
 * Who is where: three nodes and a network between them that loses, delays and reorders, while people come and go and
 * nodes die. In the end all of them have the same view.
 */
#include "tests/unit/unit.h"

#include "daemon/cluster/presence.h"
#include "daemon/cluster/presence_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define PEOPLE 6000
#define MS 1000
#define S 1000000

struct person {
	struct elsewhere_client now; /* nick_len 0: not there */
	uint64_t told;
	bool dirty;
};

struct node {
	struct world *world;
	unsigned number;
	char name[4];
	struct presence *presence; /* NULL: it is down */
	struct elsewhere *el;
	bool connected;
	struct person people[PEOPLE];
	size_t seat_of[1 << 16]; /* by id */
	uint64_t next_id;
	char notices[1024];
	unsigned arrived;
	int64_t ticks_from; /* it does nothing before */
};

struct message {
	struct message *next;
	int64_t due;
	char subject[PRESENCE_SUBJECT_MAX];
	unsigned from;
	size_t len;
	char data[];
};

struct world {
	int64_t now;
	uint64_t random, next_boot;
	unsigned loss, delay_ms;		  /* in 1000; at most */
	size_t sent, asked, longest, max_payload; /* the last one 0: there is no limit */
	struct message *messages;
	struct node nodes[NODES];
};

static unsigned dice(struct world *w, unsigned sides)
{
	w->random = w->random * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned)(w->random >> 33) % sides;
}

/* --- the network --- */

static void node_sends(void *arg, const char *subject, const char *data, size_t len)
{
	struct node *n = arg;
	struct world *w = n->world;
	struct message *m, **p = &w->messages;

	w->sent++;
	w->asked += strncmp(subject, "chatd.ask.", 10) == 0;
	w->longest = len > w->longest ? len : w->longest;
	if (dice(w, 1000) < w->loss || (w->max_payload && len > w->max_payload))
		return;
	m = malloc(sizeof(*m) + len + 1);
	assert_non_null(m);
	*m = (struct message){.from = n->number, .len = len};
	m->due = w->now + (w->delay_ms ? (int64_t)dice(w, w->delay_ms) * MS : 0);
	snprintf(m->subject, sizeof(m->subject), "%s", subject);
	memcpy(m->data, data, len + 1);
	while (*p && (*p)->due <= m->due)
		p = &(*p)->next;
	m->next = *p;
	*p = m;
}

static bool listens(const struct node *n, const char *subject)
{
	char to[PRESENCE_SUBJECTS][PRESENCE_SUBJECT_MAX];
	size_t k = presence_subjects(n->presence, to);

	for (size_t i = 0; i < k; i++) {
		size_t len = strlen(to[i]);
		if (strcmp(to[i], subject) == 0 ||
		    (to[i][len - 1] == '*' && strncmp(to[i], subject, len - 1) == 0))
			return true;
	}
	return false;
}

static void deliver(struct world *w)
{
	while (w->messages && w->messages->due <= w->now) {
		struct message *m = w->messages;
		w->messages = m->next;
		for (unsigned i = 0; i < NODES; i++) {
			struct node *n = &w->nodes[i];
			if (n->presence && n->connected && listens(n, m->subject))
				presence_take(n->presence, w->now, m->subject, m->data, m->len);
		}
		free(m);
	}
}

/* --- the nodes --- */

static size_t node_changes(void *arg, struct elsewhere_client *ret, size_t max)
{
	struct node *n = arg;
	size_t k = 0;

	for (size_t i = 0; i < PEOPLE && k + 2 <= max; i++) {
		struct person *p = &n->people[i];
		if (!p->dirty)
			continue;
		p->dirty = false;
		if (p->told && p->told != p->now.id)
			ret[k++] = (struct elsewhere_client){.id = p->told};
		p->told = p->now.nick_len ? p->now.id : 0;
		if (p->now.nick_len)
			ret[k++] = p->now;
	}
	return k;
}

static void node_arrived(void *arg, const char *node, const struct elsewhere_client *c)
{
	struct node *n = arg;

	assert_string_not_equal(node, n->name);
	assert_true(c->nick_len > 0);
	n->arrived++;
}

static void node_gone(void *arg, const char *node, const char *room, const struct elsewhere_nick *nicks,
		      unsigned k)
{
	(void)nicks;
	struct node *n = arg;
	size_t o = strlen(n->notices);

	snprintf(n->notices + o, sizeof(n->notices) - o, "%s %s %u;", node, room, k);
}

static const struct presence_ops ops = {
    .send = node_sends, .changes = node_changes, .arrived = node_arrived, .gone = node_gone};

static void node_up(struct node *n)
{
	struct world *w = n->world;

	assert_int_equal(elsewhere_new(1024, &n->el), 0);
	assert_int_equal(presence_new("chatd", n->name, ++w->next_boot, n->el, &ops, n, &n->presence), 0);
	for (size_t i = 0; i < PEOPLE; i++) {
		n->people[i].told = 0;
		n->people[i].dirty = n->people[i].now.nick_len > 0;
	}
	n->connected = true;
	presence_limit(n->presence, w->max_payload);
	presence_connected(n->presence, w->now, true);
	presence_start(n->presence);
}

static void node_down(struct node *n)
{
	presence_free(n->presence);
	elsewhere_free(n->el);
	n->presence = NULL;
	n->el = NULL;
}

static struct person *node_person(struct node *n, size_t seat, const char *nick, const char *room)
{
	struct person *p = &n->people[seat];

	if (p->now.nick_len == 0)
		p->now = (struct elsewhere_client){.id = ++n->next_id, .kind = "tcp"};
	assert_true(p->now.id < 1 << 16);
	n->seat_of[p->now.id] = seat;
	memset(p->now.nick, 0, sizeof(p->now.nick));
	memset(p->now.room, 0, sizeof(p->now.room));
	p->now.nick_len = (uint8_t)snprintf(p->now.nick, sizeof(p->now.nick), "%s", nick);
	p->now.since_us = n->world->now;
	snprintf(p->now.room, sizeof(p->now.room), "%s", room);
	p->dirty = true;
	return p;
}

static void node_person_goes(struct node *n, size_t seat)
{
	n->people[seat].now.nick_len = 0;
	n->people[seat].now.id = 0;
	n->people[seat].dirty = true;
}

static size_t node_count(const struct node *n)
{
	size_t k = 0;

	for (size_t i = 0; i < PEOPLE; i++)
		k += n->people[i].now.nick_len > 0;
	return k;
}

static struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->random = seed;
	w->now = 100 * (int64_t)S;
	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &w->nodes[i];
		n->world = w;
		n->number = i;
		snprintf(n->name, sizeof(n->name), "%c", 'a' + (int)i);
		n->next_id = 0;
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

static void run(struct world *w, int64_t us)
{
	for (int64_t until = w->now + us; w->now < until;) {
		w->now += 10 * (int64_t)MS;
		deliver(w);
		for (unsigned i = 0; i < NODES; i++)
			if (w->nodes[i].presence && w->now >= w->nodes[i].ticks_from)
				presence_tick(w->nodes[i].presence, w->now);
	}
}

/* --- what they know --- */

static const struct person *find_person(const struct node *n, uint64_t id)
{
	const struct person *p = id < 1 << 16 ? &n->people[n->seat_of[id]] : NULL;

	return p && p->now.nick_len > 0 && p->now.id == id ? p : NULL;
}

static size_t count_of(struct node *n, const char *node)
{
	static struct elsewhere_found at[64 * 1024];
	uint32_t cursor = 0;
	size_t k = 0;

	for (size_t got; (got = elsewhere_copy(n->el, &cursor, at, 64 * 1024)) > 0;)
		for (size_t i = 0; i < got; i++)
			k += strcmp(at[i].node, node) == 0;
	return k;
}

/* Each node that is up knows exactly who is on the others that are up. */
static void assert_all_is_known(struct world *w)
{
	static struct elsewhere_found at[64 * 1024];

	for (unsigned i = 0; i < NODES; i++) {
		struct node *n = &w->nodes[i];
		uint32_t cursor = 0;
		size_t expected = 0, all = 0;
		if (!n->presence)
			continue;
		for (unsigned k = 0; k < NODES; k++)
			if (k != i && w->nodes[k].presence)
				expected += node_count(&w->nodes[k]);
		for (size_t got; (got = elsewhere_copy(n->el, &cursor, at, 64 * 1024)) > 0; all += got)
			for (size_t j = 0; j < got; j++) {
				const struct node *of = &w->nodes[at[j].node[0] - 'a'];
				const struct person *p = find_person(of, at[j].client.id);
				assert_non_null(p);
				assert_memory_equal(&p->now, &at[j].client, sizeof(at[j].client));
			}
		assert_int_equal(all, expected);
	}
}

static void fill(struct node *n, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		char nick[24], room[24];
		snprintf(nick, sizeof(nick), "%s-%u", n->name, (unsigned)i);
		snprintf(room, sizeof(room), "room%u", (unsigned)i % 10);
		node_person(n, i, nick, i % 10 ? room : "");
	}
}

static void assert_notices(struct world *w, unsigned node, const char *expected)
{
	assert_string_equal(w->nodes[node].notices, expected);
	w->nodes[node].notices[0] = '\0';
}

/* --- the tests --- */

/* A server that takes only short messages. */
static void in_small_parts(void **state)
{
	(void)state;
	for (size_t max = 2048; max <= 65536; max *= 2) {
		struct world *w = world_new(1);
		w->max_payload = max;
		for (unsigned i = 0; i < NODES; i++) {
			node_down(&w->nodes[i]);
			node_up(&w->nodes[i]);
			fill(&w->nodes[i], 0, 1000);
		}
		run(w, 20 * S);
		assert_all_is_known(w);
		assert_true(w->longest <= max);
		for (unsigned i = 0; i < NODES; i++) {
			node_down(&w->nodes[i]);
			run(w, S);
			node_up(&w->nodes[i]);
			run(w, 20 * S);
			assert_all_is_known(w);
		}
		assert_true(w->longest <= max);
		world_free(w);
	}
}

static void changes_reach_the_others_soon(void **state)
{
	struct world *w = world_new(1);
	struct node *a = &w->nodes[0], *b = &w->nodes[1];

	(void)state;
	run(w, 2 * S);
	struct person *p = node_person(a, 0, "alice", "lobby");
	p->now.account = true;
	node_person(a, 1, "\"J\\o\"/", "lobby");
	node_person(b, 0, "bob", "lobby");
	run(w, 100 * MS);
	assert_all_is_known(w);
	node_person(a, 0, "älice", "den");
	node_person_goes(a, 1);
	node_person(a, 1, "carol", "");
	run(w, 100 * MS);
	assert_all_is_known(w);
	assert_int_equal(elsewhere_count(b->el, "den"), 1);
	assert_int_equal(elsewhere_count(b->el, "lobby"), 0);
	assert_int_equal(elsewhere_count(w->nodes[2].el, "lobby"), 1);

	/* What can't wait doesn't. */
	node_person(a, 1, "dave", "");
	run(w, 10 * MS);
	node_person(a, 1, "eve", "");
	presence_hurry(a->presence);
	run(w, 20 * MS);
	assert_all_is_known(w);
	run(w, 100 * MS);

	/* Nothing is said when nothing happens, but that one is there. */
	size_t sent = w->sent;
	run(w, 10 * S);
	assert_in_range(w->sent - sent, 3 * 9, 3 * 11);
	assert_int_equal(presence_nodes(a->presence), 2);
	assert_int_equal(presence_refused(a->presence), 0);
	assert_notices(w, 0, "");
	world_free(w);
}

static void who_comes_late_gets_the_whole(void **state)
{
	struct world *w = world_new(2);

	(void)state;
	node_down(&w->nodes[2]);
	fill(&w->nodes[0], 0, PEOPLE);
	fill(&w->nodes[1], 0, 500);
	run(w, 15 * S);
	assert_all_is_known(w);
	w->asked = 0;
	node_up(&w->nodes[2]);
	for (unsigned i = 0; i < 150; i++) {
		fill(&w->nodes[0], 100 + i, 101 + i); /* meanwhile */
		run(w, 20 * MS);
	}
	run(w, 300 * MS);
	assert_all_is_known(w);
	assert_int_equal(w->asked, 4); /* it asks each of the two, and is asked by them, once */
	assert_in_range(w->longest, PRESENCE_TEXT_MAX / 4, PRESENCE_TEXT_MAX);
	world_free(w);
}

static void the_longest_names_fit(void **state)
{
	struct presence_message m = {.node = "12345678901234567890123456789012",
				     .boot = INT64_MAX,
				     .from = INT64_MAX - 1,
				     .to = INT64_MAX,
				     .part = UINT32_MAX,
				     .last = true},
				again;

	(void)state;
	m.clients = calloc(PRESENCE_CLIENTS, sizeof(*m.clients));
	assert_non_null(m.clients);
	for (m.n = 0; m.n < PRESENCE_CLIENTS; m.n++) {
		struct elsewhere_client *c = &m.clients[m.n];
		*c = (struct elsewhere_client){.id = INT64_MAX,
					       .since_us = INT64_MAX,
					       .nick_len = TEXT_NICK_MAX,
					       .account = true,
					       .reserved = true,
					       .kind = "abcdefg"};
		memset(c->nick, '"', TEXT_NICK_MAX);
		memset(c->room, 'r', TEXT_ROOM_MAX);
	}
	char *text = presence_write(&m);
	assert_non_null(text);
	assert_true(strlen(text) <= PRESENCE_TEXT_MAX);
	assert_int_equal(presence_read(text, strlen(text), &again), 0);
	assert_int_equal(again.n, m.n);
	assert_int_equal(again.n_refused, 0);
	assert_memory_equal(again.clients, m.clients, m.n * sizeof(*m.clients));
	assert_string_equal(again.node, m.node);
	assert_true(again.boot == m.boot && again.from == m.from && again.to == m.to &&
		    again.part == m.part && again.last);
	presence_message_free(&again);
	presence_message_free(&m);
	free(text);
}

static void what_is_lost_is_asked_for(void **state)
{
	struct world *w = world_new(3);
	struct node *a = &w->nodes[0];

	(void)state;
	fill(a, 0, 300);
	run(w, 3 * S);
	w->loss = 1000;
	node_person_goes(a, 7);
	node_person(a, 8, "new", "den");
	run(w, 500 * MS);
	w->loss = 0;
	run(w, 3 * S);
	assert_all_is_known(w);
	/* Parts of the answer are lost, and asked for again. */
	w->loss = 1000;
	fill(a, 0, PEOPLE);
	run(w, 3 * S);
	w->loss = 100;
	run(w, 60 * (int64_t)S);
	w->loss = 0;
	run(w, 5 * S);
	assert_all_is_known(w);
	world_free(w);
}

static void a_dead_node_is_gone_with_one_notice_a_room(void **state)
{
	struct world *w = world_new(4);
	struct node *b = &w->nodes[1];

	(void)state;
	node_person(b, 0, "bob", "lobby");
	node_person(b, 1, "ben", "lobby");
	node_person(b, 2, "bess", "den");
	node_person(b, 3, "bill", "");
	node_person(&w->nodes[2], 0, "carol", "lobby");
	run(w, 3 * S);
	assert_all_is_known(w);
	node_down(b);
	run(w, 8 * S);
	assert_int_equal(count_of(&w->nodes[0], "b"), 4);
	assert_notices(w, 0, "");
	run(w, 3 * S);
	assert_int_equal(count_of(&w->nodes[0], "b"), 0);
	assert_int_equal(count_of(&w->nodes[0], "c"), 1);
	const char *expected =
	    strncmp(w->nodes[0].notices, "b lobby", 7) == 0 ? "b lobby 2;b den 1;" : "b den 1;b lobby 2;";
	assert_notices(w, 0, expected);
	w->nodes[2].notices[0] = '\0';
	run(w, 20 * (int64_t)S);
	assert_notices(w, 0, "");
	node_up(b);
	run(w, 3 * S);
	assert_all_is_known(w);
	assert_notices(w, 0, "");

	/* One that says goodbye is gone at once. */
	presence_bye(b->presence);
	run(w, 50 * MS);
	node_down(b);
	assert_int_equal(count_of(&w->nodes[0], "b"), 0);
	assert_int_equal(strlen(w->nodes[0].notices), strlen(expected));
	world_free(w);
}

/* The connection breaks twice meanwhile; the third node is heard all the time. */
static void a_dead_node_is_told_whatever_the_connection_does(void **state)
{
	struct world *w = world_new(8);
	struct node *a = &w->nodes[0];

	(void)state;
	node_person(&w->nodes[1], 0, "bob", "lobby");
	node_person(&w->nodes[2], 0, "carol", "lobby");
	run(w, 3 * S);
	node_down(&w->nodes[1]);
	for (unsigned i = 0; i < 2; i++) {
		run(w, 3 * S);
		a->connected = false;
		presence_connected(a->presence, w->now, false);
		run(w, 300 * MS);
		a->connected = true;
		presence_connected(a->presence, w->now, true);
	}
	run(w, 12 * S);
	assert_int_equal(count_of(a, "b"), 0);
	assert_int_equal(count_of(a, "c"), 1);
	assert_notices(w, 0, "b lobby 1;");
	world_free(w);
}

static void nobody_notices_a_restart(void **state)
{
	struct world *w = world_new(5);
	struct node *b = &w->nodes[1];

	(void)state;
	fill(b, 0, 6000);
	run(w, 1 * S);
	fill(b, 0, 6000);
	run(w, 2 * S);
	for (unsigned i = 0; i < 4; i++) {
		node_down(b);
		run(w, 200 * MS);
		node_up(b);
		for (unsigned k = 0; k < 200; k++) {
			run(w, 10 * MS);
			assert_int_equal(count_of(&w->nodes[0], "b"), 6000);
		}
	}
	assert_all_is_known(w);
	/* This one has lost some of its people on the way. */
	node_down(b);
	node_person_goes(b, 5);
	node_up(b);
	run(w, 3 * S);
	assert_int_equal(count_of(&w->nodes[0], "b"), 5999);
	assert_all_is_known(w);
	/* It has a smaller version than before, and that is no reason to ask. */
	w->asked = 0;
	run(w, 5 * S);
	assert_int_equal(w->asked, 0);
	assert_notices(w, 0, "");
	assert_notices(w, 2, "");
	world_free(w);
}

static void who_is_cut_off_says_nothing(void **state)
{
	struct world *w = world_new(6);
	struct node *a = &w->nodes[0];

	(void)state;
	for (unsigned i = 0; i < NODES; i++)
		fill(&w->nodes[i], 0, 50);
	run(w, 3 * S);
	a->connected = false;
	presence_connected(a->presence, w->now, false);
	run(w, 8500 * MS);
	assert_int_equal(elsewhere_count(a->el, NULL), 100);
	/* Back just in time: the others have as much time as ever. */
	a->connected = true;
	presence_connected(a->presence, w->now, true);
	w->loss = 1000;
	run(w, 5 * S);
	w->loss = 0;
	run(w, 3 * S);
	assert_int_equal(elsewhere_count(a->el, NULL), 100);
	a->connected = false;
	presence_connected(a->presence, w->now, false);
	node_person(a, 3, "new", "den");
	run(w, 12 * S);
	assert_int_equal(elsewhere_count(a->el, NULL), 0);
	assert_notices(w, 0, "");
	assert_int_equal(count_of(&w->nodes[1], "a"), 0);
	assert_int_equal(strncmp(w->nodes[1].notices, "a room", 6), 0);
	a->connected = true;
	presence_connected(a->presence, w->now, true);
	run(w, 3 * S);
	assert_all_is_known(w);
	assert_notices(w, 0, "");
	/* A connection that comes and goes, and over which nobody is heard. */
	w->loss = 1000;
	for (unsigned i = 0; i < 25; i++) {
		a->connected = i % 2;
		presence_connected(a->presence, w->now, a->connected);
		run(w, 1 * S);
	}
	assert_int_equal(elsewhere_count(a->el, NULL), 0);
	assert_notices(w, 0, "");
	world_free(w);
}

static void a_pause_of_ones_own_is_nobodys_fault(void **state)
{
	struct world *w = world_new(7);

	(void)state;
	fill(&w->nodes[1], 0, 10);
	run(w, 3 * S);
	w->nodes[0].ticks_from = w->now + 30 * (int64_t)S;
	w->loss = 1000; /* nor does it hear anything */
	run(w, 31 * (int64_t)S);
	w->loss = 0;
	run(w, 3 * S);
	assert_notices(w, 0, "");
	assert_all_is_known(w);
	world_free(w);
}

static void take(struct node *n, const char *subject, const char *text)
{
	presence_take(n->presence, n->world->now, subject, text, strlen(text));
}

static void what_is_wrong_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "{",
	    "[]",
	    "{}",
	    "{\"v\":1}",
	    "{\"v\":2,\"node\":\"x\",\"boot\":1}",
	    "{\"v\":\"1\",\"node\":\"x\",\"boot\":1}",
	    "{\"v\":1,\"node\":\"x y\",\"boot\":1}",
	    "{\"v\":1,\"node\":\"\",\"boot\":1}",
	    "{\"v\":1,\"node\":\"x\",\"boot\":-1}",
	    "{\"v\":1,\"node\":\"x\",\"boot\":1.5}",
	    "{\"v\":1,\"node\":\"x\",\"boot\":1,\"from\":2,\"to\":1}",
	    "{\"v\":1,\"node\":\"x\",\"boot\":1,\"changes\":{}}",
	    "{\"v\":1,\"node\":\"x\",\"boot\":1,\"bye\":1}",
	    "{\"v\":1,\"node\":\"x\\u0000\",\"boot\":1}",
	    "{\"v\":1,\"node\":\"x\",\"node\":\"y\",\"boot\":1}",
	    "{\"v\":1,\"node\":\"123456789012345678901234567890123\",\"boot\":1}",
	};
	struct world *w = world_new(8);
	struct node *a = &w->nodes[0];

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		take(a, "chatd.who.x", bad[i]);
		assert_int_equal(presence_refused(a->presence), i + 1);
	}
	assert_int_equal(presence_nodes(a->presence), 0);
	/* Nobody speaks for another node, nor for this one. */
	take(a, "chatd.who.y", "{\"v\":1,\"node\":\"x\",\"boot\":1}");
	take(a, "chatd.who.a", "{\"v\":1,\"node\":\"a\",\"boot\":1}");
	take(a, "chatd.whole.b", "{\"v\":1,\"node\":\"x\",\"boot\":1,\"last\":true}");
	take(a, "chatd.other.x", "{\"v\":1,\"node\":\"x\",\"boot\":1}");
	assert_int_equal(presence_nodes(a->presence), 0);
	assert_int_equal(presence_refused(a->presence), sizeof(bad) / sizeof(*bad));

	/* What is not known is left out, and so is a client that can't be. */
	take(a, "chatd.whole.a",
	     "{\"v\":1,\"node\":\"x\",\"boot\":1,\"to\":9,\"last\":true,\"new\":[{}],\"changes\":["
	     "{\"id\":1,\"nick\":\"ann\",\"room\":\"lobby\",\"kind\":\"ws\",\"mood\":\"good\"},"
	     "{\"id\":0,\"nick\":\"bob\"},{\"id\":2,\"nick\":\"b b\"},{\"id\":3,\"nick\":\"c:d\"},"
	     "{\"id\":4,\"nick\":\"dan\",\"room\":\"a/b\"},{\"id\":5,\"nick\":7},7,"
	     "{\"id\":6,\"nick\":\"f\",\"kind\":\"TCP\"},{\"id\":7,\"nick\":\"g\",\"since\":-1},"
	     "{\"id\":8,\"nick\":\"\xef\xbd\x88\"},{\"id\":9,\"nick\":\"h\",\"account\":1}]}");
	assert_int_equal(presence_nodes(a->presence), 1);
	assert_int_equal(elsewhere_count(a->el, NULL), 1);
	assert_int_equal(elsewhere_count(a->el, "lobby"), 1);
	assert_int_equal(presence_refused(a->presence), sizeof(bad) / sizeof(*bad) + 10);
	world_free(w);
}

/* Who knows less than a node is said to have asks for the whole, and believes that it is all. */
static void who_is_told_of_too_much_asks_once(void **state)
{
	struct world *w = world_new(9);
	struct node *a = &w->nodes[0];

	(void)state;
	fill(&w->nodes[1], 0, 10);
	run(w, 3 * S);
	size_t asked = w->asked;
	take(a, "chatd.whole.a", "{\"v\":1,\"node\":\"x\",\"boot\":1,\"to\":9,\"last\":true}");
	take(a, "chatd.who.x", "{\"v\":1,\"node\":\"x\",\"boot\":1,\"from\":99,\"to\":9223372036854775807}");
	run(w, 2 * S);
	assert_in_range(w->asked, asked + 1, asked + 2);
	take(a, "chatd.whole.a", "{\"v\":1,\"node\":\"x\",\"boot\":1,\"to\":9,\"last\":true}");
	asked = w->asked;
	run(w, 5 * S);
	assert_int_equal(w->asked, asked);
	assert_int_equal(presence_nodes(a->presence), 3);
	world_free(w);
}

/* A part of a whole, of a process that is gone again: then neither what was known counts, nor that. */
static void what_came_in_part_is_not_believed(void **state)
{
	struct world *w = world_new(10);
	struct node *a = &w->nodes[0];

	(void)state;
	run(w, 3 * S);
	take(a, "chatd.whole.a",
	     "{\"v\":1,\"node\":\"x\",\"boot\":1,\"to\":5,\"last\":true,\"changes\":[{\"id\":1,\"nick\":"
	     "\"ann\"}]}");
	take(a, "chatd.who.x", "{\"v\":1,\"node\":\"x\",\"boot\":1,\"from\":5,\"to\":5}");
	size_t asked = w->asked;
	run(w, 2 * S);
	assert_int_equal(w->asked, asked);
	take(a, "chatd.who.x", "{\"v\":1,\"node\":\"x\",\"boot\":2,\"from\":9,\"to\":9}");
	take(a, "chatd.whole.a",
	     "{\"v\":1,\"node\":\"x\",\"boot\":2,\"to\":9,\"changes\":[{\"id\":1,\"nick\":\"bob\"}]}");
	take(a, "chatd.who.x", "{\"v\":1,\"node\":\"x\",\"boot\":1,\"from\":5,\"to\":5}");
	asked = w->asked;
	run(w, 2 * S);
	assert_in_range(w->asked, asked + 1, asked + 3);
	world_free(w);
}

/* Everything at once; then peace, and all agree. */
static void in_the_end_all_agree(void **state)
{
	unsigned seeds = getenv("CHATD_TEST_SEEDS") ? (unsigned)atoi(getenv("CHATD_TEST_SEEDS")) : 3;

	(void)state;
	for (unsigned seed = 1; seed <= seeds; seed++) {
		struct world *w = world_new(seed * 1000003ULL);
		for (unsigned i = 0; i < NODES; i++)
			fill(&w->nodes[i], 0, 700 * i);
		w->loss = seed % 4 * 40;
		w->delay_ms = seed % 3 * 150;
		for (unsigned i = 0; i < 1500; i++) {
			struct node *n = &w->nodes[dice(w, NODES)];
			char nick[24], room[24];
			size_t seat = dice(w, 2000);
			snprintf(nick, sizeof(nick), "%s-%u", n->name, dice(w, 100000));
			snprintf(room, sizeof(room), "room%u", dice(w, 9));
			if (dice(w, 3) == 0)
				node_person_goes(n, seat);
			else
				node_person(n, seat, nick, room);
			unsigned event = dice(w, 400);
			if (event == 0 && n->presence)
				node_down(n);
			else if (event < 6 && !n->presence)
				node_up(n);
			else if (event == 6 && n->presence) {
				node_down(n);
				node_up(n);
			} else if (event < 9 && n->presence) {
				n->connected = !n->connected;
				presence_connected(n->presence, w->now, n->connected);
			} else if (event == 9 && n->presence) {
				presence_bye(n->presence);
				node_down(n);
			}
			run(w, (int64_t)dice(w, 5) * 10 * MS);
		}
		w->loss = 0;
		w->delay_ms = 0;
		for (unsigned i = 0; i < NODES; i++) {
			struct node *n = &w->nodes[i];
			if (!n->presence)
				node_up(n);
			n->connected = true;
			presence_connected(n->presence, w->now, true);
		}
		run(w, 15 * S);
		assert_all_is_known(w);
		for (unsigned i = 0; i < NODES; i++)
			assert_int_equal(presence_refused(w->nodes[i].presence), 0);
		world_free(w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(in_small_parts),
	    cmocka_unit_test(changes_reach_the_others_soon),
	    cmocka_unit_test(who_comes_late_gets_the_whole),
	    cmocka_unit_test(the_longest_names_fit),
	    cmocka_unit_test(what_is_lost_is_asked_for),
	    cmocka_unit_test(a_dead_node_is_gone_with_one_notice_a_room),
	    cmocka_unit_test(a_dead_node_is_told_whatever_the_connection_does),
	    cmocka_unit_test(nobody_notices_a_restart),
	    cmocka_unit_test(who_is_cut_off_says_nothing),
	    cmocka_unit_test(a_pause_of_ones_own_is_nobodys_fault),
	    cmocka_unit_test(what_is_wrong_is_refused),
	    cmocka_unit_test(who_is_told_of_too_much_asks_once),
	    cmocka_unit_test(what_came_in_part_is_not_believed),
	    cmocka_unit_test(in_the_end_all_agree),
	};

	return cmocka_run_group_tests_name("presence", tests, NULL, NULL);
}
