/* SPDX-License-Identifier: MIT */
/* What may happen to a cluster, case by case: what comes at random in test_cluster.c, and what doesn't. */
#include "tests/unit/cluster/nodes.h"

/* One event after the other, as long as there are any; what is published stays on its way. */
static void receive_all(struct node *n)
{
	bool more = true;

	for (unsigned i = 0; i < 10000 && more; i++) {
		more = node_receive(n);
		for (unsigned r = 0; r < TEST_ROOMS; r++)
			node_read(n, r);
	}
}

static void turn_all(struct cluster_test *t)
{
	for (unsigned i = 0; i < t->n; i++)
		(void)node_turn(&t->node[i]);
}

/* All is quiet after that, for so long. */
static void pass(struct cluster_test *t, int64_t us)
{
	for (int64_t until = t->now + us; t->now < until; t->now += 20000)
		for (unsigned i = 0; i < t->n; i++) {
			struct node *n = &t->node[i];
			if (!n->alive)
				continue;
			(void)node_turn(n);
			while (node_store(n, false))
				;
			receive_all(n);
		}
}

static struct cluster_test *connected(unsigned n, enum cluster_away when_away)
{
	struct cluster_test *t = test_new(n, when_away, 1 << 16, 1);

	test_settle(t);
	return t;
}

static void store_raw(struct cluster_test *t, const char *subject, const void *data, size_t len)
{
	struct parcel p = {.data = (char *)data};

	snprintf(p.subject, sizeof(p.subject), "%s", subject);
	p.event.len = len;
	(void)stream_store(&t->stream, &p);
}

/* One line that a node says of which only that is known. */
static void store_line(struct cluster_test *t, const char *room, const char *node, uint64_t boot,
		       uint64_t number)
{
	static const struct speech_event e = {.time_us = 1,
					      .kind = RECORD_MESSAGE,
					      .nick = "alice",
					      .nick_len = 5,
					      .text = "a line",
					      .text_len = 6};
	static char buf[CORE_BATCH_MAX];
	char subject[CORE_SUBJECT_MAX], token[WIRE_TOKEN_MAX];
	struct wire_writer w;

	snprintf(subject, sizeof(subject), "chatd.s.room.%s", wire_token(room, token));
	wire_begin(&w, buf, sizeof(buf), node, boot, number);
	assert_true(wire_add(&w, &e));
	store_raw(t, subject, buf, wire_end(&w));
}

/* --- answers and connections --- */

static void what_is_stored_is_read_before_anything_is_published(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];

	(void)state;
	node_say(a, 0, 3);
	(void)node_turn(a);
	assert_int_equal(a->publishes.n, 1);
	(void)node_store(a, false);
	node_kill(a); /* neither the answer nor the lines have come */
	node_open(a, false);
	node_connect(a);
	unsigned before = a->n_publishes;
	while (!a->core->subscribed && node_receive(a))
		(void)node_turn(a);
	(void)node_turn(a);
	assert_int_equal(a->n_publishes, before);
	receive_all(a);
	(void)node_turn(a);
	assert_int_equal(a->n_publishes, before);
	test_settle(t);
	test_check(t, true);
	test_end(t);
}

static void one_batch_is_on_its_way(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		node_say(a, 0, 1);
		(void)node_turn(a);
	}
	assert_int_equal(a->publishes.n, 1);
	/* Nobody answers: it is published again, packed otherwise, and the first one is stored after all. */
	t->now += 3 * SECOND;
	(void)node_turn(a);
	assert_int_equal(a->publishes.n, 2);
	test_settle(t);
	test_check(t, true);
	assert_true(t->node[1].core->status.trimmed >= 1);
	test_end(t);
}

static void an_answer_is_wanted_when_something_is_missing(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];

	(void)state;
	node_say(a, 0, 1);
	(void)node_turn(a);
	assert_true(a->publishes.first->event.id > 0);
	test_settle(t);
	for (unsigned i = 0; i < 3; i++) {
		node_say(a, 0, 1);
		(void)node_turn(a);
		assert_int_equal(a->publishes.n, 1);
		assert_int_equal(a->publishes.first->event.id, 0);
		test_settle(t);
	}
	/* It is lost, which is found out before people hear of it, and the server is asked why. */
	node_say(a, 0, 1);
	(void)node_turn(a);
	parcel_free(queue_take(&a->publishes));
	t->now += 600000;
	(void)node_turn(a);
	assert_int_equal(a->publishes.n, 1);
	assert_true(a->publishes.first->event.id > 0);
	assert_false(a->core->away);
	test_settle(t);
	node_say(a, 0, 1);
	(void)node_turn(a);
	assert_int_equal(a->publishes.first->event.id, 0);
	test_settle(t);
	test_check(t, true);
	test_end(t);
}

static void an_answer_does_not_make_it_safe(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];

	(void)state;
	node_say(a, 0, 1); /* so that the stream is not read from its beginning anyway */
	test_settle(t);
	node_say(a, 0, 3);
	(void)node_turn(a);
	parcel_free(queue_take(&a->publishes)); /* it is lost; of the next one the server is asked */
	t->now += SECOND;
	(void)node_turn(a);
	(void)node_store(a, false);
	while (a->events.first->event.kind == NATS_PLAIN)
		(void)node_receive(a);
	struct parcel *p = queue_take(&a->events); /* the answer, before the lines */
	assert_int_equal(p->event.kind, NATS_REPLY);
	assert_true(core_event(a->core, &p->event));
	parcel_free(p);
	for (unsigned i = 0; i < t->n; i++)
		node_cut(&t->node[i]);
	stream_roll_back(&t->stream, 1);
	test_settle(t);
	test_check(t, true);
	assert_int_equal(a->shown[0].n, 4);
	test_end(t);
}

static void a_stream_that_is_set_back_under_way(void **state)
{
	struct cluster_test *t = connected(3, CLUSTER_WAIT);

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		node_say(&t->node[0], 0, 2);
		test_settle(t);
	}
	stream_roll_back(&t->stream, 3); /* and nobody's connection ends */
	for (unsigned i = 0; i < t->n; i++)
		t->node[i].pos = t->stream.next;
	node_say(&t->node[1], 0, 2);
	pass(t, SECOND);
	test_settle(t);
	test_check(t, false);
	test_end(t);
}

/* --- gaps --- */

/* Node b was away while lines were said that are no longer in the stream. */
static struct cluster_test *missing(void)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);

	node_say(&t->node[0], 0, 2);
	test_settle(t);
	node_kill(&t->node[1]);
	node_say(&t->node[0], 0, 3);
	pass(t, SECOND);
	stream_expire(&t->stream, 100);
	node_say(&t->node[0], 0, 4);
	pass(t, SECOND);
	assert_int_equal(t->stream.n, 1);
	return t;
}

static void lines_that_are_missing_are_said_again(void **state)
{
	struct cluster_test *t = missing();

	(void)state;
	test_settle(t);
	test_check(t, true);
	assert_int_equal(t->node[1].core->status.gaps, 0);
	test_end(t);
}

static void lines_of_a_dead_node_are_given_up(void **state)
{
	struct cluster_test *t = missing();
	struct node *b = &t->node[1];

	(void)state;
	node_kill(&t->node[0]);
	node_open(b, false);
	node_connect(b);
	uint64_t notices = b->notices;
	pass(t, 4 * SECOND);
	assert_int_equal(b->shown[0].n, 2); /* not at once */
	assert_int_equal(b->notices, notices);
	/* What was not shown is read again, also by another process. */
	node_kill(b);
	node_open(b, false);
	node_connect(b);
	pass(t, 7 * SECOND);
	assert_int_equal(b->core->status.gaps, 3);
	assert_int_equal(b->notices, notices + 1);
	assert_int_equal(b->shown[0].n, 2 + 4);
	assert_string_equal(b->shown[0].at[2], "a 0 5");
	assert_null(b->core->gaps);
	test_end(t);
}

static void lines_that_nobody_has_any_more(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0], *b = &t->node[1];

	(void)state;
	node_say(a, 0, 2);
	test_settle(t);
	node_kill(b);
	for (unsigned i = 0; i < 40; i++) {
		node_say(a, 0, 100);
		pass(t, SECOND / 10);
	}
	stream_expire(&t->stream, t->stream.n - 3);
	uint64_t notices = b->notices;
	test_settle(t);
	assert_true(b->core->status.gaps > 0);
	assert_int_equal(b->notices, notices + 1);
	assert_int_equal(b->shown[0].n + b->core->status.gaps, a->said[0]);
	test_end(t);
}

/* --- nodes --- */

static void a_new_node_has_the_history(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);

	(void)state;
	for (unsigned i = 0; i < 5; i++) {
		node_say(&t->node[i % 2], 0, 10);
		test_settle(t);
	}
	struct node *c = &t->node[t->n++];
	c->t = t;
	snprintf(c->name, sizeof(c->name), "c");
	node_make(c);
	node_say(c, 0, 2);
	test_settle(t);
	test_check(t, true);
	/* The stream's beginning is over: the next one takes what there is. */
	stream_expire(&t->stream, 2);
	node_end(c);
	for (unsigned r = 0; r < TEST_ROOMS; r++) {
		free(c->shown[r].at);
		c->shown[r] = (struct shown){0};
	}
	node_make(c);
	test_settle(t);
	assert_int_equal(c->shown[0].n, 32);
	assert_int_equal(c->core->status.gaps, 0);
	test_end(t);
}

/* Its memory is lost: what it said before is as another's, and it begins to count anew. */
static void a_node_without_memory(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];

	(void)state;
	node_say(a, 0, 5);
	test_settle(t);
	node_end(a);
	free(a->shown[0].at);
	a->shown[0] = (struct shown){0};
	node_make(a);
	node_say(a, 0, 5);
	test_settle(t);
	test_check(t, true);
	test_end(t);
}

static void two_of_one_name(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];
	static const char beat[] = "9.9.9 abc 5 7";
	const struct nats_event e = {.kind = NATS_PLAIN, .generation = a->generation};

	(void)state;
	assert_int_equal(a->core->n_nodes, 2);
	assert_true(nodes_is_alive(a->core, "b"));
	queue_add(&a->events, &e, "chatd.beat.a", beat, sizeof(beat) - 1);
	queue_add(&a->events, &e, "chatd.beat.z", beat, sizeof(beat) - 1);
	queue_add(&a->events, &e, "chatd.beat.y z", beat, sizeof(beat) - 1);
	queue_add(&a->events, &e, "chatd.beat.y", "9.9.9 abc x 7", 13);
	queue_add(&a->events, &e, "chatd.beat.y", "9.9.9", 5);
	receive_all(a);
	assert_non_null(strstr(a->core->status.why, "another node"));
	assert_int_equal(a->core->n_nodes, 3);
	assert_string_equal(a->core->nodes[2]->shown.name, "z");
	assert_int_equal(a->core->nodes[2]->shown.clients, 7);
	pass(t, 12 * SECOND);
	assert_string_equal(a->core->status.why, ""); /* the other one of that name is gone */
	assert_false(nodes_is_alive(a->core, "z"));
	assert_true(nodes_is_alive(a->core, "b"));
	/* What the other one says is shown as well. */
	store_line(t, "r0", "a", 12345, 0);
	test_settle(t);
	assert_int_equal(a->shown[0].n, 1);
	assert_int_equal(t->node[1].shown[0].n, 1);
	test_end(t);
}

/* --- away --- */

static void people_are_told(void **state)
{
	(void)state;
	for (enum cluster_away policy = CLUSTER_LOCAL; policy <= CLUSTER_WAIT; policy++) {
		struct cluster_test *t = connected(2, policy);
		struct node *a = &t->node[0];
		uint64_t notices = a->notices;
		node_cut(a);
		node_say(a, 0, 2);
		pass(t, SECOND / 2);
		assert_int_equal(a->notices, notices);
		assert_int_equal(a->shown[0].n, 0);
		pass(t, 2 * SECOND);
		assert_int_equal(a->notices, notices + TEST_ROOMS);
		assert_int_equal(a->shown[0].n, policy == CLUSTER_LOCAL ? 2 : 0);
		/* Another process doesn't say it again, and says when it is over. */
		node_kill(a);
		node_open(a, false);
		pass(t, 2 * SECOND);
		assert_int_equal(a->notices, notices + TEST_ROOMS);
		test_settle(t);
		assert_int_equal(a->notices, notices + 2 * TEST_ROOMS);
		test_check(t, true);
		test_end(t);
	}
}

/* The room is full of what isn't committed yet: then there is no notice, and the next one who speaks isn't held up. */
static void a_notice_that_does_not_fit(void **state)
{
	struct cluster_test *t = connected(1, CLUSTER_WAIT);
	struct node *a = &t->node[0];
	struct logring *log = a->room[0]->log;
	struct record r = {.kind = RECORD_NOTICE};
	uint64_t notices = a->notices;

	(void)state;
	logring_lock(log);
	while (logring_put(log, &r, "* ", 2, "x", 1))
		;
	logring_unlock(log);
	away_note(a->core, a->room[0], "They are away.");
	alarm(60);
	logring_lock(log);
	alarm(0);
	logring_unlock(log);
	test_settle(t);
	assert_int_equal(a->notices, notices);
	test_end(t);
}

/* The server takes everything, and stores nothing. */
static void a_server_that_stores_nothing(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_LOCAL);
	struct node *a = &t->node[0];
	uint64_t notices = a->notices;

	(void)state;
	node_say(a, 0, 2);
	for (int64_t until = t->now + 3 * SECOND; t->now < until; t->now += 50000) {
		turn_all(t);
		receive_all(a);
	}
	assert_int_equal(a->notices, notices + TEST_ROOMS);
	assert_int_equal(a->shown[0].n, 2);
	test_settle(t);
	assert_int_equal(a->notices, notices + 2 * TEST_ROOMS);
	test_check(t, true);
	test_end(t);
}

/* --- what comes --- */

static void a_large_batch_goes_in_in_parts(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];

	(void)state;
	node_cut(a);
	for (unsigned i = 0; i < 3; i++)
		node_say(a, 0, 200);
	assert_true(a->said[0] > 300);
	test_settle(t);
	test_check(t, true);
	test_end(t);
}

static void rooms_are_opened_as_long_as_there_are_any(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];
	char name[16];

	(void)state;
	store_line(t, "own room", "x", 1, 0); /* not shared here */
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "room%u", i);
		store_line(t, name, "x", 1, 0);
	}
	store_line(t, "r0", "x", 1, 0);
	pass(t, SECOND / 5);
	assert_int_equal(rooms_count(a->rooms), 8);
	assert_int_equal(a->core->n_channels, 7); /* in r1 nothing was said */
	assert_int_equal(a->core->refused, 4);
	assert_int_equal(a->shown[0].n, 1);
	assert_int_equal(a->core->read.seq, stream_last(&t->stream));
	/* They are let go when nothing is said there any more. */
	pass(t, 5 * SECOND);
	for (uint32_t i = 0; i < ROOMS_CAPACITY; i++)
		assert_true(!a->core->at[i] || !a->core->at[i]->out);
	for (unsigned i = 0; i < 8; i++) /* it stops when it takes long */
		rooms_expire(a->rooms, INT64_MAX / 2);
	assert_int_equal(rooms_count(a->rooms), TEST_ROOMS);
	pass(t, 70 * SECOND);
	assert_int_equal(a->core->n_channels, 1);
	assert_int_equal(a->core->status.n_rooms, TEST_ROOMS);
	test_end(t);
}

/* Whoever is here has max_rooms all the same, in a process after this one as well. */
static void rooms_of_others_keep_nobody_out(void **state)
{
	static const struct room_guest anybody;
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];
	struct room *room[8];
	char name[16];

	(void)state;
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "room%u", i);
		store_line(t, name, "x", 1, 0);
	}
	pass(t, SECOND / 5);
	assert_int_equal(rooms_count(a->rooms), 8);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "mine%u", i);
		assert_int_equal(rooms_enter(a->rooms, name, 0, &anybody, &room[i]), 0);
	}
	assert_int_equal(rooms_count(a->rooms), 11);
	node_kill(a);
	node_open(a, false);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "mine%u", i);
		assert_int_equal(rooms_enter(a->rooms, name, 0, &anybody, &room[i]), 0);
	}
	assert_int_equal(rooms_count(a->rooms), 11);
	/* Nobody holds them any more, so they make way. One that somebody enters is as any other. */
	node_connect(a);
	pass(t, 5 * SECOND);
	assert_int_equal(rooms_enter(a->rooms, "room3", 0, &anybody, &room[3]), 0);
	for (unsigned i = 4; i < 6; i++) {
		snprintf(name, sizeof(name), "mine%u", i);
		assert_int_equal(rooms_enter(a->rooms, name, 0, &anybody, &room[i]), 0);
	}
	assert_int_equal(rooms_count(a->rooms), 11);
	assert_int_equal(rooms_enter(a->rooms, "mine6", 0, &anybody, &room[6]), -ENOSPC);
	/* What comes for one more takes the place of another of those. */
	uint64_t refused = a->core->refused;
	store_line(t, "another", "x", 1, 0);
	pass(t, SECOND / 5);
	assert_int_equal(rooms_count(a->rooms), 11);
	assert_int_equal(a->core->refused, refused);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "again%u", i);
		store_line(t, name, "x", 1, 0);
	}
	pass(t, SECOND / 5);
	assert_int_equal(rooms_count(a->rooms), 11);
	assert_true(a->core->refused > refused);
	test_end(t);
}

static void what_no_node_can_have_said(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];
	static const unsigned char later[] = "CHDC\x02 what a later version says";

	(void)state;
	node_say(a, 0, 2);
	test_settle(t);
	store_raw(t, "chatd.s.room.r0", later, sizeof(later));
	store_raw(t, "chatd.s.room.r0", "", 0);
	store_raw(t, "chatd.s.other", later, sizeof(later));
	store_line(t, "r0", "a", 1, 0); /* this it may have, before it lost its memory */
	store_line(t, "r0", "a", a->room[0]->outgoing->epoch, 77); /* it has not said so much */
	uint64_t refused = a->core->refused;
	pass(t, SECOND);
	assert_int_equal(a->core->refused, refused + 4);
	assert_int_equal(a->core->read.seq, stream_last(&t->stream));
	node_say(a, 0, 1);
	pass(t, SECOND);
	assert_string_equal(a->shown[0].at[a->shown[0].n - 1], "a 0 2");
	test_end(t);
}

/* Of what has waited much is packed into one message; a server that takes less gets it in several. */
static void a_server_that_takes_little(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct node *a = &t->node[0];

	(void)state;
	node_cut(a);
	receive_all(a);
	for (unsigned i = 0; i < 5; i++)
		node_say(a, 0, 20);
	t->max_payload = 1500;
	test_settle(t);
	test_check(t, true);
	assert_string_equal(a->core->status.why, "");
	/* One that takes not even a line, and one that does. */
	t->max_payload = 50;
	node_say(a, 0, 2);
	pass(t, SECOND);
	assert_non_null(strstr(a->core->status.why, "max_payload"));
	assert_int_equal(a->core->n_busy, 1);
	t->max_payload = 0;
	node_cut(a);
	test_settle(t);
	test_check(t, true);
	assert_string_equal(a->core->status.why, "");
	test_end(t);
}

/* A node may say that it has read what the stream has lost since. */
static void how_far_others_are_is_as_they_say_now(void **state)
{
	struct cluster_test *t = connected(2, CLUSTER_WAIT);
	struct core *c = t->node[0].core;

	(void)state;
	nodes_heard(c, "chatd.beat.b", "0 1 1000 0", 10);
	(void)core_turn(c, t->now);
	assert_int_equal(c->status.last, 1000);
	nodes_heard(c, "chatd.beat.b", "0 1 18446744073709551615 0", 26);
	nodes_heard(c, "chatd.beat.b", "0 1 0 0", 7);
	(void)core_turn(c, t->now);
	assert_int_equal(c->status.last, stream_last(&t->stream));
	test_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_is_stored_is_read_before_anything_is_published),
	    cmocka_unit_test(one_batch_is_on_its_way),
	    cmocka_unit_test(an_answer_is_wanted_when_something_is_missing),
	    cmocka_unit_test(an_answer_does_not_make_it_safe),
	    cmocka_unit_test(a_stream_that_is_set_back_under_way),
	    cmocka_unit_test(lines_that_are_missing_are_said_again),
	    cmocka_unit_test(lines_of_a_dead_node_are_given_up),
	    cmocka_unit_test(lines_that_nobody_has_any_more),
	    cmocka_unit_test(a_new_node_has_the_history),
	    cmocka_unit_test(a_node_without_memory),
	    cmocka_unit_test(two_of_one_name),
	    cmocka_unit_test(people_are_told),
	    cmocka_unit_test(a_notice_that_does_not_fit),
	    cmocka_unit_test(a_server_that_stores_nothing),
	    cmocka_unit_test(a_large_batch_goes_in_in_parts),
	    cmocka_unit_test(rooms_are_opened_as_long_as_there_are_any),
	    cmocka_unit_test(rooms_of_others_keep_nobody_out),
	    cmocka_unit_test(what_no_node_can_have_said),
	    cmocka_unit_test(a_server_that_takes_little),
	    cmocka_unit_test(how_far_others_are_is_as_they_say_now),
	};

	return cmocka_run_group_tests_name("cluster_cases", tests, NULL, NULL);
}
