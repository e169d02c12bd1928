/* SPDX-License-Identifier: MIT */
/* Files of accounts. */
#include "tests/unit/unit.h"

#include "common/accounts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$RdescudvJCsgt3ub"

static void account_files(void **state)
{
	char text[] = "# c\n\nbob:" HASH "1\r\nAlice:" HASH "2", none[] = "alice:x\n:" HASH "\nnothing\n",
	     *out = NULL;
	struct accounts a;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	(void)state;
	assert_int_equal(accounts_parse(text, "f", f, NULL, &a), 0);
	assert_int_equal(a.n, 2);
	assert_string_equal(accounts_find(&a, "ALICE", 5)->hash, HASH "2");
	assert_string_equal(accounts_find(&a, "bobx", 3)->hash, HASH "1");
	assert_null(accounts_find(&a, "bobx", 4));
	accounts_free(&a);
	assert_int_equal(accounts_parse(none, "f", f, NULL, &a), -EINVAL);
	fclose(f);
	assert_non_null(strstr(out, "f:1: "));
	assert_non_null(strstr(out, "f:2: "));
	assert_non_null(strstr(out, "f:3: "));
	free(out);
}

static void accounts_are_changed(void **state)
{
	char path[] = "/tmp/chatd-accounts-XXXXXX", alike[TEXT_NICK_MAX + 1];
	struct accounts a;
	struct stat st;

	(void)state;
	close(mkstemp(path));
	unlink(path);
	assert_int_equal(accounts_change(path, "alice", NULL, -1, alike), -ENOENT);
	assert_int_equal(accounts_change(path, "alice", HASH, -1, alike), 0);
	assert_int_equal(accounts_change(path, "alicia", HASH, -1, alike), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(accounts_change(path, "ALICE", HASH "x", -1, alike), 0);
	assert_int_equal(accounts_load(path, stderr, NULL, &a), 0);
	assert_int_equal(a.n, 2);
	assert_string_equal(accounts_find(&a, "alice", 5)->hash, HASH "x");
	accounts_free(&a);
	assert_int_equal(accounts_change(path, "alicia", NULL, -1, alike), 0);
	assert_int_equal(accounts_change(path, "alicia", NULL, -1, alike), -ENOENT);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(account_files),
	    cmocka_unit_test(accounts_are_changed),
	};

	return cmocka_run_group_tests_name("accounts", tests, NULL, NULL);
}
