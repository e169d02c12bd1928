/* SPDX-License-Identifier: MIT */
/* The threads beside the main one: made, started, watched, and ended together. */
#include "daemon/server/server.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/worker.h"
#include "daemon/irc/monitor.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* How long workers may take to end. */
#define JOIN_TIMEOUT_US (10 * SECOND_US)

int threads_new(struct server *s)
{
	unsigned n = s->shared.slots->n_workers;

	s->shared.workers = calloc(n, sizeof(struct worker *));
	if (!s->shared.workers)
		return -ENOMEM;
	for (; s->shared.n_workers < n; s->shared.n_workers++) {
		unsigned i = s->shared.n_workers;
		int r = worker_new(&s->shared, i, s->config, &s->shared.workers[i]);
		if (r < 0)
			return r;
		r = connections_new(s->shared.workers[i]);
		if (r < 0) {
			worker_free(s->shared.workers[i]);
			return r;
		}
	}
	irc_monitor_start(&s->shared);
	return 0;
}

int threads_start(struct server *s)
{
	for (unsigned i = 0; i < s->shared.n_workers; i++) {
		int r = worker_start(s->shared.workers[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

void threads_quit(struct server *s)
{
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		worker_quit(s->shared.workers[i]);
}

bool threads_join(struct server *s)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + JOIN_TIMEOUT_US;
	bool all = true;

	for (unsigned i = 0; i < s->shared.n_workers; i++) {
		int64_t left = until - clock_us(CLOCK_MONOTONIC);
		if (worker_join(s->shared.workers[i], left > 0 ? left : 0)) {
			log_event(LOG_DEBUG, &(struct log_fields){.message_id = EVENT_WORKER},
				  "worker chatd/%u ended", i);
			continue;
		}
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_WORKER},
			  "worker chatd/%u does not end", i);
		all = false;
	}
	return all;
}

const char *threads_text(const struct server *s, char ret[static THREADS_TEXT_MAX])
{
	unsigned workers = s->shared.n_workers, services = services_shown(&s->shared.services);
	int n = snprintf(ret, THREADS_TEXT_MAX, "%u worker%s", workers, workers == 1 ? "" : "s");

	if (services > 0)
		snprintf(ret + n, THREADS_TEXT_MAX - (size_t)n, " and %u service%s", services,
			 services == 1 ? "" : "s");
	return ret;
}

bool threads_are_alive(const struct server *s)
{
	int64_t now = clock_us(CLOCK_MONOTONIC), limit = (int64_t)s->watchdog_us / 2;

	if (limit < SECOND_US + SECOND_US / 2)
		limit = SECOND_US + SECOND_US / 2; /* an idle worker beats once a second */
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		if (now - worker_beat(s->shared.workers[i]) > limit) {
			log_event(LOG_WARNING, &(struct log_fields){.message_id = EVENT_WORKER},
				  "worker chatd/%u makes no progress; the watchdog is not fed", i);
			return false;
		}
	return services_are_alive(&s->shared.services, now, limit);
}

void threads_free(struct server *s)
{
	irc_monitor_stop(&s->shared);
	services_free(&s->shared.services); /* they give jobs to the workers */
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		worker_free(s->shared.workers[i]);
	free(s->shared.workers);
}
