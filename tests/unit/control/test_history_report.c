/* SPDX-License-Identifier: MIT */
/* What is told of the history: as the interface has it, and as metrics. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "daemon/control/history_report.h"

#include <stdlib.h>
#include <string.h>

static void it_stores(void **state)
{
	const struct archive_status s = {.state = ARCHIVE_BEHIND,
					 .since_us = 1700000000500000,
					 .waiting = 7,
					 .stored = 30,
					 .lost = 2,
					 .gaps = 1,
					 .messages = 1000,
					 .bytes = 200000,
					 .oldest_us = 1600000000000000,
					 .commit_us = 2500};
	json_t *o = history_report_status("/x.db", &s);
	_cleanup_free_ char *text = NULL;
	size_t size;

	(void)state;
	assert_string_equal(json_string_value(json_object_get(o, "state")), "behind");
	assert_string_equal(json_string_value(json_object_get(o, "database")), "/x.db");
	assert_int_equal(json_integer_value(json_object_get(o, "waiting")), 7);
	assert_int_equal(json_integer_value(json_object_get(o, "lost")), 2);
	assert_int_equal(json_integer_value(json_object_get(o, "messages")), 1000);
	assert_true(json_real_value(json_object_get(o, "oldest")) == 1600000000.0);
	assert_null(json_object_get(o, "newest"));
	assert_null(json_object_get(o, "why"));
	json_decref(o);

	FILE *f = open_memstream(&text, &size);
	history_report_metrics(f, &s);
	fclose(f);
	assert_non_null(strstr(text, "\nchatd_history_stores 1\n"));
	assert_non_null(strstr(text, "\nchatd_history_behind 1\n"));
	assert_non_null(strstr(text, "\nchatd_history_lost_messages_total 2\n"));
	assert_non_null(strstr(text, "\nchatd_history_commit_seconds 0.002500\n"));
}

static void it_is_away(void **state)
{
	struct archive_status s = {.state = ARCHIVE_AWAY, .why = "the disk is full"};
	json_t *o = history_report_status("/x.db", &s);
	_cleanup_free_ char *text = NULL;
	size_t size;

	(void)state;
	assert_string_equal(json_string_value(json_object_get(o, "state")), "away");
	assert_string_equal(json_string_value(json_object_get(o, "why")), "the disk is full");
	json_decref(o);
	FILE *f = open_memstream(&text, &size);
	history_report_metrics(f, &s);
	fclose(f);
	assert_non_null(strstr(text, "\nchatd_history_stores 0\n"));
	assert_non_null(strstr(text, "\nchatd_history_behind 0\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(it_stores),
	    cmocka_unit_test(it_is_away),
	};

	return cmocka_run_group_tests_name("history_report", tests, NULL, NULL);
}
