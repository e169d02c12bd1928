/* SPDX-License-Identifier: MIT */
/* What counts as not well; chatctl(1) lists it. Much of it is in the reply of Status already. */
#include "daemon/control/health.h"

#include "daemon/base/clock.h"
#include "daemon/control/host.h"
#include "daemon/engine/bans.h"
#include "daemon/engine/limits.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A cluster that is so far behind, as docs/prometheus/alerts.yml has it, too. */
#define HEALTH_WAITING 10000
/* For so long it is told that there were no file descriptors. */
#define HEALTH_STARVED_US (60 * SECOND_US)

static void health_add(json_t *problems, const char *what, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void health_add(json_t *problems, const char *what, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	json_array_append_new(problems,
			      json_pack("{s:s,s:o}", "what", what, "text", json_vsprintf(format, ap)));
	va_end(ap);
}

/* ": " and why, if that is known; else "". For one printf(). */
#define HEALTH_WHY(o)                                                                                        \
	json_object_get(o, "why") ? ": " : "",                                                               \
	    json_object_get(o, "why") ? json_string_value(json_object_get(o, "why")) : ""

static void health_judge_cluster(json_t *problems, const json_t *cluster)
{
	json_int_t waiting = json_integer_value(json_object_get(cluster, "waiting"));
	json_int_t lag = json_integer_value(json_object_get(cluster, "lag"));

	if (!cluster)
		return;
	if (!json_is_true(json_object_get(cluster, "connected")))
		health_add(problems, "cluster", "NATS is not reached%s%s", HEALTH_WHY(cluster));
	else if (waiting > HEALTH_WAITING)
		health_add(problems, "cluster", "%lld lines wait to go out to other nodes",
			   (long long)waiting);
	else if (lag > HEALTH_WAITING)
		health_add(problems, "cluster", "%lld messages of other nodes wait to come in",
			   (long long)lag);
	if (json_array_size(json_object_get(cluster, "differences")) > 0)
		health_add(problems, "cluster", "a shared room is not the same on another node");
}

static void health_judge_history(json_t *problems, const json_t *history)
{
	const char *state = json_string_value(json_object_get(history, "state"));

	if (state && strcmp(state, "away") == 0)
		health_add(problems, "history", "nothing can be stored%s%s", HEALTH_WHY(history));
	else if (state && strcmp(state, "behind") == 0)
		health_add(problems, "history", "more is said than can be stored");
}

static void health_judge_webhooks(json_t *problems, const json_t *webhooks)
{
	const json_t *w;
	size_t i;

	json_array_foreach(webhooks, i, w)
	{
		if (strcmp(json_string_value(json_object_get(w, "state")), "away") == 0)
			health_add(problems, "webhook", "nothing is delivered to %s%s%s",
				   json_string_value(json_object_get(w, "name")), HEALTH_WHY(w));
	}
}

/* Limits that keep people out now. */
static void health_judge_limits(json_t *problems, const struct host *h)
{
	const struct config *config = h->ctx.config;
	struct shared *shared = h->ctx.shared;

	if (limits_total(shared->limits) >= config->max_clients)
		health_add(problems, "clients", "nobody else can come: limits.max_clients is %u",
			   config->max_clients);
	if (rooms_count(shared->rooms) >= config->room_limits.rooms)
		health_add(problems, "rooms", "no more rooms can be opened: limits.max_rooms is %u",
			   config->room_limits.rooms);
	if (config->max_bans > 0 && bans_count(shared->bans) >= config->max_bans)
		health_add(problems, "bans", "no more bans are possible: limits.max_bans is %u",
			   config->max_bans);
	if (h->starved_us && clock_us(CLOCK_MONOTONIC) - h->starved_us < HEALTH_STARVED_US)
		health_add(problems, "files",
			   "there were no file descriptors for those who came (LimitNOFILE=)");
	if (h->uncovered > 0)
		health_add(problems, "uncovered", "%u client%s would not survive a crash", h->uncovered,
			   h->uncovered == 1 ? "" : "s");
}

void health_judge(const struct host *h, json_t *status)
{
	json_t *problems = json_array();

	if (h->mistakes)
		health_add(problems, "configuration",
			   "the configuration has mistakes, and what was in use before goes on");
	health_judge_cluster(problems, json_object_get(status, "cluster"));
	health_judge_history(problems, json_object_get(status, "history"));
	health_judge_webhooks(problems, json_object_get(status, "webhooks"));
	health_judge_limits(problems, h);
	json_object_set_new(status, "problems", problems);
}
