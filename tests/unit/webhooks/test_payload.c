/* SPDX-License-Identifier: MIT */
/* What is delivered at once: which messages, what they look like, and what is missing before them. */
#include "tests/unit/rooms/rooms.h"

#include "daemon/base/clock.h"
#include "daemon/rooms/speech.h"
#include "daemon/webhooks/payload.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

struct fixture {
	struct test_rooms t;
	struct room *room, *raw;
	struct webhook_config config;
	struct cursor begin;
};

static const struct speaker alice = {.id = 7, .index = 3, .nick = "alice", .nick_len = 5};

static int setup(void **state)
{
	static const struct room_settings defaults = {.log_size = 65536, .announce_max = 9};
	static const struct room_config configured[2] = {
	    {.name = "lobby", .settings = {.log_size = 65536, .announce_max = 9}},
	    {.name = "raw", .settings = {.log_size = 65536, .announce_max = 9, .raw = true}}};
	static const struct rooms_limits limits = {.rooms = 10};
	struct fixture *f = calloc(1, sizeof(*f));

	*state = f;
	if (test_rooms_open(&f->t, 2) < 0 ||
	    rooms_configure(f->t.rooms, configured, 2, &defaults, &limits) < 0 ||
	    rooms_enter(f->t.rooms, "lobby", 0, &anybody, &f->room) < 0 ||
	    rooms_enter(f->t.rooms, "raw", 0, &anybody, &f->raw) < 0)
		return -1;
	f->config = (struct webhook_config){.name = "ops", .keep_us = 3600 * SECOND_US};
	payload_end(f->room, &f->begin);
	return 0;
}

static void say(struct fixture *f, struct room *room, const char *text)
{
	struct slot_set kick = {{0}};
	struct speech s = {0};

	assert_int_equal(speech_say(&s, room, &alice, text, strlen(text)), 0);
	speech_commit(&s, f->t.rooms, &kick);
}

static struct payload make(struct fixture *f, const struct cursor *from, unsigned max)
{
	struct payload p;

	assert_int_equal(payload_make(f->room, &f->config, from, max, clock_us(CLOCK_REALTIME), &p), 0);
	return p;
}

/* The body's texts, with spaces between them. */
static void assert_texts(const struct payload *p, const char *expected)
{
	json_t *o = json_loads(p->body, 0, NULL), *m;
	char got[4096] = "";
	size_t i, n = 0;

	assert_non_null(o);
	json_array_foreach(json_object_get(o, "messages"), i, m) n +=
	    (size_t)snprintf(got + n, sizeof(got) - n, "%s%s", i > 0 ? " " : "",
			     json_string_value(json_object_get(m, "text")));
	assert_string_equal(got, expected);
	json_decref(o);
}

static void nothing_was_said(void **state)
{
	struct fixture *f = *state;
	struct payload p = make(f, &f->begin, 10);

	assert_null(p.body);
	assert_false(p.more);
	assert_int_equal(p.after.next, f->begin.next);
	assert_int_equal(payload_waiting(f->room, &f->begin), 0);
}

static void messages_come_in_order_and_once(void **state)
{
	struct fixture *f = *state;
	char text[16], id[PAYLOAD_ID_SIZE];

	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof(text), "%d", i);
		say(f, f->room, text);
	}
	assert_int_equal(payload_waiting(f->room, &f->begin), 5);
	struct payload p = make(f, &f->begin, 3);
	assert_texts(&p, "0 1 2");
	assert_true(p.more);
	assert_int_equal(p.messages, 3);
	assert_int_equal(p.missed, 0);
	snprintf(id, sizeof(id), "%" PRIx64 "-%" PRIu64, f->room->epoch, f->begin.next + 2);
	assert_string_equal(p.id, id);
	payload_free(&p);
	struct payload q = make(f, &p.after, 3);
	assert_texts(&q, "3 4");
	assert_false(q.more);
	assert_int_equal(payload_waiting(f->room, &q.after), 0);
	payload_free(&q);
}

static void a_message_as_json(void **state)
{
	struct fixture *f = *state;
	char expected[512];

	say(f, f->room, "he said \"\\\"");
	struct payload p = make(f, &f->begin, 3);
	const struct record *r = logring_record(f->room->log, logring_count(f->room->log) - 1);
	uint64_t number = room_number(f->room, r, logring_count(f->room->log) - 1);
	snprintf(expected, sizeof(expected),
		 "{\"webhook\":\"ops\",\"room\":\"lobby\",\"epoch\":\"%" PRIx64
		 "\",\"missed\":0,\"messages\":"
		 "[{\"id\":\"%" PRIx64 "-%" PRIu64 "\",\"number\":%" PRIu64 ",\"time\":%" PRIu64
		 ",\"kind\":\"message\",\"nick\":\"alice\",\"text\":\"he said \\\"\\\\\\\"\"}]}",
		 f->room->epoch, f->room->epoch, number, number, r->time_us);
	assert_string_equal(p.body, expected);
	payload_free(&p);
}

static void comings_and_goings_if_they_are_wanted(void **state)
{
	struct fixture *f = *state;
	struct slot_set kick = {{0}};
	struct speech s = {0};

	assert_true(speech_enter(&s, f->room, &alice));
	speech_commit(&s, f->t.rooms, &kick);
	struct payload p = make(f, &f->begin, 3);
	assert_null(p.body);
	assert_int_equal(p.after.next, f->begin.next + 1);
	f->config.notices = true;
	p = make(f, &f->begin, 3);
	assert_non_null(strstr(p.body, "\"kind\":\"join\",\"nick\":\"alice\",\"text\":\"lobby\""));
	payload_free(&p);
}

static void raw_bytes_become_valid_text(void **state)
{
	struct fixture *f = *state;
	struct cursor begin;
	struct payload p;

	payload_end(f->raw, &begin);
	say(f, f->raw, "a\xff\x01z");
	assert_int_equal(payload_make(f->raw, &f->config, &begin, 9, clock_us(CLOCK_REALTIME), &p), 0);
	assert_non_null(strstr(p.body, "\"nick\":null,\"text\":\"a\xef\xbf\xbd\xef\xbf\xbdz\""));
	payload_free(&p);
}

static void what_is_too_old_is_missing(void **state)
{
	struct fixture *f = *state;
	struct payload p;

	say(f, f->room, "old");
	assert_int_equal(
	    payload_make(f->room, &f->config, &f->begin, 9, clock_us(CLOCK_REALTIME) + 7200 * SECOND_US, &p),
	    0);
	assert_int_equal(p.missed, 1);
	assert_texts(&p, "");
	assert_non_null(strstr(p.body, "\"missed\":1"));
	payload_free(&p);
}

static void what_the_log_has_lost_is_missing(void **state)
{
	struct fixture *f = *state;
	char text[1001];
	uint64_t n = 0;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	for (int i = 0; i < 200; i++)
		say(f, f->room, text);
	struct payload p = make(f, &f->begin, 1000);
	assert_true(p.missed > 100);
	n = p.missed + p.messages;
	payload_free(&p);
	assert_int_equal(n, 200);
}

static void another_log_begins_anew(void **state)
{
	struct fixture *f = *state;
	struct cursor before = f->begin;

	before.epoch ^= 1;
	before.next = UINT64_MAX; /* whatever its numbers were */
	say(f, f->room, "first");
	struct payload p = make(f, &before, 9);
	assert_texts(&p, "first");
	assert_non_null(strstr(p.body, "\"missed\":null"));
	payload_free(&p);
	before.left = 0; /* chatd has ended in order, and all was delivered */
	p = make(f, &before, 9);
	assert_non_null(strstr(p.body, "\"missed\":0"));
	payload_free(&p);
	before.left = 3;
	p = make(f, &before, 9);
	assert_non_null(strstr(p.body, "\"missed\":3"));
	assert_int_equal(p.after.left, CURSOR_LEFT_UNKNOWN);
	payload_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(nothing_was_said, setup, test_rooms_teardown),
	    cmocka_unit_test_setup_teardown(messages_come_in_order_and_once, setup, test_rooms_teardown),
	    cmocka_unit_test_setup_teardown(a_message_as_json, setup, test_rooms_teardown),
	    cmocka_unit_test_setup_teardown(comings_and_goings_if_they_are_wanted, setup,
					    test_rooms_teardown),
	    cmocka_unit_test_setup_teardown(raw_bytes_become_valid_text, setup, test_rooms_teardown),
	    cmocka_unit_test_setup_teardown(what_is_too_old_is_missing, setup, test_rooms_teardown),
	    cmocka_unit_test_setup_teardown(what_the_log_has_lost_is_missing, setup, test_rooms_teardown),
	    cmocka_unit_test_setup_teardown(another_log_begins_anew, setup, test_rooms_teardown),
	};

	return cmocka_run_group_tests_name("payload", tests, NULL, NULL);
}
