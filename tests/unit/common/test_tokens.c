/* SPDX-License-Identifier: MIT */
/* Files of tokens, and tokens. */
#include "tests/unit/unit.h"

#include "common/tokens.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HASH "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"

static void token_files(void **state)
{
	char text[] = "# c\n\nbot:" HASH ":ops=read,speak lobby=read\r\nReader:" HASH ":*=read ops=speak";
	struct tokens t;

	(void)state;
	assert_int_equal(tokens_parse(text, "f", stderr, &t), 0);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.at[0].name, "bot");
	assert_string_equal(t.at[1].name, "Reader");
	assert_int_equal(t.at[1].line, 4);
	assert_true(token_may(&t.at[0], "ops", TOKEN_READ | TOKEN_SPEAK));
	assert_true(token_may(&t.at[0], "lobby", TOKEN_READ));
	assert_false(token_may(&t.at[0], "lobby", TOKEN_SPEAK));
	assert_false(token_may(&t.at[0], "lobby", TOKEN_READ | TOKEN_SPEAK));
	assert_false(token_may(&t.at[0], "other", TOKEN_READ));
	assert_false(token_may(&t.at[0], "*", TOKEN_READ));
	assert_true(token_may(&t.at[1], "*", TOKEN_READ));
	assert_true(token_may(&t.at[1], "ops", TOKEN_READ | TOKEN_SPEAK));
	assert_false(token_may(&t.at[1], "lobby", TOKEN_SPEAK));
	tokens_free(&t);
}

static void what_is_wrong_in_a_file(void **state)
{
	static const char *const lines[] = {"bot",
					    "bot:" HASH,
					    "bot:" HASH ":",
					    "bot:" HASH ":ops",
					    "bot:" HASH ":ops=",
					    "bot:" HASH ":ops=write",
					    "bot:" HASH ":ops=read,",
					    "bot:" HASH ":a/b=read",
					    "bot:" HASH ":=read",
					    "bot:" HASH "A:ops=read",
					    "bot:" HASH "=:ops=read",
					    "bot:short:ops=read",
					    "b t:" HASH ":ops=read",
					    "admin:" HASH ":ops=read",
					    "guest7:" HASH ":ops=read",
					    "bot:" HASH ":ops=read\nBOT:" HASH ":ops=read",
					    ":" HASH ":ops=read"};
	FILE *f = fopen("/dev/null", "w");

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++) {
		char *text = strdup(lines[i]);
		struct tokens t;
		assert_int_equal(tokens_parse(text, "f", f, &t), -EINVAL);
		assert_int_equal(t.n, 0);
		free(text);
	}
	fclose(f);
}

static void tokens_are_made_and_found(void **state)
{
	char a[TOKEN_TEXT_SIZE], b[TOKEN_TEXT_SIZE], hash_a[TOKEN_HASH_SIZE], hash_b[TOKEN_HASH_SIZE],
	    text[256];
	struct tokens t;

	(void)state;
	token_make(a, hash_a);
	token_make(b, hash_b);
	assert_string_not_equal(a, b);
	assert_int_equal(strlen(a), TOKEN_TEXT_SIZE - 1);
	assert_int_equal(strncmp(a, "chatd_", 6), 0);
	snprintf(text, sizeof(text), "x:%s:*=read\ny:%s:*=read\n", hash_a, hash_b);
	assert_int_equal(tokens_parse(text, "f", stderr, &t), 0);
	assert_string_equal(tokens_find(&t, a, strlen(a))->name, "x");
	assert_string_equal(tokens_find(&t, b, strlen(b))->name, "y");
	assert_null(tokens_find(&t, a, strlen(a) - 1));
	assert_null(tokens_find(&t, hash_a, strlen(hash_a)));
	b[TOKEN_TEXT_SIZE - 2] ^= 1;
	assert_null(tokens_find(&t, b, strlen(b)));
	tokens_free(&t);
}

static void token_files_are_changed(void **state)
{
	char path[] = "/tmp/chatd-tokens-XXXXXX", alike[TEXT_NICK_MAX + 1] = "";
	struct tokens t;
	struct stat st;

	(void)state;
	close(mkstemp(path));
	unlink(path);
	assert_int_equal(tokens_change(path, "bot", NULL, -1, alike), -ENOENT);
	assert_int_equal(tokens_change(path, "bot", "bot:" HASH ":*=read", -1, alike), 0);
	assert_int_equal(tokens_change(path, "cat", "cat:" HASH ":ops=speak", -1, alike), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	assert_int_equal(tokens_change(path, "B0T", "B0T:" HASH ":*=read", -1, alike), -EEXIST);
	assert_string_equal(alike, "bot");
	assert_int_equal(tokens_change(path, "b0t", NULL, -1, alike), -ENOENT); /* it only looks like it */
	assert_int_equal(tokens_change(path, "BOT", NULL, -1, alike), 0);
	assert_int_equal(tokens_load(path, stderr, &t), 0);
	assert_int_equal(t.n, 1);
	assert_string_equal(t.at[0].name, "cat");
	tokens_free(&t);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(token_files),
	    cmocka_unit_test(what_is_wrong_in_a_file),
	    cmocka_unit_test(tokens_are_made_and_found),
	    cmocka_unit_test(token_files_are_changed),
	};

	return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
