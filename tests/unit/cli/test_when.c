/* SPDX-License-Identifier: MIT */
/* Points in time as people write them: each form, what is nearly one, and days that have 23 or 25 hours. */
#include "tests/unit/unit.h"

#include "cli/when.c"

/* 2026-11-27 02:15:30 UTC. */
#define NOW 1795745730

static double parse_at(const char *text, time_t now)
{
	double at;

	if (!when_parse(text, now, &at))
		fail_msg("\"%s\" is not understood", text);
	return at;
}

static void is(const char *text, double expected)
{
	double at = parse_at(text, NOW);

	if (at != expected)
		fail_msg("\"%s\" is %f, not %f", text, at, expected);
}

static void in_zone(const char *zone)
{
	setenv("TZ", zone, 1);
	tzset();
}

static void so_long_ago(void **state)
{
	(void)state;
	is("90s", NOW - 90);
	is("10m", NOW - 600);
	is("2h", NOW - 7200);
	is("-2h", NOW - 7200);
	is("2h ago", NOW - 7200);
	is("1.5h", NOW - 5400);
	is("7d", NOW - 7 * 86400);
	is("3w ago", NOW - 21 * 86400);
	is("0s", NOW);
}

static void words_and_clocks(void **state)
{
	(void)state;
	is("now", NOW);
	is("today", NOW - 2 * 3600 - 15 * 60 - 30);
	is("yesterday", NOW - 26 * 3600 - 15 * 60 - 30);
	is("02:15", NOW - 30);
	is("2:15", NOW - 30);
	is("02:15:31", NOW + 1);
	is("00:00", parse_at("today", NOW));
}

static void dates(void **state)
{
	(void)state;
	is("2026-11-27", parse_at("today", NOW));
	is("2026-11-27 02:15", NOW - 30);
	is("2026-11-27 02:15:30", NOW);
	is("2026-11-27T02:15:30", NOW);
	is("2026-11-27T02:15:30Z", NOW);
	is("2026-11-27T02:15:30.5Z", NOW + 0.5);
	is("2026-11-27T03:15:30+01:00", NOW);
	is("2026-11-26T18:45:30-07:30", NOW);
	is("2024-02-29 00:00", 1709164800);
	is("@1700000000", 1700000000);
	is("@1700000000.25", 1700000000.25);
}

static void nothing_of_these(void **state)
{
	static const char *const wrong[] = {
	    "",
	    "h",
	    "2",
	    "2x",
	    "2h later",
	    "-",
	    "--2h",
	    "tomorrow",
	    "24:00",
	    "12:60",
	    "12:30:60",
	    "12",
	    "12:3x",
	    "2026-13-01",
	    "2026-11-31",
	    "2026-02-29",
	    "2026-11-27 ",
	    "2026-11-27 25:00",
	    "2026-11-27T",
	    "2026-11-27x",
	    "2026-11-27 10:00:00Zx",
	    "2026-11-27T10:00+1",
	    "@",
	    "@x",
	    "@17x",
	    "999999999999w",
	    "@1e300",
	    "nan",
	    "inf",
	    "@-5",
	    "0x10s",
	    "1.2.3h",
	    ".",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		double at = 0;
		if (when_parse(wrong[i], NOW, &at))
			fail_msg("\"%s\" is taken for %f", wrong[i], at);
	}
}

/* Midnight is as many hours ago as the day had. */
static void other_zones(void **state)
{
	(void)state;
	in_zone("Europe/Berlin");
	is("2026-11-27 03:15:30", NOW);
	is("2026-11-27T02:15:30Z", NOW);
	/* 2026-10-25, when clocks go back: at noon, UTC 11:00, the day began 13 hours ago. */
	assert_true(parse_at("today", 1792926000) == 1792926000 - 13 * 3600);
	/* 2026-03-29, when they go on. */
	assert_true(parse_at("today", 1774778400) == 1774778400 - 11 * 3600);
	in_zone("UTC");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(so_long_ago),	cmocka_unit_test(words_and_clocks), cmocka_unit_test(dates),
	    cmocka_unit_test(nothing_of_these), cmocka_unit_test(other_zones),
	};

	in_zone("UTC");
	return cmocka_run_group_tests_name("when", tests, NULL, NULL);
}
