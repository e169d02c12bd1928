/* SPDX-License-Identifier: MIT */
/* The file of cursors: what was written is read again, and nothing else. */
#include "tests/unit/unit.h"

#include "daemon/webhooks/cursors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct cursors two = {
    .at = {{"ops", "lobby", 0x64a1f0c2b3d4e, UINT64_MAX, 1764252000987654, CURSOR_LEFT_UNKNOWN},
	   {"a.b-c_d", "den", 0, 0, 0, 12}},
    .n = 2};

static void assert_same(const struct cursors *a, const struct cursors *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_string_equal(a->at[i].name, b->at[i].name);
		assert_string_equal(a->at[i].room, b->at[i].room);
		assert_int_equal(a->at[i].epoch, b->at[i].epoch);
		assert_int_equal(a->at[i].next, b->at[i].next);
		assert_int_equal(a->at[i].time_us, b->at[i].time_us);
		assert_int_equal(a->at[i].left, b->at[i].left);
	}
}

static void what_was_written_is_read(void **state)
{
	static struct cursors none, got;
	size_t len;
	char *text = cursors_format(&two, &len);

	(void)state;
	assert_string_equal(text, "chatd webhooks 1\n"
				  "ops lobby 64a1f0c2b3d4e 18446744073709551615 1764252000987654 -\n"
				  "a.b-c_d den 0 0 0 12\n");
	assert_int_equal(len, strlen(text));
	assert_int_equal(cursors_parse(text, &got), 0);
	assert_same(&got, &two);
	free(text);
	text = cursors_format(&none, &len);
	assert_int_equal(cursors_parse(text, &got), 0);
	assert_int_equal(got.n, 0);
	free(text);
}

static void nothing_else_is(void **state)
{
	static const char *const texts[] = {"",
					    "chatd webhooks 1",
					    "chatd webhooks 2\n",
					    "chatd webhooks 1\nops lobby 1 2 3 -",
					    "chatd webhooks 1\nops lobby 1 2 3\n",
					    "chatd webhooks 1\nops lobby 1 2 3 - 4\n",
					    "chatd webhooks 1\nops lobby 1 2 3 x\n",
					    "chatd webhooks 1\nops lobby 1 -2 3 -\n",
					    "chatd webhooks 1\nops lobby 1 2x 3 -\n",
					    "chatd webhooks 1\nops lobby 1 18446744073709551616 3 -\n",
					    "chatd webhooks 1\nops lobby 0x1 2 3 -\n",
					    "chatd webhooks 1\nops lo/bby 1 2 3 -\n",
					    "chatd webhooks 1\n lobby 1 2 3 -\n",
					    "chatd webhooks 1\n\nops lobby 1 2 3 -\n"};
	static struct cursors got;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		char *text = strdup(texts[i]);
		assert_int_equal(cursors_parse(text, &got), -EBADMSG);
		assert_int_equal(got.n, 0);
		free(text);
	}
}

static void more_than_there_can_be_is_refused(void **state)
{
	static struct cursors got;
	char *text;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	fputs("chatd webhooks 1\n", f);
	for (int i = 0; i <= WEBHOOKS_MAX; i++)
		fprintf(f, "w%d lobby 1 2 3 -\n", i);
	fclose(f);
	assert_int_equal(cursors_parse(text, &got), -EBADMSG);
	free(text);
}

static void files(void **state)
{
	static struct cursors got;
	char path[] = "/tmp/chatd-cursors-XXXXXX";

	(void)state;
	close(mkstemp(path));
	assert_int_equal(cursors_load(path, &got), -EBADMSG);
	assert_int_equal(cursors_save(path, &two), 0);
	assert_int_equal(cursors_load(path, &got), 0);
	assert_same(&got, &two);
	unlink(path);
	assert_int_equal(cursors_load(path, &got), -ENOENT);
	assert_int_equal(cursors_save("/nowhere/at/all", &two), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(what_was_written_is_read),
	    cmocka_unit_test(nothing_else_is),
	    cmocka_unit_test(more_than_there_can_be_is_refused),
	    cmocka_unit_test(files),
	};

	return cmocka_run_group_tests_name("cursors", tests, NULL, NULL);
}
