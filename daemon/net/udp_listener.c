/* SPDX-License-Identifier: MIT */
/*
 * A UDP listener on its worker: what its socket and its worker tell it goes to the sending, the receiving and
 * the behaviour.
 */
#include "common/cleanup.h"
#include "daemon/config/handler.h"
#include "daemon/net/udp_private.h"

#include <sys/epoll.h>

void *udp_data(struct udp_listener *u)
{
	return u->data;
}

struct listener *udp_base(struct udp_listener *u)
{
	return &u->base;
}

bool udp_has_segments(const struct udp_listener *u)
{
	return !u->no_segments;
}

bool udp_is_blocked(const struct udp_listener *u)
{
	return u->blocked;
}

void udp_count_ignored(struct udp_listener *u)
{
	udp_tally(&u->base.tally->ignored, 1);
	count(u->base.ctx->counters, COUNT_DATAGRAMS_IGNORED, 1);
}

void udp_count_dropped(struct udp_listener *u, uint64_t n)
{
	udp_tally(&u->base.tally->dropped, n);
	count(u->base.ctx->counters, COUNT_DATAGRAMS_DROPPED, n);
}

void udp_count_accepted(struct udp_listener *u)
{
	udp_tally(&u->base.tally->accepted, 1);
}

void udp_watch(struct udp_listener *u)
{
	bool reads = !u->frozen && u->held_at == u->held_n;
	uint32_t events = (reads ? EPOLLIN : 0) | (u->blocked ? EPOLLOUT : 0);

	if (events == u->events)
		return;
	worker_rewatch(u->base.w, u->base.fd, events, &u->base.source);
	u->events = events;
}

static void udp_listener_ready(struct source *s, uint32_t events)
{
	struct udp_listener *u = (struct udp_listener *)s;

	if (events & EPOLLERR)
		udp_errors_read(u);
	if (events & EPOLLOUT) {
		u->blocked = false;
		if (u->behaviour->deliver)
			u->behaviour->deliver(u, ROOM_NONE);
	}
	if (events & EPOLLIN && !u->frozen)
		udp_receive(u);
	udp_errors_act(u);
	udp_watch(u);
}

/* --- as a listener --- */

static int udp_listener_start(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;
	int r = worker_watch(l->w, l->fd, EPOLLIN, &l->source);

	u->events = EPOLLIN;
	if (r == 0 && u->behaviour->started)
		u->behaviour->started(u);
	return r;
}

static void udp_listener_goodbye(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->behaviour->goodbye)
		u->behaviour->goodbye(u, false);
}

static void udp_listener_stop(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->behaviour->goodbye)
		u->behaviour->goodbye(u, true);
	worker_unwatch(l->w, l->fd);
}

static void udp_listener_configure(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->behaviour->reloaded)
		u->behaviour->reloaded(u);
}

static void udp_listener_tick(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	udp_errors_read(u);
	udp_errors_act(u);
	if (u->behaviour->tick)
		u->behaviour->tick(u);
}

static void udp_listener_deliver(struct listener *l, uint32_t room)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (!u->behaviour->deliver)
		return;
	u->behaviour->deliver(u, room);
	udp_errors_act(u);
}

static void udp_listener_again(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	udp_receive(u);
	udp_errors_act(u);
	udp_watch(u);
}

static void udp_listener_freeze(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	u->frozen = true;
	l->wants_turn = false;
	udp_watch(u);
}

static void udp_listener_each(struct listener *l, void (*fn)(const struct client_info *info, void *arg),
			      void *arg)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->behaviour->each)
		u->behaviour->each(u, fn, arg);
}

static bool udp_listener_kick(struct listener *l, uint64_t id, const struct notice *why,
			      union address *ret_from)
{
	struct udp_listener *u = (struct udp_listener *)l;

	return u->behaviour->kick && u->behaviour->kick(u, id, why, ret_from);
}

static void udp_listener_release(struct listener *l)
{
	struct udp_listener *u = (struct udp_listener *)l;

	if (u->data)
		u->behaviour->closed(u->data);
	udp_receive_release(u);
	free(u);
}

static const struct listener_ops udp_listener_ops = {
    .start = udp_listener_start,
    .stop = udp_listener_stop,
    .configure = udp_listener_configure,
    .tick = udp_listener_tick,
    .deliver = udp_listener_deliver,
    .again = udp_listener_again,
    .freeze = udp_listener_freeze,
    .goodbye = udp_listener_goodbye,
    .each = udp_listener_each,
    .kick = udp_listener_kick,
    .free = udp_listener_release,
};

static bool udp_is_wildcard(const union address *a)
{
	return a->sa.sa_family == AF_INET ? a->in.sin_addr.s_addr == INADDR_ANY
					  : IN6_IS_ADDR_UNSPECIFIED(&a->in6.sin6_addr);
}

struct listener *udp_listener_new(const struct listener_config *config)
{
	struct udp_listener *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->base.source.ready = udp_listener_ready;
	u->base.ops = &udp_listener_ops;
	u->behaviour = config->handler->udp;
	u->wildcard = udp_is_wildcard(config_bound(config));
	if (udp_receive_init(u) < 0 ||
	    (u->behaviour->opened && u->behaviour->opened(u, config, &u->data) < 0)) {
		udp_listener_release(&u->base);
		return NULL;
	}
	return &u->base;
}
