/* SPDX-License-Identifier: MIT */
/*
 * The thread of a ZeroMQ listener: it waits for messages, for the room's news and for the main thread, has
 * the behaviour pass messages on, and publishes what is said in the room. In the end it takes what was sent
 * before nobody could send any more (the draining), and closes the sockets.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/net/zmq_private.h"

#define TICK_MS 1000
/* A room that has to be delivered first is tried again after that. */
#define CROWDED_MS 1
#define DRAINING_MS 1
#define HELD_MS 10
/* When the last question was this long ago, there are no more. */
#define QUIET_US 50000
/* How long a connection may be accepted but not yet reported by the monitor. */
#define ALONE_US 5000

/* --- what it waits for --- */

struct polled {
	zmq_pollitem_t items[4 + 3 * HANDLER_ENDPOINTS];
	int n;
	/* Which item is what; -1: none. */
	int wakeup, zap, monitors[HANDLER_ENDPOINTS], input, output, subscriptions;
};

static int zmq_thread_add(struct polled *p, void *socket, int fd, short events)
{
	p->items[p->n] = (zmq_pollitem_t){.socket = socket, .fd = fd, .events = events};
	return p->n++;
}

static void zmq_thread_fill(const struct zmq_listener *z, struct polled *p)
{
	*p = (struct polled){.zap = -1, .input = -1, .output = -1, .subscriptions = -1};
	p->wakeup = zmq_thread_add(p, NULL, wakeup_fd(z->wakeup), ZMQ_POLLIN);
	if (z->zap)
		p->zap = zmq_thread_add(p, z->zap, 0, ZMQ_POLLIN);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		p->monitors[i] = z->at[i].monitor ? zmq_thread_add(p, z->at[i].monitor, 0, ZMQ_POLLIN) : -1;
	/* When it is too early to look, nobody need say that there is something to see. */
	if (zmq_monitor_may_look(z, clock_us(CLOCK_MONOTONIC)))
		for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
			if (z->at[i].socket)
				zmq_thread_add(p, NULL, zmq_peers_fd(z->at[i].peers), ZMQ_POLLIN);
	if (z->held_message.any)
		p->output = zmq_thread_add(p, z->at[1].socket, 0, ZMQ_POLLOUT);
	else if (!z->crowded && !z->held)
		p->input = zmq_thread_add(p, z->at[0].socket, 0, ZMQ_POLLIN);
	if (z->behaviour->types[1] == ZMQ_XPUB)
		p->subscriptions = zmq_thread_add(p, z->at[1].socket, 0, ZMQ_POLLIN);
}

static bool zmq_thread_is_ready(const struct polled *p, int item)
{
	return item >= 0 && p->items[item].revents;
}

/* Whether an item was waited for and nothing came. */
static bool zmq_thread_is_idle(const struct polled *p, int item)
{
	return item >= 0 && !p->items[item].revents;
}

static int zmq_thread_timeout_ms(const struct zmq_listener *z)
{
	if (!z->held && zmq_room_has_news(z))
		return 0;
	if (z->crowded)
		return CROWDED_MS;
	if (z->draining)
		return DRAINING_MS;
	if (zmq_monitor_wants_to_look(z, clock_us(CLOCK_MONOTONIC)))
		return ZMQ_LOOK_MS;
	return z->held ? HELD_MS : TICK_MS;
}

static void zmq_thread_ignore_mark(uint32_t room, void *arg)
{
	(void)room;
	(void)arg;
}

static void zmq_thread_wait(struct zmq_listener *z, struct polled *p)
{
	/* Before the room is looked at, or a mark of our own would keep the next one from waking us. */
	wakeup_take(z->wakeup, zmq_thread_ignore_mark, NULL);
	zmq_thread_fill(z, p);
	zmq_poll(p->items, p->n, zmq_thread_timeout_ms(z));
	z->ctx.now = clock_us(CLOCK_MONOTONIC);
	atomic_store_explicit(&z->beat, z->ctx.now, memory_order_relaxed);
	if (zmq_thread_is_ready(p, p->wakeup))
		wakeup_clear(z->wakeup);
	if (zmq_thread_is_idle(p, p->input))
		zmq_peers_took_all(z->at[0].peers);
	if (zmq_thread_is_idle(p, p->subscriptions))
		zmq_peers_took_all(z->at[1].peers);
}

/* --- the draining --- */

static bool zmq_thread_is_readable(void *socket)
{
	int events = 0;
	size_t size = sizeof(events);

	return zmq_getsockopt(socket, ZMQ_EVENTS, &events, &size) == 0 && (events & ZMQ_POLLIN);
}

/* One step. True when all that was sent to us has been passed on. */
static bool zmq_thread_drain(struct zmq_listener *z)
{
	const struct zmq_endpoint *in = &z->at[0];
	int64_t now = clock_us(CLOCK_MONOTONIC);

	/* A question is answered on the connection that it came by; one may be under way for a moment. */
	if (z->behaviour->types[0] != ZMQ_PULL)
		return !zmq_thread_is_readable(in->socket) && now - z->last_input > QUIET_US;
	zmq_monitor_end_peers(in);
	if (zmq_peers_count(in->peers) > 0 || zmq_thread_is_readable(in->socket) || z->held_message.any ||
	    z->crowded || z->held) {
		z->alone_since = 0;
		return false;
	}
	/* Nobody is there. The door is closed, and whoever is in it already will be seen in a moment. */
	if (z->alone_since == 0) {
		zmq_doors_set(in, true);
		z->alone_since = now;
	}
	return now - z->alone_since > ALONE_US;
}

/* --- the loop --- */

static void zmq_thread_turn(struct zmq_listener *z)
{
	struct polled p;

	zmq_subscribers_look(z);
	zmq_thread_wait(z, &p);
	zmq_doors_look(z, z->ctx.now);
	zmq_monitor_look(z, z->ctx.now);
	if (zmq_thread_is_ready(&p, p.zap))
		zmq_curve_answer(z);
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		if (zmq_thread_is_ready(&p, p.monitors[i]))
			zmq_monitor_read(z, &z->at[i]);
	if (zmq_thread_is_ready(&p, p.subscriptions))
		zmq_subscribers_read(z);
	bool readable = z->crowded || zmq_thread_is_ready(&p, p.input) || zmq_thread_is_ready(&p, p.output);
	z->crowded = false;
	if (readable) {
		z->behaviour->forward(z, ZMQ_BURST);
		z->last_input = clock_us(CLOCK_MONOTONIC);
	}
	rooms_kick(z->ctx.shared->rooms, &z->ctx.kick, z->ctx.slot);
	if (z->held)
		zmq_room_hold(z);
	else if (zmq_room_has_news(z))
		zmq_room_publish(z);
}

void *zmq_thread_run(void *arg)
{
	struct zmq_listener *z = arg;
	int phase;

	pthread_setname_np(pthread_self(), z->service.name);
	while ((phase = atomic_load(&z->phase)) != ZMQ_PHASE_QUIT) {
		if (phase == ZMQ_PHASE_DRAIN && !z->draining) {
			z->draining = true;
			z->last_input = clock_us(CLOCK_MONOTONIC);
		}
		zmq_thread_turn(z);
		if (z->draining && zmq_thread_drain(z))
			atomic_store(&z->drained, true);
	}
	if (z->held_message.any)
		zmq_listener_count_dropped(z, 1);
	if (zmq_room_has_news(z))
		zmq_room_publish(z);
	if (z->behaviour->types[1] == ZMQ_XPUB)
		zmq_subscribers_read(z);
	zmq_subscribers_look(z);
	zmq_sockets_close(z);
	zmq_room_leave(z);
	return NULL;
}
