/* SPDX-License-Identifier: MIT */
/* The metrics as text. */
#include "daemon/control/metrics.h"

#include "daemon/control/cluster_report.h"
#include "daemon/control/history_report.h"
#include "daemon/control/webhooks_report.h"
#include "daemon/control/host.h"
#include "daemon/control/process_report.h"
#include "daemon/control/report.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/limits.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t metrics_total(struct host *h, enum counter which)
{
	struct clients *clients = h->ctx.shared->clients;
	uint64_t sum = 0;

	for (unsigned i = 0; i < SHARED_SPARE_COUNTERS; i++)
		sum += atomic_load_explicit(&h->ctx.shared->spare_counters[i].v[which], memory_order_relaxed);

	/* Counts threads that have ended as well, or the sum would go down. */
	for (unsigned i = 0; i < CLIENTS_COUNTER_SETS; i++)
		sum += atomic_load_explicit(&clients_counters(clients, i)[which], memory_order_relaxed);
	return sum;
}

/* A room's name needs no escaping in a label: see text_room_valid(). */
static void metrics_rooms(FILE *f, struct rooms *rooms)
{
	size_t n;
	struct room_info *at = rooms_copy(rooms, &n);

	for (size_t i = 0; at && i < n; i++)
		if (at[i].configured)
			fprintf(f, "chatd_room_members{room=\"%s\"} %" PRIu32 "\n", at[i].name,
				at[i].members);
	free(at);
}

static void metrics_cluster(FILE *f, struct cluster *cluster)
{
	struct cluster_status status;
	size_t n = 0;

	if (!cluster)
		return;
	cluster_copy_status(cluster, &status);
	struct cluster_node *nodes = cluster_copy_nodes(cluster, &n);
	cluster_report_metrics(f, &status, nodes, nodes ? n : 0);
	free(nodes);
}

static void metrics_history(FILE *f, struct archive *archive)
{
	struct archive_status status;

	if (!archive)
		return;
	archive_copy_status(archive, &status);
	history_report_metrics(f, &status);
}

/* What an info is: always 1. */
static void metrics_build(FILE *f)
{
	report_metric_head(f, "build_info", "gauge", "1, with the version of this program");
	fprintf(f, "chatd_build_info{version=\"%s\"} 1\n", PACKAGE_VERSION);
}

static void metrics_webhooks(FILE *f, struct webhooks *webhooks)
{
	size_t n;
	struct webhook_status *at = webhooks_copy_status(webhooks, &n);

	webhooks_report_metrics(f, at, n);
	free(at);
}

char *metrics_text(struct host *h)
{
	struct shared *shared = h->ctx.shared;
	const struct client_history *history = clients_history(shared->clients);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	metrics_build(f);
	process_report_metrics(f, h->started_us);
	for (int i = 0; i < COUNTERS_N; i++) {
		char name[80];
		snprintf(name, sizeof(name), "%s_total", counter_name((enum counter)i));
		report_metric(f, name, "counter", counter_help((enum counter)i),
			      metrics_total(h, (enum counter)i));
	}
	report_metric(f, "config_stale", "gauge",
		      "1 if the configuration file has mistakes and an earlier one is in use",
		      h->mistakes != NULL);
	report_metric(f, "rooms", "gauge", "Rooms that exist", rooms_count(shared->rooms));
	report_metric(f, "clients", "gauge", "Clients connected", limits_total(shared->limits));
	report_metric(f, "uncovered_clients", "gauge", "Clients connected that would not survive a crash",
		      connections_at_risk(shared));
	report_metric(f, "workers", "gauge", "Worker threads", shared->n_workers);
	report_metric(f, "takeovers_total", "counter", "Times a new process took the clients over",
		      history->takeovers);
	report_metric_head(f, "takeover_gap_seconds", "gauge",
			   "How long nobody was served at the last takeover");
	fprintf(f, "chatd_takeover_gap_seconds %.6f\n", (double)history->last_gap_us / 1e6);
	report_metric_head(f, "start_time_seconds", "gauge",
			   "When this process was started, in seconds since 1970");
	fprintf(f, "chatd_start_time_seconds %.3f\n", (double)h->started_us / 1e6);
	report_metric_head(f, "worker_connections", "gauge", "Connections of each worker");
	for (unsigned i = 0; i < shared->n_workers; i++)
		fprintf(f, "chatd_worker_connections{worker=\"%u\"} %u\n", i,
			connections_tally(shared->workers[i]).all);
	report_metric_head(f, "room_members", "gauge", "Members of each configured room");
	metrics_rooms(f, shared->rooms);
	metrics_cluster(f, shared->cluster);
	metrics_history(f, shared->archive);
	metrics_webhooks(f, shared->webhooks);
	fclose(f);
	return text;
}
