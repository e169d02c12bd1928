/* SPDX-License-Identifier: MIT */
/* Up to when people have read. */
#include "tests/unit/irc/kept.h"

#include "daemon/irc/markers.h"

#define T 1700000000000000ULL

static void raised(void **state)
{
	struct kept *k = *state;

	assert_int_equal(irc_marker_get(k->irc->markers, "a:ann", "#x"), 0);
	assert_true(irc_marker_raise(k->irc->markers, "a:ann", "#x", T) == T);
	assert_true(irc_marker_raise(k->irc->markers, "a:ann", "#x", T - 1) == T);
	assert_true(irc_marker_raise(k->irc->markers, "a:ann", "bob", T + 7) == T + 7);
	for (unsigned i = 0; i < 2; i++, kept_crash(k)) {
		assert_true(irc_marker_get(k->irc->markers, "a:ann", "#x") == T);
		assert_true(irc_marker_get(k->irc->markers, "a:ann", "bob") == T + 7);
		assert_int_equal(irc_marker_get(k->irc->markers, "a:ann", "#y"), 0);
		assert_int_equal(irc_marker_get(k->irc->markers, "n:ann", "#x"), 0);
	}
	assert_true(irc_marker_raise(k->irc->markers, "a:ann", "#x", T + 1) == T + 1);
}

/* Clients that are all gone take no marker with them. */
static void stay_without_clients(void **state)
{
	struct kept *k = *state;

	irc_marker_raise(k->irc->markers, "a:ann", "#x", T);
	assert_int_equal(kept_crash_to(k, true), 0);
	assert_true(irc_marker_get(k->irc->markers, "a:ann", "#x") == T);
}

/* Somebody who has very many loses the oldest of them, and nobody else any. */
static void one_has_too_many(void **state)
{
	struct kept *k = *state;
	char name[32];

	/* Who has the same share is a matter of the key. */
	memset(k->irc->file->header.marker_key, 7, sizeof(k->irc->file->header.marker_key));
	irc_marker_raise(k->irc->markers, "a:ann", "#x", T);
	for (unsigned i = 0; i < 2 * IRC_MARKERS; i++) {
		snprintf(name, sizeof(name), "#%u", i);
		irc_marker_raise(k->irc->markers, "a:mal", name, T);
	}
	unsigned left = 0;
	for (unsigned i = 0; i < 2 * IRC_MARKERS; i++) {
		snprintf(name, sizeof(name), "#%u", i);
		left += irc_marker_get(k->irc->markers, "a:mal", name) == T;
	}
	assert_int_equal(left, IRC_MARKERS);
	assert_true(irc_marker_get(k->irc->markers, "a:mal", name) == T);
	assert_true(irc_marker_get(k->irc->markers, "a:ann", "#x") == T);
}

static void what_is_damaged(void **state)
{
	struct kept *k = *state;
	struct irc_marker_place *all = &k->irc->file->markers[0][0];

	irc_marker_raise(k->irc->markers, "a:ann", "#x", T);
	for (size_t i = 0; i < (size_t)IRC_MARKER_SHARES * IRC_MARKERS; i++)
		if (all[i].us == T)
			all[i].us = T + 1000;
	kept_crash(k);
	assert_int_equal(irc_marker_get(k->irc->markers, "a:ann", "#x"), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(raised, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(stay_without_clients, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(one_has_too_many, kept_setup, kept_teardown),
	    cmocka_unit_test_setup_teardown(what_is_damaged, kept_setup, kept_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
