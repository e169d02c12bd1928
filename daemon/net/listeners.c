/* SPDX-License-Identifier: MIT */
/* The set of listeners: opened at the start, and looked up. What a reload does is in listeners_reload.c. */
#include "daemon/net/listeners.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"

#include <stdio.h>
#include <string.h>

int listeners_new(struct shared *shared, struct sockets *sockets, struct listeners **ret)
{
	struct listeners *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return -ENOMEM;
	ls->shared = shared;
	ls->sockets = sockets;
	*ret = ls;
	return 0;
}

void listeners_free(struct listeners *ls)
{
	if (!ls)
		return;
	for (size_t i = 0; i < ls->n; i++)
		listener_entry_free(ls->at[i]);
	free(ls->at);
	free(ls);
}

/* --- the start --- */

static int listeners_start_entry(struct listeners *ls, struct listener_entry *e, bool held)
{
	if (!e->service)
		return listener_start(e->listener, ls->shared->workers[e->listener->home]);
	int r = service_start(e->service, held);
	/* That its room can't be entered keeps nobody else from being served; a reload tries again. */
	return r == -EACCES || r == -ENOSPC ? 0 : r;
}

static void listeners_log_failure(const struct listener_entry *e, const char *where, int error)
{
	char text[PLACES_TEXT_MAX];

	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = e->name},
		  "%s: listener %s: %s: %s", where ? where : "?", e->name, places_text(&e->places, text),
		  listener_entry_why(error));
}

int listeners_open(struct listeners *ls, struct config *config, bool taken_over)
{
	ls->at = calloc(config->n_listeners + 1, sizeof(struct listener_entry *));
	if (!ls->at)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_listeners; i++) {
		int r = listener_entry_open(ls->shared, ls->sockets, &ls->places, config, i, &ls->at[i]);
		struct listener_entry *e = ls->at[i];
		if (!e)
			return r;
		ls->n++;
		if (r == 0)
			r = listeners_start_entry(ls, e, taken_over);
		if (r < 0) {
			listeners_log_failure(e, config->listeners[i].where, r);
			return r;
		}
		places_add(&ls->places, &e->places);
		listener_entry_announce(e);
	}
	sockets_forget_names(ls->sockets);
	for (size_t i = 0; i < ls->n; i++)
		listener_entry_store(ls->at[i]);
	return 0;
}

/* --- look-ups --- */

size_t listeners_count(const struct listeners *ls)
{
	return ls->n;
}

const struct listener_entry *listeners_at(const struct listeners *ls, size_t i)
{
	return i < ls->n ? ls->at[i] : NULL;
}

bool listeners_has_origin(const struct listeners *ls, unsigned origin)
{
	for (size_t i = 0; i < ls->n; i++)
		if (ls->at[i]->listener && ls->at[i]->origin == origin)
			return true;
	return false;
}

void listeners_stats(const struct listeners *ls, const struct listener_entry *e, struct listener_stats *ret)
{
	listener_tally_stats(clients_tally(ls->shared->clients, e->origin), ret);
}

/* --- the end --- */

void listeners_unstore(struct listeners *ls)
{
	for (size_t i = 0; i < ls->n; i++)
		listener_entry_unstore(ls->at[i]);
}

void listeners_each_socket(struct listeners *ls, void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	for (size_t i = 0; i < ls->n; i++)
		places_each(&ls->at[i]->places, true, fn, arg);
}
