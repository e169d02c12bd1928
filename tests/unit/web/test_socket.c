/* SPDX-License-Identifier: MIT */
/* What members with WebSockets are sent of a room, whatever was said there: frames of UTF-8, and of JSON, the same ones each time. */
#include "tests/unit/unit.h"

#include "common/text.h"
#include "daemon/rooms/speech.h"
#include "daemon/web/socket.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX 3000

static struct room room = {.index = 3, .name = "lobby", .epoch = 0xabc, .number_base = 1000};

/* The payload of the one frame that there is. */
static const char *payload(const char *frame, size_t len, size_t *ret_len)
{
	const unsigned char *f = (const unsigned char *)frame;
	size_t head = f[1] == 127 ? 10 : f[1] == 126 ? 4 : 2, n = head == 2 ? f[1] : 0;

	assert_int_equal(f[0], 0x80 | FRAMES_TEXT);
	for (size_t i = 2; i < head; i++)
		n = n << 8 | f[i];
	assert_int_equal(len, head + n);
	assert_true(text_is_utf8(frame + head, n));
	*ret_len = n;
	return frame + head;
}

static json_t *render(const struct record *r, const char *line, size_t len)
{
	char *out = malloc(HANDLER_RENDERED_MAX(len)), *again = malloc(HANDLER_RENDERED_MAX(len));
	size_t n = web_socket_render(WEB_JSON, &room, 7, r, line, len, out), text_len;

	assert_true(n > 0 && n <= HANDLER_RENDERED_MAX(len));
	assert_int_equal(web_socket_render(WEB_JSON, &room, 7, r, line, len, again), n);
	assert_memory_equal(out, again, n);
	const char *text = payload(out, n, &text_len);
	json_t *o = json_loadb(text, text_len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	assert_non_null(o);
	n = web_socket_render(WEB_LINES, &room, 7, r, line, len, out);
	assert_true(n <= HANDLER_RENDERED_MAX(len));
	payload(out, n, &text_len);
	free(out);
	free(again);
	return o;
}

static void events(void **state)
{
	static const char line[] = "alice: say \"hi\"\n";
	const struct record r = {.kind = RECORD_MESSAGE, .time_us = 99, .nick_len = 5, .text = 7};

	(void)state;
	json_t *o = render(&r, line, strlen(line));
	json_t *expected =
	    json_pack("{s:s,s:s,s:s,s:i,s:i,s:s,s:s}", "type", "message", "room", "lobby", "epoch", "abc",
		      "number", 1007, "time", 99, "nick", "alice", "text", "say \"hi\"");
	assert_true(json_equal(o, expected));
	json_decref(o);
	json_decref(expected);
}

static void private_messages(void **state)
{
	static const char line[] = "* [bob -> you] psst\n", notice[] = "* bob is gone\n";
	const struct record r = {
	    .kind = RECORD_MESSAGE, .time_us = 99, .nick_at = 3, .nick_len = 3, .text = 15};
	const struct record bounce = {.kind = RECORD_NOTICE, .time_us = 99, .text = 2};

	(void)state;
	room.index = ROOM_PRIVATE;
	json_t *o = render(&r, line, strlen(line));
	json_t *expected =
	    json_pack("{s:s,s:s,s:i,s:s}", "type", "private", "from", "bob", "time", 99, "text", "psst");
	assert_true(json_equal(o, expected));
	json_decref(o);
	json_decref(expected);
	o = render(&bounce, notice, strlen(notice));
	assert_string_equal(json_string_value(json_object_get(o, "text")), "* bob is gone");
	json_decref(o);
	room.index = 3;
}

/* As in a raw room. */
static void any_bytes(void **state)
{
	static char line[LINE_MAX];

	(void)state;
	srandom(3);
	for (unsigned n = 0; n < 2000; n++) {
		size_t len = (size_t)random() % (LINE_MAX - 1);
		for (size_t i = 0; i < len; i++)
			do
				line[i] = (char)(n % 2 ? random() : random() % 32);
			while (line[i] == '\n');
		line[len] = '\n';
		const struct record r = {.kind = RECORD_MESSAGE, .time_us = INT64_MAX, .number = INT64_MAX};
		json_decref(render(&r, line, len + 1));
	}
}

static void epochs(void **state)
{
	uint64_t v;

	(void)state;
	assert_true(socket_epoch("ffffffffffffffff", &v) && v == UINT64_MAX);
	assert_true(socket_epoch("0", &v) && v == 0);
	assert_false(socket_epoch("", &v));
	assert_false(socket_epoch("10000000000000000", &v));
	assert_false(socket_epoch("0x1", &v));
	assert_false(socket_epoch("A", &v));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(events),
	    cmocka_unit_test(private_messages),
	    cmocka_unit_test(any_bytes),
	    cmocka_unit_test(epochs),
	};

	return cmocka_run_group_tests_name("socket", tests, NULL, NULL);
}
