/* SPDX-License-Identifier: MIT */
/* The metrics as text. */
#include "daemon/control/metrics.h"

#include "daemon/control/host.h"
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

	/* Counts threads that have ended as well, or the sum would go down. */
	for (unsigned i = 0; i < CLIENTS_COUNTER_SETS; i++)
		sum += atomic_load_explicit(&clients_counters(clients, i)[which], memory_order_relaxed);
	return sum;
}

static void metrics_head(FILE *f, const char *name, const char *type, const char *text)
{
	fprintf(f, "# HELP chatd_%s %s.\n# TYPE chatd_%s %s\n", name, text, name, type);
}

static void metrics_value(FILE *f, const char *name, const char *type, const char *text, uint64_t value)
{
	metrics_head(f, name, type, text);
	fprintf(f, "chatd_%s %" PRIu64 "\n", name, value);
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

char *metrics_text(struct host *h)
{
	struct shared *shared = h->ctx.shared;
	const struct client_history *history = clients_history(shared->clients);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	for (int i = 0; i < COUNTERS_N; i++) {
		char name[80];
		snprintf(name, sizeof(name), "%s_total", counter_name((enum counter)i));
		metrics_value(f, name, "counter", counter_help((enum counter)i),
			      metrics_total(h, (enum counter)i));
	}
	metrics_value(f, "config_stale", "gauge",
		      "1 if the configuration file has mistakes and an earlier one is in use",
		      h->mistakes != NULL);
	metrics_value(f, "rooms", "gauge", "Rooms that exist", rooms_count(shared->rooms));
	metrics_value(f, "clients", "gauge", "Clients connected", limits_total(shared->limits));
	metrics_value(f, "uncovered_clients", "gauge", "Clients connected that would not survive a crash",
		      connections_at_risk(shared));
	metrics_value(f, "workers", "gauge", "Worker threads", shared->n_workers);
	metrics_value(f, "takeovers_total", "counter", "Times a new process took the clients over",
		      history->takeovers);
	metrics_head(f, "takeover_gap_seconds", "gauge", "How long nobody was served at the last takeover");
	fprintf(f, "chatd_takeover_gap_seconds %.6f\n", (double)history->last_gap_us / 1e6);
	metrics_head(f, "start_time_seconds", "gauge",
		     "When this process was started, in seconds since 1970");
	fprintf(f, "chatd_start_time_seconds %.3f\n", (double)h->started_us / 1e6);
	metrics_head(f, "worker_connections", "gauge", "Connections of each worker");
	for (unsigned i = 0; i < shared->n_workers; i++)
		fprintf(f, "chatd_worker_connections{worker=\"%u\"} %u\n", i,
			connections_tally(shared->workers[i]).all);
	metrics_head(f, "room_members", "gauge", "Members of each configured room");
	metrics_rooms(f, shared->rooms);
	fclose(f);
	return text;
}
