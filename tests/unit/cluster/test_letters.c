/* SPDX-License-Identifier: MIT */
/* Private messages to people on other nodes, case by case: what test_cluster.c does with them at random, and the rest. */
#include "tests/unit/cluster/nodes.h"

/* So long, with all that comes meanwhile. */
static void pass(struct cluster_test *t, int64_t us)
{
	for (int64_t until = t->now + us; t->now < until; t->now += 20000)
		for (unsigned i = 0; i < t->n; i++) {
			struct node *n = &t->node[i];
			if (!n->alive)
				continue;
			(void)node_turn(n);
			while (node_receive(n))
				;
			node_read_private(n);
		}
}

static struct cluster_test *connected(unsigned n)
{
	struct cluster_test *t = test_new(n, CLUSTER_WAIT, 1 << 16, 1);

	test_settle(t);
	return t;
}

static const struct letters_told *told(const struct cluster_test *t, unsigned from, unsigned to)
{
	return &t->node[from].told[to][0];
}

static void assert_told(const struct cluster_test *t, unsigned from, unsigned to, uint64_t got, uint64_t lost)
{
	assert_int_equal(told(t, from, to)->got, got);
	assert_int_equal(told(t, from, to)->lost, lost);
}

static void one_arrives(void **state)
{
	struct cluster_test *t = connected(3);
	struct node *a = &t->node[0], *b = &t->node[1];
	struct logring *log = rooms_private(b->rooms)->log;

	(void)state;
	node_write(a, 1, 0, false);
	pass(t, 100000);
	assert_string_equal(b->heard, "* [alice -> you] 0\n");
	assert_told(t, 0, 1, 1, 0);
	assert_int_equal(letters_waiting(a->core), 0);
	/* Its sender is nobody of this node's, whatever else has that id here. */
	const struct record *r = logring_record(log, 0);
	assert_int_equal(r->target, b->person[0].id);
	assert_int_equal(r->sender_index, 0);
	assert_int_equal(r->from_index, 4);
	assert_int_equal(t->node[2].private_seen, 0);
	assert_int_equal(a->private_seen, 0);
	test_end(t);
}

static void who_is_gone_gets_nothing(void **state)
{
	struct cluster_test *t = connected(2);
	struct node *a = &t->node[0], *b = &t->node[1];

	(void)state;
	node_person(b, 0, false);
	node_write(a, 1, 0, false);
	pass(t, 100000);
	assert_string_equal(
	    a->heard, "* Your message to pb0 could not be delivered: nobody of that name is on node b.\n");
	/* Nor does somebody else of the same name, while the next one for that one does. */
	node_person(b, 0, true);
	node_write(a, 1, 0, true);
	node_write(a, 1, 0, false);
	pass(t, 100000);
	assert_told(t, 0, 1, 1, 2);
	assert_string_equal(b->heard, "* [alice -> you] 2\n");
	test_end(t);
}

static void who_waits_is_told_once(void **state)
{
	struct cluster_test *t = connected(2);
	struct node *a = &t->node[0], *b = &t->node[1];

	(void)state;
	node_kill(b);
	node_write(a, 1, 0, false);
	pass(t, SECOND / 2);
	assert_int_equal(a->private_seen, 0);
	pass(t, 2 * SECOND);
	assert_string_equal(a->heard, "* Your message to pb0 waits: node b can't be reached.\n");
	node_kill(a);
	node_open(a, false);
	node_connect(a);
	pass(t, 5 * SECOND);
	assert_int_equal(told(t, 0, 1)->waits, 1);
	node_write(a, 1, 0, false);
	pass(t, 5 * SECOND);
	assert_int_equal(told(t, 0, 1)->waits, 2);
	test_settle(t);
	test_check(t, true);
	assert_told(t, 0, 1, 2, 0);
	test_end(t);
}

static void who_waits_for_a_node_that_never_comes_is_told(void **state)
{
	struct cluster_test *t = connected(3);
	struct node *a = &t->node[0];

	(void)state;
	node_kill(&t->node[1]);
	node_write(a, 1, 0, false);
	pass(t, 50 * SECOND);
	assert_int_equal(told(t, 0, 1)->in_doubt, 0);
	/* While this node itself is cut off, the others may be there. */
	node_cut(a);
	pass(t, 100 * SECOND);
	assert_int_equal(told(t, 0, 1)->in_doubt, 0);
	node_connect(a);
	pass(t, 59 * SECOND);
	assert_int_equal(told(t, 0, 1)->in_doubt, 0);
	pass(t, 2 * SECOND);
	assert_int_equal(told(t, 0, 1)->in_doubt, 1);
	assert_string_equal(a->heard,
			    "* It isn't known whether your message to pb0 arrived: node b is gone.\n");
	assert_int_equal(letters_waiting(a->core), 0);
	/* The next one has its own time, and others are not in its way. */
	node_write(a, 1, 0, false);
	node_write(a, 2, 0, false);
	pass(t, 5 * SECOND);
	assert_told(t, 0, 2, 1, 0);
	assert_int_equal(told(t, 0, 1)->in_doubt, 1);
	test_settle(t);
	assert_told(t, 0, 1, 1, 0);
	test_end(t);
}

/* A node that ends waits for those who can answer. */
static void who_ends_waits_for_nodes_that_are_there(void **state)
{
	struct cluster_test *t = connected(3);
	struct node *a = &t->node[0];

	(void)state;
	pass(t, 2 * SECOND);
	node_kill(&t->node[1]);
	pass(t, 12 * SECOND);
	node_write(a, 1, 0, false);
	(void)node_turn(a);
	core_mark(a->core);
	assert_int_equal(core_waiting(a->core), 1);
	assert_false(core_is_waiting(a->core));
	node_write(a, 2, 0, false);
	(void)node_turn(a);
	core_mark(a->core);
	assert_true(core_is_waiting(a->core));
	pass(t, 100000);
	assert_false(core_is_waiting(a->core));
	test_end(t);
}

static void a_node_that_takes_none_is_told_of(void **state)
{
	struct cluster_test *t = connected(2);
	struct node *a = &t->node[0];

	(void)state;
	t->n = 1; /* b says nothing itself */
	nodes_heard(a->core, "chatd.beat.b", "0.1 1 1000 0", 12);
	assert_true(nodes_has_no_letters(a->core, "b"));
	node_write(a, 1, 0, false);
	pass(t, 100000);
	assert_string_equal(a->heard,
			    "* Your message to pb0 could not be delivered: node b doesn't take private "
			    "messages yet.\n");
	t->n = 2;
	pass(t, 2 * SECOND); /* it is upgraded */
	node_write(a, 1, 0, false);
	pass(t, 100000);
	assert_told(t, 0, 1, 1, 1);
	test_end(t);
}

/* What one node has is known, also if another one is still waited for, and the first one forgets it. */
static void what_arrived_is_not_told_lost(void **state)
{
	struct cluster_test *t = connected(3);
	struct node *a = &t->node[0], *b = &t->node[1];

	(void)state;
	node_kill(&t->node[2]);
	node_write(a, 2, 0, false);
	node_write(a, 1, 0, false);
	pass(t, SECOND);
	assert_told(t, 0, 1, 1, 0);
	node_kill(a);
	node_lose_memory(b);
	node_open(a, false);
	test_settle(t);
	test_check(t, false);
	assert_told(t, 0, 1, 1, 0);
	assert_told(t, 0, 2, 1, 0);
	/* Ids there may mean others now, so what waits for those before comes back. */
	node_cut(b);
	node_write(a, 1, 0, false);
	node_lose_memory(b);
	test_settle(t);
	assert_told(t, 0, 1, 1, 1);
	test_end(t);
}

/* --- what comes back --- */

static void what_does_not_fit_there_comes_back(void **state)
{
	static const struct speaker zoe = {.id = 99, .index = 1, .nick = "pb2", .nick_len = 3};
	struct cluster_test *t = connected(2);
	struct node *a = &t->node[0], *b = &t->node[1];
	struct letter_address to = {
	    .node = "a", .boot = a->letters, .id = 7, .index = 3, .nick_len = 3, .nick = "pb2"};
	struct speech s = {0};

	(void)state;
	letter_put_return(&s, rooms_letters(b->rooms), &zoe, &to);
	speech_commit(&s, b->rooms, &b->kick);
	pass(t, 100000);
	assert_string_equal(a->heard,
			    "* Your message to pb2 could not be delivered: too much waits there.\n");
	/* After its node lost its memory, that client is somebody else; and nobody hears of that. */
	to.boot++;
	letter_put_return(&s, rooms_letters(b->rooms), &zoe, &to);
	speech_commit(&s, b->rooms, &b->kick);
	pass(t, 100000);
	assert_int_equal(a->private_seen, 1);
	assert_int_equal(b->private_seen, 0);
	assert_int_equal(letters_waiting(b->core), 0);
	test_end(t);
}

/* --- what no node says --- */

static void answer(struct node *n, const char *format, uint64_t boot)
{
	char text[128];
	int len = snprintf(text, sizeof(text), format, boot);

	letters_answered(n->core, text, (size_t)len);
}

static void answers_that_no_node_gave(void **state)
{
	struct cluster_test *t = connected(2);
	struct node *a = &t->node[0];
	uint64_t boot = a->letters;

	(void)state;
	node_kill(&t->node[1]);
	node_write(a, 1, 0, false);
	(void)node_turn(a);
	answer(a, "%" PRIx64 " 2 b took", boot); /* more than there are */
	answer(a, "%" PRIx64 " 18446744073709551615 b took", boot);
	answer(a, "%" PRIx64 " 1 b took", boot + 1);
	answer(a, "%" PRIx64 " 1 c took", boot);
	answer(a, "%" PRIx64 " 1 b gone", boot); /* which there isn't */
	answer(a, "%" PRIx64 " 1 b", boot);
	answer(a, "%" PRIx64 " 1x b took", boot);
	answer(a, "%" PRIx64 " 1 bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb took", boot);
	answer(a, "%" PRIx64 " 1 b tooktooktook", boot);
	answer(a, "", boot);
	answer(a, " ", boot);
	letters_answered(a->core, "1\0 1 b took", 11);
	assert_int_equal(letters_waiting(a->core), 1);
	answer(a, "%" PRIx64 " 0 b gone", boot);
	node_read_private(a);
	assert_told(t, 0, 1, 0, 1);
	answer(a, "%" PRIx64 " 0 b gone", boot);
	answer(a, "%" PRIx64 " 1 b took", boot);
	node_read_private(a);
	assert_told(t, 0, 1, 0, 1);
	assert_int_equal(letters_waiting(a->core), 0);
	test_end(t);
}

static size_t batch(struct wire_writer *w, unsigned char *buf, const char *node, uint64_t boot,
		    uint64_t first, const struct speech_event *e)
{
	wire_begin(w, buf, CORE_BATCH_MAX, node, boot, first);
	assert_true(wire_add(w, e));
	return wire_end(w);
}

static void messages_that_no_node_sent(void **state)
{
	static unsigned char buf[CORE_BATCH_MAX];
	struct cluster_test *t = connected(2);
	struct node *b = &t->node[1];
	struct wire_writer w;
	char text[8][128], right[128];

	(void)state;
	const uint64_t id = b->person[0].id;
	snprintf(right, sizeof(right), "b %" PRIx64 " %" PRIx64 " 3 pb0 hi", b->letters, id);
	snprintf(text[0], sizeof(*text), "c %" PRIx64 " %" PRIx64 " 3 pb0 hi", b->letters, id);
	snprintf(text[1], sizeof(*text), "b %" PRIx64 " %" PRIx64 " 3 pb0 hi", b->letters ^ 1, id);
	snprintf(text[2], sizeof(*text), "b %" PRIx64 " %" PRIx64 " 3 pb0 hi", b->letters, id + 50);
	snprintf(text[3], sizeof(*text), "b %" PRIx64 " %" PRIx64 " 3 pb1 hi", b->letters, id);
	snprintf(text[4], sizeof(*text), "b %" PRIx64 " %" PRIx64 " ffffffff pb0 hi", b->letters, id);
	snprintf(text[5], sizeof(*text), "b %" PRIx64 " %" PRIx64 " 3 pb0 ", b->letters, id);
	snprintf(text[6], sizeof(*text), "b %" PRIx64 " %" PRIx64 "0000000000000000 3 pb0 hi", b->letters,
		 id);
	snprintf(text[7], sizeof(*text), "b %" PRIx64, b->letters);
	struct speech_event e = {
	    .kind = RECORD_MESSAGE, .time_us = 1, .sender = 7, .nick = "eve", .nick_len = 3};
	for (unsigned i = 0; i < 8; i++) {
		e.text = text[i];
		e.text_len = strlen(text[i]);
		mailbox_take(b->core, (char *)buf, batch(&w, buf, "x", 5, i, &e));
	}
	e.text = right;
	e.text_len = strlen(right);
	e.kind = RECORD_ACTION;
	mailbox_take(b->core, (char *)buf, batch(&w, buf, "x", 5, 8, &e));
	e.kind = RECORD_MESSAGE;
	e.nick = "e v";
	mailbox_take(b->core, (char *)buf, batch(&w, buf, "x", 5, 9, &e));
	uint64_t refused = b->core->refused;
	e.nick = "eve";
	mailbox_take(b->core, (char *)buf, batch(&w, buf, "b", 5, 10, &e)); /* by this node itself */
	mailbox_take(b->core, "CHDC", 4);
	assert_int_equal(b->core->refused, refused + 2);
	node_read_private(b);
	assert_int_equal(b->private_seen, 0);
	/* And one that is in order; but its node is not known, so it comes from nobody who could be told of it. */
	mailbox_take(b->core, (char *)buf, batch(&w, buf, "x", 5, 11, &e));
	assert_int_equal(logring_count(rooms_private(b->rooms)->log), 1);
	mailbox_take(b->core, (char *)buf, batch(&w, buf, "x", 5, 11, &e));
	assert_int_equal(logring_count(rooms_private(b->rooms)->log), 1);
	test_end(t);
}

static void a_server_that_takes_little(void **state)
{
	struct cluster_test *t = connected(2);
	struct node *a = &t->node[0];

	(void)state;
	node_cut(a);
	for (unsigned i = 0; i < 100; i++)
		node_write(a, 1, 0, false);
	t->max_payload = 1500;
	test_settle(t);
	assert_told(t, 0, 1, 100, 0);
	t->max_payload = 70;
	node_write(a, 1, 0, false);
	pass(t, SECOND);
	assert_string_equal(
	    a->heard,
	    "* Your message to pb0 could not be delivered: it is too long for the way to node b.\n");
	t->max_payload = 0;
	node_write(a, 1, 0, false);
	pass(t, SECOND);
	assert_told(t, 0, 1, 101, 1);
	test_end(t);
}

/* Who reads the private messages there is behind: the rest comes later. */
static void a_node_that_is_busy(void **state)
{
	struct cluster_test *t = connected(2);
	struct node *a = &t->node[0], *b = &t->node[1];
	struct room *private = rooms_private(b->rooms);
	static const struct speech_peer nobody = {1, 1};
	static char text[60000];
	struct speech s = {0};

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	while (!room_log_is_crowded(b->rooms, private)) {
		speech_note_to(&s, private, &nobody, text);
		speech_commit(&s, b->rooms, &b->kick);
	}
	node_write(a, 1, 0, false);
	for (unsigned i = 0; i < 5 * 61; i++) {
		t->now += 200000;
		(void)node_turn(a);
		while (node_receive(b) || node_receive(a))
			;
		(void)node_turn(b);
	}
	assert_int_equal(letters_waiting(a->core), 1);
	assert_int_equal(logring_count(rooms_private(a->rooms)->log),
			 0); /* nor is anybody told that it is gone */
	b->private_seen = logring_count(private->log);
	logring_caught_up(private->log, 0);
	pass(t, SECOND);
	assert_told(t, 0, 1, 1, 0);
	test_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(one_arrives),
	    cmocka_unit_test(who_is_gone_gets_nothing),
	    cmocka_unit_test(who_waits_is_told_once),
	    cmocka_unit_test(who_waits_for_a_node_that_never_comes_is_told),
	    cmocka_unit_test(who_ends_waits_for_nodes_that_are_there),
	    cmocka_unit_test(a_node_that_takes_none_is_told_of),
	    cmocka_unit_test(what_arrived_is_not_told_lost),
	    cmocka_unit_test(what_does_not_fit_there_comes_back),
	    cmocka_unit_test(answers_that_no_node_gave),
	    cmocka_unit_test(messages_that_no_node_sent),
	    cmocka_unit_test(a_server_that_takes_little),
	    cmocka_unit_test(a_node_that_is_busy),
	};

	return cmocka_run_group_tests_name("letters", tests, NULL, NULL);
}
