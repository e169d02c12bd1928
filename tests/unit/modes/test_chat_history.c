/* SPDX-License-Identifier: MIT */
/* /history and /search of the TCP mode "chat", as long as a room's log has what is asked for. */
#include "tests/unit/unit.h"

#include "daemon/modes/past.h"
#include "tests/unit/harnessed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char config[] = "workers = 1; limits: { commands_per_second = 0; lines_per_second = 0; };"
			     "rooms = ( { name = \"lobby\"; history = 3; log_size = \"1M\"; },"
			     "          { name = \"silent\"; history = 0; },"
			     "          { name = \"sensors\"; format = \"raw\"; } );";

static int setup(void **state)
{
	return harnessed(state, config);
}

static int join(struct harness *h, const char *room)
{
	int fd = harness_connect(h, "tcp", "chat", room);
	harness_settle(h);
	harness_read(h, fd);
	return fd;
}

/* With each time as T, and the number to go on from as N. */
static const char *timeless(const char *text)
{
	static char out[1 << 16];
	size_t n = 0;

	for (const char *p = text; *p && n + 9 < sizeof(out);) {
		int len = 0, year, month, day, hour, minute, second;
		if (strncmp(p, "* [", 3) == 0 &&
		    sscanf(p, "* [%4d-%2d-%2d %2d:%2d:%2d]%n", &year, &month, &day, &hour, &minute, &second,
			   &len) == 6 &&
		    len == 23) {
			assert_true(year >= 2024 && month <= 12 && day <= 31 && hour < 24 && minute < 60 &&
				    second <= 60);
			memcpy(out + n, "* T", 3);
			n += 3;
			p += len;
		} else if (strncmp(p, " before:", 8) == 0) {
			memcpy(out + n, " before:N", 9);
			n += 9;
			p += 8 + strspn(p + 8, "0123456789");
		} else {
			out[n++] = *p++;
		}
	}
	out[n] = '\0';
	return out;
}

static const char *ask(struct harness *h, int fd, const char *line)
{
	return timeless(harness_say(h, fd, line));
}

static void the_log_has_what_was_said(void **state)
{
	int a = join(*state, "lobby"), b = join(*state, "lobby");

	assert_string_equal(ask(*state, a, "/history\n"),
			    "* guest2 joined lobby\n* There is no message in lobby.\n");
	harness_say(*state, a, "one\n/me waves\n");
	harness_say(*state, b, "/nick bob\nthree\n");
	harness_read(*state, a);
	assert_string_equal(
	    ask(*state, a, "/history 5\n"),
	    "* 3 messages in lobby, times in UTC:\n* T guest1: one\n* T guest1 * waves\n* T bob: three\n");
	assert_string_equal(
	    ask(*state, a, "/HISTORY  1  \n"),
	    "* 1 message in lobby, times in UTC:\n* T bob: three\n* Older ones: /history 1 before:N\n");
	close(a);
	close(b);
}

static void it_goes_on_page_by_page(void **state)
{
	int a = join(*state, "lobby");
	char line[64], text[256];
	unsigned expected = 50, pages = 0;

	for (unsigned i = 1; i <= 50; i++) {
		snprintf(line, sizeof(line), "number %u\n", i);
		harness_say(*state, a, line);
	}
	harness_read(*state, a);
	strcpy(text, "/history 7\n");
	for (const char *more = text; more; pages++) {
		unsigned shown[7], n = 0;
		const char *reply = harness_say(*state, a, more);
		for (const char *p = reply; (p = strstr(p, "number ")); p++)
			shown[n++] = (unsigned)atoi(p + 7);
		for (unsigned i = n; i-- > 0;)
			assert_int_equal(shown[i], expected--);
		more = strstr(reply, "* Older ones: ");
		if (more) {
			snprintf(text, sizeof(text), "%s", more + 14);
			more = text;
		}
	}
	assert_int_equal(expected, 0);
	assert_int_equal(pages, 8);
	close(a);
}

static void what_cant_be_asked(void **state)
{
	int a = join(*state, "lobby"), s = join(*state, "silent");

	assert_string_equal(ask(*state, a, "/history 0\n"), "* Usage: /history [N]\n");
	assert_string_equal(ask(*state, a, "/history -1\n"), "* Usage: /history [N]\n");
	assert_string_equal(ask(*state, a, "/history x\n"), "* Usage: /history [N]\n");
	assert_string_equal(ask(*state, a, "/history 1 2\n"), "* Usage: /history [N]\n");
	assert_string_equal(ask(*state, a, "/search\n"), "* Usage: /search TEXT\n");
	assert_string_equal(ask(*state, a, "/search x\n"), "* There is no search in lobby.\n");
	harness_say(*state, s, "hello\n");
	assert_string_equal(ask(*state, s, "/history\n"),
			    "* Room silent shows nothing of what was said before.\n");
	close(a);
	close(s);
}

/* Nothing that a person says looks like a line of the server's, and nothing of a raw room gets onto terminals. */
static void raw_lines_are_made_safe(void **state)
{
	int a = join(*state, "sensors");

	harness_say(*state, a, "21.5\n* [2026-11-24 10:00:00] alice: never\n\x1b[31mred\xff\n");
	harness_read(*state, a);
	assert_string_equal(ask(*state, a, "/history\n"),
			    "* 3 messages in sensors, times in UTC:\n* T 21.5\n* T * T alice: never\n"
			    "* T \xef\xbf\xbd[31mred\xef\xbf\xbd\n");
	close(a);
}

/* More than fits: the newest, and how to go on. */
static void a_reply_is_bounded(void **state)
{
	int a = join(*state, "lobby");
	char *line = malloc(4001);

	memset(line, 'x', 3999);
	strcpy(line + 3999, "\n");
	for (unsigned i = 0; i < 120; i++)
		harness_say(*state, a, line);
	harness_read(*state, a);
	char *reply = malloc(1 << 20), *end = reply;
	for (const char *more = harness_say(*state, a, "/history 1000\n"); *more;) {
		end = stpcpy(end, more);
		harness_settle(*state);
		more = harness_read(*state, a);
	}
	assert_true(end - reply < 256 << 10);
	assert_true(end - reply > 100 << 10);
	assert_non_null(strstr(reply, "\n* Older ones: /history 1000 before:"));
	free(reply);
	free(line);
	close(a);
}

/* Whoever says something and asks is shown it, however much is said meanwhile. */
static void the_newest_is_there_at_once(void **state)
{
	int a = join(*state, "lobby");

	assert_string_equal(ask(*state, a, "x\n/history 1\n"),
			    "guest1: x\n* 1 message in lobby, times in UTC:\n* T guest1: x\n");
	close(a);
}

static void cutting(void **state)
{
	static const struct {
		const char *text;
		int len; /* -1: there is none */
		uint64_t number;
	} cases[] = {
	    {"before:12", 0, 12},
	    {"7 before:12  ", 1, 12},
	    {"a b  before:0", 3, 0},
	    {"before:", -1, 0},
	    {"xbefore:1", -1, 0},
	    {"before:1 x", -1, 0},
	    {"", -1, 0},
	    {"12", -1, 0},
	    {"before:1234567890123456789", 0, 1234567890123456789},
	    {"before:12345678901234567890", -1, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		size_t len = strlen(cases[i].text);
		uint64_t number = 0;
		bool is = past_cut_before(cases[i].text, &len, &number);
		assert_int_equal(is, cases[i].len >= 0);
		assert_int_equal(len, is ? (size_t)cases[i].len : strlen(cases[i].text));
		assert_int_equal(number, cases[i].number);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, harnessed_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(the_log_has_what_was_said), CASE(it_goes_on_page_by_page), CASE(what_cant_be_asked),
	    CASE(raw_lines_are_made_safe),   CASE(a_reply_is_bounded),	    CASE(the_newest_is_there_at_once),
	    cmocka_unit_test(cutting),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
