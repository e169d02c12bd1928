/* SPDX-License-Identifier: MIT */
/*
 * A reload of the listeners. What is new is opened first, while everything goes on; when that has succeeded,
 * the workers exchange the listeners and get the new configuration, each within one turn. A listener whose
 * sockets stay the same goes on, and its clients notice nothing.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/net/listeners.h"

#include <stdio.h>
#include <string.h>

/* How long workers may take over a change of what they do. */
#define LISTENERS_CALL_US (5 * SECOND_US)
/* How long a service that is taken away may go on, since others wait for its end. */
#define LISTENERS_DRAIN_US (SECOND_US)

/* --- preparing --- */

/* Whether a listener can have that configuration without closing its sockets. */
static bool listeners_is_same(const struct listener_entry *e, const struct listener_config *c)
{
	return e->handler == c->handler && strcmp(e->name, c->name) == 0 && strcmp(e->room, c->room) == 0 &&
	       (e->zmq ? zmq_listener_is_same(e->zmq, c)
		       : address_equal(&e->places.at[0].wanted.address, &c->listen));
}

static struct listener_entry *listeners_find_same(const struct listeners *ls, const struct listener_config *c)
{
	for (size_t i = 0; i < ls->n; i++)
		if (listeners_is_same(ls->at[i], c))
			return ls->at[i];
	return NULL;
}

static void listeners_forget_next(struct listeners *ls)
{
	free(ls->next);
	ls->next = NULL;
	ls->n_next = 0;
}

void listeners_cancel(struct listeners *ls)
{
	for (size_t i = 0; i < ls->n_next; i++) {
		struct listener_entry *e = ls->next[i];
		if (!e || !e->fresh)
			continue;
		if (e->service)
			service_end(e->service, 0);
		listener_entry_free(e);
	}
	listeners_forget_next(ls);
}

static int listeners_prepare_one(struct listeners *ls, struct config *new, size_t i)
{
	struct listener_config *c = &new->listeners[i];
	struct listener_entry *e = listeners_find_same(ls, c);

	if (e) {
		ls->next[i] = e;
		e->stays = true;
		c->bound = e->places.at[0].bound;
		return 0;
	}
	int r = listener_entry_open(ls->shared, ls->sockets, &ls->places, new, i, &ls->next[i]);
	e = ls->next[i];
	if (!e)
		return r;
	e->fresh = true;
	if (r < 0)
		return r;
	/* An endpoint that an old one has is free when that has ended. */
	e->waits = places_collide(&e->places, &ls->places);
	return e->service && !e->waits ? service_start(e->service, false) : 0;
}

int listeners_prepare(struct listeners *ls, struct config *new, FILE *errors)
{
	int result = 0;

	ls->next = calloc(new->n_listeners + 1, sizeof(struct listener_entry *));
	if (!ls->next)
		return -ENOMEM;
	ls->n_next = new->n_listeners;
	for (size_t i = 0; i < ls->n; i++)
		ls->at[i]->stays = false;
	for (size_t i = 0; i < new->n_listeners; i++) {
		const struct listener_config *c = &new->listeners[i];
		char text[PLACES_TEXT_MAX] = "";
		int r = listeners_prepare_one(ls, new, i);
		if (r == 0)
			continue;
		if (ls->next[i])
			places_text(&ls->next[i]->places, text);
		fprintf(errors, "%s: listener %s: %s: %s\n", c->where ? c->where : "?", c->name, text,
			listener_entry_why(r));
		result = r;
	}
	if (result < 0)
		listeners_cancel(ls);
	return result;
}

/* --- what the workers do --- */

/* It owns what is no longer needed when all have done it. */
struct change {
	const struct config *config;
	struct config *old;
	struct listener_entry **stop;
	struct listener **start, **keep;
	const struct listener_config **settings; /* of those in keep */
	size_t n_stop, n_start, n_keep;
};

static void listeners_change_free(void *arg)
{
	struct change *c = arg;

	for (size_t i = 0; i < c->n_stop; i++)
		listener_entry_free(c->stop[i]);
	config_free(c->old);
	free(c->stop);
	free(c->start);
	free(c->keep);
	free(c->settings);
	free(c);
}

static struct change *listeners_change_new(const struct listeners *ls)
{
	struct change *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->stop = calloc(ls->n + 1, sizeof(struct listener_entry *));
	c->start = calloc(ls->n_next + 1, sizeof(struct listener *));
	c->keep = calloc(ls->n_next + 1, sizeof(struct listener *));
	c->settings = calloc(ls->n_next + 1, sizeof(struct listener_config *));
	if (c->stop && c->start && c->keep && c->settings)
		return c;
	listeners_change_free(c);
	return NULL;
}

static void listeners_change_reconfigure(struct listener *l, const struct listener_config *config)
{
	l->config = config;
	if (l->ops->configure)
		l->ops->configure(l);
}

static void listeners_change_apply(struct worker *w, void *arg)
{
	const struct change *c = arg;
	unsigned me = worker_context(w)->slot;

	worker_reload(w, c->config);
	for (size_t i = 0; i < c->n_stop; i++)
		if (c->stop[i]->listener->home == me)
			listener_stop(c->stop[i]->listener);
	for (size_t i = 0; i < c->n_keep; i++)
		if (c->keep[i]->home == me)
			listeners_change_reconfigure(c->keep[i], c->settings[i]);
	for (size_t i = 0; i < c->n_start; i++) {
		if (c->start[i]->home != me)
			continue;
		int r = listener_start(c->start[i], w);
		if (r < 0)
			log_error("listener %s: %s", c->start[i]->name, strerror(-r));
	}
}

/* --- applying --- */

static void listeners_end_old(struct listeners *ls, struct change *c)
{
	for (size_t i = 0; i < ls->n; i++) {
		struct listener_entry *e = ls->at[i];
		if (e->stays)
			continue;
		listener_entry_unstore(e);
		places_give_back(&e->places, ls->sockets, &ls->places);
		if (e->service)
			service_end(e->service, LISTENERS_DRAIN_US);
		log_event(LOG_INFO, &(struct log_fields){.message_id = EVENT_LISTENER, .listener = e->name},
			  "listener %s ends", e->name);
		if (e->service)
			listener_entry_free(e);
		else
			c->stop[c->n_stop++] = e;
	}
}

static void listeners_begin_new(struct listeners *ls, struct change *c, const struct config *new)
{
	for (size_t i = 0; i < ls->n_next; i++) {
		struct listener_entry *e = ls->next[i];
		if (e->service) {
			if (e->waits)
				service_start(e->service,
					      false); /* it logs what is wrong; a reload tries again */
		} else if (e->fresh) {
			c->start[c->n_start++] = e->listener;
		} else {
			c->settings[c->n_keep] = &new->listeners[i];
			c->keep[c->n_keep++] = e->listener;
		}
		if (!e->fresh)
			continue;
		listener_entry_store(e);
		listener_entry_announce(e);
		e->fresh = e->waits = false;
	}
}

void listeners_apply(struct listeners *ls, const struct config *new, struct config *old)
{
	struct change *c = listeners_change_new(ls);

	if (!c)
		abort(); /* a crash is recovered from */
	c->config = new;
	c->old = old;
	ls->places = (struct places_list){0};
	for (size_t i = 0; i < ls->n_next; i++)
		places_add(&ls->places, &ls->next[i]->places);
	FAULT("reload-opened");
	listeners_end_old(ls, c);
	FAULT("reload-ended");
	listeners_begin_new(ls, c, new);
	FAULT("reload-stored");
	services_reloaded(&ls->shared->services, new);
	free(ls->at);
	ls->at = ls->next;
	ls->n = ls->n_next;
	ls->next = NULL;
	listeners_forget_next(ls);
	if (workers_call(ls->shared, NULL, listeners_change_apply, c, listeners_change_free,
			 LISTENERS_CALL_US) < 0)
		log_error("a worker does not answer; it will follow the reload when it does");
}
