/* SPDX-License-Identifier: MIT */
/* The state of the cluster as JSON, and as metrics. */
#include "daemon/control/cluster_report.h"

#include "daemon/control/report.h"

static unsigned cluster_report_alive(const struct cluster_node *nodes, size_t n)
{
	unsigned alive = 0;

	for (size_t i = 0; i < n; i++)
		alive += nodes[i].alive;
	return alive;
}

static uint64_t cluster_report_lag(const struct cluster_status *s)
{
	return s->last > s->applied ? s->last - s->applied : 0;
}

json_t *cluster_report_status(const struct cluster_config *config, const struct cluster_status *s,
			      const struct cluster_node *nodes, size_t n)
{
	json_t *o = json_pack("{s:s,s:s,s:b,s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:i,s:i}", "node",
			      config->node, "when_away", config->when_away == CLUSTER_WAIT ? "wait" : "local",
			      "connected", s->connected, "server", s->server, "waiting",
			      (json_int_t)s->waiting_lines, "lag", (json_int_t)cluster_report_lag(s),
			      "published", (json_int_t)s->lines_out, "received", (json_int_t)s->lines_in,
			      "missing", (json_int_t)s->gaps, "refused", (json_int_t)s->refused, "unread",
			      (json_int_t)s->unread, "misused", (json_int_t)s->misused, "rooms",
			      (int)s->n_rooms, "nodes", (int)cluster_report_alive(nodes, n));

	json_t *differences = json_array();
	report_time(o, "since", s->since_us);
	for (unsigned i = 0; i < s->n_differences; i++)
		json_array_append_new(differences,
				      json_pack("{s:s,s:s,s:s}", "room", s->differences[i].room, "node",
						s->differences[i].node, "what", s->differences[i].what));
	json_object_set_new(o, "differences", differences);
	if (s->why[0])
		json_object_set_new(o, "why", json_string(s->why));
	return o;
}

json_t *cluster_report_nodes(const struct cluster_node *nodes, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++) {
		const struct cluster_node *k = &nodes[i];
		json_t *o =
		    json_pack("{s:s,s:b,s:b,s:i,s:I,s:s}", "name", k->name, "self", k->self, "here", k->alive,
			      "clients", (int)k->clients, "lag", (json_int_t)k->lag, "version", k->version);
		report_time(o, "since", k->since_us);
		report_time(o, "seen", k->seen_us);
		json_array_append_new(array, o);
	}
	return array;
}

/* A node's name needs no escaping in a label: see cluster_setting_name(). */
static void cluster_report_node_metrics(FILE *f, const struct cluster_node *nodes, size_t n)
{
	report_metric_head(f, "cluster_node_here", "gauge", "Whether each node that was heard of is there");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "chatd_cluster_node_here{node=\"%s\"} %d\n", nodes[i].name, nodes[i].alive);
	report_metric_head(f, "cluster_node_clients", "gauge", "Clients of each node, as it says");
	for (size_t i = 0; i < n; i++)
		fprintf(f, "chatd_cluster_node_clients{node=\"%s\"} %u\n", nodes[i].name, nodes[i].clients);
}

void cluster_report_metrics(FILE *f, const struct cluster_status *s, const struct cluster_node *nodes,
			    size_t n)
{
	const struct {
		const char *name, *type, *help;
		uint64_t value;
	} rows[] = {
	    {"cluster_connected", "gauge", "1 if NATS is reached, over which nodes talk", s->connected},
	    {"cluster_waiting_lines", "gauge", "Lines said here that other nodes don't have yet",
	     s->waiting_lines},
	    {"cluster_lag_messages", "gauge", "Messages of the stream that are not in the rooms here yet",
	     cluster_report_lag(s)},
	    {"cluster_rooms", "gauge", "Rooms that are shared with other nodes", s->n_rooms},
	    {"cluster_differing_rooms", "gauge",
	     "Shared rooms whose members, read_only or format are not the same on another node",
	     s->n_differences},
	    {"cluster_nodes", "gauge", "Nodes that are there, this one included",
	     cluster_report_alive(nodes, n)},
	    {"cluster_published_lines_total", "counter", "Lines published, again and again if need be",
	     s->lines_out},
	    {"cluster_published_batches_total", "counter", "Messages that these lines were packed into",
	     s->batches},
	    {"cluster_received_lines_total", "counter", "Lines of the stream put into rooms here",
	     s->lines_in},
	    {"cluster_repeated_lines_total", "counter", "Lines that came again and were left out",
	     s->trimmed},
	    {"cluster_missing_lines_total", "counter", "Lines of other nodes that will never come", s->gaps},
	    {"cluster_refused_messages_total", "counter", "Messages of NATS that no node can have sent",
	     s->refused},
	    {"cluster_unread_messages_total", "counter",
	     "What others say of nodes, people and bans that could not be read", s->unread},
	    {"cluster_misused_messages_total", "counter",
	     "Messages in the name of this node that it has not said", s->misused},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		report_metric(f, rows[i].name, rows[i].type, rows[i].help, rows[i].value);
	cluster_report_node_metrics(f, nodes, n);
}
