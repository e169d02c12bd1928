/* SPDX-License-Identifier: MIT */
/*
 * `chatctl restart`: the handover to the program on disk, which inherits all descriptors by an exec. The
 * program is tried first; if it can't be run after all, this process goes on.
 */
#include "daemon/server/server.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/engine/connections.h"
#include "daemon/irc/store.h"
#include "daemon/state/cluster_file.h"
#include "daemon/state/handover.h"
#include "daemon/state/keeper.h"
#include "daemon/state/layouts.h"
#include "daemon/state/secrets.h"

#include <string.h>
#include <time.h>

/* How long workers may take to answer. */
#define CALL_TIMEOUT_US (5 * SECOND_US)

/* They have not read everything by now. */
void restart_hang_up_mortals(struct server *s)
{
	for (unsigned i = 0; i < s->shared.n_workers; i++)
		connections_hang_up(s->shared.workers[i], true);
}

void restart_prepare(struct server *s)
{
	int64_t patience = s->config->drain_timeout_us < SECOND_US ? s->config->drain_timeout_us : SECOND_US;
	int64_t until = clock_us(CLOCK_MONOTONIC) + patience;

	workers_do(&s->shared, connections_cover, CALL_TIMEOUT_US);
	if (connections_total(&s->shared).mortal > 0)
		workers_do(&s->shared, connections_dismiss_mortals, CALL_TIMEOUT_US);
	while (connections_total(&s->shared).mortal > 0 && clock_us(CLOCK_MONOTONIC) < until)
		nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
	services_drain(&s->shared.services, s->config->drain_timeout_us);
}

static void restart_exec(struct server *s)
{
	struct handover *h;
	int r = handover_new(&h);

	if (r < 0)
		return;
	log_event(LOG_NOTICE, &(struct log_fields){.message_id = EVENT_TAKEOVER}, "handing over to %s",
		  s->program);
	restart_prepare(s);
	threads_quit(s);
	if (threads_join(s)) /* one that is stuck ends with the exec */
		restart_hang_up_mortals(s);
	services_end(&s->shared.services);
	handover_add(LAYOUTS_ROOMS_NAME, s->rooms_fd, h);
	handover_add(LAYOUTS_CLIENTS_NAME, s->clients_fd, h);
	handover_add(SECRETS_NAME, s->secrets_fd, h);
	if (s->cluster_fd >= 0)
		handover_add(CLUSTER_FILE_NAME, s->cluster_fd, h);
	if (s->irc_fd >= 0)
		handover_add(IRC_STORE_NAME, s->irc_fd, h);
	last_good_each(s, handover_add, h);
	keeper_pairs(s->shared.keeper, handover_add, h);
	sockets_each(s->sockets, handover_add, h);
	listeners_each_socket(s->listeners, handover_add, h);
	control_free(s->control);
	s->control = NULL;
	r = handover_exec(h, s->program, s->argv);
	handover_free(h);
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_TAKEOVER}, "%s can't be run: %s",
		  s->program, strerror(-r));
	services_start(&s->shared.services);
	if (control_new(&s->host, s->event, s->config->control_socket, s->config->control_group,
			&s->control) < 0 ||
	    threads_start(s) < 0) {
		s->ending = END_BROKEN;
		sd_event_exit(s->event, 0);
	}
}

static int restart_now(sd_event_source *source, uint64_t now, void *arg)
{
	(void)now;
	sd_event_source_disable_unref(source);
	restart_exec(arg);
	return 0;
}

int restart_server(struct host *h, char **ret_why)
{
	struct server *s = (struct server *)h;
	sd_event_source *source;
	int r = handover_probe(s->program, s->host.config_path, PROBE_TIMEOUT_MS, ret_why);

	if (r < 0) {
		const char *why = *ret_why ? *ret_why : strerror(-r);
		size_t n = strcspn(why, "\n");
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_TAKEOVER}, "no restart: %.*s",
			  (int)n, why);
		reload_report(LOG_ERR, why + n + (why[n] == '\n'));
		return r;
	}
	/* After a moment, in which the reply is sent. */
	return sd_event_add_time_relative(s->event, &source, CLOCK_MONOTONIC, 20000, 1000, restart_now, s);
}
