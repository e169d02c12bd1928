/* SPDX-License-Identifier: MIT */
/*
 * The end: clients get what was said and are told, all threads end, and the state is either forgotten or left
 * for a successor.
 */
#include "daemon/server/server.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/cluster/cluster.h"
#include "daemon/engine/connections.h"
#include "daemon/history/archive.h"
#include "daemon/irc/store.h"
#include "daemon/state/cluster_file.h"
#include "daemon/state/keeper.h"
#include "daemon/state/layouts.h"
#include "daemon/state/secrets.h"
#include "daemon/webhooks/webhooks.h"

#include <stdlib.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>

/* Within the time allowed, everybody gets what has been said; then the connections end. */
static void stop_drain(struct server *s)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + s->config->drain_timeout_us;

	/* Everybody stops talking before anybody is sent away, so that all get all. */
	if (workers_do(&s->shared, worker_freeze, s->config->drain_timeout_us) < 0)
		return;
	services_drain(&s->shared.services, until - clock_us(CLOCK_MONOTONIC));
	/* What took all of it was not the clients' fault. */
	int64_t least = s->config->drain_timeout_us < SECOND_US ? s->config->drain_timeout_us : SECOND_US;
	if (until < clock_us(CLOCK_MONOTONIC) + least)
		until = clock_us(CLOCK_MONOTONIC) + least;
	workers_do(&s->shared, worker_goodbye, s->config->drain_timeout_us);
	while (connections_total(&s->shared).all > 0 && clock_us(CLOCK_MONOTONIC) < until) {
		nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
		workers_do(&s->shared, connections_drain, s->config->drain_timeout_us);
	}
	unsigned left = connections_total(&s->shared).all;
	if (left > 0)
		log_notice("%u client%s had not read everything after drain_timeout", left,
			   left == 1 ? "" : "s");
}

/* Disconnects whoever is still there, and leaves nothing for a successor. */
static void stop_forget_state(struct server *s)
{
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		connections_hang_up(s->shared.workers[i], false);
	listeners_unstore(s->listeners);
	keeper_pairs(s->shared.keeper, sockets_unstore_each, NULL);
	sockets_unstore(LAYOUTS_CLIENTS_NAME);
	sockets_unstore(SECRETS_NAME);
	sockets_unstore(IRC_STORE_NAME);
	sockets_unstore(LAYOUTS_ROOMS_NAME);
	/* Last: in rooms without it all that is in the cluster's stream would be said again. */
	sockets_unstore(CLUSTER_FILE_NAME);
	last_good_end(s);
}

int stop_server(struct server *s)
{
	char threads[THREADS_TEXT_MAX];

	sd_notify(false, s->ending == END_HANDOVER ? "STOPPING=1\nSTATUS=handing over"
						   : "STOPPING=1\nSTATUS=stopping");
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_STOPPED},
		  s->ending == END_HANDOVER ? "handing over to the next process" : "stopping");
	if (s->ending == END_STOP)
		cluster_leave(s->shared.cluster);
	if (s->ending == END_STOP)
		archive_leave(s->shared.archive);
	if (s->ending == END_STOP)
		webhooks_leave(s->shared.webhooks);
	if (s->ending == END_STOP && s->config->drain_timeout_us > 0)
		stop_drain(s);
	else if (s->ending == END_HANDOVER)
		restart_prepare(s);
	threads_quit(s);
	bool joined = threads_join(s);
	joined &= services_end(&s->shared.services);
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_WORKER}, "%s ended",
		  threads_text(s, threads));
	if (!joined)
		_exit(EXIT_FAILURE); /* what that thread uses can't be freed; the state itself is whole */
	if (s->ending == END_STOP)
		stop_forget_state(s);
	else
		restart_hang_up_mortals(s);
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_STOPPED}, "stopped");
	return s->ending == END_BROKEN ? EXIT_FAILURE : EXIT_SUCCESS;
}
