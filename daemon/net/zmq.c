/* SPDX-License-Identifier: MIT */
/*
 * A ZeroMQ listener as the main thread and the behaviours see it. The main thread makes it, starts and ends
 * its thread, and asks how it is; what it tells the thread goes through the phase and the wake-up. The
 * behaviours' half runs on the thread.
 */
#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"
#include "daemon/config/handler.h"
#include "daemon/net/zmq_private.h"

#include <stdio.h>
#include <string.h>

/* --- for the main thread --- */

static int zmq_copy_settings(struct zmq_settings *s, const struct config *config,
			     const struct listener_config *listener)
{
	memcpy(s->name, listener->name, sizeof(s->name));
	memcpy(s->room, listener->room, sizeof(s->room));
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		memcpy(s->endpoints[i], listener->endpoints[i].text, sizeof(s->endpoints[i]));
	s->keepalive_us = config->keepalive_us;
	return zmq_own_copy(&s->own, listener->own);
}

int zmq_listener_new(struct shared *shared, const struct config *config,
		     const struct listener_config *listener, const int *fds, unsigned slot, unsigned origin,
		     struct zmq_listener **ret)
{
	struct counters *counters = context_counters(shared, slot);
	struct zmq_listener *z = counters ? calloc(1, sizeof(*z)) : NULL;

	if (!z)
		return counters ? -ENOMEM : -ENOSPC;
	if (zmq_copy_settings(&z->settings, config, listener) < 0) {
		zmq_own_release(&z->settings.own);
		free(z);
		return -ENOMEM;
	}
	z->ctx.shared = shared;
	z->ctx.slot = slot;
	z->ctx.counters = counters;
	for (int i = 0; i < COUNTERS_N; i++)
		z->before[i] = atomic_load_explicit(&z->ctx.counters->v[i], memory_order_relaxed);
	z->behaviour = listener->handler->zmq;
	z->origin = origin;
	clients_hold_origin(shared->clients, origin);
	z->tally = clients_tally(shared->clients, origin);
	z->wakeup = slots_wakeup(shared->slots, slot);
	snprintf(z->thread_name, sizeof(z->thread_name), "chatd/z%u",
		 slots_beyond_workers(shared->slots, slot) - CONTEXT_OTHERS);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		z->at[i].fd = fds[i];
	zmq_listener_set_config(z, config);
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
	zmq_own_release(&z->settings.own);
	free(z);
}

bool zmq_listener_is_same(const struct zmq_listener *z, const struct listener_config *c)
{
	const struct zmq_settings *s = &z->settings;

	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		if (strcmp(s->endpoints[i], c->endpoints[i].text) != 0)
			return false;
	return zmq_own_same(&s->own, c->own);
}

void zmq_listener_set_config(struct zmq_listener *z, const struct config *config)
{
	int64_t linger =
	    z->settings.own.linger_us >= 0 ? z->settings.own.linger_us : config->drain_timeout_us;

	atomic_store(&z->max_message, config->max_message);
	atomic_store(&z->linger_us, linger);
}

int64_t zmq_listener_linger(const struct zmq_listener *z)
{
	return atomic_load(&z->linger_us);
}

void zmq_listener_limit_linger(struct zmq_listener *z, int64_t most_us)
{
	if (zmq_listener_linger(z) > most_us)
		atomic_store(&z->linger_us, most_us);
}

const char *zmq_listener_thread_name(const struct zmq_listener *z)
{
	return z->thread_name;
}

int64_t zmq_listener_beat(const struct zmq_listener *z)
{
	if (!z->started)
		return INT64_MAX; /* it could not be started, which is no reason to end all */
	return atomic_load_explicit(&z->beat, memory_order_relaxed);
}

unsigned zmq_listener_peers(const struct zmq_listener *z)
{
	return atomic_load_explicit(&z->peers, memory_order_relaxed);
}

uint64_t zmq_listener_counter(const struct zmq_listener *z, enum counter which)
{
	return atomic_load_explicit(&z->ctx.counters->v[which], memory_order_relaxed) - z->before[which];
}

unsigned zmq_listener_slot(const struct zmq_listener *z)
{
	return z->ctx.slot;
}

int zmq_listener_fd(const struct zmq_listener *z, unsigned number)
{
	return z->at[number].fd;
}

void zmq_listener_stats(const struct zmq_listener *z, struct listener_stats *ret)
{
	listener_tally_stats(z->tally, ret);
}

int zmq_listener_start(struct zmq_listener *z, bool held, const char **ret_why)
{
	*ret_why = NULL;
	atomic_store(&z->phase, ZMQ_PHASE_RUN);
	atomic_store(&z->drained, false);
	atomic_store(&z->peers, 0);
	atomic_store(&z->subscribers, 0);
	z->draining = false;
	z->alone_since = 0;
	int r = zmq_sockets_open(z, ret_why);
	zmq_subscribers_begin(z, held);
	atomic_store(&z->beat, clock_us(CLOCK_MONOTONIC));
	if (r == 0)
		r = -pthread_create(&z->thread, NULL, zmq_thread_run, z);
	if (r < 0) {
		zmq_sockets_close(z);
		zmq_room_leave(z);
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

void zmq_listener_drain(struct zmq_listener *z)
{
	zmq_set_phase(z, ZMQ_PHASE_DRAIN);
}

bool zmq_listener_is_drained(const struct zmq_listener *z)
{
	return !z->started || atomic_load(&z->drained);
}

void zmq_listener_quit(struct zmq_listener *z)
{
	zmq_set_phase(z, ZMQ_PHASE_QUIT);
}

bool zmq_listener_join(struct zmq_listener *z, int64_t timeout_us)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_us;

	while (z->started) {
		if (pthread_tryjoin_np(z->thread, NULL) == 0)
			z->started = false;
		else if (clock_us(CLOCK_MONOTONIC) >= until)
			return false;
		else
			nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	return true;
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
