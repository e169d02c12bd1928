/* SPDX-License-Identifier: MIT */
/* Lines of IRC and their tags, among them those of https://github.com/ircdocs/parser-tests. */
#include "daemon/irc/line.h"
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The bytes are on the heap, so that a look behind them is seen. */
static char *copy;
static struct irc_line line;

static int parse_bytes(const char *s, size_t len)
{
	free(copy);
	copy = malloc(len ? len : 1);
	memcpy(copy, s, len);
	return irc_line_parse(copy, len, &line);
}

static int parse(const char *s)
{
	return parse_bytes(s, strlen(s));
}

/* All of it as "tags|source|command|param|...". */
static const char *shown(void)
{
	static char buf[4096];
	int n = snprintf(buf, sizeof(buf), "%.*s|%.*s|%.*s", (int)line.tags.len,
			 line.tags.len ? line.tags.at : "", (int)line.source.len,
			 line.source.len ? line.source.at : "", (int)line.command.len, line.command.at);

	for (unsigned i = 0; i < line.n_params; i++)
		n += snprintf(buf + n, sizeof(buf) - (size_t)n, "|%.*s", (int)line.params[i].len,
			      line.params[i].at);
	return buf;
}

static void parts(void **state)
{
	static const struct {
		const char *line, *parts;
	} cases[] = {
	    {"foo bar baz asdf", "||foo|bar|baz|asdf"},
	    {":coolguy foo bar baz asdf", "|coolguy|foo|bar|baz|asdf"},
	    {"foo bar baz :asdf quux", "||foo|bar|baz|asdf quux"},
	    {"foo bar baz :", "||foo|bar|baz|"},
	    {"foo bar baz ::asdf", "||foo|bar|baz|:asdf"},
	    {":coolguy foo bar baz :  asdf quux ", "|coolguy|foo|bar|baz|  asdf quux "},
	    {":coolguy PRIVMSG bar :lol :) ", "|coolguy|PRIVMSG|bar|lol :) "},
	    {":coolguy foo b\tar baz", "|coolguy|foo|b\tar|baz"},
	    {"@asd=;a=b :coolguy foo bar", "asd=;a=b|coolguy|foo|bar"},
	    {"@a=b;c=32;k;rt=ql7 foo", "a=b;c=32;k;rt=ql7||foo"},
	    {":src AWAY", "|src|AWAY"},
	    {":src AWAY ", "|src|AWAY"},
	    {":cool\tguy foo bar baz", "|cool\tguy|foo|bar|baz"},
	    {"COMMAND", "||COMMAND"},
	    {"@c;h=;a=b :quux ab cd", "c;h=;a=b|quux|ab|cd"},
	    {":src JOIN #chan", "|src|JOIN|#chan"},
	    {":src JOIN :#chan", "|src|JOIN|#chan"},
	    {":SomeOp MODE #channel :+i", "|SomeOp|MODE|#channel|+i"},
	    {":SomeOp MODE #channel +oo SomeUser :AnotherUser",
	     "|SomeOp|MODE|#channel|+oo|SomeUser|AnotherUser"},
	    {":gravel.mozilla.org MODE :#tckk +n ", "|gravel.mozilla.org|MODE|#tckk +n "},
	    {"@a  :b   c   d   ", "a|b|c|d"},
	    {"  PING x", "||PING|x"},
	    {"JOIN a:b :c", "||JOIN|a:b|c"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		assert_int_equal(parse(cases[i].line), 0);
		assert_string_equal(shown(), cases[i].parts);
	}
}

static void no_command(void **state)
{
	(void)state;
	assert_int_equal(parse(""), -EINVAL);
	assert_int_equal(parse(" "), -EINVAL);
	assert_int_equal(parse("@"), -EINVAL);
	assert_int_equal(parse("@a=b"), -EINVAL);
	assert_int_equal(parse("@a=b "), -EINVAL);
	assert_int_equal(parse("@a :b"), -EINVAL);
	assert_int_equal(parse(":b "), -EINVAL);
	assert_int_equal(parse("PING\rx"), -EINVAL);
	assert_int_equal(parse("PING\nx"), -EINVAL);
	assert_int_equal(parse_bytes("PING\0x", 6), -EINVAL);
}

static void params_have_an_end(void **state)
{
	(void)state;
	assert_int_equal(parse("x 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 :17"), 0);
	assert_int_equal(line.n_params, IRC_PARAMS_MAX);
	assert_true(irc_arg_equals(line.params[13], "14"));
	assert_true(irc_arg_equals(line.params[14], "15 16 :17"));
	assert_int_equal(parse("x 1 2 3 4 5 6 7 8 9 10 11 12 13 14 :15 16"), 0);
	assert_true(irc_arg_equals(line.params[14], "15 16"));
}

static void lengths(void **state)
{
	char s[IRC_INPUT_MAX + 16];

	(void)state;
	memset(s, 'a', sizeof(s));
	memcpy(s, "PRIVMSG #a :", 12);
	assert_int_equal(parse_bytes(s, 510), 0);
	assert_int_equal(parse_bytes(s, 511), -EMSGSIZE);
	assert_true(irc_arg_is(line.command, "privmsg"));

	memset(s, 'a', sizeof(s));
	s[0] = '@';
	memcpy(s + 1 + IRC_TAGS_DATA_MAX, " PING ", 6);
	assert_int_equal(parse_bytes(s, IRC_INPUT_MAX - 2), 0);
	assert_int_equal(line.tags.len, IRC_TAGS_DATA_MAX);
	assert_int_equal(parse_bytes(s, IRC_INPUT_MAX - 1), -EMSGSIZE);
	s[1 + IRC_TAGS_DATA_MAX] = 'a';
	s[2 + IRC_TAGS_DATA_MAX] = ' ';
	assert_int_equal(parse_bytes(s, IRC_TAGS_DATA_MAX + 10), -E2BIG);
	assert_true(irc_arg_equals(line.command, "ING"));
	/* No space: no command, but what matters is that it is too much. */
	assert_int_equal(parse_bytes(s, 1 + IRC_TAGS_DATA_MAX + 1), -E2BIG);
}

static void arguments(void **state)
{
	struct irc_arg one, list = {"a,,bc,", 6};
	char buf[4];
	size_t at = 0;

	(void)state;
	assert_true(irc_arg_next(list, &at, &one) && irc_arg_equals(one, "a"));
	assert_true(irc_arg_next(list, &at, &one) && irc_arg_equals(one, "bc"));
	assert_false(irc_arg_next(list, &at, &one));
	assert_true(irc_arg_is((struct irc_arg){"pInG", 4}, "Ping"));
	assert_false(irc_arg_is((struct irc_arg){"pInG", 3}, "Ping"));
	assert_false(irc_arg_equals((struct irc_arg){"pInG", 4}, "Ping"));
	assert_int_equal(irc_arg_copy((struct irc_arg){"abcd", 3}, buf, sizeof(buf)), 0);
	assert_string_equal(buf, "abc");
	assert_int_equal(irc_arg_copy((struct irc_arg){"abcd", 4}, buf, sizeof(buf)), -EMSGSIZE);
	assert_string_equal(buf, "");
	assert_int_equal(irc_arg_copy((struct irc_arg){NULL, 0}, buf, sizeof(buf)), 0);
}

static void expect_tag(const char *tags, const char *key, const char *value)
{
	char buf[64];

	assert_int_equal(irc_tag_get((struct irc_arg){tags, strlen(tags)}, key, buf, sizeof(buf)),
			 value ? 0 : -ENOENT);
	assert_string_equal(buf, value ? value : "");
}

static void tags(void **state)
{
	char buf[4];

	(void)state;
	expect_tag("a=b;c=32;k;rt=ql7", "a", "b");
	expect_tag("a=b;c=32;k;rt=ql7", "k", "");
	expect_tag("a=b;c=32;k;rt=ql7", "rt", "ql7");
	expect_tag("a=b;c=32;k;rt=ql7", "r", NULL);
	expect_tag("a=b;c=32;k;rt=ql7", "ql7", NULL);
	expect_tag("a=b\\\\and\\nk;c=72\\s45;d=gh\\:764", "a", "b\\and\nk");
	expect_tag("a=b\\\\and\\nk;c=72\\s45;d=gh\\:764", "c", "72 45");
	expect_tag("a=b\\\\and\\nk;c=72\\s45;d=gh\\:764", "d", "gh;764");
	expect_tag("tag1=value\\1", "tag1", "value1");
	expect_tag("tag1=value1\\", "tag1", "value1");
	expect_tag("foo=\\r=", "foo", "\r=");
	expect_tag("a=1;b=3;a=2", "a", "2");
	expect_tag("a=1;a", "a", "");
	expect_tag("", "a", NULL);
	expect_tag(";;=x;", "a", NULL);
	assert_int_equal(irc_tag_get((struct irc_arg){"a=123", 5}, "a", buf, 4), 0);
	assert_int_equal(irc_tag_get((struct irc_arg){"a=1234", 6}, "a", buf, 4), -EMSGSIZE);
	assert_string_equal(buf, "");
}

static void client_tags(void **state)
{
	const char *s = "+a=1;b=2;+;+c;+x y=1;+draft/react=\\s;+bad=\xff;+example.org/d-1=;time=now";
	struct irc_arg all = {s, strlen(s)}, one;
	size_t at = 0;

	(void)state;
	assert_true(irc_tag_next_client(all, &at, &one) && irc_arg_equals(one, "+a=1"));
	assert_true(irc_tag_next_client(all, &at, &one) && irc_arg_equals(one, "+c"));
	assert_true(irc_tag_next_client(all, &at, &one) && irc_arg_equals(one, "+draft/react=\\s"));
	assert_true(irc_tag_next_client(all, &at, &one) && irc_arg_equals(one, "+example.org/d-1="));
	assert_false(irc_tag_next_client(all, &at, &one));
}

static void escapes(void **state)
{
	char buf[16], back[16], tag[32];

	(void)state;
	assert_int_equal(irc_tag_escape(buf, sizeof(buf), "a; \\\r\nb", 7), 12);
	assert_string_equal(buf, "a\\:\\s\\\\\\r\\nb");
	snprintf(tag, sizeof(tag), "k=%s", buf);
	assert_int_equal(irc_tag_get((struct irc_arg){tag, strlen(tag)}, "k", back, sizeof(back)), 0);
	assert_string_equal(back, "a; \\\r\nb");
	assert_int_equal(irc_tag_escape(buf, 4, "a;", 2), 3);
	assert_string_equal(buf, "a\\:");
	assert_int_equal(irc_tag_escape(buf, 3, "a;", 2), 3);
	assert_string_equal(buf, "");
}

static int release(void **state)
{
	(void)state;
	free(copy);
	copy = NULL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(parts),	   cmocka_unit_test(no_command), cmocka_unit_test(params_have_an_end),
	    cmocka_unit_test(lengths),	   cmocka_unit_test(arguments),	 cmocka_unit_test(tags),
	    cmocka_unit_test(client_tags), cmocka_unit_test(escapes),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
