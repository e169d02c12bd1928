/* SPDX-License-Identifier: MIT */
/* What metadata is kept as. */
#include "daemon/irc/pairs.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

static void keys(void **state)
{
	char key[IRC_PAIRS_KEY_MAX + 2];

	(void)state;
	assert_true(irc_pairs_is_key("display-name"));
	assert_true(irc_pairs_is_key("a.b/c_1"));
	assert_false(irc_pairs_is_key(""));
	assert_false(irc_pairs_is_key("A"));
	assert_false(irc_pairs_is_key("a=b"));
	assert_false(irc_pairs_is_key("+a"));
	memset(key, 'a', sizeof(key));
	key[IRC_PAIRS_KEY_MAX] = 0;
	assert_true(irc_pairs_is_key(key));
	key[IRC_PAIRS_KEY_MAX] = 'a';
	key[IRC_PAIRS_KEY_MAX + 1] = 0;
	assert_false(irc_pairs_is_key(key));
}

static void sets_and_wants(void **state)
{
	char text[256], key[IRC_PAIRS_KEY_MAX + 1];
	struct irc_pairs p = {.text = text, .size = sizeof(text)};
	const char *value;
	size_t at = 0;

	(void)state;
	assert_true(irc_pairs_set(&p, "a", "x=y"));
	assert_true(irc_pairs_want(&p, "a", true));
	assert_true(irc_pairs_set(&p, "b", ""));
	assert_true(irc_pairs_set(&p, "a", "longer than before"));
	assert_true(irc_pairs_are_good(&p));
	assert_string_equal(irc_pairs_get(&p, "a"), "longer than before");
	assert_string_equal(irc_pairs_get(&p, "b"), "");
	assert_null(irc_pairs_get(&p, "c"));
	assert_true(irc_pairs_wants(&p, "a"));
	assert_false(irc_pairs_wants(&p, "b"));
	assert_true(irc_pairs_next(&p, &at, key, &value) && !value);
	assert_string_equal(key, "a");
	assert_true(irc_pairs_next(&p, &at, key, &value) && value);
	assert_string_equal(key, "b");
	assert_true(irc_pairs_next(&p, &at, key, &value) && strcmp(value, "longer than before") == 0);
	assert_false(irc_pairs_next(&p, &at, key, &value));
	assert_true(irc_pairs_set(&p, "a", NULL));
	assert_null(irc_pairs_get(&p, "a"));
	assert_true(irc_pairs_wants(&p, "a"));
	assert_true(irc_pairs_want(&p, "a", false));
	assert_true(irc_pairs_set(&p, "b", NULL));
	assert_int_equal(p.len, 0);
}

static void there_is_an_end(void **state)
{
	char text[4096], key[16], small[8];
	struct irc_pairs p = {.text = text, .size = sizeof(text)}, s = {.text = small, .size = sizeof(small)};

	(void)state;
	for (unsigned i = 0; i < IRC_PAIRS_MAX; i++) {
		snprintf(key, sizeof(key), "k%u", i);
		assert_true(irc_pairs_set(&p, key, "v") && irc_pairs_want(&p, key, true));
	}
	size_t len = p.len;
	assert_false(irc_pairs_set(&p, "more", "v"));
	assert_false(irc_pairs_want(&p, "more", true));
	assert_int_equal(p.len, len);
	assert_true(irc_pairs_set(&p, "k3", "w"));
	assert_true(irc_pairs_set(&s, "a", "12345"));
	assert_false(irc_pairs_set(&s, "a", "123456"));
	assert_false(irc_pairs_set(&s, "b", ""));
	assert_string_equal(irc_pairs_get(&s, "a"), "12345");
}

static void damage(void **state)
{
	static const struct {
		const char *text;
		size_t len;
		bool good;
	} all[] = {{"", 0, true},	{"a=b", 4, true}, {"+a", 3, true},    {"a=b\0+c", 7, true},
		   {"a=b", 3, false},	{"a", 2, false},  {"+a=b", 5, false}, {"", 1, false},
		   {"a=b\0", 5, false}, {"=b", 3, false}, {"A=b", 4, false},  {"+", 2, false}};

	(void)state;
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		char text[16];
		memcpy(text, all[i].text, all[i].len);
		struct irc_pairs p = {.text = text, .len = all[i].len, .size = sizeof(text)};
		assert_int_equal(irc_pairs_are_good(&p), all[i].good);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(keys),
	    cmocka_unit_test(sets_and_wants),
	    cmocka_unit_test(there_is_an_end),
	    cmocka_unit_test(damage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
