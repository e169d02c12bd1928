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

#define VERIFIER                                                                                             \
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"          \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

/* An account may have a verifier behind its hash, and files of earlier releases have none. */
static void account_verifiers(void **state)
{
	char text[] = "bob:" HASH ":" VERIFIER "\nalice:" HASH "\n", wrong[] = "a:" HASH "\nb:" HASH ":\n",
	     wrong2[] = "b:" HASH ":" VERIFIER ":x\n", secret[ACCOUNTS_SECRET_MAX],
	     line[ACCOUNTS_SECRET_MAX + 8], *out = NULL;
	struct accounts a;
	size_t size;
	FILE *f = open_memstream(&out, &size);

	(void)state;
	assert_int_equal(accounts_parse(text, "f", f, NULL, &a), 0);
	assert_string_equal(accounts_find(&a, "bob", 3)->hash, HASH);
	assert_int_equal(accounts_find(&a, "bob", 3)->scram.iterations, 4096);
	assert_int_equal(accounts_find(&a, "alice", 5)->scram.iterations, 0);
	accounts_free(&a);
	assert_int_equal(accounts_parse(wrong, "f", f, NULL, &a), -EINVAL);
	assert_int_equal(accounts_parse(wrong2, "g", f, NULL, &a), -EINVAL);
	/* What is made is what is read. */
	assert_true(accounts_secret_make("pencil", 6, true, secret));
	snprintf(line, sizeof(line), "carol:%s\n", secret);
	assert_int_equal(accounts_parse(line, "f", f, NULL, &a), 0);
	assert_int_equal(a.at[0].scram.iterations, SCRAM_ITERATIONS);
	accounts_free(&a);
	assert_true(accounts_secret_make("pencil", 6, false, secret));
	assert_null(strchr(secret, ':'));
	fclose(f);
	assert_non_null(strstr(out, "f:2: what follows the hash isn't a verifier"));
	assert_non_null(strstr(out, "g:1: what follows the hash isn't a verifier"));
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
	/* One that is there, or looks like it, is not made anew. */
	assert_int_equal(accounts_add(path, "Alice", HASH "y", -1, alike), -EEXIST);
	assert_int_equal(accounts_add(path, "a1ice", HASH "y", -1, alike), -ENOTUNIQ);
	assert_int_equal(accounts_add(path, "carol", HASH "y", -1, alike), 0);
	assert_int_equal(accounts_load(path, stderr, NULL, &a), 0);
	assert_int_equal(a.n, 3);
	assert_string_equal(accounts_find(&a, "alice", 5)->hash, HASH "x");
	assert_string_equal(accounts_find(&a, "carol", 5)->hash, HASH "y");
	accounts_free(&a);
	assert_int_equal(accounts_change(path, "alicia", NULL, -1, alike), 0);
	assert_int_equal(accounts_change(path, "alicia", NULL, -1, alike), -ENOENT);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(account_files),
	    cmocka_unit_test(account_verifiers),
	    cmocka_unit_test(accounts_are_changed),
	};

	return cmocka_run_group_tests_name("accounts", tests, NULL, NULL);
}
