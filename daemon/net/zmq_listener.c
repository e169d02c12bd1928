/* SPDX-License-Identifier: MIT */
/*
 * A ZeroMQ listener as the main thread and the behaviours see it. The main thread makes it, starts and ends
 * its thread, and asks how it is; what it tells the thread goes through the phase and the wake-up. The
 * behaviours' half runs on the thread.
 */
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/base/logger.h"
#include "daemon/config/handler.h"
#include "daemon/net/zmq_private.h"

#include <stdio.h>
#include <string.h>

/* --- as a service --- */

static int zmq_service_start(struct service *s, bool held)
{
	struct zmq_listener *z = (struct zmq_listener *)s;
	const char *where = NULL;

	atomic_store(&z->phase, ZMQ_PHASE_RUN);
	atomic_store(&z->drained, false);
	atomic_store(&z->peers, 0);
	atomic_store(&z->subscribers, 0);
	z->draining = false;
	z->alone_since = 0;
	int r = zmq_sockets_open(z, &where);
	zmq_subscribers_begin(z, held);
	atomic_store(&z->beat, clock_us(CLOCK_MONOTONIC));
	if (r == 0)
		r = -pthread_create(&z->thread, NULL, zmq_thread_run, z);
	if (r < 0) {
		zmq_sockets_close(z);
		zmq_room_leave(z);
		log_event(LOG_ERR,
			  &(struct log_fields){.message_id = EVENT_LISTENER, .listener = z->setup.name},
			  "listener %s: %s%s%s", z->setup.name, where ? where : "", where ? ": " : "",
			  zmq_strerror(-r));
		return r;
	}
	z->started = true;
	return 0;
}

static void zmq_set_phase(struct zmq_listener *z, enum zmq_phase phase)
{
	if (!z->started)
		return;
	atomic_store(&z->phase, phase);
	wakeup_kick(z->wakeup);
}

/* Nobody can send any more, and what is there is passed on. */
static void zmq_service_drain(struct service *s)
{
	zmq_set_phase((struct zmq_listener *)s, ZMQ_PHASE_DRAIN);
}

static bool zmq_service_is_drained(const struct service *s)
{
	const struct zmq_listener *z = (const struct zmq_listener *)s;

	return !z->started || atomic_load(&z->drained);
}

/* What is left in the room is published, and the sockets are closed, whose messages have until the linger. */
static void zmq_service_quit(struct service *s, int64_t linger_us)
{
	struct zmq_listener *z = (struct zmq_listener *)s;

	if (atomic_load(&z->linger_us) > linger_us)
		atomic_store(&z->linger_us, linger_us);
	zmq_set_phase(z, ZMQ_PHASE_QUIT);
}

static bool zmq_service_join(struct service *s, int64_t timeout_us)
{
	struct zmq_listener *z = (struct zmq_listener *)s;

	return service_join_thread(z->thread, &z->started, timeout_us);
}

static int64_t zmq_service_linger(const struct service *s)
{
	return atomic_load(&((const struct zmq_listener *)s)->linger_us);
}

static void zmq_service_reloaded(struct service *s, const struct config *config)
{
	struct zmq_listener *z = (struct zmq_listener *)s;

	atomic_store(&z->max_message, config->max_message);
	atomic_store(&z->linger_us,
		     z->setup.own.linger_us >= 0 ? z->setup.own.linger_us : config->drain_timeout_us);
}

static int64_t zmq_service_beat(const struct service *s)
{
	const struct zmq_listener *z = (const struct zmq_listener *)s;

	if (!z->started)
		return INT64_MAX; /* it could not be started, which is no reason to end everything */
	return atomic_load_explicit(&z->beat, memory_order_relaxed);
}

static unsigned zmq_service_peers(const struct service *s)
{
	return atomic_load_explicit(&((const struct zmq_listener *)s)->peers, memory_order_relaxed);
}

static uint64_t zmq_service_counter(const struct service *s, enum counter which)
{
	const struct zmq_listener *z = (const struct zmq_listener *)s;

	return atomic_load_explicit(&z->ctx.counters->v[which], memory_order_relaxed) - z->before[which];
}

static const struct service_ops zmq_service_ops = {
    .start = zmq_service_start,
    .drain = zmq_service_drain,
    .is_drained = zmq_service_is_drained,
    .quit = zmq_service_quit,
    .join = zmq_service_join,
    .linger = zmq_service_linger,
    .reloaded = zmq_service_reloaded,
    .beat = zmq_service_beat,
    .peers = zmq_service_peers,
    .counter = zmq_service_counter,
};

/* --- for the main thread --- */

static int zmq_copy_setup(struct zmq_setup *s, const struct config *config,
			  const struct listener_config *listener)
{
	memcpy(s->name, listener->name, sizeof(s->name));
	memcpy(s->room, listener->room, sizeof(s->room));
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		memcpy(s->endpoints[i], listener->endpoints[i].text, sizeof(s->endpoints[i]));
	s->keepalive_us = config->keepalive_us;
	return zmq_own_copy(&s->own, listener->own);
}

/* The first name that is free: the threads are numbered among themselves. */
static void zmq_name_thread(const struct services *services, char ret[static SERVICE_NAME_MAX])
{
	unsigned i = 0;

	do
		snprintf(ret, SERVICE_NAME_MAX, "chatd/z%u", i++);
	while (services_has(services, ret));
}

static int zmq_take_slot(struct zmq_listener *z, struct shared *shared)
{
	int r = slots_take(shared->slots, true, &z->ctx.slot);

	if (r < 0)
		return r == -ENOSPC ? -EUSERS : r;
	z->ctx.shared = shared;
	z->ctx.counters = context_counters(shared, z->ctx.slot);
	if (!z->ctx.counters) {
		slots_give(shared->slots, z->ctx.slot);
		return -EUSERS;
	}
	for (int i = 0; i < COUNTERS_N; i++)
		z->before[i] = atomic_load_explicit(&z->ctx.counters->v[i], memory_order_relaxed);
	z->wakeup = slots_wakeup(shared->slots, z->ctx.slot);
	return 0;
}

int zmq_listener_new(struct shared *shared, const struct config *config,
		     const struct listener_config *listener, const int *fds, unsigned origin,
		     struct zmq_listener **ret)
{
	struct zmq_listener *z = calloc(1, sizeof(*z));

	if (!z)
		return -ENOMEM;
	int r = zmq_copy_setup(&z->setup, config, listener);
	if (r == 0)
		r = zmq_take_slot(z, shared);
	if (r < 0) {
		zmq_own_release(&z->setup.own);
		free(z);
		return r;
	}
	z->behaviour = listener->handler->zmq;
	z->origin = origin;
	clients_hold_origin(shared->clients, origin);
	z->tally = clients_tally(shared->clients, origin);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		z->at[i].fd = fds[i];
	zmq_service_reloaded(&z->service, config);
	z->service.ops = &zmq_service_ops;
	z->service.kind = "zmq";
	z->service.listener = z->setup.name;
	zmq_name_thread(&shared->services, z->service.name);
	services_add(&shared->services, &z->service);
	*ret = z;
	return 0;
}

void zmq_listener_free(struct zmq_listener *z)
{
	if (!z)
		return;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		if (z->at[i].fd >= 0)
			close(z->at[i].fd);
		zmq_peers_free(z->at[i].peers);
	}
	clients_drop_origin(z->ctx.shared->clients, z->origin);
	services_remove(&z->ctx.shared->services, &z->service);
	slots_give(z->ctx.shared->slots, z->ctx.slot);
	zmq_own_release(&z->setup.own);
	free(z);
}

struct service *zmq_listener_service(struct zmq_listener *z)
{
	return &z->service;
}

bool zmq_listener_is_same(const struct zmq_listener *z, const struct listener_config *c)
{
	const struct zmq_setup *s = &z->setup;

	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		if (strcmp(s->endpoints[i], c->endpoints[i].text) != 0)
			return false;
	return zmq_own_same(&s->own, c->own);
}

/* --- for the behaviours --- */

void *zmq_listener_socket(struct zmq_listener *z, unsigned number)
{
	return z->at[number].socket;
}

struct zmq_held *zmq_listener_held(struct zmq_listener *z)
{
	return &z->held_message;
}

bool zmq_listener_take(struct zmq_listener *z, zmq_msg_t *m)
{
	struct zmq_peers *peers = z->at[0].peers;

	if (zmq_msg_recv(m, z->at[0].socket, ZMQ_DONTWAIT) < 0) {
		zmq_peers_took_all(peers);
		return false;
	}
	zmq_peers_took(peers, m);
	return true;
}

void zmq_listener_took_frame(struct zmq_listener *z, zmq_msg_t *m)
{
	zmq_peers_whose(z->at[0].peers, m);
}

bool zmq_listener_may_be(struct zmq_listener *z, const char *s, size_t len, char ret[TEXT_NICK_MAX + 1])
{
	int n = nick_normalise(s, len, ret);

	return n > 0 && roster_check(z->ctx.shared->roster, ret, (size_t)n) == 0;
}

void zmq_listener_count(struct zmq_listener *z, uint64_t messages_in, uint64_t messages_out,
			uint64_t bytes_in, uint64_t bytes_out)
{
	zmq_tally(&z->tally->received, messages_in);
	count(z->ctx.counters, COUNT_ZMQ_IN, messages_in);
	count(z->ctx.counters, COUNT_ZMQ_OUT, messages_out);
	count(z->ctx.counters, COUNT_BYTES_IN, bytes_in);
	count(z->ctx.counters, COUNT_BYTES_OUT, bytes_out);
}

void zmq_listener_count_dropped(struct zmq_listener *z, uint64_t n)
{
	zmq_tally(&z->tally->dropped, n);
	count(z->ctx.counters, COUNT_ZMQ_DROPPED, n);
}

void zmq_listener_count_ignored(struct zmq_listener *z, uint64_t n)
{
	zmq_tally(&z->tally->ignored, n);
	count(z->ctx.counters, COUNT_ZMQ_IGNORED, n);
}
