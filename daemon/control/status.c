/* SPDX-License-Identifier: MIT */
/* Status: the daemon in numbers, its threads, and how the last takeover went. */
#include "daemon/base/clock.h"
#include "daemon/control/cluster_report.h"
#include "daemon/control/health.h"
#include "daemon/control/history_report.h"
#include "daemon/control/host.h"
#include "daemon/control/methods.h"
#include "daemon/control/metrics.h"
#include "daemon/control/webhooks_report.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* How the clients were taken over; the interface's type Takeover. */
static json_t *status_takeover(const struct shared *shared)
{
	const struct client_history *h = clients_history(shared->clients);
	struct connections_tally tally = connections_total(shared);
	unsigned at_risk = connections_at_risk(shared);

	json_t *o =
	    json_pack("{s:I,s:i,s:i,s:i,s:i,s:b}", "count", (json_int_t)h->takeovers, "covered",
		      (int)(tally.all - at_risk), "uncovered", (int)at_risk, "tls", (int)tally.mortal,
		      "handshakes", (int)atomic_load(&shared->preludes), "store", sockets_have_store());
	if (h->takeovers > 0)
		json_object_update_new(o, json_pack("{s:f,s:I,s:I,s:f}", "time", (double)h->last_us / 1e6,
						    "clients", (json_int_t)h->last_clients, "closed",
						    (json_int_t)h->last_closed, "gap",
						    (double)h->last_gap_us / 1e6));
	return o;
}

/* Its member "cluster", if there is one. */
static void status_add_cluster(json_t *reply, const struct host *h)
{
	struct cluster *c = h->ctx.shared->cluster;
	struct cluster_status status;
	size_t n = 0;

	if (!c || !h->ctx.config->cluster)
		return;
	cluster_copy_status(c, &status);
	struct cluster_node *nodes = cluster_copy_nodes(c, &n);
	json_object_set_new(reply, "cluster",
			    cluster_report_status(h->ctx.config->cluster, &status, nodes, nodes ? n : 0));
	free(nodes);
}

/* Likewise its member "history". */
static void status_add_history(json_t *reply, const struct host *h)
{
	struct archive *a = h->ctx.shared->archive;
	struct archive_status status;

	if (!a)
		return;
	archive_copy_status(a, &status);
	json_object_set_new(reply, "history", history_report_status(archive_path(a), &status));
}

/* Likewise its member "webhooks". */
static void status_add_webhooks(json_t *reply, const struct host *h)
{
	size_t n;
	struct webhook_status *at = webhooks_copy_status(h->ctx.shared->webhooks, &n);

	if (n > 0)
		json_object_set_new(reply, "webhooks", webhooks_report_status(at, n));
	free(at);
}

void control_status(struct control_client *c, const json_t *parameters, bool more)
{
	struct host *h = control_host(c);
	struct shared *shared = h->ctx.shared;

	(void)parameters;
	(void)more;
	json_t *workers = json_array();
	for (unsigned i = 0; i < shared->n_workers; i++) {
		struct worker *w = shared->workers[i];
		char name[32];
		snprintf(name, sizeof(name), "chatd/%u", i);
		json_array_append_new(workers, json_pack("{s:s,s:i,s:s}", "name", name, "connections",
							 (int)connections_tally(w).all, "sender",
							 worker_sender_name(w)));
	}
	for (const struct service *s = NULL; (s = services_next(&shared->services, s));)
		if (s->ops->peers)
			json_array_append_new(workers,
					      json_pack("{s:s,s:i,s:s}", "name", s->name, "connections",
							(int)s->ops->peers(s), "sender", s->kind));
	json_t *reply =
	    json_pack("{s:s,s:i,s:f,s:s,s:i,s:i,s:i,s:I,s:I,s:I,s:o}", "version", PACKAGE_VERSION, "pid",
		      (int)getpid(), "uptime", control_seconds(clock_us(CLOCK_MONOTONIC) - h->began_us),
		      "config", h->config_path, "clients", (int)limits_total(shared->limits), "rooms",
		      (int)rooms_count(shared->rooms), "listeners", (int)listeners_count(h->listeners),
		      "messages", (json_int_t)metrics_total(h, COUNT_MESSAGES), "received_bytes",
		      (json_int_t)metrics_total(h, COUNT_BYTES_IN), "sent_bytes",
		      (json_int_t)metrics_total(h, COUNT_BYTES_OUT), "workers", workers);
	if (h->mistakes)
		json_object_set_new(reply, "config_mistakes", json_string(h->mistakes));
	json_object_set_new(reply, "takeover", status_takeover(h->ctx.shared));
	status_add_cluster(reply, h);
	status_add_history(reply, h);
	status_add_webhooks(reply, h);
	health_judge(h, reply);
	control_reply(c, reply, false);
}
