/* SPDX-License-Identifier: MIT */
/*
 * The set of listeners: one is opened, announced and stored here, and looked up. Where its sockets come from is
 * in places.c, what a reload does in listeners_reload.c.
 */
#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/net/listeners_private.h"

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
		listeners_free_entry(ls->at[i]);
	free(ls->at);
	free(ls);
}

/* --- one of them --- */

static int listeners_intern(struct listeners *ls, const struct listener_config *config)
{
	struct client_origin origin = {.listener = ""};

	snprintf(origin.listener, sizeof(origin.listener), "%s", config->name);
	snprintf(origin.type, sizeof(origin.type), "%s", config->handler->type);
	snprintf(origin.mode, sizeof(origin.mode), "%s", config->handler->mode);
	snprintf(origin.room, sizeof(origin.room), "%s", config->room);
	return clients_intern(ls->shared->clients, &origin);
}

/* Its sockets are open, and are its own from here on. */
static int listeners_make_zmq(struct listeners *ls, const struct config *config,
			      const struct listener_config *c, struct listener_entry *e)
{
	int fds[HANDLER_ENDPOINTS];

	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		fds[i] = e->places.at[i].fd;
	int r = zmq_listener_new(ls->shared, config, c, fds, e->origin, &e->zmq);
	if (r == 0)
		e->service = zmq_listener_service(e->zmq);
	return r;
}

static int listeners_make(struct listeners *ls, struct listener_config *c, unsigned home,
			  struct listener_entry *e)
{
	c->bound = e->places.at[0].bound;
	int r = listener_new(ls->shared->clients, e->places.at[0].fd, c, e->origin, home, &e->listener);
	if (r == 0 && e->listener->ops->configure) /* a borrowed socket has the backlog of before */
		e->listener->ops->configure(e->listener);
	return r;
}

int listeners_open_entry(struct listeners *ls, struct config *config, size_t number,
			 struct listener_entry **ret)
{
	struct listener_config *c = &config->listeners[number];
	struct listener_entry *e = calloc(1, sizeof(*e));

	*ret = e;
	if (!e)
		return -ENOMEM;
	memcpy(e->name, c->name, sizeof(e->name));
	memcpy(e->room, c->room, sizeof(e->room));
	e->handler = c->handler;
	places_init(&e->places, c);
	int r = listeners_intern(ls, c);
	if (r < 0)
		return r;
	e->origin = (unsigned)r;
	r = places_open(&e->places, ls->sockets, &ls->places);
	if (r < 0)
		return r;
	r = c->handler->transport == TRANSPORT_ZMQ
		? listeners_make_zmq(ls, config, c, e)
		: listeners_make(ls, c, (unsigned)(number % ls->shared->n_workers), e);
	if (r < 0)
		places_close(&e->places);
	return r;
}

void listeners_free_entry(struct listener_entry *e)
{
	if (!e)
		return;
	listener_free(e->listener);
	zmq_listener_free(e->zmq);
	free(e);
}

void listeners_announce(const struct listener_entry *e)
{
	char text[PLACES_TEXT_MAX];

	places_warn_of_units(&e->places, e->name);
	log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = e->name},
		  "listener %s: %s %s on %s%s%s%s", e->name, e->handler->type, e->handler->mode,
		  places_text(&e->places, text), e->room[0] ? ", room " : "", e->room,
		  e->places.at[0].passed ? " (socket from systemd)" : "");
}

static void listeners_store_socket(const char *name, int fd, void *arg)
{
	(void)arg;
	sockets_store(fd, name);
}

static void listeners_unstore_socket(const char *name, int fd, void *arg)
{
	(void)fd;
	(void)arg;
	sockets_unstore(name);
}

void listeners_store_entry(const struct listener_entry *e)
{
	places_each(&e->places, false, listeners_store_socket, NULL);
}

void listeners_unstore_entry(const struct listener_entry *e)
{
	places_each(&e->places, false, listeners_unstore_socket, NULL);
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
		  zmq_strerror(-error));
}

int listeners_open(struct listeners *ls, struct config *config, bool taken_over)
{
	ls->at = calloc(config->n_listeners + 1, sizeof(struct listener_entry *));
	if (!ls->at)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_listeners; i++) {
		int r = listeners_open_entry(ls, config, i, &ls->at[i]);
		struct listener_entry *e = ls->at[i];
		ls->n += e != NULL;
		if (r == 0)
			r = listeners_start_entry(ls, e, taken_over);
		if (r < 0 && e)
			listeners_log_failure(e, config->listeners[i].where, r);
		if (r < 0)
			return r;
		places_add(&ls->places, &e->places);
		listeners_announce(e);
	}
	sockets_forget_names(ls->sockets);
	for (size_t i = 0; i < ls->n; i++)
		listeners_store_entry(ls->at[i]);
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
		listeners_unstore_entry(ls->at[i]);
}

void listeners_each_socket(struct listeners *ls, void (*fn)(const char *name, int fd, void *arg), void *arg)
{
	for (size_t i = 0; i < ls->n; i++)
		places_each(&ls->at[i]->places, true, fn, arg);
}
