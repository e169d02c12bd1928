/* SPDX-License-Identifier: MIT */
/*
 * The cluster's core, driven step by step: nodes that are killed between and within steps, connections that are cut,
 * answers that are lost, a stream that loses its end, its beginning or everything. In the end, each line must be in
 * each room once, and each private message has come once, or its sender was told that it has not.
 */
#include "tests/unit/cluster/nodes.h"

/* --- kills within a step, where the build has fault points --- */

static jmp_buf death;
static long steps_to_death; /* 0: none */

void fault(const char *name);
void fault(const char *name)
{
	(void)name;
	if (steps_to_death > 0 && --steps_to_death == 0)
		longjmp(death, 1);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0"; /* what a killed node had in memory */
}

/* --- at random --- */

enum chaos { CHAOS_ROLL_BACK = 1, CHAOS_ANEW = 2 };

static void step_kill(struct node *n)
{
	steps_to_death = 0;
	node_kill(n);
}

/* One of its people comes or goes, or somebody there says something to one of another node. */
static void step_people(struct cluster_test *t, struct node *n)
{
	unsigned other = chance(t, t->n), person = chance(t, TEST_PEOPLE);

	if (chance(t, 60) == 0)
		node_person(n, person, !n->person[person].is_here);
	else if (&t->node[other] != n)
		for (unsigned i = chance(t, 4); i > 0; i--)
			node_write(n, other, person, chance(t, 8) == 0);
}

static void step_node(struct cluster_test *t, struct node *n)
{
	switch (chance(t, 14)) {
	case 0:
	case 1:
		node_say(n, chance(t, TEST_ROOMS), 1 + chance(t, chance(t, 10) == 0 ? 200 : 4));
		break;
	case 2:
	case 3:
		if (chance(t, 8) == 0)
			steps_to_death = 1 + (long)chance(t, 12);
		(void)node_turn(n);
		break;
	case 4:
		(void)node_store(n, true);
		break;
	case 5:
		node_read(n, chance(t, TEST_ROOMS));
		break;
	case 6:
		if (n->up && chance(t, 12) == 0)
			node_cut(n);
		break;
	case 7:
		if (!n->up && !t->has_down && chance(t, 3) == 0)
			node_connect(n);
		break;
	case 8:
		step_people(t, n);
		break;
	case 9:
		node_read_private(n);
		break;
	default:
		if (chance(t, 16) == 0)
			steps_to_death = 1 + (long)chance(t, 12);
		(void)node_receive(n);
		break;
	}
	steps_to_death = 0;
}

static void step_world(struct cluster_test *t, unsigned chaos)
{
	t->now += 1 + chance(t, 20000);
	if (chance(t, 50) == 0)
		test_store_late(t);
	if (chance(t, 10) == 0)
		test_send_late(t);
	if (chance(t, 400) == 0)
		t->has_down = !t->has_down;
	for (unsigned i = 0; t->has_down && i < t->n; i++)
		if (t->node[i].alive && t->node[i].up)
			node_cut(&t->node[i]);
	if (chance(t, 300) == 0)
		t->now += 3 * SECOND;
	/* A server that loses something has been away. */
	if (!t->has_down || chance(t, 100) > 0)
		return;
	if (chaos)
		queue_clear(&t->late); /* whoever would have stored them has died */
	if (chaos & CHAOS_ROLL_BACK)
		if (chaos & CHAOS_ANEW && chance(t, 3) == 0)
			stream_make_anew(&t->stream);
}

static void run(unsigned n, enum cluster_away when_away, unsigned seed, unsigned steps, unsigned chaos)
{
	/* What a stream loses, outgoing logs still have. */
	struct cluster_test *t = test_new(n, when_away, chaos ? 1 << 20 : 1 << 16, seed);
	struct node *volatile at = NULL;

	t->lose_plain = 5;
	for (volatile unsigned i = 0; i < steps; i++) {
		step_world(t, chaos);
		at = &t->node[chance(t, t->n)];
		if (!at->alive)
			node_open(at, false);
		if (chance(t, 300) == 0)
			step_kill(at);
		else if (setjmp(death) == 0)
			step_node(t, at);
		else
			step_kill(at);
	}
	test_settle(t);
	test_check(t, when_away == CLUSTER_WAIT && !chaos);
	test_end(t);
}

#define SEEDS 12

static void wait_in_one_order(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		run(2 + seed % 2, CLUSTER_WAIT, seed, 4000, 0);
}

static void local_in_each_order(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		run(2 + seed % 2, CLUSTER_LOCAL, 1000 + seed, 4000, 0);
}

static void rolled_back(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		run(2 + seed % 2, seed % 4 < 2 ? CLUSTER_WAIT : CLUSTER_LOCAL, 2000 + seed, 4000,
		    CHAOS_ROLL_BACK);
}

static void made_anew(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= SEEDS; seed++)
		run(2 + seed % 2, seed % 4 < 2 ? CLUSTER_WAIT : CLUSTER_LOCAL, 3000 + seed, 4000,
		    CHAOS_ROLL_BACK | CHAOS_ANEW);
}

/* A room that has lines already doesn't get those from before this node's memory; an empty one does. */
static void history_fills_empty_rooms(void **state)
{
	struct cluster_test *t = test_new(2, CLUSTER_WAIT, 1 << 16, 1);
	struct node *a = &t->node[0], *b = &t->node[1];
	const int64_t now_ns = t->stream.time_ns;
	struct speech s = {0};

	(void)state;
	t->stream.time_ns = now_ns - 3600 * SECOND * 1000;
	t->n = 1;
	for (unsigned r = 0; r < TEST_ROOMS; r++)
		node_say(a, r, 10);
	test_settle(t);
	t->n = 2;
	const struct speech_event before = {
	    .kind = RECORD_MESSAGE, .nick = "eve", .nick_len = 3, .text = "b 0 x", .text_len = 5};
	assert_int_equal(speech_replay(&s, b->room[0], &before), 0);
	speech_commit(&s, b->rooms, &b->kick);
	t->stream.time_ns = now_ns;
	test_settle(t);
	assert_int_equal(b->shown[0].n, 1);
	assert_int_equal(b->shown[1].n, 10);
	/* What is said from then on comes, and nothing is missing in between. */
	for (unsigned r = 0; r < TEST_ROOMS; r++) {
		node_say(a, r, 5);
		node_say(b, r, 5);
	}
	test_settle(t);
	for (unsigned r = 0; r < TEST_ROOMS; r++) {
		assert_int_equal(a->shown[r].n, 20);
		assert_int_equal(b->shown[r].n, r == 0 ? 11 : 20);
	}
	test_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(wait_in_one_order),
	    cmocka_unit_test(local_in_each_order),
	    cmocka_unit_test(rolled_back),
	    cmocka_unit_test(made_anew),
	    cmocka_unit_test(history_fills_empty_rooms),
	};

	return cmocka_run_group_tests_name("cluster", tests, NULL, NULL);
}
