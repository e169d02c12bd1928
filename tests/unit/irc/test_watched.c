/* SPDX-License-Identifier: MIT */
/* Whom clients watch: the list of one, as it is kept, and the table of all. */
#include "daemon/irc/watched.h"
#include "daemon/irc/watchers.h"
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct irc_watched_nick *add(struct irc_watched *w, const char *nick)
{
	return irc_watched_add(w, nick, strlen(nick));
}

static bool drop(struct irc_watched *w, const char *nick)
{
	return irc_watched_remove(w, nick, strlen(nick));
}

static struct irc_watched kept(const struct irc_watched *w)
{
	char data[IRC_BLOB_MONITOR_MAX];
	struct irc_watched ret;

	assert_true(irc_watched_unpack(data, irc_watched_pack(w, data), &ret));
	return ret;
}

static void is_kept(void **state)
{
	struct irc_watched w = {0}, same;

	(void)state;
	assert_int_equal(kept(&w).n, 0);
	add(&w, "ann")->is_here = true;
	add(&w, "bob");
	add(&w, "12345678901234567890123456789012");
	same = kept(&w);
	assert_int_equal(same.n, 3);
	for (size_t i = 0; i < w.n; i++) {
		assert_int_equal(same.at[i].len, w.at[i].len);
		assert_memory_equal(same.at[i].nick, w.at[i].nick, w.at[i].len);
		assert_int_equal(same.at[i].is_here, i == 0);
	}
}

static void each_nick_once(void **state)
{
	struct irc_watched w = {0};

	(void)state;
	add(&w, "ann");
	add(&w, "bob");
	assert_ptr_equal(add(&w, "ANN"), &w.at[0]);
	assert_int_equal(w.n, 2);
	/* A Cyrillic o: it looks like bob. */
	assert_null(irc_watched_find(&w,
				     "b\xd0\xbe"
				     "b",
				     4));
	assert_false(drop(&w, "carl"));
	assert_true(drop(&w, "Ann"));
	assert_int_equal(w.n, 1);
	assert_memory_equal(w.at[0].nick, "bob", 3);
}

static void as_many_as_fit(void **state)
{
	struct irc_watched w = {0};
	char nick[TEXT_NICK_MAX + 1];

	(void)state;
	for (int i = 0; i < IRC_WATCHED_MAX; i++) {
		snprintf(nick, sizeof(nick), "%032d", i);
		assert_non_null(add(&w, nick));
	}
	assert_null(add(&w, "more"));
	assert_non_null(add(&w, nick));
	assert_int_equal(kept(&w).n, IRC_WATCHED_MAX);
	assert_true(drop(&w, nick));
	assert_non_null(add(&w, "more"));
}

static void what_is_damaged(void **state)
{
	static const struct {
		const char *data;
		size_t len;
	} bad[] = {{"\x03"
		    "an",
		    3},
		   {"\0", 1},
		   {"\x80", 1},
		   {"\x03"
		    "ann\x21"
		    "123456789012345678901234567890123",
		    38}};
	char many[2 * (IRC_WATCHED_MAX + 1)];
	struct irc_watched w;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_false(irc_watched_unpack(bad[i].data, bad[i].len, &w));
		assert_int_equal(w.n, 0);
	}
	for (size_t i = 0; i < sizeof(many); i += 2)
		memcpy(many + i, "\x01x", 2);
	assert_false(irc_watched_unpack(many, sizeof(many), &w));
	assert_true(irc_watched_unpack(many, sizeof(many) - 2, &w));
}

static size_t watching(struct irc_watchers *ws, const char *nick, uint64_t *ret_sum)
{
	struct irc_watcher *who;
	size_t n = irc_watchers_find(ws, nick, strlen(nick), &who);

	*ret_sum = 0;
	for (size_t i = 0; i < n; i++)
		*ret_sum += who[i].id * who[i].index;
	free(who);
	return n;
}

static void who_watches(void **state)
{
	const struct irc_watcher one = {.id = 7, .index = 2}, two = {.id = 100, .index = 3};
	struct irc_watchers *ws;
	uint64_t sum;

	(void)state;
	assert_int_equal(irc_watchers_new(&ws), 0);
	assert_int_equal(watching(ws, "ann", &sum), 0);
	for (int i = 0; i < 2; i++) { /* the second time changes nothing */
		assert_true(irc_watchers_add(ws, "ann", 3, &one));
		assert_true(irc_watchers_add(ws, "Ann", 3, &two));
		assert_true(irc_watchers_add(ws, "bob", 3, &two));
		assert_int_equal(watching(ws, "aNN", &sum), 2);
		assert_int_equal(sum, 314);
	}
	assert_int_equal(watching(ws, "\xd0\xb0nn", &sum), 0); /* it only looks like that */
	irc_watchers_remove(ws, "ANN", 3, &one);
	irc_watchers_remove(ws, "ANN", 3, &one);
	assert_int_equal(watching(ws, "ann", &sum), 1);
	assert_int_equal(sum, 300);
	irc_watchers_remove(ws, "ann", 3, &two);
	assert_int_equal(watching(ws, "ann", &sum), 0);
	assert_int_equal(watching(ws, "bob", &sum), 1);
	irc_watchers_free(ws);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(is_kept),	      cmocka_unit_test(each_nick_once),
	    cmocka_unit_test(as_many_as_fit), cmocka_unit_test(what_is_damaged),
	    cmocka_unit_test(who_watches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
