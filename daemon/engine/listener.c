/* SPDX-License-Identifier: MIT */
#include "daemon/engine/listener.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/engine/bans.h"
#include "daemon/engine/limits.h"

#include <string.h>

int listener_new(struct clients *clients, int fd, const struct listener_config *config, unsigned origin,
		 unsigned home, struct listener **ret)
{
	static struct listener *(*const constructors[])(const struct listener_config *config) = {
	    [TRANSPORT_TCP] = tcp_listener_new,
	    [TRANSPORT_UDP] = udp_listener_new,
	};
	struct listener *l = constructors[config->handler->transport](config);

	if (!l)
		return -ENOMEM;
	l->fd = fd;
	l->clients = clients;
	l->origin = origin;
	clients_hold_origin(clients, origin);
	l->home = home;
	l->handler = config->handler;
	l->config = config;
	memcpy(l->name, config->name, sizeof(l->name));
	*ret = l;
	return 0;
}

void listener_free(struct listener *l)
{
	if (!l)
		return;
	clients_drop_origin(l->clients, l->origin);
	close(l->fd);
	l->ops->free(l);
}

int listener_start(struct listener *l, struct worker *w)
{
	l->w = w;
	l->ctx = worker_context(w);
	l->tally = clients_tally(l->ctx->shared->clients, l->origin);
	int r = l->ops->start(l);
	if (r < 0) {
		l->w = NULL;
		return r;
	}
	l->prev = NULL;
	l->next = *worker_listeners(w);
	if (l->next)
		l->next->prev = l;
	*worker_listeners(w) = l;
	return 0;
}

void listener_stop(struct listener *l)
{
	if (!l->w)
		return;
	l->ops->stop(l);
	if (l->prev)
		l->prev->next = l->next;
	else
		*worker_listeners(l->w) = l->next;
	if (l->next)
		l->next->prev = l->prev;
	l->w = NULL;
}

void listener_refused(struct listener *l, const union address *a, const char *why)
{
	char from[ADDRESS_TEXT_MAX];

	count(l->ctx->counters, COUNT_CLIENTS_REFUSED, 1);
	log_limited(
	    LOG_TOPIC_REFUSED, LOG_NOTICE,
	    &(struct log_fields){.message_id = EVENT_CLIENT_REFUSED, .listener = l->name, .address = a},
	    "listener %s: refused %s: %s", l->name, address_peer(a, from), why);
}

bool listener_allows(struct listener *l, const union address *a, const char **ret_why)
{
	const struct listener_config *c = l->config;

	*ret_why = NULL;
	if (bans_match(l->ctx->shared->bans, a)) {
		*ret_why = "your address is banned";
		count(l->ctx->counters, COUNT_BANNED, 1);
	} else if (prefixes_contain(&c->deny, a) || (c->allow.n > 0 && !prefixes_contain(&c->allow, a))) {
		*ret_why = "your address is not allowed here";
		count(l->ctx->counters, COUNT_NOT_ALLOWED, 1);
	}
	return !*ret_why;
}

bool listener_admit(struct listener *l, const union address *a, const char **ret_why)
{
	const struct config *config = l->ctx->config;
	const struct limits_caps caps = {config->max_clients, config->max_clients_per_address,
					 l->config->max_clients};

	if (listener_allows(l, a, ret_why)) {
		int r = limits_take(l->ctx->shared->limits, a, l->origin, &caps);
		if (r == 0)
			return true;
		*ret_why = r == -EUSERS	  ? "the server is full"
			   : r == -ENOSPC ? "there are too many connections here"
			   : r == -EDQUOT ? "there are too many connections from your address"
					  : "the server is out of memory";
	}
	listener_refused(l, a, *ret_why);
	return false;
}

void listener_stats(const struct listener *l, struct listener_stats *ret)
{
	*ret = (struct listener_stats){0};
	if (l->tally)
		listener_tally_stats(l->tally, ret);
}

void listener_tally_stats(const struct client_tally *t, struct listener_stats *ret)
{
	*ret = (struct listener_stats){
	    .accepted = atomic_load_explicit(&t->accepted, memory_order_relaxed),
	    .received = atomic_load_explicit(&t->received, memory_order_relaxed),
	    .dropped = atomic_load_explicit(&t->dropped, memory_order_relaxed),
	    .ignored = atomic_load_explicit(&t->ignored, memory_order_relaxed),
	};
}
