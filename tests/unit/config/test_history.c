/* SPDX-License-Identifier: MIT */
/* The group `history`: what it means, what it refuses, and what a reload leaves as it was. */
#include "tests/unit/unit.h"

#include "tests/unit/config/parse.h"

#include "daemon/config/config.h"
#include "daemon/config/history.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HISTORY(rest) "history: { database = \"history.db\"; " rest " };"
#define DAY_US (86400 * INT64_C(1000000))

static void mistakes(void **state)
{
	(void)state;
	assert_error("history = 5;", "f:1: history must be a group");
	assert_error("history: { };", "needs a database");
	assert_error("history: { database = \"\"; };", "must be an absolute path, or a file's name");
	assert_error("history: { database = \"a/b\"; };", "must be an absolute path, or a file's name");
	assert_error("history: { database = \"/a/\"; };", "must be an absolute path, or a file's name");
	static const char *const keeps[] = {"\"\"",   "\"x\"",	    "\"5\"", "59",  "-1",
					    "\"1s\"", "\"36501d\"", "1.5",   "true"};
	for (size_t i = 0; i < sizeof(keeps) / sizeof(*keeps); i++) {
		char text[256];
		snprintf(text, sizeof(text), "history: { database = \"a\"; keep = %s; };", keeps[i]);
		assert_error(text, "keep must be a time from \"1m\" to 36500 days");
	}
	assert_error(HISTORY("keep_messages = 0;"), "keep_messages must be a whole number from 1");
	assert_error(HISTORY("keep_bytes = \"x\";"), "keep_bytes must be a size");
	assert_error(HISTORY("lines = 0;"), "lines must be a whole number");
	assert_error(HISTORY("rooms = ( { name = \"a\"; } );"), "unknown setting rooms");
	assert_error("rooms = ( { name = \"a\"; keep = \"x\"; } );", "keep must be a time");
	assert_error(HISTORY("") "rooms = ( { name = \"a\"; keep = \"x\"; } );", "keep must be a time");
	assert_error("rooms = ( { name = \"a\"; keep_messages = -1; } );" HISTORY(""),
		     "keep_messages must be");
	assert_error(HISTORY("") "rooms = ( { name = \"a\"; search = true; } );", "unknown setting search");
}

static void values(void **state)
{
	struct config *c;

	(void)state;
	assert_int_equal(parse("", &c), 0);
	assert_null(c->history);
	config_free(c);

	assert_int_equal(parse(HISTORY(""), &c), 0);
	const struct history_config *h = c->history;
	assert_string_equal(h->database, "history.db");
	assert_true(h->search);
	assert_int_equal(h->lines, 1000);
	assert_int_equal(h->keep.us, 30 * DAY_US);
	assert_false(h->keep.nothing);
	assert_ptr_equal(history_config_keep(h, "lobby"), &h->keep);
	config_free(c);

	/* The rooms' are as the group's, wherever that stands. */
	assert_int_equal(
	    parse("rooms = ( { name = \"a\"; keep = \"0\"; }, { name = \"b\"; keep = \"2w\"; }, { name = "
		  "\"e\"; },"
		  " { name = \"c\"; keep = \"forever\"; keep_bytes = \"1M\"; },"
		  " { name = \"d\"; keep = 0; } ); " HISTORY("keep_messages = 5000000000L; keep = \"90m\";"),
		  &c),
	    0);
	h = c->history;
	assert_int_equal(h->keep.us, 5400 * INT64_C(1000000));
	assert_int_equal(h->keep.messages, 5000000000);
	assert_true(history_config_keep(h, "a")->nothing);
	assert_true(history_config_keep(h, "d")->nothing);
	assert_int_equal(history_config_keep(h, "b")->us, 14 * DAY_US);
	assert_int_equal(history_config_keep(h, "b")->messages, 5000000000);
	assert_int_equal(history_config_keep(h, "c")->us, 0);
	assert_false(history_config_keep(h, "c")->nothing);
	assert_int_equal(history_config_keep(h, "c")->bytes, 1 << 20);
	assert_ptr_equal(history_config_keep(h, "e"), &h->keep);
	config_free(c);
}

static struct history_config *read_history(const char *text)
{
	struct config *c;

	assert_int_equal(parse(text, &c), 0);
	struct history_config *h = c->history;
	if (h)
		history_config_hold(h);
	config_free(c);
	return h;
}

static void reload(void **state)
{
	struct history_config *old = read_history(HISTORY("")),
			      *new = read_history(HISTORY("keep = \"1d\";"));

	(void)state;
	assert_int_equal(history_config_reload(&new, old), 0);
	assert_int_equal(new->keep.us, DAY_US);
	history_config_free(new);

	new = read_history("history: { database = \"/other.db\"; search = false; keep = \"0\"; };");
	assert_int_equal(history_config_reload(&new, old), 1);
	assert_string_equal(new->database, "history.db");
	assert_true(new->search);
	assert_true(new->keep.nothing);
	history_config_free(new);

	new = NULL;
	assert_int_equal(history_config_reload(&new, old), 1);
	assert_ptr_equal(new, old);
	history_config_free(new);

	assert_int_equal(history_config_reload(&old, NULL), 1);
	assert_null(old);
	assert_int_equal(history_config_reload(&old, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mistakes),
	    cmocka_unit_test(values),
	    cmocka_unit_test(reload),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
