/* SPDX-License-Identifier: MIT */
/* Bans of three nodes, whose messages may be lost: in the end all of them have the latest word on each address. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/cluster/ban_share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NODES 3
#define ADDRESSES 1500

struct node {
	struct ban_share *share;
	/* As its main thread has them, by the address' number. */
	bool banned[ADDRESSES];
	int64_t until[ADDRESSES];
	unsigned news;
};

struct world {
	/* What was said last of each address. */
	bool banned[ADDRESSES];
	int64_t until[ADDRESSES];
	struct node nodes[NODES];
	int64_t now;
	int64_t said_us;       /* CLOCK_REALTIME of the last word: what comes later in here is later */
	unsigned loss, random; /* in 100 */
	size_t messages;
};

static struct prefix prefix_of(unsigned i)
{
	struct prefix p;
	char text[32];

	snprintf(text, sizeof(text), "10.%u.%u.0/24", i / 256, i % 256);
	assert_int_equal(prefix_parse(text, &p), 0);
	return p;
}

static unsigned number_of(const struct prefix *p)
{
	char text[ADDRESS_TEXT_MAX];
	unsigned a, b;

	assert_int_equal(sscanf(prefix_format(p, text), "10.%u.%u.0/24", &a, &b), 2);
	return a * 256 + b;
}

static unsigned dice(struct world *w, unsigned sides)
{
	w->random = w->random * 1103515245 + 12345;
	return (w->random >> 16) % sides;
}

static void up(struct node *n)
{
	assert_int_equal(ban_share_new(&n->share), 0);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->now = 100 * SECOND_US;
	for (unsigned i = 0; i < NODES; i++)
		up(&w->nodes[i]);
	return w;
}

static void world_free(struct world *w)
{
	for (unsigned i = 0; i < NODES; i++)
		ban_share_free(w->nodes[i].share);
	free(w);
}

static int64_t full_second(int64_t us)
{
	return (us + SECOND_US - 1) / SECOND_US * SECOND_US;
}

static void say(struct world *w, unsigned node, unsigned i, bool banned, int64_t until)
{
	struct node *n = &w->nodes[node];
	int64_t now_real = clock_us(CLOCK_REALTIME);

	w->said_us = now_real > w->said_us ? now_real : w->said_us + 1;
	n->banned[i] = w->banned[i] = banned;
	n->until[i] = w->until[i] = full_second(until);
	ban_share_say(n->share, &(struct ban_word){.prefix = prefix_of(i),
						   .until_us = until,
						   .removed = !banned,
						   .changed_us = w->said_us});
}

static void run(struct world *w, int64_t us)
{
	static const char *const names[] = {"a", "b", "c"};
	struct ban_word at[16];

	for (int64_t until = w->now + us; w->now < until; w->now += 50000)
		for (unsigned i = 0; i < NODES; i++) {
			struct node *n = &w->nodes[i];
			char *text = ban_share_next(n->share, names[i], w->now, 0);
			for (unsigned k = 0; text && k < NODES; k++)
				if (k != i && dice(w, 100) >= w->loss)
					assert_true(ban_share_heard(w->nodes[k].share, names[k], w->now, text,
								    strlen(text)));
			if (text) {
				assert_true(strlen(text) <= 65536);
				w->messages++;
			}
			free(text);
			for (size_t got; (got = ban_share_take(n->share, at, 16)) > 0; n->news += got)
				for (size_t k = 0; k < got; k++) {
					unsigned number = number_of(&at[k].prefix);
					n->banned[number] = !at[k].removed;
					n->until[number] = at[k].until_us;
				}
		}
}

static void assert_same(struct world *w)
{
	for (unsigned i = 0; i < NODES; i++)
		for (unsigned k = 0; k < ADDRESSES; k++) {
			bool over = w->until[k] && w->until[k] <= clock_us(CLOCK_REALTIME);
			if (over)
				continue;
			assert_int_equal(w->nodes[i].banned[k], w->banned[k]);
			if (w->banned[k])
				assert_int_equal(w->nodes[i].until[k], w->until[k]);
		}
}

static void a_ban_holds_everywhere(void **state)
{
	struct world *w = world_new();
	int64_t later = clock_us(CLOCK_REALTIME) + 3600 * SECOND_US;

	(void)state;
	run(w, SECOND_US);
	say(w, 0, 7, true, 0);
	say(w, 1, 8, true, later);
	run(w, 200000);
	assert_true(w->nodes[2].banned[7] && w->nodes[2].banned[8] && w->nodes[0].banned[8]);
	assert_int_equal(w->nodes[2].until[8], full_second(later));
	say(w, 2, 7, false, 0);
	run(w, 200000);
	assert_false(w->nodes[0].banned[7]);
	assert_same(w);
	/* The clock has been set back. */
	ban_share_say(w->nodes[0].share,
		      &(struct ban_word){.prefix = prefix_of(8), .removed = true, .changed_us = 1});
	w->nodes[0].banned[8] = w->banned[8] = false;
	run(w, 200000);
	assert_false(w->nodes[2].banned[8]);
	assert_same(w);
	/* Each was told of each change once. */
	assert_int_equal(w->nodes[0].news, 2);
	assert_int_equal(w->nodes[2].news, 3);
	/* Nothing is said when nothing happens, but that. */
	size_t before = w->messages;
	run(w, 20 * SECOND_US);
	assert_in_range(w->messages - before, 3 * 3, 3 * 5);
	world_free(w);
}

static void what_is_lost_is_found(void **state)
{
	struct world *w = world_new();

	(void)state;
	w->loss = 100;
	for (unsigned i = 0; i < 1200; i++)
		say(w, i % NODES, i, true, 0);
	run(w, 3 * SECOND_US);
	w->loss = 0;
	run(w, 12 * SECOND_US);
	assert_same(w);
	assert_true(w->nodes[2].banned[0] && w->nodes[0].banned[1199]);
	/* While a node is away another one lifts one of its bans; it had read it from its file. */
	say(w, 0, 5, false, 0);
	ban_share_free(w->nodes[2].share);
	up(&w->nodes[2]);
	for (unsigned i = 0; i < 1200; i++)
		ban_share_say(w->nodes[2].share,
			      &(struct ban_word){.prefix = prefix_of(i), .changed_us = 1000});
	w->nodes[2].news = 0;
	run(w, 12 * SECOND_US);
	assert_false(w->nodes[2].banned[5]);
	assert_int_equal(w->nodes[2].news, 1); /* of the others it knows */
	assert_same(w);
	world_free(w);
}

/* It says then what its file has, which knows full seconds. */
static void a_node_that_starts_again_says_nothing_new(void **state)
{
	struct world *w = world_new();
	int64_t until = full_second(clock_us(CLOCK_REALTIME)) + 3600 * SECOND_US;

	(void)state;
	say(w, 0, 7, true, until - 1);
	run(w, SECOND_US);
	assert_true(w->nodes[1].banned[7] && w->nodes[2].banned[7]);
	ban_share_free(w->nodes[0].share);
	up(&w->nodes[0]);
	say(w, 0, 7, true, until);
	run(w, 12 * SECOND_US);
	assert_same(w);
	assert_int_equal(w->nodes[1].news, 1);
	assert_int_equal(w->nodes[2].news, 1);
	world_free(w);
}

static void the_latest_word_counts(void **state)
{
	struct world *w = world_new();

	(void)state;
	for (unsigned seed = 1; seed <= 3; seed++) {
		w->random = seed;
		for (unsigned i = 0; i < 400; i++) {
			w->loss = 50;
			say(w, dice(w, NODES), dice(w, 40), dice(w, 2),
			    /* None that is over before the end, however slow this machine is. */
			    dice(w, 2)
				? clock_us(CLOCK_REALTIME) + (int64_t)(1 + dice(w, 999)) * 3600 * SECOND_US
				: 0);
			run(w, 100000);
		}
		w->loss = 0;
		run(w, 12 * SECOND_US);
		assert_same(w);
	}
	world_free(w);
}

static void what_is_over_is_forgotten(void **state)
{
	struct world *w = world_new();
	const struct ban_word old = {.prefix = prefix_of(3),
				     .until_us = full_second(clock_us(CLOCK_REALTIME) + 50000),
				     .changed_us = 1};

	(void)state;
	ban_share_say(w->nodes[0].share, &old);
	while (clock_us(CLOCK_REALTIME) <= old.until_us)
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	run(w, 12 * SECOND_US);
	assert_int_equal(w->nodes[1].news, 0);
	world_free(w);
}

static void what_is_wrong_is_refused(void **state)
{
	static const char *const bad[] = {
	    "",
	    "[]",
	    "{}",
	    "{\"v\":2,\"node\":\"b\"}",
	    "{\"v\":1,\"bans\":[]}",
	    "{\"v\":1,\"node\":\"b\",\"bans\":{}}",
	    "{\"v\":1,\"node\":\"b\",\"bans\":[7]}",
	    "{\"v\":1,\"node\":\"b\",\"bans\":[{\"address\":\"x\",\"changed\":1}]}",
	    "{\"v\":1,\"node\":\"b\",\"bans\":[{\"address\":\"10.0.0.1\"}]}",
	    "{\"v\":1,\"node\":\"b\",\"bans\":[{\"address\":\"10.0.0.1\",\"changed\":-1}]}",
	    "{\"v\":1,\"node\":\"b\",\"bans\":[{\"address\":\"10.0.0.1\",\"changed\":9000000000000000000}]}",
	    "{\"v\":1,\"node\":\"b\",\"bans\":[{\"address\":\"10.0.0.1\",\"changed\":1,\"until\":\"x\"}]}",
	};
	struct ban_share *b;
	struct ban_word at[4];

	(void)state;
	assert_int_equal(ban_share_new(&b), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(ban_share_heard(b, "a", SECOND_US, bad[i], strlen(bad[i])));
	assert_int_equal(ban_share_take(b, at, 4), 0);
	static const char good[] =
	    "{\"v\":1,\"node\":\"b\",\"new\":1,\"bans\":[{\"address\":\"10.0.0.1\",\"changed\":1,\"x\":2}]}";
	assert_true(ban_share_heard(b, "a", SECOND_US, good, sizeof(good) - 1));
	assert_int_equal(ban_share_take(b, at, 4), 1);
	assert_true(ban_share_heard(b, "b", SECOND_US, good, sizeof(good) - 1)); /* one's own */
	assert_int_equal(ban_share_take(NULL, at, 4), 0);
	ban_share_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(a_ban_holds_everywhere),
	    cmocka_unit_test(what_is_lost_is_found),
	    cmocka_unit_test(the_latest_word_counts),
	    cmocka_unit_test(what_is_over_is_forgotten),
	    cmocka_unit_test(what_is_wrong_is_refused),
	    cmocka_unit_test(a_node_that_starts_again_says_nothing_new),
	};

	return cmocka_run_group_tests_name("ban_share", tests, NULL, NULL);
}
