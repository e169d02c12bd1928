/* SPDX-License-Identifier: MIT */
/* What all listeners have in common, whatever their transport: their life on a worker, and who may come. */
#include "daemon/engine/listener.h"

#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/engine/bans.h"
#include "daemon/engine/limits.h"

#include <stddef.h>
#include <string.h>

/* --- as a resident of its worker --- */

static struct listener *listener_of(struct resident *r)
{
	return (struct listener *)((char *)r - offsetof(struct listener, resident));
}

static bool listener_again(struct resident *r)
{
	struct listener *l = listener_of(r);

	if (!l->wants_turn)
		return false;
	l->wants_turn = false;
	l->ops->again(l);
	return l->wants_turn;
}

static void listener_tick(struct resident *r)
{
	if (listener_of(r)->ops->tick)
		listener_of(r)->ops->tick(listener_of(r));
}

static void listener_deliver(struct resident *r, uint32_t room)
{
	if (listener_of(r)->ops->deliver)
		listener_of(r)->ops->deliver(listener_of(r), room);
}

static void listener_freeze(struct resident *r)
{
	listener_of(r)->ops->freeze(listener_of(r));
}

static void listener_goodbye(struct resident *r)
{
	if (listener_of(r)->ops->goodbye)
		listener_of(r)->ops->goodbye(listener_of(r));
}

static void listener_each(struct resident *r, void (*fn)(const struct client_info *info, void *arg),
			  void *arg)
{
	if (listener_of(r)->ops->each)
		listener_of(r)->ops->each(listener_of(r), fn, arg);
}

static bool listener_kick(struct resident *r, uint64_t id, const struct notice *why, union address *ret_from)
{
	return listener_of(r)->ops->kick && listener_of(r)->ops->kick(listener_of(r), id, why, ret_from);
}

/* Members that come from there, collected before they go. */
struct victims {
	const struct prefix *from;
	uint64_t id[256];
	size_t n;
};

static void listener_collect_victim(const struct client_info *info, void *arg)
{
	struct victims *v = arg;

	if (v->n < sizeof(v->id) / sizeof(*v->id) && prefix_contains(v->from, &info->address))
		v->id[v->n++] = info->id;
}

static unsigned listener_evict(struct resident *r, const struct prefix *from, const struct notice *why)
{
	struct victims v = {.from = from};
	struct listener *l = listener_of(r);
	union address where;
	unsigned n = 0;

	if (!l->ops->each || !l->ops->kick)
		return 0;
	do {
		v.n = 0;
		l->ops->each(l, listener_collect_victim, &v);
		for (size_t i = 0; i < v.n; i++)
			n += l->ops->kick(l, v.id[i], why, &where);
	} while (v.n == sizeof(v.id) / sizeof(*v.id));
	return n;
}

static const struct resident_ops listener_resident_ops = {
    .again = listener_again,
    .tick = listener_tick,
    .deliver = listener_deliver,
    .freeze = listener_freeze,
    .goodbye = listener_goodbye,
    .each = listener_each,
    .kick = listener_kick,
    .evict = listener_evict,
};

/* --- its life --- */

void listener_init(struct listener *l, struct clients *clients, int fd, const struct listener_config *config,
		   unsigned origin, unsigned home)
{
	l->fd = fd;
	l->clients = clients;
	l->origin = origin;
	clients_hold_origin(clients, origin);
	l->home = home;
	l->handler = config->handler;
	l->config = config;
	l->resident.ops = &listener_resident_ops;
	memcpy(l->name, config->name, sizeof(l->name));
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
	worker_add(w, &l->resident);
	return 0;
}

void listener_stop(struct listener *l)
{
	if (!l->w)
		return;
	l->ops->stop(l);
	worker_remove(l->w, &l->resident);
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

void listener_tally_stats(const struct client_tally *t, struct listener_stats *ret)
{
	*ret = (struct listener_stats){
	    .accepted = atomic_load_explicit(&t->accepted, memory_order_relaxed),
	    .received = atomic_load_explicit(&t->received, memory_order_relaxed),
	    .dropped = atomic_load_explicit(&t->dropped, memory_order_relaxed),
	    .ignored = atomic_load_explicit(&t->ignored, memory_order_relaxed),
	};
}
