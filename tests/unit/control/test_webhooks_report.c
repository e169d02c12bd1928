/* SPDX-License-Identifier: MIT */
/* What is told of webhooks: as the interface has it, and as metrics. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "daemon/control/webhooks_report.h"

#include <stdlib.h>
#include <string.h>

static const struct webhook_status two[] = {{.name = "ops",
					     .room = "lobby",
					     .since_us = 1700000000500000,
					     .waiting = 7,
					     .delivered = 30,
					     .deliveries = 3,
					     .took_us = 2500},
					    {.name = "deploy",
					     .room = "den",
					     .away = true,
					     .why = "it answers with 503",
					     .failures = 4,
					     .missed = 2}};

static void as_json(void **state)
{
	json_t *list = webhooks_report_status(two, 2), *o = json_array_get(list, 0);

	(void)state;
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(json_string_value(json_object_get(o, "name")), "ops");
	assert_string_equal(json_string_value(json_object_get(o, "room")), "lobby");
	assert_string_equal(json_string_value(json_object_get(o, "state")), "delivers");
	assert_true(json_real_value(json_object_get(o, "since")) == 1700000000.5);
	assert_int_equal(json_integer_value(json_object_get(o, "waiting")), 7);
	assert_int_equal(json_integer_value(json_object_get(o, "delivered")), 30);
	assert_int_equal(json_integer_value(json_object_get(o, "deliveries")), 3);
	assert_null(json_object_get(o, "why"));
	o = json_array_get(list, 1);
	assert_string_equal(json_string_value(json_object_get(o, "state")), "away");
	assert_string_equal(json_string_value(json_object_get(o, "why")), "it answers with 503");
	assert_int_equal(json_integer_value(json_object_get(o, "failures")), 4);
	assert_int_equal(json_integer_value(json_object_get(o, "missed")), 2);
	json_decref(list);
}

static void as_metrics(void **state)
{
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	webhooks_report_metrics(f, two, 0);
	fflush(f);
	assert_int_equal(size, 0);
	webhooks_report_metrics(f, two, 2);
	fclose(f);
	assert_non_null(strstr(text, "\nchatd_webhook_delivers{webhook=\"ops\"} 1\n"));
	assert_non_null(strstr(text, "\nchatd_webhook_delivers{webhook=\"deploy\"} 0\n"));
	assert_non_null(strstr(text, "\nchatd_webhook_waiting_messages{webhook=\"ops\"} 7\n"));
	assert_non_null(strstr(text, "\nchatd_webhook_missed_messages_total{webhook=\"deploy\"} 2\n"));
	assert_non_null(strstr(text, "\nchatd_webhook_delivery_seconds{webhook=\"ops\"} 0.002500\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(as_json),
	    cmocka_unit_test(as_metrics),
	};

	return cmocka_run_group_tests_name("webhooks_report", tests, NULL, NULL);
}
