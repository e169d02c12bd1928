/* SPDX-License-Identifier: MIT */
/* Accounts that came after the configuration: who finds them, and when they are late no more. */
#include "tests/unit/unit.h"

#include "daemon/engine/late_accounts.h"

#include <stdlib.h>
#include <string.h>

#define HASH "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub"

static struct accounts accounts_of(const char *line)
{
	struct accounts a;
	char text[256];

	snprintf(text, sizeof(text), "%s", line);
	assert_int_equal(accounts_parse(text, "f", stderr, NULL, &a), 0);
	return a;
}

static void count(const char *nick, void *arg)
{
	assert_string_equal(nick, "Ann");
	(*(unsigned *)arg)++;
}

static void they_are_there_until_a_reload(void **state)
{
	struct listener_config listeners[] = {{.password_file = (char *)"/a"},
					      {.password_file = (char *)"/b"}};
	struct config c = {.listeners = listeners, .n_listeners = 2};
	struct account ann = {.nick = "Ann", .hash = HASH}, found;
	struct late_accounts *la = late_accounts_new();
	unsigned n = 0, version = late_accounts_version(la);

	(void)state;
	listeners[0].accounts = accounts_of("bob:" HASH "\n");
	assert_int_equal(late_accounts_add(la, "/a", &ann), 0);
	assert_int_not_equal(late_accounts_version(la), version);
	assert_true(late_accounts_find(la, &listeners[0], "ANNx", 3, &found));
	assert_string_equal(found.nick, "Ann");
	assert_string_equal(found.hash, HASH);
	assert_true(late_accounts_find(la, &listeners[0], "bob", 3, &found));
	assert_string_equal(found.nick, "bob");
	/* It is of that file only. */
	assert_false(late_accounts_find(la, &listeners[1], "ann", 3, &found));
	assert_false(late_accounts_find(la, NULL, "ann", 3, &found));
	assert_true(late_accounts_has(la, &c, "ann", 3));
	assert_true(late_accounts_has(la, &c, "bob", 3));
	assert_false(late_accounts_has(la, &c, "carol", 5));
	late_accounts_each(la, count, &n);
	assert_int_equal(n, 1);
	/* One that was made while the file was read is late still. */
	late_accounts_settle(la, &c);
	assert_true(late_accounts_find(la, &listeners[0], "ann", 3, &found));
	accounts_free(&listeners[0].accounts);
	listeners[0].accounts = accounts_of("ann:" HASH "x\n");
	late_accounts_settle(la, &c);
	late_accounts_each(la, count, &n);
	assert_int_equal(n, 1);
	assert_true(late_accounts_find(la, &listeners[0], "ann", 3, &found));
	assert_string_equal(found.hash, HASH "x");
	/* Whose file is nobody's any more is no account. */
	assert_int_equal(late_accounts_add(la, "/gone", &ann), 0);
	late_accounts_settle(la, &c);
	late_accounts_each(la, count, &n);
	assert_int_equal(n, 1);
	accounts_free(&listeners[0].accounts);
	late_accounts_free(la);
}

static void there_may_be_none(void **state)
{
	struct listener_config l = {.password_file = (char *)"/a"};
	struct config c = {.listeners = &l, .n_listeners = 1};
	struct account found;

	(void)state;
	late_accounts_settle(NULL, &c);
	late_accounts_each(NULL, count, NULL);
	assert_int_equal(late_accounts_version(NULL), 0);
	assert_false(late_accounts_find(NULL, &l, "ann", 3, &found));
	assert_false(late_accounts_has(NULL, &c, "ann", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(they_are_there_until_a_reload),
	    cmocka_unit_test(there_may_be_none),
	};

	return cmocka_run_group_tests_name("late accounts", tests, NULL, NULL);
}
