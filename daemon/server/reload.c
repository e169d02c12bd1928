/* SPDX-License-Identifier: MIT */
/* A reload: another process tries the configuration, then it is read, and all of it is used or nothing. */
#include "daemon/server/server.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/config/cluster.h"
#include "daemon/config/history.h"
#include "daemon/engine/late_accounts.h"
#include "daemon/irc/cloak.h"
#include "daemon/irc/monitor.h"
#include "daemon/modes/table.h"
#include "daemon/state/handover.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <time.h>

static void reload_note_what_waits(const struct config *old, const struct config *new)
{
	if (old->io_uring != new->io_uring)
		log_notice("io_uring changes at the next restart");
	if (old->workers != new->workers)
		log_notice("the number of workers changes at the next restart");
	if (strcmp(old->control_socket, new->control_socket) != 0 ||
	    strcmp(old->control_group, new->control_group) != 0)
		log_notice("the control socket changes at the next restart");
	if (strcmp(old->state_directory ? old->state_directory : "",
		   new->state_directory ? new->state_directory : "") != 0)
		log_notice("state_directory changes at the next restart");
}

/* What counts only after a restart stays as it is; so does all of the cluster, without the memory for that. */
static int reload_keep_cluster(struct config *old, struct config *new, FILE *errors)
{
	int r = cluster_config_keep(&new->cluster, old->cluster);

	if (r > 0)
		log_notice("cluster: whether there is one, its node, its stream and its rooms change at the "
			   "next restart");
	if (r < 0)
		fprintf(errors, "cluster: %s\n", strerror(-r));
	return r < 0 ? r : 0;
}

/* So does the database. */
static int reload_keep_history(struct config *old, struct config *new, FILE *errors)
{
	int r = history_config_reload(&new->history, old->history);

	if (r > 0)
		log_notice("history: whether there is one, its database and whether it can be searched "
			   "change at the "
			   "next restart");
	if (r < 0)
		fprintf(errors, "history: %s\n", strerror(-r));
	return r < 0 ? r : 0;
}

static bool reload_same_address(const union address *a, const union address *b)
{
	return a->sa.sa_family == b->sa.sa_family && (a->sa.sa_family == 0 || address_equal(a, b));
}

int reload_metrics(struct server *s, const struct config *config, FILE *errors)
{
	struct metrics_listener *new = NULL;
	char text[ADDRESS_TEXT_MAX];

	if (config->metrics.sa.sa_family) {
		int r = metrics_listen(&s->host, s->event, &config->metrics, &new);
		if (r < 0) {
			fprintf(errors, "%s: metrics: %s: %s\n",
				config->metrics_where ? config->metrics_where : "?",
				address_format(&config->metrics, text), strerror(-r));
			return r;
		}
		log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_LISTENER},
			  "metrics at http://%s/metrics", address_format(&config->metrics, text));
	}
	metrics_listener_free(s->metrics);
	s->metrics = new;
	return 0;
}

static int reload_apply(struct server *s, struct config *new, FILE *errors)
{
	int r = reload_keep_cluster(s->config, new, errors);

	if (r == 0)
		r = reload_keep_history(s->config, new, errors);
	if (r == 0) {
		r = shared_make_irc(s, new);
		if (r < 0)
			fprintf(errors, "there is no memory for IRC: %s\n", strerror(-r));
		irc_monitor_start(&s->shared);
	}
	if (r == 0)
		r = listeners_prepare(s->listeners, new, errors);
	if (r < 0)
		return r;
	if (!reload_same_address(&s->config->metrics, &new->metrics) ||
	    (new->metrics.sa.sa_family && !s->metrics)) {
		r = reload_metrics(s, new, errors);
		if (r < 0) {
			listeners_cancel(s->listeners);
			return r;
		}
	}
	r = rooms_configure(s->shared.rooms, new->rooms, new->n_rooms, &new->room_defaults,
			    &new->room_limits);
	if (r < 0) {
		fprintf(errors, "the rooms can't be made: %s\n", strerror(-r));
		listeners_cancel(s->listeners);
		return r;
	}
	reload_note_what_waits(s->config, new);
	irc_cloak_complete(new, s->config);
	struct config *old = s->config;
	s->config = new;
	s->host.ctx.config = new;
	log_set_level(new->log_level);
	late_accounts_settle(s->shared.late_accounts, new);
	reserved_apply(s->shared.roster, new, s->shared.late_accounts);
	listeners_apply(s->listeners, new, old);
	last_good_keep(s);
	return 0;
}

void reload_report(int level, const char *text)
{
	for (const char *line = text; *line;) {
		size_t n = strcspn(line, "\n");
		log_event(level, &(struct log_fields){.message_id = EVENT_CONFIG_ERROR}, "%.*s", (int)n,
			  line);
		line += n + (line[n] == '\n');
	}
}

void reload_note_mistakes(struct server *s, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	free(s->host.mistakes);
	s->host.mistakes = text ? strndup(text, len > 0 && text[len - 1] == '\n' ? len - 1 : len) : NULL;
}

int reload_server(struct host *h, char **ret_text)
{
	struct server *s = (struct server *)h;
	_cleanup_free_ char *warned = NULL;
	struct config *new = NULL;
	size_t size, warned_size;
	int r;

	*ret_text = NULL;
	FILE *errors = open_memstream(ret_text, &size), *warnings = open_memstream(&warned, &warned_size);
	if (!errors || !warnings) {
		if (errors)
			fclose(errors);
		if (warnings)
			fclose(warnings);
		return -ENOMEM;
	}
	sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_us(CLOCK_MONOTONIC));
	/* libconfig's time grows with the square of a group's settings: another process tries it first. */
	_cleanup_free_ char *why = NULL;
	r = handover_probe("/proc/self/exe", s->host.config_path, PROBE_TIMEOUT_MS, &why);
	if (r == -ETIMEDOUT)
		fprintf(errors, "%s: this takes more than %d s to read\n", s->host.config_path,
			PROBE_TIMEOUT_MS / 1000);
	else
		r = config_load(s->host.config_path, handlers, errors, warnings, &new);
	if (r == 0) {
		r = reload_apply(s, new, errors);
		if (r < 0)
			config_free(new);
	}
	fclose(errors);
	fclose(warnings);
	sd_notify(false, "READY=1");
	reload_note_mistakes(s, r < 0 ? *ret_text : NULL);
	if (r < 0) {
		reload_report(LOG_ERR, *ret_text);
		log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_CONFIG_ERROR},
			  "%s is not used; nothing has changed", s->host.config_path);
	} else {
		log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_RELOADED}, "%s is in use",
			  s->host.config_path);
		reload_report(LOG_WARNING, warned);
		free(*ret_text);
		*ret_text = warned;
		warned = NULL;
	}
	return r;
}
