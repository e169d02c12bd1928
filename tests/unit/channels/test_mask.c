/* SPDX-License-Identifier: MIT */
/* Masks of bans, and whom they match. */
#include "daemon/channels/mask.h"
#include "tests/unit/unit.h"

#include <string.h>

static void matches(void **state)
{
	static const struct {
		const char *mask, *text;
		bool matches;
	} cases[] = {
	    {"", "", true},
	    {"", "a", false},
	    {"*", "", true},
	    {"*", "abc", true},
	    {"?", "", false},
	    {"a", "A", true},
	    {"[a]", "{a}", false},
	    {"a?c", "abc", true},
	    {"a?c", "ac", false},
	    {"a?c",
	     "a\xc3\xbc"
	     "c",
	     true},
	    {"a??c",
	     "a\xc3\xbc"
	     "c",
	     false},
	    {"a*c", "abcbc", true},
	    {"a*c", "abcb", false},
	    {"*b*d", "abcd", true},
	    {"*b*d*", "abc", false},
	    {"**a", "a", true},
	    {"a\\*c", "a*c", true},
	    {"a\\*c", "abc", false},
	    {"a\\?", "a?", true},
	    {"*\\?", "aaa?", true},
	    {"a\\", "a\\", true},
	    {"a\\\\", "a\\\\", true},
	    {"a\\b!*@*", "a\\b!user@host", true},
	    {"a\\b!*@*", "ab!user@host", false},
	    {"\\o/", "\\o/", true},
	    {"*!*@*.example.org", "Nick!user@host.EXAMPLE.org", true},
	    {"*!*@*.example.org", "nick!user@example.org", false},
	    {"nick!*@*", "nick2!user@example.org", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_int_equal(irc_mask_match(cases[i].mask, cases[i].text), cases[i].matches);
}

/* Naively this takes longer than the universe has. */
static void many_stars(void **state)
{
	char mask[100], text[200];

	(void)state;
	for (unsigned i = 0; i < 98; i += 2)
		memcpy(mask + i, "*a", 2);
	strcpy(mask + 98, "b");
	memset(text, 'a', sizeof(text));
	text[199] = '\0';
	assert_false(irc_mask_match(mask, text));
	text[198] = 'b';
	assert_true(irc_mask_match(mask, text));
}

static void in_full(void **state)
{
	static const struct {
		const char *mask, *full;
	} cases[] = {
	    {"nick", "nick!*@*"},     {"u@h", "*!u@h"},
	    {"n!u", "n!u@*"},	      {"n!u@h", "n!u@h"},
	    {"n!@h", "n!*@h"},	      {"!u@", "*!u@*"},
	    {"@h", "*!*@h"},	      {"", "*!*@*"},
	    {"*", "*!*@*"},	      {"*!u@a@b!c", "*!u@a@b!c"},
	    {"a@b!c", "a@b!c@*"},     {"a:name", "a:name"},
	    {"m:nick", "m:nick!*@*"}, {"m:u@h", "m:*!u@h"},
	    {"m:", "m:*!*@*"},	      {"a:", "a:"},
	    {"mm:x", "mm:x!*@*"},     {"*!*@2001:db8::1", "*!*@2001:db8::1"},
	};
	char full[100], again[100];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		irc_mask_normalise(cases[i].mask, strlen(cases[i].mask), full, sizeof(full));
		assert_string_equal(full, cases[i].full);
		/* What is told to other nodes is made full there, too. */
		irc_mask_normalise(full, strlen(full), again, sizeof(again));
		assert_string_equal(again, full);
	}
	irc_mask_normalise(NULL, 0, full, sizeof(full));
	assert_string_equal(full, "*!*@*");
	/* No half character is left. */
	irc_mask_normalise("ab\xe2\x82\xac", 5, full, 5);
	assert_string_equal(full, "ab");
	irc_mask_normalise("ab\xe2\x82\xac", 5, full, 6);
	assert_string_equal(full, "ab\xe2\x82\xac");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(matches),
	    cmocka_unit_test(many_stars),
	    cmocka_unit_test(in_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
