/* SPDX-License-Identifier: MIT */
/* What a node that comes later has of what was said before, whatever its clock says, and whatever it has lost. */
#include "tests/unit/cluster/nodes.h"

#include "daemon/state/cluster_file_own.h"

/* Somebody said that there before, and on no other node. */
static void put_own_line(struct node *n, unsigned room)
{
	const struct speech_event before = {
	    .kind = RECORD_MESSAGE, .nick = "eve", .nick_len = 3, .text = "own", .text_len = 3};
	struct speech s = {0};

	assert_int_equal(speech_replay(&s, n->room[room], &before), 0);
	speech_commit(&s, n->rooms, &n->kick);
}

static void say_in_each(struct node *n, unsigned lines)
{
	for (unsigned r = 0; r < TEST_ROOMS; r++)
		node_say(n, r, lines);
}

/* Lets the first nodes only be there, until all is quiet. */
static void settle_only(struct cluster_test *t, unsigned n)
{
	unsigned all = t->n;

	t->n = n;
	test_settle(t);
	t->n = all;
}

/* A node comes to a stream in which 10 lines were said before it was there, and 5 while it could not reach NATS. */
static void join_late(int64_t clock_s, int64_t away_s)
{
	struct cluster_test *t = test_new(2, CLUSTER_WAIT, 1 << 16, 1);
	struct node *a = &t->node[0], *b = &t->node[1];

	t->stream.time_ns -= clock_s * SECOND * 1000;
	say_in_each(a, 10);
	settle_only(t, 1);
	t->stream.time_ns += 60 * SECOND * 1000;
	put_own_line(b, 0);
	say_in_each(a, 5);
	settle_only(t, 1);
	t->stream.time_ns += away_s * SECOND * 1000;
	b->file->header->made_boot_ns -= away_s * SECOND * 1000;
	test_settle(t);
	assert_int_equal(b->shown[0].n, 1 + 5);
	assert_string_equal(b->shown[0].at[1], "a 0 10");
	assert_int_equal(b->shown[1].n, 15);
	assert_int_equal(b->core->status.gaps, 0);
	say_in_each(a, 3);
	say_in_each(b, 3);
	test_settle(t);
	assert_int_equal(b->shown[0].n, 1 + 5 + 6);
	assert_int_equal(b->shown[1].n, 21);
	test_end(t);
}

static void whatever_the_clock_says(void **state)
{
	(void)state;
	for (int64_t clock = -3600; clock <= 3600; clock += 3600) {
		join_late(clock, 0);
		join_late(clock, 7200);
	}
}

/* It is killed while it reads, and reads on with what it knew first. */
static void killed_within_the_first_read(void **state)
{
	struct cluster_test *t = test_new(2, CLUSTER_WAIT, 1 << 16, 1);
	struct node *a = &t->node[0], *b = &t->node[1];

	(void)state;
	say_in_each(a, 10);
	settle_only(t, 1);
	t->stream.time_ns += 60 * SECOND * 1000;
	put_own_line(b, 0);
	node_connect(b);
	for (unsigned i = 0; i < 3; i++)
		(void)node_receive(b);
	node_kill(b);
	node_open(b, false);
	t->stream.time_ns += 3600 * SECOND * 1000;
	test_settle(t);
	assert_int_equal(b->shown[0].n, 1);
	assert_int_equal(b->shown[1].n, 10);
	test_end(t);
}

/* From the build before: it noted only what its own clock said. */
static void a_file_of_the_build_before(void **state)
{
	struct cluster_test *t = test_new(2, CLUSTER_WAIT, 1 << 16, 1);
	struct node *a = &t->node[0], *b = &t->node[1];

	(void)state;
	t->stream.time_ns -= 3600 * SECOND * 1000;
	say_in_each(a, 10);
	settle_only(t, 1);
	t->stream.time_ns += 60 * SECOND * 1000;
	put_own_line(b, 0);
	b->file->header->made_boot_ns = 0;
	node_kill(b);
	node_open(b, false);
	test_settle(t);
	assert_int_equal(b->shown[0].n, 1);
	assert_int_equal(b->shown[1].n, 10);
	test_end(t);
}

/* Of all that it had, only what it noted of the others is gone: nothing is shown or said twice, and nothing is lost. */
static void a_file_that_is_lost(void **state)
{
	(void)state;
	for (unsigned waiting = 0; waiting < 4; waiting++)
		for (enum cluster_away policy = CLUSTER_LOCAL; policy <= CLUSTER_WAIT; policy++) {
			struct cluster_test *t = test_new(2, policy, 1 << 16, 1);
			struct node *a = &t->node[0], *b = &t->node[1];
			test_settle(t);
			for (unsigned i = 0; i < 3; i++) {
				say_in_each(a, 3);
				say_in_each(b, 2);
				test_settle(t);
			}
			t->stream.time_ns += 60 * SECOND * 1000;
			say_in_each(a, waiting);
			if (waiting == 3) /* stored, and not read */
				for (unsigned i = 0; i < 3; i++) {
					(void)node_turn(a);
					(void)node_store(a, false);
				}
			node_kill(a);
			close(a->file_fd);
			a->file_fd = memfd_new("cluster", cluster_file_size());
			a->file_is_new = true;
			node_open(a, false);
			/* Without NATS what waits is shown at once, if that is the policy. */
			for (int64_t until = t->now + 3 * SECOND; t->now < until; t->now += 100000)
				(void)node_turn(a);
			test_settle(t);
			test_check(t, false);
			say_in_each(a, 3);
			say_in_each(b, 3);
			test_settle(t);
			test_check(t, false);
			test_end(t);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(whatever_the_clock_says),
	    cmocka_unit_test(killed_within_the_first_read),
	    cmocka_unit_test(a_file_of_the_build_before),
	    cmocka_unit_test(a_file_that_is_lost),
	};

	return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
