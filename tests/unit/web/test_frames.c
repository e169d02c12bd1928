/* SPDX-License-Identifier: MIT */
/*
 * WebSocket's framing: the cases of the Autobahn suite that concern it, as frames and what they are. The numbers are that
 * suite's. tests/system/websocket.py sends such frames to chatd.
 */
#include "daemon/web/frames.h"
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#define MAX 49152
#define SPACE (1 << 17)

/* --- what a client sends --- */

struct out {
	char data[SPACE];
	size_t len;
};

static void put_header(struct out *o, unsigned first, uint64_t len, unsigned bytes)
{
	o->data[o->len++] = (char)first;
	o->data[o->len++] = (char)(0x80 | (bytes == 8 ? 127 : bytes == 2 ? 126 : len));
	for (unsigned i = 0; i < bytes; i++)
		o->data[o->len++] = (char)(len >> (8 * (bytes - 1 - i)));
	memcpy(o->data + o->len, "\x37\xfa\x21\x3d", 4);
	o->len += 4;
}

/* first: FIN, the reserved bits and the opcode. */
static void put(struct out *o, unsigned first, const char *payload, size_t len)
{
	put_header(o, first, len, len > UINT16_MAX ? 8 : len > 125 ? 2 : 0);
	const char *mask = o->data + o->len - 4;
	for (size_t i = 0; i < len; i++)
		o->data[o->len++] = (char)(payload[i] ^ mask[i % 4]);
}

static struct out *fresh(void)
{
	static struct out o;

	o.len = 0;
	return &o;
}

/* Looks at exactly these bytes, so that a look behind them is noticed. */
static struct frames_found find(const struct out *o, size_t from, size_t len)
{
	struct frames_found found;
	char *copy = malloc(len ? len : 1);

	memcpy(copy, o->data + from, len);
	frames_find(copy, len, MAX, &found);
	free(copy);
	return found;
}

static struct frames_found find_all(const struct out *o)
{
	return find(o, 0, o->len);
}

static void assert_message(const struct out *o, unsigned opcode, const char *payload, size_t len)
{
	struct frames_found found = find_all(o);
	char *got = malloc(len + 1);

	assert_int_equal(found.what, FRAMES_FOUND_MESSAGE);
	assert_int_equal(found.opcode, opcode);
	assert_int_equal(found.len, len);
	assert_int_equal(found.size, o->len);
	frames_copy(o->data, &found, got);
	assert_memory_equal(got, payload, len);
	free(got);
}

static void assert_broken(const struct out *o, unsigned code)
{
	struct frames_found found = find_all(o);

	assert_int_equal(found.what, FRAMES_BROKEN);
	assert_int_equal(found.code, code);
	assert_non_null(found.why);
}

/* --- 1: framing --- */

static void messages_of_all_lengths(void **state)
{
	static const size_t lengths[] = {0, 1, 7, 8, 9, 125, 126, 127, 128, 65535, 65536, MAX};
	static char text[65536];

	(void)state;
	memset(text, '*', sizeof(text));
	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
		for (unsigned opcode = FRAMES_TEXT; opcode <= FRAMES_BINARY; opcode++) {
			struct out *o = fresh();
			put(o, 0x80 | opcode, text, lengths[i]);
			if (lengths[i] > MAX)
				assert_broken(o, FRAMES_TOO_LONG);
			else
				assert_message(o, opcode, text, lengths[i]);
		}
}

/* 1.1.8: in whatever pieces it comes, nothing is found before it is whole. */
static void a_message_in_pieces(void **state)
{
	struct out *o = fresh();
	char text[300];

	(void)state;
	memset(text, 'x', sizeof(text));
	put(o, 0x01, text, 126);
	put(o, 0x00, text, 5);
	put(o, 0x80, text, 300);
	for (size_t n = 0; n < o->len; n++)
		assert_int_equal(find(o, 0, n).what, FRAMES_UNFINISHED);
	assert_int_equal(find_all(o).what, FRAMES_FOUND_MESSAGE);
}

/* Lengths that say more than there can be, or in more bytes than they need. */
static void lengths_that_can_not_be(void **state)
{
	static const struct {
		uint64_t len;
		unsigned bytes, code;
	} cases[] = {
	    {UINT64_MAX, 8, FRAMES_PROTOCOL},
	    {1ULL << 63, 8, FRAMES_PROTOCOL},
	    {(1ULL << 63) - 1, 8, FRAMES_TOO_LONG},
	    {1ULL << 32, 8, FRAMES_TOO_LONG},
	    {MAX + 1, 2, FRAMES_TOO_LONG},
	    {125, 2, FRAMES_PROTOCOL},
	    {0, 2, FRAMES_PROTOCOL},
	    {65535, 8, FRAMES_PROTOCOL},
	    {0, 8, FRAMES_PROTOCOL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct out *o = fresh();
		put_header(o, 0x81, cases[i].len, cases[i].bytes);
		assert_broken(o, cases[i].code);
	}
}

/* The sum over all fragments counts, so one can't get around the limit by many of them. */
static void fragments_that_are_too_long_together(void **state)
{
	struct out *o = fresh();
	static char text[MAX / 2];

	(void)state;
	put(o, 0x01, text, sizeof(text));
	put(o, 0x00, text, sizeof(text));
	assert_int_equal(find_all(o).what, FRAMES_UNFINISHED);
	put(o, 0x80, text, 1);
	assert_broken(o, FRAMES_TOO_LONG);
}

static void frames_without_a_mask(void **state)
{
	struct out *o = fresh();

	(void)state;
	memcpy(o->data, "\x81\x05hello", 7);
	o->len = 7;
	assert_broken(o, FRAMES_PROTOCOL);
}

/* --- 2: pings and pongs --- */

static void assert_control(struct frames_found found, unsigned opcode, size_t at, const char *payload,
			   size_t len)
{
	assert_int_equal(found.what, FRAMES_FOUND_CONTROL);
	assert_int_equal(found.opcode, opcode);
	assert_int_equal(found.at, at);
	assert_int_equal(found.len, len);
	assert_int_equal(found.size, 6 + len);
	assert_memory_equal(found.payload, payload, len);
}

static void pings(void **state)
{
	static const char binary[] = "\x00\xff\xfe\xfd\xfc\xfb\x00\xff";
	char longest[126];
	struct out *o = fresh();

	(void)state;
	memset(longest, '\xfe', sizeof(longest));
	put(o, 0x89, "", 0); /* 2.1 */
	assert_control(find_all(o), FRAMES_PING, 0, "", 0);
	o = fresh();
	put(o, 0x89, "Hello, world!", 13); /* 2.2 */
	assert_control(find_all(o), FRAMES_PING, 0, "Hello, world!", 13);
	o = fresh();
	put(o, 0x89, binary, 8); /* 2.3 */
	assert_control(find_all(o), FRAMES_PING, 0, binary, 8);
	o = fresh();
	put(o, 0x89, longest, 125); /* 2.4 */
	assert_control(find_all(o), FRAMES_PING, 0, longest, 125);
	for (size_t n = 0; n < o->len; n++) /* 2.6 */
		assert_int_equal(find(o, 0, n).what, FRAMES_UNFINISHED);
	o = fresh();
	put(o, 0x89, longest, 126); /* 2.5 */
	assert_broken(o, FRAMES_PROTOCOL);
}

/* 2.7 to 2.9: a pong that nobody asked for is found, so that it can be consumed. */
static void pongs(void **state)
{
	struct out *o = fresh();

	(void)state;
	put(o, 0x8a, "unsolicited", 11);
	put(o, 0x89, "ping", 4);
	assert_control(find_all(o), FRAMES_PONG, 0, "unsolicited", 11);
	assert_control(find(o, 17, o->len - 17), FRAMES_PING, 0, "ping", 4);
}

/* --- 3: reserved bits; 4: opcodes --- */

static void reserved_bits(void **state)
{
	(void)state;
	for (unsigned bits = 1; bits < 8; bits++) {
		static const unsigned opcodes[] = {FRAMES_TEXT, FRAMES_BINARY, FRAMES_CLOSE, FRAMES_PING,
						   FRAMES_PONG};
		for (size_t i = 0; i < sizeof(opcodes) / sizeof(*opcodes); i++) {
			struct out *o = fresh();
			put(o, 0x80 | bits << 4 | opcodes[i], "x", 1);
			assert_broken(o, FRAMES_PROTOCOL);
		}
	}
}

static void opcodes(void **state)
{
	(void)state;
	for (unsigned opcode = 0; opcode < 16; opcode++) {
		struct out *o = fresh();
		put(o, 0x80 | opcode, "", 0);
		if ((opcode >= 3 && opcode <= 7) || opcode >= 11 || opcode == 0)
			assert_broken(o, FRAMES_PROTOCOL);
		else
			assert_int_not_equal(find_all(o).what, FRAMES_BROKEN);
	}
}

/* What is wrong is noticed from the first two bytes, whatever length it says. */
static void wrong_beginnings(void **state)
{
	struct out *o = fresh();

	(void)state;
	memcpy(o->data, "\xc1\xff", 2);
	o->len = 2;
	assert_broken(o, FRAMES_PROTOCOL);
	memcpy(o->data, "\x83\x80", 2);
	assert_broken(o, FRAMES_PROTOCOL);
}

/* --- 5: fragments --- */

static void fragments(void **state)
{
	struct out *o = fresh();

	(void)state;
	put(o, 0x01, "fragment1", 9); /* 5.3 */
	put(o, 0x80, "fragment2", 9);
	assert_message(o, FRAMES_TEXT, "fragment1fragment2", 18);
	o = fresh();
	for (unsigned i = 0; i < 5; i++)
		put(o, i == 0 ? 0x02 : i == 4 ? 0x80 : 0x00, "ab", 2);
	assert_message(o, FRAMES_BINARY, "ababababab", 10);
	o = fresh();
	put(o, 0x01, "", 0); /* 6.1: empty ones */
	put(o, 0x00, "x", 1);
	put(o, 0x00, "", 0);
	put(o, 0x80, "", 0);
	assert_message(o, FRAMES_TEXT, "x", 1);
}

static void fragments_out_of_order(void **state)
{
	struct out *o = fresh();

	(void)state;
	put(o, 0x09, "fragment1", 9); /* 5.1 */
	assert_broken(o, FRAMES_PROTOCOL);
	o = fresh();
	put(o, 0x0a, "fragment1", 9); /* 5.2 */
	assert_broken(o, FRAMES_PROTOCOL);
	o = fresh();
	put(o, 0x80, "x", 1); /* 5.9 */
	assert_broken(o, FRAMES_PROTOCOL);
	o = fresh();
	put(o, 0x00, "x", 1); /* 5.12 */
	assert_broken(o, FRAMES_PROTOCOL);
	o = fresh();
	put(o, 0x01, "fragment1", 9); /* 5.18 */
	put(o, 0x81, "fragment2", 9);
	assert_broken(o, FRAMES_PROTOCOL);
}

/* 5.6 to 5.8, 5.19: a ping within a message is found once, and passed over when it has been dealt with. */
static void a_ping_between_fragments(void **state)
{
	struct out *o = fresh();

	(void)state;
	put(o, 0x01, "one", 3);
	put(o, 0x89, "ping", 4);
	struct frames_found found = find_all(o);
	assert_control(found, FRAMES_PING, 9, "ping", 4);
	o->data[found.at] = FRAMES_DEALT_WITH;
	assert_int_equal(find_all(o).what, FRAMES_UNFINISHED);
	put(o, 0x00, "two", 3);
	put(o, 0x89, "", 0);
	found = find_all(o);
	assert_control(found, FRAMES_PING, 28, "", 0);
	o->data[found.at] = FRAMES_DEALT_WITH;
	put(o, 0x80, "three", 5);
	assert_message(o, FRAMES_TEXT, "onetwothree", 11);
}

static void a_close_between_fragments(void **state)
{
	struct out *o = fresh();

	(void)state;
	put(o, 0x01, "one", 3);
	put(o, 0x88, "\x03\xe8", 2);
	put(o, 0x80, "two", 3);
	struct frames_found found = find_all(o);
	assert_control(found, FRAMES_CLOSE, 9, "\x03\xe8", 2);
	assert_int_equal(found.code, FRAMES_NORMAL);
}

/* --- 7: close --- */

static void close_codes(void **state)
{
	(void)state;
	for (unsigned code = 0; code < 65536; code++) {
		bool good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
			    (code >= 3000 && code <= 4999);
		struct out *o = fresh();
		put(o, 0x88, (char[]){(char)(code >> 8), (char)code}, 2);
		struct frames_found found = find_all(o);
		assert_int_equal(found.what, good ? FRAMES_FOUND_CONTROL : FRAMES_BROKEN);
		assert_int_equal(found.code, good ? code : FRAMES_PROTOCOL);
	}
}

static void close_reasons(void **state)
{
	char reason[126] = "\x03\xe8";
	struct out *o = fresh();

	(void)state;
	put(o, 0x88, "", 0); /* 7.3.1 */
	assert_int_equal(find_all(o).code, FRAMES_NO_CODE);
	o = fresh();
	put(o, 0x88, "a", 1); /* 7.3.2 */
	assert_broken(o, FRAMES_PROTOCOL);
	o = fresh();
	put(o, 0x88, "\x03\xe8Hello World!", 14); /* 7.3.4 */
	assert_int_equal(find_all(o).code, FRAMES_NORMAL);
	memset(reason + 2, '*', 124);
	o = fresh();
	put(o, 0x88, reason, 125); /* 7.3.5 */
	assert_int_equal(find_all(o).code, FRAMES_NORMAL);
	o = fresh();
	put(o, 0x88, reason, 126); /* 7.3.6 */
	assert_broken(o, FRAMES_PROTOCOL);
	o = fresh();
	put(o, 0x88, "\x03\xe8\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80", 16); /* 7.5.1 */
	assert_broken(o, FRAMES_NOT_UTF8);
}

/* --- what is sent --- */

static void headers(void **state)
{
	static const struct {
		size_t len, n;
		const char *header;
	} cases[] = {
	    {0, 2, "\x81\x00"},
	    {125, 2, "\x81\x7d"},
	    {126, 4, "\x81\x7e\x00\x7e"},
	    {65535, 4, "\x81\x7e\xff\xff"},
	    {65536, 10, "\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"},
	};
	char header[FRAMES_HEADER_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(frames_header(header, FRAMES_TEXT, cases[i].len), cases[i].n);
		assert_memory_equal(header, cases[i].header, cases[i].n);
	}
}

static void closes(void **state)
{
	char frame[FRAMES_CLOSE_MAX], why[200];

	(void)state;
	assert_int_equal(frames_close(frame, FRAMES_NO_CODE, "x"), 2);
	assert_memory_equal(frame, "\x88\x00", 2);
	assert_int_equal(frames_close(frame, FRAMES_GOING_AWAY, NULL), 4);
	assert_memory_equal(frame, "\x88\x02\x03\xe9", 4);
	assert_int_equal(frames_close(frame, FRAMES_TOO_LONG, "long"), 8);
	assert_memory_equal(frame, "\x88\x06\x03\xf1long", 8);
	memset(why, 'x', sizeof(why));
	why[sizeof(why) - 1] = '\0';
	assert_int_equal(frames_close(frame, FRAMES_POLICY, why), 127);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(messages_of_all_lengths),
	    cmocka_unit_test(a_message_in_pieces),
	    cmocka_unit_test(lengths_that_can_not_be),
	    cmocka_unit_test(fragments_that_are_too_long_together),
	    cmocka_unit_test(frames_without_a_mask),
	    cmocka_unit_test(pings),
	    cmocka_unit_test(pongs),
	    cmocka_unit_test(reserved_bits),
	    cmocka_unit_test(opcodes),
	    cmocka_unit_test(wrong_beginnings),
	    cmocka_unit_test(fragments),
	    cmocka_unit_test(fragments_out_of_order),
	    cmocka_unit_test(a_ping_between_fragments),
	    cmocka_unit_test(a_close_between_fragments),
	    cmocka_unit_test(close_codes),
	    cmocka_unit_test(close_reasons),
	    cmocka_unit_test(headers),
	    cmocka_unit_test(closes),
	};

	return cmocka_run_group_tests_name("frames", tests, NULL, NULL);
}
