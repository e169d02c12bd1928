/* SPDX-License-Identifier: MIT */
/* What nodes say of their rooms: as text, compared, and told once of each that differs. */
#include "tests/unit/cluster/nodes.h"

#include "daemon/cluster/agree.h"

static struct agree_said said(const char *node, bool all, const char *rooms)
{
	struct agree_said s = {.all = all, .rooms = json_loads(rooms, 0, NULL)};

	assert_non_null(s.rooms);
	snprintf(s.node, sizeof(s.node), "%s", node);
	return s;
}

static bool shares(const char *room, void *arg)
{
	(void)arg;
	return room[0] != 'p';
}

/* What differs, sorted by chance: "ROOM: WHAT;" of each. */
static void expect(const char *own, bool own_all, const char *other, bool other_all, const char *expected)
{
	struct agree_said a = said("a", own_all, own), b = said("b", other_all, other), read;
	struct cluster_difference d[4];
	char got[256] = "";

	/* As it comes from there. */
	char *text = agree_write(&b, AGREE_TEXT_MAX);
	assert_int_equal(agree_read(text, strlen(text), &read), 0);
	free(text);
	assert_string_equal(read.node, "b");
	unsigned n = agree_compare(&a, &read, shares, NULL, d, 4);
	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(got);
		assert_string_equal(d[i].node, "b");
		snprintf(got + len, sizeof(got) - len, "%s: %s;", d[i].room, d[i].what);
	}
	assert_string_equal(got, expected);
	json_decref(a.rooms);
	json_decref(b.rooms);
	json_decref(read.rooms);
}

static void what_differs(void **state)
{
	(void)state;
	expect("{}", true, "{}", true, "");
	expect("{\"x\": \"rwm01234567\"}", true, "{\"x\": \"rwm01234567\"}", true, "");
	expect("{\"x\": \"m0123b567\"}", true, "{\"x\": \"m01234568\"}", true, "x: members;");
	expect("{\"x\": \"m01234567\"}", true, "{}", true, "x: members;");
	expect("{}", true, "{\"x\": \"rw\"}", true, "x: read_only, format;");
	expect("{\"x\": \"r\"}", true, "{\"x\": \"w\"}", true, "x: read_only, format;");
	/* Who shares only some rooms says which; and this node shares no room with p. */
	expect("{\"x\": \"r\"}", true, "{}", false, "");
	expect("{\"x\": \"r\"}", true, "{\"x\": \"\"}", false, "x: read_only;");
	expect("{\"p\": \"r\"}", false, "{\"p\": \"w\"}", true, "");
	/* Letters of a later build. */
	expect("{\"x\": \"r\"}", true, "{\"x\": \"rz\"}", true, "");
}

static void what_can_not_be_read(void **state)
{
	static const char *const bad[] = {
	    "",
	    "{}",
	    "[]",
	    "{\"v\": 1, \"rooms\": {}}",
	    "{\"v\": 1, \"node\": \"w\"}",
	    "{\"v\": 0, \"node\": \"b\", \"rooms\": {}}",
	    "{\"v\": 1, \"node\": \"b.c\", \"rooms\": {}}",
	    "{\"v\": 1, \"node\": \"b\", \"rooms\": []}",
	    "{\"v\": 1, \"node\": \"b\", \"rooms\": {\"x\": 1}}",
	    "{\"v\": 1, \"node\": \"b\", \"rooms\": {\"\": \"r\"}}",
	    "{\"v\": 1, \"node\": \"b\", \"rooms\": {\"x\": \"123456789012345678901234567890123\"}}"};
	struct agree_said s;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(agree_read(bad[i], strlen(bad[i]), &s), -EBADMSG);
	static const char later[] = "{\"v\": 2, \"node\": 5}";
	assert_int_equal(agree_read(later, strlen(later), &s), -EPROTONOSUPPORT);
	/* What doesn't fit isn't said. */
	struct agree_said many = said("b", true, "{}");
	for (unsigned i = 0; i < 100; i++) {
		char name[16];
		snprintf(name, sizeof(name), "room%u", i);
		json_object_set_new(many.rooms, name, json_string("r"));
	}
	char *text = agree_write(&many, 300);
	assert_true(strlen(text) <= 300);
	assert_int_equal(agree_read(text, strlen(text), &s), 0);
	assert_true(s.more);
	assert_int_equal(json_object_size(s.rooms), 0);
	free(text);
	json_decref(s.rooms);
	json_decref(many.rooms);
}

static void pass(struct cluster_test *t, int64_t us)
{
	for (int64_t until = t->now + us; t->now < until; t->now += 100000)
		for (unsigned i = 0; i < t->n; i++) {
			(void)node_turn(&t->node[i]);
			while (node_receive(&t->node[i]))
				;
		}
}

static void each_is_told_until_it_is_over(void **state)
{
	struct cluster_test *t = test_new(3, CLUSTER_WAIT, 1 << 16, 1);
	const struct cluster_status *a = &t->node[0].core->status, *b = &t->node[1].core->status;

	(void)state;
	test_settle(t);
	pass(t, 12 * SECOND);
	assert_int_equal(a->n_differences, 0);
	t->node[1].room[0]->members_only = true;
	t->node[1].room[1]->read_only = true;
	pass(t, 12 * SECOND);
	assert_int_equal(a->n_differences, 2);
	assert_int_equal(b->n_differences, 4); /* with two nodes */
	assert_string_equal(a->differences[0].node, "b");
	t->node[0].room[0]->members_only = true;
	pass(t, 24 * SECOND);
	assert_int_equal(a->n_differences, 2); /* with c, and still one with b */
	t->node[2].room[0]->members_only = true;
	pass(t, 24 * SECOND);
	assert_int_equal(a->n_differences, 1);
	assert_string_equal(a->differences[0].room, "r1");
	assert_string_equal(a->differences[0].what, "read_only");
	/* It is gone. */
	node_cut(&t->node[1]);
	pass(t, 15 * SECOND);
	assert_int_equal(a->n_differences, 0);
	/* Nobody is believed who isn't a node. */
	static const char text[] = "{\"v\": 1, \"node\": \"x\", \"all\": true, \"rooms\": {\"r0\": \"w\"}}";
	assert_true(agree_heard(t->node[0].core, "chatd.rooms.x", text, sizeof(text) - 1));
	assert_true(agree_heard(t->node[0].core, "chatd.rooms.c", text, sizeof(text) - 1));
	assert_int_equal(a->n_differences, 0);
	assert_int_equal(t->node[0].core->unread, 1);
	assert_false(agree_heard(t->node[0].core, "chatd.beat.x", text, sizeof(text) - 1));
	test_end(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_differs),
	    cmocka_unit_test(what_can_not_be_read),
	    cmocka_unit_test(each_is_told_until_it_is_over),
	};

	return cmocka_run_group_tests_name("agree", tests, NULL, NULL);
}
