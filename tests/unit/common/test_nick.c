/* SPDX-License-Identifier: MIT */
/* Which nicks there may be, and which are the same. */
#include "tests/unit/unit.h"

#include "common/nick.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unicode/uspoof.h>
#include <unicode/ustring.h>

static void valid_nicks_are_kept_as_they_are(void **state)
{
	static const char *const nicks[] = {
	    "a",
	    "Alice",
	    "~x~",
	    "a/b#c[d]",
	    "|_-`{}^\\@!$%&()+,;<=>?.'\"",
	    "12345678901234567890123456789012",
	    "Jürgen",
	    "Éva",
	    "ΣΊΣΥΦΟΣ",
	    "Алиса",
	    "愛子",
	    "ノブ",
	    "김철수",
	    "ไก่",
	    "दुःख",
	    "Đặng",
	    "עידו",
	    "سارة",
	    "سارة٢",
	    "علی۲",
	    "Straße",
	    "İpek",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(nicks) / sizeof(*nicks); i++) {
		char nick[TEXT_NICK_MAX + 1];
		int n = nick_normalise(nicks[i], strlen(nicks[i]), nick);
		if (n != (int)strlen(nicks[i]) || strcmp(nick, nicks[i]) != 0)
			fail_msg("%s became %s (%d)", nicks[i], n > 0 ? nick : "nothing", n);
		assert_true(nick_well_formed(nick, (size_t)n));
	}
}

static void what_was_typed_is_normalised(void **state)
{
	static const struct {
		const char *typed, *nick;
	} t[] = {
	    {"ａｌｉｃｅ", "alice"}, {"ＡＬＩＣＥＡＬＩＣＥＡＬＩＣＥ", "ALICEALICEALICE"},
	    {"E\u0301va", "Éva"},    {"\u1112\u1161\u11ab", "한"},
	    {"ｱｲｺ", "アイコ"},	     {"ｶﾞ", "ガ"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(t) / sizeof(*t); i++) {
		char nick[TEXT_NICK_MAX + 1];
		assert_int_equal(nick_normalise(t[i].typed, strlen(t[i].typed), nick), strlen(t[i].nick));
		assert_string_equal(nick, t[i].nick);
	}
}

static void what_can_be_no_nick(void **state)
{
	static const char *const nicks[] = {
	    "",
	    "123456789012345678901234567890123",
	    ":a",
	    "a:b",
	    "bob:",
	    "a*b",
	    "/a",
	    "#a",
	    "[alice",
	    "a b",
	    "a\tb",
	    "a\033b",
	    "a\177",
	    "\xff",
	    "a\xc3",
	    "\xed\xa0\x80",
	    "ａ：ｂ",
	    "＊ａ",
	    "［ａ",
	    "a\u00a0b",
	    "a\u00adb",
	    "a\u034fb",
	    "a\u061cb",
	    "a\u115fb",
	    "a\u1160b",
	    "a\u1680b",
	    "a\u17b4b",
	    "a\u17b5b",
	    "a\u180eb",
	    "a\u200bb",
	    "a\u200cb",
	    "a\u200db",
	    "a\u200eb",
	    "a\u2028b",
	    "a\u202eb",
	    "a\u2060b",
	    "a\u2066b",
	    "a\u2800b",
	    "a\u3000b",
	    "a\u3164b",
	    "a\ufe0fb",
	    "a\ufeffb",
	    "a\uffa0b",
	    "a\ufff9b",
	    "a\ufffcb",
	    "a\ufffdb",
	    "a\U000e0061b",
	    "a\U000e0100b",
	    "a\U00013441b",
	    "a\U00016fe4b",
	    "a\U0001d173b",
	    "\ue000", /* private use */
	    "\ufdd0", /* no character */
	    "\u0378", /* unassigned */
	    "ﬁ",      /* compatibility forms */
	    "Ⅷ",
	    "①",
	    "a²",
	    "☺",
	    "a\u20dd",	/* enclosed */
	    "l·l",	/* by context only */
	    "\u0301a",	/* a mark of nothing */
	    "a\u17d2b", /* marks of another script */
	    "a\u0903",
	    "aː",
	    "aꓽ",
	    "سa", /* both directions */
	    "aس",
	    "1س",
	    "س!",
	    "س1٢",
	    "\u0661\u06f2",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(nicks) / sizeof(*nicks); i++) {
		char nick[TEXT_NICK_MAX + 1];
		if (nick_normalise(nicks[i], strlen(nicks[i]), nick) != -EINVAL)
			fail_msg("number %zu, %s, became %s", i, nicks[i], nick);
	}
}

static bool same(const char *a, const char *b)
{
	bool r = nick_same(a, strlen(a), b, strlen(b));

	assert_int_equal(nick_same(b, strlen(b), a, strlen(a)), r);
	return r;
}

static bool equal(const char *a, const char *b)
{
	bool r = nick_equal(a, strlen(a), b, strlen(b));

	assert_int_equal(nick_equal(b, strlen(b), a, strlen(a)), r);
	return r;
}

static void the_very_name_is_more_than_a_look(void **state)
{
	(void)state;
	assert_true(equal("alice", "ALICE"));
	assert_true(equal("caf\xc3\xa9", "CAFE\xcc\x81"));
	assert_true(equal("\xef\xbd\x82ob", "Bob"));
	assert_true(equal("\xe2\x98\x83", "\xe2\x98\x83")); /* no name, but itself */
	assert_false(equal("\xe2\x98\x83", "\xe2\x98\x84"));
	assert_false(equal("strasse", "stra\xc3\x9f"
				      "e")); /* other letters, which full case folding joins */
	assert_false(equal("alice", "al1ce"));
	assert_false(equal("alice", "alic"));
	assert_false(equal("alice", "\xd0\xb0lice"));
	assert_true(nick_is_chatds("\xd0\xb0"
				   "dmin",
				   6));
	assert_true(nick_is_chatds("guest2", 6));
	assert_true(nick_is_chatds("CHATD", 5));
	assert_false(nick_is_chatds("alice", 5));
}

static void what_looks_alike_is_the_same(void **state)
{
	static const char *const pairs[][2] = {
	    {"alice", "ALICE"},
	    {"alice", "а"
		      "lice"},
	    {"alice", "аӏісе"},
	    {"Ivan", "ivan"},
	    {"Ivan", "lvan"},
	    {"ivan", "1van"},
	    {"ivan", "|van"},
	    {"Éva", "éva"},
	    {"b0b", "bOb"},
	    {"b0b", "bob"},
	    {"admin", "аdmin"},
	    {"admin", "ADMlN"},
	    {"admin", "adrnin"},
	    {"chatd", "сһatd"},
	    {"Нenry", "henry"},
	    {"Нина", "нина"},
	    {"henry", "Ηenry"},
	    {"ΣΊΣΥΦΟΣ", "σίσυφος"},
	    {"a%b", "а%b"},
	    {"x\"y", "x''y"},
	    {"guest17", "guestl7"},
	};
	static const char *const others[][2] = {
	    {"alice", "alicia"}, {"Éva", "Eva"}, {"bob", "bobo"}, {"a", "b"}, {"愛", "哀"}, {"Anna", "Hanna"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (!same(pairs[i][0], pairs[i][1]))
			fail_msg("%s and %s differ", pairs[i][0], pairs[i][1]);
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
		if (same(others[i][0], others[i][1]))
			fail_msg("%s and %s are the same", others[i][0], others[i][1]);
}

/* ASCII is looked at without ICU. It has to come to the same. */
static void ascii_looks_as_icu_has_it(void **state)
{
	UErrorCode e = U_ZERO_ERROR;
	USpoofChecker *checker = uspoof_open(&e);

	(void)state;
	for (UChar c = 0x21; c < 0x7f; c++) {
		/* Whatever looks like this character does so in a nick of which the rest is not ASCII. */
		UChar skeleton[8];
		char a[8], b[32];
		int32_t n = uspoof_getSkeleton(checker, 0, &c, 1, skeleton, 8, &e), bytes;
		u_strToUTF8(a, sizeof(a), NULL, &c, 1, &e);
		u_strToUTF8(b, sizeof(b), &bytes, skeleton, n, &e);
		assert_true(U_SUCCESS(e));
		if (!nick_same(a, 1, b, (size_t)bytes))
			fail_msg("%s doesn't look like %s", a, b);
		struct nick_keys keys = nick_keys(a, 1);
		assert_int_equal(keys.at[0], keys.at[1]);
	}
	uspoof_close(checker);
}

/* The letters of Cyrillic that look like these, between each two of ASCII. */
static void mixtures_look_like_ascii(void **state)
{
	(void)state;
	for (char c = 0x21; c < 0x7f; c++) {
		char a[8], b[8];
		snprintf(a, sizeof(a), "a%cp", c);
		snprintf(b, sizeof(b), "а%cр", c);
		if (!same(a, b))
			fail_msg("%s and %s differ", a, b);
	}
}

static void guests(void **state)
{
	static const char *const yes[] = {"guest1",
					  "GUEST20",
					  "guestl7",
					  "guesti7",
					  "gue"
					  "ѕt5",
					  "guest"
					  "１"
					  "9"};
	static const char *const no[] = {"guest",   "guest0", "guests", "guest7x",
					 "xguest7", "gast7",  "guest-7"};

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (!nick_is_guest(yes[i], strlen(yes[i])))
			fail_msg("%s is no guest", yes[i]);
	for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
		if (nick_is_guest(no[i], strlen(no[i])) || nick_is_guest_of_node(no[i], strlen(no[i])))
			fail_msg("%s is a guest", no[i]);
}

static void guests_of_nodes(void **state)
{
	static const char *const yes[] = {"guest1", "guest12-a", "GUEST1-node_7",
					  "gue"
					  "ѕt5-b"};
	char a[TEXT_NICK_MAX + 1], b[TEXT_NICK_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
		if (!nick_is_guest_of_node(yes[i], strlen(yes[i])))
			fail_msg("%s is no guest", yes[i]);
	assert_false(nick_is_guest(yes[1], strlen(yes[1])));
	assert_int_equal(nick_of_guest(12, NULL, a), 7);
	assert_string_equal(a, "guest12");
	assert_int_equal(nick_of_guest(12, "sixteen-letters_", a), 24);
	assert_string_equal(a, "guest12-sixteen-letters_");
	/* What doesn't fit is told apart all the same. */
	size_t n = nick_of_guest(1234567890, "a-long-name-of-a-node-number-001", a);
	size_t m = nick_of_guest(1234567890, "a-long-name-of-a-node-number-002", b);
	assert_int_equal(n, strlen(a));
	assert_int_equal(n, TEXT_NICK_MAX);
	assert_int_equal(m, n);
	assert_string_not_equal(a, b);
	assert_true(nick_is_guest_of_node(a, n) && nick_valid(a, n));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(valid_nicks_are_kept_as_they_are),
	    cmocka_unit_test(what_was_typed_is_normalised),
	    cmocka_unit_test(what_can_be_no_nick),
	    cmocka_unit_test(the_very_name_is_more_than_a_look),
	    cmocka_unit_test(what_looks_alike_is_the_same),
	    cmocka_unit_test(ascii_looks_as_icu_has_it),
	    cmocka_unit_test(mixtures_look_like_ascii),
	    cmocka_unit_test(guests),
	    cmocka_unit_test(guests_of_nodes),
	};

	return cmocka_run_group_tests_name("nick", tests, NULL, NULL);
}
