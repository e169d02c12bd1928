/* SPDX-License-Identifier: MIT */
/* Batches of lines as bytes and back, and what is refused of them before any line of it is looked at. */
#include "tests/unit/unit.h"

#include "daemon/cluster/wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned char buf[2 * WIRE_SIZE_MIN];

static struct speech_event event(enum record_kind kind, const char *nick, const char *text)
{
	return (struct speech_event){.time_us = 0x1122334455667788,
				     .sender = 0x99aabbccddeeff00,
				     .kind = (uint8_t)kind,
				     .nick = nick,
				     .nick_len = (uint8_t)strlen(nick),
				     .text = text,
				     .text_len = strlen(text)};
}

/* A batch of two lines: alice says "hi", and bob joins lobby. */
static size_t two_lines(void)
{
	struct wire_writer w;
	struct speech_event e = event(RECORD_MESSAGE, "alice", "hi");

	wire_begin(&w, buf, sizeof(buf), "node-1", 7, 40);
	assert_true(wire_add(&w, &e));
	e = event(RECORD_JOIN, "bob", "lobby");
	assert_true(wire_add(&w, &e));
	return wire_end(&w);
}

#define LINE_1 (WIRE_HEAD_SIZE + 6)
#define LINE_2 (LINE_1 + WIRE_LINE_SIZE + 5 + 2)

static void put_u32(size_t at, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		buf[at + i] = (unsigned char)(v >> 8 * i);
}

static int open_it(size_t len)
{
	struct wire_batch b;

	return wire_open(buf, len, &b);
}

static void assert_same(const struct speech_event *a, const struct speech_event *b)
{
	assert_int_equal(a->time_us, b->time_us);
	assert_int_equal(a->sender, b->sender);
	assert_int_equal(a->kind, b->kind);
	assert_int_equal(a->raw, b->raw);
	assert_int_equal(a->nick_len, b->nick_len);
	assert_memory_equal(a->nick, b->nick, a->nick_len);
	assert_int_equal(a->text_len, b->text_len);
	assert_memory_equal(a->text, b->text, a->text_len);
}

/* Other nodes may be of another release, so these bytes stay what they are. */
static void bytes(void **state)
{
	static const unsigned char expected[] =
	    "CHDC\x01\x00\x06\x00\x07\0\0\0\0\0\0\0\x28\0\0\0\0\0\0\0\x02\0\0\0node-1"
	    "\x1b\0\0\0\x00\x00\x05\x00\x00\xff\xee\xdd\xcc\xbb\xaa\x99\x88\x77\x66\x55\x44\x33\x22\x11"
	    "alicehi"
	    "\x1c\0\0\0\x03\x00\x03\x00\x00\xff\xee\xdd\xcc\xbb\xaa\x99\x88\x77\x66\x55\x44\x33\x22\x11"
	    "boblobby";

	(void)state;
	assert_int_equal(two_lines(), sizeof(expected) - 1);
	assert_memory_equal(buf, expected, sizeof(expected) - 1);
}

/* Wherever in memory the message lies. */
static void there_and_back(void **state)
{
	char nick[SPEECH_NICK_MAX + 1] = {0}, *text = malloc(WIRE_TEXT_MAX + 1);
	const struct speech_event events[] = {
	    event(RECORD_MESSAGE, "alice", "hello, w\xc3\xb6rld\t!"),
	    event(RECORD_ACTION, "b\xc3\xb6", "waves"),
	    event(RECORD_NOTICE, "", "The other nodes are here again."),
	    event(RECORD_RENAME, "alice", "bob"),
	    event(RECORD_QUIT, "bob", "lobby"),
	    event(RECORD_MESSAGE, "", ""), /* the longest one: below */
	    {.raw = true, .nick = "", .text = "\0\x1b\xff*", .text_len = 4},
	    {.raw = true, .nick = "", .text = "", .text_len = 0},
	};
	const unsigned n = sizeof(events) / sizeof(*events);
	struct speech_event longest = events[5], e;
	struct wire_writer w;
	struct wire_batch b;

	(void)state;
	memset(nick, 'n', SPEECH_NICK_MAX);
	memset(text, 't', WIRE_TEXT_MAX);
	longest.nick = nick;
	longest.text = text;
	longest.nick_len = SPEECH_NICK_MAX;
	longest.text_len = WIRE_TEXT_MAX;
	wire_begin(&w, buf, sizeof(buf), "A_z-09", UINT64_MAX, UINT64_MAX - n);
	for (unsigned i = 0; i < n; i++)
		assert_true(wire_add(&w, i == 5 ? &longest : &events[i]));
	size_t len = wire_end(&w);
	for (unsigned shift = 0; shift < 8; shift++) {
		unsigned char *copy = malloc(len + shift);
		memcpy(copy + shift, buf, len);
		assert_int_equal(wire_open(copy + shift, len, &b), 0);
		assert_int_equal(b.node_len, 6);
		assert_memory_equal(b.node, "A_z-09", 6);
		assert_true(b.boot == UINT64_MAX && b.first == UINT64_MAX - n && b.count == n);
		for (unsigned i = 0; i < n; i++) {
			assert_int_equal(wire_next(&b, &e), WIRE_EVENT);
			assert_same(&e, i == 5 ? &longest : &events[i]);
		}
		assert_int_equal(wire_next(&b, &e), WIRE_END);
		assert_int_equal(wire_next(&b, &e), WIRE_END);
		free(copy);
	}
	free(text);
}

/* A message that was cut anywhere, or has more in it than it says. */
static void lengths(void **state)
{
	size_t len = two_lines();

	(void)state;
	for (size_t i = 0; i < len; i++) {
		unsigned char *cut = malloc(i);
		struct wire_batch b;
		if (i > 0)
			memcpy(cut, buf, i);
		assert_int_equal(wire_open(cut, i, &b), -EBADMSG);
		free(cut);
	}
	assert_int_equal(open_it(len), 0);
	assert_int_equal(open_it(len + 1), -EBADMSG);
	for (uint32_t count = 0; count <= 4; count++) {
		put_u32(24, count);
		assert_int_equal(open_it(len), count == 2 ? 0 : -EBADMSG);
	}
	put_u32(24, 0);
	assert_int_equal(open_it(LINE_1), -EBADMSG); /* nothing is said at all */
	put_u32(24, UINT32_MAX);
	assert_int_equal(open_it(len), -EBADMSG);
	for (unsigned i = 0; i < 4; i++) { /* the lines' own lengths, too small, too large, and around 0 */
		static const uint32_t wrong[] = {0, 19, UINT32_MAX, UINT32_MAX - 3};
		two_lines();
		put_u32(i % 2 ? LINE_1 : LINE_2, wrong[i]);
		assert_int_equal(open_it(len), -EBADMSG);
	}
	two_lines();
	buf[LINE_2 + 6] = 9; /* bob's nick is all that there is, and more */
	assert_int_equal(open_it(len), -EBADMSG);
	buf[LINE_2 + 6] = 8;
	assert_int_equal(open_it(len), 0);
}

static void versions(void **state)
{
	size_t len = two_lines();

	(void)state;
	for (unsigned version = 0; version < 256; version++) {
		buf[4] = (unsigned char)version;
		buf[len - 1] = version > 1 ? '\n' : 'y'; /* nobody looks at the lines of a newer one */
		assert_int_equal(open_it(len), version == 0 ? -EBADMSG : version == 1 ? 0 : -EPROTONOSUPPORT);
	}
	two_lines();
	buf[5] = 1;
	assert_int_equal(open_it(len), -EPROTONOSUPPORT);
	two_lines();
	buf[7] = 1; /* reserved: nothing for this build */
	assert_int_equal(open_it(len), 0);
	buf[0] = 'c';
	assert_int_equal(open_it(len), -EBADMSG);
}

/* Lines of a later release have their numbers, whatever is in them. */
static void unknown_lines(void **state)
{
	size_t len = two_lines();
	struct wire_batch b;
	struct speech_event e;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		two_lines();
		buf[LINE_1 + 4] = i == 0 ? RECORD_KINDS : i == 1 ? 255 : RECORD_MESSAGE;
		buf[LINE_1 + 5] = i == 2 ? 2 : 0;
		buf[LINE_1 + 6] = 200;
		buf[LINE_1 + WIRE_LINE_SIZE] = '\n';
		assert_int_equal(wire_open(buf, len, &b), 0);
		assert_int_equal(wire_next(&b, &e), WIRE_UNKNOWN);
		assert_int_equal(wire_next(&b, &e), WIRE_EVENT);
		assert_memory_equal(e.nick, "bob", 3);
		assert_int_equal(wire_next(&b, &e), WIRE_END);
	}
	/* It may be of another shape: only its length and its kind are where they are. */
	two_lines();
	buf[LINE_1 + 4] = 200;
	put_u32(LINE_1, 1);
	memmove(buf + LINE_1 + 5, buf + LINE_2, len - LINE_2);
	len -= LINE_2 - LINE_1 - 5;
	assert_int_equal(wire_open(buf, len, &b), 0);
	assert_int_equal(wire_next(&b, &e), WIRE_UNKNOWN);
	assert_int_equal(wire_next(&b, &e), WIRE_EVENT);
	put_u32(LINE_1, 0);
	memmove(buf + LINE_1 + 4, buf + LINE_1 + 5, len - LINE_1 - 5);
	assert_int_equal(open_it(len - 1), -EBADMSG);
}

static void heads(void **state)
{
	static const char *const nodes[] = {"node.1", "n de-1", "node-\xff", "node-\n", "node*1", "node>1"};
	size_t len = two_lines();

	(void)state;
	for (size_t i = 0; i < sizeof(nodes) / sizeof(*nodes); i++) {
		memcpy(buf + WIRE_HEAD_SIZE, nodes[i], 6);
		assert_int_equal(open_it(len), -EBADMSG);
	}
	for (unsigned n = 0; n < 256; n++) {
		struct wire_writer w;
		struct speech_event e = event(RECORD_MESSAGE, "a", "b");
		char node[256] = {0};
		memset(node, 'n', n);
		wire_begin(&w, buf, sizeof(buf), node, 1, 1);
		assert_true(wire_add(&w, &e));
		assert_int_equal(open_it(wire_end(&w)), n >= 1 && n <= WIRE_NODE_MAX ? 0 : -EBADMSG);
	}
	len = two_lines();
	memset(buf + 16, 0xff, 8);
	buf[16] = 0xfd;
	assert_int_equal(open_it(len), 0);
	buf[16] = 0xfe; /* their numbers would begin again */
	assert_int_equal(open_it(len), -EBADMSG);
}

/* One line that nobody could have said, in the middle: nothing of the batch is believed. */
static void nothing_else_is_said(void **state)
{
	static const struct {
		const char *text;
		bool raw, ok;
	} cases[] = {{"hi", false, true},     {"\xc3\xa9", false, true}, {"h\t", false, true},
		     {"h\n", false, false},   {"\r!", false, false},	 {"\xff!", false, false},
		     {"\xc3(", false, false}, {"\x1b[", false, false},	 {"h\n", true, false},
		     {"\n!", true, false},    {"\xff\x1b", true, true}};
	size_t len = two_lines();

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		two_lines();
		buf[LINE_1 + 5] = cases[i].raw;
		memcpy(buf + LINE_1 + WIRE_LINE_SIZE + 5, cases[i].text, 2);
		assert_int_equal(open_it(len), cases[i].ok ? 0 : -EBADMSG);
	}
	two_lines();
	memset(buf + LINE_1 + WIRE_LINE_SIZE + 5, 0, 2);
	assert_int_equal(open_it(len), -EBADMSG);
	two_lines();
	buf[LINE_1 + WIRE_LINE_SIZE] = '\n';
	assert_int_equal(open_it(len), -EBADMSG);
}

/* What is too long for others is too long for this node, too; its number is kept. */
static void too_long(void **state)
{
	char *text = malloc(WIRE_TEXT_MAX + 2);
	struct speech_event e = event(RECORD_MESSAGE, "a", ""), got;
	struct wire_writer w;
	struct wire_batch b;

	(void)state;
	memset(text, 't', WIRE_TEXT_MAX + 2);
	e.text = text;
	for (unsigned i = 0; i < 3; i++) {
		e.text_len = WIRE_TEXT_MAX + (i == 0 ? 1 : 0);
		e.nick_len = i == 1 ? SPEECH_NICK_MAX + 1 : 1;
		e.nick = i == 1 ? text : "a";
		if (i == 2)
			text[WIRE_TEXT_MAX / 2] = '\n';
		wire_begin(&w, buf, sizeof(buf), "n", 1, 1);
		assert_true(wire_add(&w, &e));
		assert_int_equal(wire_open(buf, wire_end(&w), &b), 0);
		assert_int_equal(wire_next(&b, &got), WIRE_UNKNOWN);
		assert_int_equal(wire_next(&b, &got), WIRE_END);
	}
	/* In a message of somebody else. */
	memset(text, 't', WIRE_TEXT_MAX);
	e = event(RECORD_MESSAGE, "a", "");
	e.text = text;
	e.text_len = WIRE_TEXT_MAX;
	wire_begin(&w, buf, sizeof(buf), "n", 1, 1);
	assert_true(wire_add(&w, &e));
	size_t len = wire_end(&w);
	assert_int_equal(open_it(len), 0);
	put_u32(WIRE_HEAD_SIZE + 1, (uint32_t)(len - WIRE_HEAD_SIZE - 1 - 4 + 1));
	buf[len] = 't';
	assert_int_equal(open_it(len + 1), -EBADMSG);
	wire_begin(&w, buf, sizeof(buf), "n", 1, 1);
	e.text_len = 100;
	assert_true(wire_add(&w, &e));
	len = wire_end(&w);
	buf[WIRE_HEAD_SIZE + 1 + 6] = SPEECH_NICK_MAX;
	assert_int_equal(open_it(len), 0);
	buf[WIRE_HEAD_SIZE + 1 + 6] = SPEECH_NICK_MAX + 1;
	assert_int_equal(open_it(len), -EBADMSG);
	free(text);
}

static void writing(void **state)
{
	struct speech_event e = event(RECORD_MESSAGE, "alice", "hi"), got;
	unsigned char *exact = malloc(WIRE_SIZE_MIN);
	struct wire_writer w;
	struct wire_batch b;
	uint32_t n = 0;

	(void)state;
	wire_begin(&w, buf, sizeof(buf), "n", 1, 1);
	assert_int_equal(wire_end(&w), 0);
	wire_begin(&w, exact, WIRE_SIZE_MIN, "n", 1, 1);
	while (wire_add(&w, &e))
		n++;
	assert_false(wire_add(&w, &e));
	assert_int_equal(n, (WIRE_SIZE_MIN - WIRE_HEAD_SIZE - 1) / (WIRE_LINE_SIZE + 7));
	assert_int_equal(wire_open(exact, wire_end(&w), &b), 0);
	assert_int_equal(b.count, n);
	while (wire_next(&b, &got) == WIRE_EVENT)
		n--;
	assert_int_equal(n, 0);
	free(exact);
}

static void rooms_in_subjects(void **state)
{
	static const char *const wrong[] = {"",	   "a=2",  "a=",   "a=2g",    "a=2e",  "=41",
					    "a.b", "a b",  "a=2F", "=",	      "a=2E=", "*",
					    ">",   "a=0A", "a=",   "\xc3\xa4"};
	char token[WIRE_TOKEN_MAX], room[TEXT_ROOM_MAX + 1], name[TEXT_ROOM_MAX + 2];

	(void)state;
	assert_string_equal(wire_token("lobby", token), "lobby");
	assert_string_equal(wire_token("a.b-C_9", token), "a=2Eb-C_9");
	assert_string_equal(wire_token(">\xff *", token), "=3E=FF=20=2A");
	assert_true(wire_room("a=2Eb-C_9!", 9, room));
	assert_string_equal(room, "a.b-C_9");
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_false(wire_room(wrong[i], strlen(wrong[i]), room));
	assert_false(wire_room("a\0b", 3, room));
	assert_false(wire_room("a=\0\0", 4, room));
	for (size_t n = 1; n <= TEXT_ROOM_MAX; n++) {
		memset(name, '.', n);
		name[n] = '\0';
		assert_int_equal(strlen(wire_token(name, token)), 3 * n);
		assert_true(wire_room(token, 3 * n, room));
		assert_string_equal(room, name);
	}
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_false(wire_room(name, sizeof(name) - 1, room));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bytes),
	    cmocka_unit_test(there_and_back),
	    cmocka_unit_test(lengths),
	    cmocka_unit_test(versions),
	    cmocka_unit_test(unknown_lines),
	    cmocka_unit_test(heads),
	    cmocka_unit_test(nothing_else_is_said),
	    cmocka_unit_test(too_long),
	    cmocka_unit_test(writing),
	    cmocka_unit_test(rooms_in_subjects),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
