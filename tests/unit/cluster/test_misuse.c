/* SPDX-License-Identifier: MIT */
/*
 * Somebody says lines in a node's name. Whatever numbers they have, and whatever was on its way then, each line of the
 * node is on each node once, also if it is killed at any step of that.
 */
#include "tests/unit/cluster/nodes.h"

static jmp_buf death;
static long steps_to_death; /* 0: none */
static bool may_die;

void fault(const char *name);
void fault(const char *name)
{
	(void)name;
	if (may_die && steps_to_death > 0 && --steps_to_death == 0)
		longjmp(death, 1);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0"; /* what a killed node had in memory */
}

/* Lines of a kind that nobody knows, in the name of a node. */
static void forge(struct cluster_test *t, const char *node, uint64_t boot, uint64_t first, unsigned n)
{
	static char buf[CORE_BATCH_MAX];
	struct parcel p = {.data = buf, .subject = "chatd.s.room.r0"};
	struct wire_writer w;

	wire_begin(&w, buf, sizeof(buf), node, boot, first);
	while (n-- > 0)
		assert_true(wire_add_nothing(&w));
	p.event.len = wire_end(&w);
	(void)stream_store(&t->stream, &p);
}

static uint64_t boot_of(const struct node *n)
{
	return outgoing_boot(n->room[0]->outgoing).boot;
}

static uint64_t said_by(const struct node *n)
{
	return logring_count(n->room[0]->outgoing->log);
}

/* Each line is there once. in_order: those of one node are in the order in which they were said. */
static void check_lines(struct cluster_test *t, bool in_order)
{
	for (unsigned i = 0; i < t->n; i++) {
		const struct shown *s = &t->node[i].shown[0];
		for (unsigned from = 0; from < t->n; from++) {
			uint64_t n = 0, sum = 0, said = t->node[from].said[0];
			for (size_t k = 0; k < s->n; k++) {
				if (s->at[k][0] != t->node[from].name[0])
					continue;
				uint64_t number = strtoull(s->at[k] + 4, NULL, 10);
				if (in_order)
					assert_int_equal(number, n);
				sum += number;
				n++;
			}
			assert_int_equal(n, said);
			assert_int_equal(sum, said * (said - 1) / 2);
		}
	}
}

struct attack {
	unsigned ahead;	 /* of what the node has said that is out */
	unsigned lines;	 /* forged */
	unsigned flying; /* on their way meanwhile */
};

static const struct attack attacks[] = {
    {0, 1, 0}, {0, 1, 1}, {0, 1, 5}, {0, 3, 5},	      {0, 5, 5},       {0, 9, 5},
    {3, 1, 0}, {3, 1, 5}, {3, 9, 5}, {1000000, 1, 0}, {1000000, 1, 5}, {5, 1, 5},
};
#define ATTACKS (sizeof(attacks) / sizeof(*attacks))

static bool is_in_order(const struct attack *k)
{
	return k->ahead > 0 || k->lines >= k->flying;
}

static void step(struct node *n, bool (*fn)(struct node *n))
{
	if (!n->alive)
		node_open(n, false);
	if (!n->up)
		node_connect(n);
	if (setjmp(death) == 0) {
		may_die = true;
		(void)fn(n);
	} else {
		node_kill(n);
	}
	may_die = false;
}

static bool turn(struct node *n)
{
	(void)node_turn(n);
	return true;
}

/* A node has said something; then that happens; and it says more. It dies in that step of it, if it isn't 0. */
static void attack(const struct attack *k, long death_at, enum cluster_away when_away)
{
	struct cluster_test *t = test_new(3, when_away, 1 << 16, 1);
	struct node *a = &t->node[0];

	test_settle(t);
	for (unsigned i = 0; i < 3; i++)
		node_say(&t->node[i], 0, 4);
	test_settle(t);
	uint64_t boot = boot_of(a), out = said_by(a);
	node_say(a, 0, k->flying);
	(void)node_turn(a);
	forge(t, "a", boot, out + k->ahead, k->lines);
	steps_to_death = death_at;
	for (volatile unsigned i = 0; i < 10; i++) {
		step(a, node_receive);
		step(a, turn);
		if (i == 3)
			node_say(a, 0, 3);
		if (i == 5)
			while (node_store(a, false))
				;
		t->now += 20000;
	}
	steps_to_death = 0;
	test_settle(t);
	for (unsigned i = 0; i < 3; i++)
		node_say(&t->node[i], 0, 4);
	test_settle(t);
	check_lines(t, is_in_order(k));
	/* What was on its way may have gone past it before the next process looks. */
	assert_true(boot_of(a) != boot || death_at > 0);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(t->node[i].core->status.gaps, 0);
	test_end(t);
}

static void lines_appear_all_the_same(void **state)
{
	(void)state;
	for (size_t i = 0; i < ATTACKS; i++)
		for (enum cluster_away policy = CLUSTER_LOCAL; policy <= CLUSTER_WAIT; policy++)
			attack(&attacks[i], 0, policy);
}

/* Only where the build has fault points. */
static void at_each_step(void **state)
{
	(void)state;
	for (size_t i = 0; i < ATTACKS; i++)
		for (long at = 1; at < 90; at += 1 + at / 40)
			attack(&attacks[i], at, at % 2 ? CLUSTER_WAIT : CLUSTER_LOCAL);
}

/* It happens while the node is not there, and what it has said last waits. */
static void while_it_is_away(void **state)
{
	(void)state;
	for (size_t i = 0; i < ATTACKS; i++) {
		struct cluster_test *t = test_new(3, CLUSTER_WAIT, 1 << 16, 1);
		struct node *a = &t->node[0];
		test_settle(t);
		node_say(a, 0, 4);
		test_settle(t);
		uint64_t boot = boot_of(a), out = said_by(a);
		node_say(a, 0, attacks[i].flying);
		node_kill(a);
		forge(t, "a", boot, out + attacks[i].ahead, attacks[i].lines);
		for (unsigned k = 0; k < 20; k++)
			for (unsigned n = 1; n < 3; n++) {
				(void)node_turn(&t->node[n]);
				(void)node_receive(&t->node[n]);
			}
		test_settle(t);
		node_say(a, 0, 4);
		test_settle(t);
		check_lines(t, true);
		assert_int_equal(a->core->status.misused, 1);
		test_end(t);
	}
}

/* What the stream loses after that is published again, and nothing of what was out before. */
static void a_stream_that_is_set_back(void **state)
{
	(void)state;
	for (unsigned lost = 1; lost < 5; lost++) {
		struct cluster_test *t = test_new(2, CLUSTER_WAIT, 1 << 16, 1);
		struct node *a = &t->node[0];
		test_settle(t);
		node_say(a, 0, 4);
		test_settle(t);
		forge(t, "a", boot_of(a), said_by(a) + 7, 1);
		test_settle(t);
		for (unsigned i = 0; i < 2; i++) {
			node_say(a, 0, 2);
			test_settle(t);
		}
		node_cut(a);
		node_cut(&t->node[1]);
		queue_clear(&t->late);
		if (lost == 4)
			stream_make_anew(&t->stream);
		else
			stream_roll_back(&t->stream, lost);
		node_say(a, 0, 2);
		test_settle(t);
		check_lines(t, true);
		assert_int_equal(a->core->status.gaps + t->node[1].core->status.gaps, 0);
		test_end(t);
	}
}

/* Again and again, and in the name of one who is gone. */
static void again(void **state)
{
	struct cluster_test *t = test_new(3, CLUSTER_WAIT, 1 << 16, 1);
	struct node *a = &t->node[0], *b = &t->node[1];

	(void)state;
	test_settle(t);
	for (unsigned i = 0; i < 20; i++) {
		node_say(a, 0, 1 + i % 3);
		test_settle(t);
		forge(t, "a", boot_of(a), said_by(a) + i % 2 * 50, 1 + i % 4);
		node_say(a, 0, i % 3);
		test_settle(t);
	}
	check_lines(t, false); /* some were on their way */
	assert_int_equal(a->core->status.misused, 20);
	/* Nobody can answer for it: a little is believed in, and no more than a log has. */
	uint64_t boot = boot_of(a), out = said_by(a);
	node_kill(a);
	t->n = 3;
	forge(t, "a", boot, out + 1000000, 1);
	for (int64_t until = t->now + 20 * SECOND; t->now < until; t->now += 50000)
		for (unsigned i = 1; i < 3; i++) {
			(void)node_turn(&t->node[i]);
			while (node_receive(&t->node[i]))
				;
		}
	assert_int_equal(b->core->status.gaps, 0);
	assert_null(b->core->gaps);
	test_settle(t);
	node_say(a, 0, 4);
	test_settle(t);
	check_lines(t, false);
	test_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines_appear_all_the_same),
	    cmocka_unit_test(at_each_step),
	    cmocka_unit_test(while_it_is_away),
	    cmocka_unit_test(a_stream_that_is_set_back),
	    cmocka_unit_test(again),
	};

	return cmocka_run_group_tests_name("misuse", tests, NULL, NULL);
}
