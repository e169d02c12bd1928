/* SPDX-License-Identifier: MIT */
/* Messages of SASL: their chunks, and what PLAIN's say. */
#include "tests/unit/unit.h"

#include "daemon/irc/sasl.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void mechanisms(void **state)
{
	char list[IRC_SASL_LIST_MAX];

	(void)state;
	assert_int_equal(irc_sasl_find("PLAIN", 5), IRC_SASL_PLAIN);
	assert_int_equal(irc_sasl_find("plain", 5), IRC_SASL_PLAIN);
	assert_int_equal(irc_sasl_find("PLAINX", 5), IRC_SASL_PLAIN);
	assert_int_equal(irc_sasl_find("PLAINX", 6), IRC_SASL_NONE);
	assert_int_equal(irc_sasl_find("PLAI", 4), IRC_SASL_NONE);
	assert_int_equal(irc_sasl_find("", 0), IRC_SASL_NONE);
	assert_int_equal(irc_sasl_find("scram-sha-256", 13), IRC_SASL_SCRAM);
	assert_int_equal(irc_sasl_find("SCRAM-SHA-256-PLUS", 18), IRC_SASL_NONE);
	assert_string_equal(irc_sasl_list(false, list), "PLAIN,SCRAM-SHA-256");
	assert_string_equal(irc_sasl_list(true, list), "PLAIN,EXTERNAL,SCRAM-SHA-256");
}

static void chunks(void **state)
{
	struct irc_sasl s = {.mechanism = IRC_SASL_PLAIN};
	char chunk[IRC_SASL_CHUNK + 1], message[IRC_SASL_MESSAGE_MAX];
	size_t n;

	(void)state;
	memset(chunk, 'A', sizeof(chunk));
	assert_int_equal(irc_sasl_add(&s, chunk, IRC_SASL_CHUNK + 1), -EMSGSIZE);
	/* Four whole ones, and the rest of the longest message; nothing goes beyond it. */
	for (unsigned i = 0; i < IRC_SASL_DATA_MAX / IRC_SASL_CHUNK; i++)
		assert_int_equal(irc_sasl_add(&s, chunk, IRC_SASL_CHUNK), -EAGAIN);
	assert_int_equal(irc_sasl_add(&s, chunk, IRC_SASL_DATA_MAX % IRC_SASL_CHUNK + 1), -EFBIG);
	assert_int_equal(irc_sasl_add(&s, chunk, IRC_SASL_DATA_MAX % IRC_SASL_CHUNK), 0);
	assert_int_equal(s.len, IRC_SASL_DATA_MAX);
	assert_int_equal(irc_sasl_take(&s, message, &n), 0);
	assert_int_equal(n, IRC_SASL_MESSAGE_MAX);
	assert_int_equal(s.len, 0);
	/* One that is as long as a chunk ends with "+", which alone is an empty message. */
	assert_int_equal(irc_sasl_add(&s, chunk, IRC_SASL_CHUNK), -EAGAIN);
	assert_int_equal(irc_sasl_add(&s, "+", 1), 0);
	assert_int_equal(irc_sasl_take(&s, message, &n), 0);
	assert_int_equal(n, IRC_SASL_CHUNK / 4 * 3);
	assert_int_equal(irc_sasl_add(&s, "+", 1), 0);
	assert_int_equal(irc_sasl_take(&s, message, &n), 0);
	assert_int_equal(n, 0);
	assert_int_equal(irc_sasl_add(&s, "!!!", 3), 0);
	assert_int_equal(irc_sasl_take(&s, message, &n), -EBADMSG);
	assert_int_equal(irc_sasl_add(&s, "AAA", 3), 0);
	assert_int_equal(irc_sasl_take(&s, message, &n), -EBADMSG);
	assert_int_equal(s.len, 0);
}

static void plain(void **state)
{
	struct irc_sasl_plain p;
	char text[ACCOUNTS_PASSWORD_MAX + 8];
	static const struct {
		const char *at;
		size_t len;
	} wrong[] = {{"", 0},	   {"a", 1},	     {"\0", 1},		{"a\0b", 3},  {"\0b\0", 3},
		     {"\0\0c", 3}, {"a\0b\0c\0", 6}, {"a\0b\0c\0d", 7}, {"a\0\0c", 4}};

	(void)state;
	assert_int_equal(irc_sasl_plain("bob\0ann\0a b", 11, &p), 0);
	assert_int_equal(p.as_len, 3);
	assert_memory_equal(p.as, "bob", 3);
	assert_int_equal(p.name_len, 3);
	assert_memory_equal(p.name, "ann", 3);
	assert_int_equal(p.password_len, 3);
	assert_memory_equal(p.password, "a b", 3);
	assert_int_equal(irc_sasl_plain("\0ann\0x", 6, &p), 0);
	assert_int_equal(p.as_len, 0);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
		assert_int_equal(irc_sasl_plain(wrong[i].at, wrong[i].len, &p), -EBADMSG);
	memset(text, 'x', sizeof(text));
	text[1] = text[3] = '\0';
	assert_int_equal(irc_sasl_plain(text, 4 + ACCOUNTS_PASSWORD_MAX, &p), 0);
	assert_int_equal(irc_sasl_plain(text, 5 + ACCOUNTS_PASSWORD_MAX, &p), -EBADMSG);
}

/* What the memory of the process before has is believed only as far as it adds up. */
static void blobs(void **state)
{
	struct irc_sasl s = {.mechanism = IRC_SASL_SCRAM, .step = IRC_SASL_FINAL, .len = 3}, bad = s;

	(void)state;
	assert_true(irc_sasl_is_good(&s, irc_sasl_size(&s)));
	assert_false(irc_sasl_is_good(&s, irc_sasl_size(&s) - 1));
	assert_false(irc_sasl_is_good(&s, 0));
	bad.mechanism = IRC_SASL_MECHANISMS;
	assert_false(irc_sasl_is_good(&bad, irc_sasl_size(&bad)));
	bad = s;
	bad.step = IRC_SASL_STEPS;
	assert_false(irc_sasl_is_good(&bad, irc_sasl_size(&bad)));
	bad = s;
	bad.len = IRC_SASL_DATA_MAX + 1;
	assert_false(irc_sasl_is_good(&bad, irc_sasl_size(&bad)));
	bad = s;
	bad.first_len = sizeof(bad.first) + 1;
	assert_false(irc_sasl_is_good(&bad, irc_sasl_size(&bad)));
	bad = s;
	memset(bad.nonce, 'x', sizeof(bad.nonce));
	assert_false(irc_sasl_is_good(&bad, irc_sasl_size(&bad)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(mechanisms),
	    cmocka_unit_test(chunks),
	    cmocka_unit_test(plain),
	    cmocka_unit_test(blobs),
	};

	return cmocka_run_group_tests_name("sasl", tests, NULL, NULL);
}
