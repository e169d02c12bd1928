/* SPDX-License-Identifier: MIT */
/* Forms: what is written to one in lines is wrapped, in order with what the room has, and the last word is the last. */
#include "tests/unit/engine/formed.h"

static void lines_are_wrapped(void **state)
{
	int a = formed_join(*state, 0);

	assert_string_equal(harness_say(*state, a, "one\n"), "one\nsaid\n");
	assert_string_equal(harness_say(*state, a, "form 1\ntwo\nthree\n"), "(two)(said)(three)(said)");
	assert_string_equal(harness_say(*state, a, "form 0\nfour\n"), "four\nsaid\n");
	close(a);
}

static void replies_and_events_come_in_order(void **state)
{
	int a = formed_join(*state, 1);

	formed_say(*state, "before");
	assert_string_equal(harness_say(*state, a, "reply\n"), "{before}(reply)(said)");
	formed_say(*state, "after");
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a), "{after}");
	close(a);
}

/* The form is part of the state, and so is what has been wrapped. */
static void a_form_survives(void **state)
{
	int a = formed_join(*state, 1), b = formed_join(*state, 2), c = formed_join(*state, 0);
	struct takeover r;

	formed_say(*state, "hide this");
	formed_say(*state, "hello");
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	assert_int_equal(r.taken, 3);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a), "{hide this}{hello}");
	assert_string_equal(harness_read(*state, b), "<1:hello>");
	assert_string_equal(harness_read(*state, c), "x: hide this\nx: hello\n");
	assert_string_equal(harness_say(*state, b, "reply\n"), "(reply)(said)");
	close(a);
	close(b);
	close(c);
}

static void put_unknown_form(int rooms_fd, int clients_fd, void *arg)
{
	struct clients *clients;

	(void)rooms_fd;
	(void)arg;
	assert_int_equal(clients_open(clients_fd, false, &clients), 0);
	struct client *c = clients_at(clients, 0);
	struct client_state *st = &c->st[atomic_load(&c->live)];
	st->flags |= CLIENT_FORM;
	client_seal(c, st);
	clients_close(clients);
}

/* As a newer release may have left it. Nothing is said to it, since nobody knows how. */
static void an_unknown_form_is_refused(void **state)
{
	int a = formed_join(*state, 1);
	struct takeover r;

	assert_int_equal(harness_crash(*state, put_unknown_form, NULL, &r), 0);
	assert_int_equal(r.taken, 0);
	assert_int_equal(r.closed, 1);
	assert_string_equal(harness_read(*state, a), "");
	close(a);
}

static void the_last_word_is_the_last(void **state)
{
	int a = formed_join(*state, 1), b = formed_join(*state, 1), c = formed_join(*state, 2),
	    d = formed_join(*state, 0);

	formed_say(*state, "hello");
	assert_string_equal(harness_say(*state, a, "quit\n"), "{hello}(quit)(said)#");
	assert_string_equal(harness_say(*state, b, "last\n"), "{hello}$");
	assert_true(connection_kick(formed_connection(*state, 2),
				    &(struct notice){.kind = NOTICE_REMOVED, .number = 7}));
	harness_settle(*state);
	char expected[64];
	snprintf(expected, sizeof(expected), "<0:hello>(!%d 7)#", NOTICE_REMOVED);
	assert_string_equal(harness_read(*state, c), expected);
	/* As ever where nothing is wrapped. */
	assert_true(connection_kick(formed_connection(*state, 3),
				    &(struct notice){.kind = NOTICE_REMOVED, .number = 7}));
	harness_settle(*state);
	snprintf(expected, sizeof(expected), "x: hello\n!%d 7\n", NOTICE_REMOVED);
	assert_string_equal(harness_read(*state, d), expected);
	close(a);
	close(b);
	close(c);
	close(d);
}

/* A peer that ends first is answered, too. */
static void an_end_is_answered(void **state)
{
	int a = formed_join(*state, 1);

	formed_say(*state, "hello");
	shutdown(a, SHUT_WR);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a), "{hello}#");
	close(a);
}

/* Whoever asks for space gets what is wrapped into it as a whole. */
static void lines_have_space_for_what_wrapping_adds(void **state)
{
	int a = formed_join(*state, 1), b = formed_join(*state, 0);
	struct connection *wrapped = formed_connection(*state, 0), *plain = formed_connection(*state, 1);

	assert_int_equal(connection_space(plain), CLIENT_OUT_SIZE);
	assert_int_equal(connection_event_space(plain, 1000), CLIENT_OUT_SIZE - 1000);
	size_t space = connection_space(wrapped), lines = 0;
	assert_in_range(space, CLIENT_OUT_SIZE / 8, CLIENT_OUT_SIZE / 4);
	assert_int_equal(connection_event_space(wrapped, space), connection_wire_space(wrapped) % 4);
	connection_begin(wrapped);
	for (; connection_space(wrapped) >= 4; lines++)
		connection_write(wrapped, "abc\n", 4);
	assert_int_equal(lines, space / 4);
	connection_commit(wrapped, NULL);
	connection_retry(wrapped);
	harness_settle(*state);
	size_t got = 0;
	for (const char *s; *(s = harness_read(*state, a)); got += strlen(s)) {
		assert_memory_equal(s, "(abc)", 5);
		harness_settle(*state);
	}
	assert_int_equal(got, lines * 5);
	close(a);
	close(b);
}

/* What is more than that is cut between lines, and counted. */
static void too_many_lines_are_cut(void **state)
{
	int a = formed_join(*state, 1);
	struct connection *c = formed_connection(*state, 0);
	const _Atomic uint64_t *cut = &c->ctx->counters->v[COUNT_REPLIES_CUT];
	uint64_t before = atomic_load(cut);

	connection_begin(c);
	for (unsigned i = 0; i < CLIENT_OUT_SIZE / 4 + 10; i++)
		connection_write(c, "\n", 1);
	connection_commit(c, NULL);
	assert_int_equal(atomic_load(cut), before + 10);
	assert_int_equal(connection_wire_space(c), CLIENT_OUT_SIZE - 2 * (CLIENT_OUT_SIZE / 4));
	connection_begin(c);
	for (unsigned i = 0; i < CLIENT_OUT_SIZE / 4; i++)
		connection_write(c, i % 8 == 7 ? "\n" : "x", 1);
	connection_abandon(c);
	connection_begin(c);
	connection_commit(c, NULL);
	assert_int_equal(connection_wire_space(c), CLIENT_OUT_SIZE - 2 * (CLIENT_OUT_SIZE / 4));
	close(a);
}

static void past_events_are_in_its_form(void **state)
{
	int a = formed_join(*state, 0), b = formed_join(*state, 1);
	struct room *room = formed_room(*state);
	struct logring_view v;

	formed_say(*state, "past");
	harness_settle(*state);
	for (uint32_t i = 0; i < 2; i++) {
		struct connection *c = formed_connection(*state, i);
		connection_begin(c);
		connection_write(c, "from here:\n", 11);
		logring_lock(room->log);
		logring_peek(room->log, &v);
		const struct record *r = logring_record(room->log, 0);
		assert_int_equal(connection_event_size(c, room, 0, r, logring_at(&v, 0), r->end),
				 i == 0 ? 8 : 6);
		assert_true(connection_write_event(c, room, 0, r, logring_at(&v, 0), r->end));
		logring_unlock(room->log);
		connection_commit(c, NULL);
		connection_retry(c);
	}
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a), "x: past\nfrom here:\nx: past\n");
	assert_string_equal(harness_read(*state, b), "{past}(from here:){past}");
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(lines_are_wrapped, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(replies_and_events_come_in_order, formed_setup,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(a_form_survives, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(an_unknown_form_is_refused, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(the_last_word_is_the_last, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(an_end_is_answered, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(lines_have_space_for_what_wrapping_adds, formed_setup,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(too_many_lines_are_cut, formed_setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(past_events_are_in_its_form, formed_setup, harnessed_teardown),
	};

	return cmocka_run_group_tests_name("forms", tests, NULL, NULL);
}
