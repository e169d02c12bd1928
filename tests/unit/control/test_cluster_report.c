/* SPDX-License-Identifier: MIT */
/* What is told of a cluster: as the interface has it, and as metrics. */
#include "tests/unit/unit.h"

#include "common/cleanup.h"
#include "daemon/control/cluster_report.h"

#include <string.h>

static const struct cluster_config config = {.node = "a", .when_away = CLUSTER_WAIT};

static const struct cluster_node nodes[] = {
    {.name = "a", .self = true, .alive = true, .clients = 3, .version = "0.2.0", .since_us = 1500000},
    {.name = "b", .alive = true, .clients = 5, .lag = 7, .version = "0.3.0", .seen_us = 2000000},
    {.name = "c", .since_us = 4000000},
};

static json_int_t integer(const json_t *o, const char *key)
{
	assert_true(json_is_integer(json_object_get(o, key)));
	return json_integer_value(json_object_get(o, key));
}

static void status(void **state)
{
	struct cluster_status s = {.connected = true,
				   .since_us = 1700000000500000,
				   .server = "nats://x:4222",
				   .lines_out = 10,
				   .lines_in = 20,
				   .waiting_lines = 4,
				   .gaps = 2,
				   .refused = 3,
				   .unread = 8,
				   .misused = 9,
				   .applied = 90,
				   .last = 100,
				   .n_rooms = 6};
	json_t *o = cluster_report_status(&config, &s, nodes, 3);

	(void)state;
	assert_string_equal(json_string_value(json_object_get(o, "node")), "a");
	assert_string_equal(json_string_value(json_object_get(o, "when_away")), "wait");
	assert_true(json_is_true(json_object_get(o, "connected")));
	assert_string_equal(json_string_value(json_object_get(o, "server")), "nats://x:4222");
	assert_true(json_real_value(json_object_get(o, "since")) == 1700000000.5);
	assert_null(json_object_get(o, "why"));
	assert_int_equal(integer(o, "waiting"), 4);
	assert_int_equal(integer(o, "lag"), 10);
	assert_int_equal(integer(o, "published"), 10);
	assert_int_equal(integer(o, "received"), 20);
	assert_int_equal(integer(o, "missing"), 2);
	assert_int_equal(integer(o, "refused"), 3);
	assert_int_equal(integer(o, "unread"), 8);
	assert_int_equal(integer(o, "misused"), 9);
	assert_int_equal(integer(o, "rooms"), 6);
	assert_int_equal(integer(o, "nodes"), 2);
	json_decref(o);
	/* It was never there; and what is known of the stream is old. */
	s = (struct cluster_status){.why = "no servers", .applied = 5, .last = 3};
	o = cluster_report_status(&config, &s, NULL, 0);
	assert_true(json_is_false(json_object_get(o, "connected")));
	assert_null(json_object_get(o, "since"));
	assert_string_equal(json_string_value(json_object_get(o, "why")), "no servers");
	assert_int_equal(integer(o, "lag"), 0);
	json_decref(o);
}

static void list(void **state)
{
	json_t *a = cluster_report_nodes(nodes, 3), *b = json_array_get(a, 1);

	(void)state;
	assert_int_equal(json_array_size(a), 3);
	assert_true(json_is_true(json_object_get(json_array_get(a, 0), "self")));
	assert_true(json_real_value(json_object_get(json_array_get(a, 0), "since")) == 1.5);
	assert_string_equal(json_string_value(json_object_get(b, "name")), "b");
	assert_true(json_is_false(json_object_get(b, "self")));
	assert_true(json_is_true(json_object_get(b, "here")));
	assert_int_equal(integer(b, "clients"), 5);
	assert_int_equal(integer(b, "lag"), 7);
	assert_string_equal(json_string_value(json_object_get(b, "version")), "0.3.0");
	assert_null(json_object_get(b, "since"));
	assert_true(json_is_false(json_object_get(json_array_get(a, 2), "here")));
	json_decref(a);
}

static void metrics(void **state)
{
	const struct cluster_status s = {
	    .waiting_lines = 4, .applied = 90, .last = 100, .gaps = 2, .refused = 3};
	_cleanup_free_ char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	(void)state;
	cluster_report_metrics(f, &s, nodes, 3);
	fclose(f);
	assert_non_null(strstr(text, "\nchatd_cluster_connected 0\n"));
	assert_non_null(strstr(text, "\nchatd_cluster_waiting_lines 4\n"));
	assert_non_null(strstr(text, "\nchatd_cluster_lag_messages 10\n"));
	assert_non_null(strstr(text, "\nchatd_cluster_nodes 2\n"));
	assert_non_null(strstr(text, "\nchatd_cluster_missing_lines_total 2\n"));
	assert_non_null(strstr(text, "\nchatd_cluster_refused_messages_total 3\n"));
	assert_non_null(strstr(text, "# TYPE chatd_cluster_missing_lines_total counter\n"));
	assert_non_null(strstr(text, "\nchatd_cluster_node_here{node=\"c\"} 0\n"));
	assert_non_null(strstr(text, "\nchatd_cluster_node_clients{node=\"b\"} 5\n"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(status),
	    cmocka_unit_test(list),
	    cmocka_unit_test(metrics),
	};

	return cmocka_run_group_tests_name("cluster_report", tests, NULL, NULL);
}
