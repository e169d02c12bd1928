/* SPDX-License-Identifier: MIT */
/*
 * The sockets of a ZeroMQ listener: libzmq's context and all that belongs to it, opened on the main thread
 * and closed on the listener's. At TCP endpoints libzmq gets a copy of a socket that listens already.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/net/zmq_private.h"

#include <fcntl.h>
#include <string.h>

/* Half a greeting may be held for this long. */
#define HANDSHAKE_MS 5000
#define SOCKETS_MAX 1023

/* Or peers that vanish without a word would stay for ever. No user_timeout, since one that takes its time
 * over a piece of work would lose those that follow. */
static void zmq_sockets_watch_over(const struct zmq_listener *z, void *s)
{
	int64_t keepalive = z->setup.keepalive_us;
	const int on = keepalive > 0, every = CONFIG_PROBE_EVERY_S, probes = CONFIG_PROBES;
	const int idle = (int)((keepalive + SECOND_US - 1) / SECOND_US);

	zmq_setsockopt(s, ZMQ_TCP_KEEPALIVE, &on, sizeof(on));
	if (!on)
		return;
	zmq_setsockopt(s, ZMQ_TCP_KEEPALIVE_IDLE, &idle, sizeof(idle));
	zmq_setsockopt(s, ZMQ_TCP_KEEPALIVE_INTVL, &every, sizeof(every));
	zmq_setsockopt(s, ZMQ_TCP_KEEPALIVE_CNT, &probes, sizeof(probes));
}

static void *zmq_sockets_make(const struct zmq_listener *z, int type)
{
	const struct zmq_setup *c = &z->setup;
	const int one = 1, handshake = HANDSHAKE_MS, zero = 0, backlog = 4096;
	void *s = zmq_socket(z->libzmq, type);

	if (!s)
		return NULL;
	zmq_setsockopt(s, ZMQ_IPV6, &one, sizeof(one));
	zmq_sockets_watch_over(z, s);
	zmq_setsockopt(s, ZMQ_SNDHWM, &c->own.high_water_mark, sizeof(int));
	zmq_setsockopt(s, ZMQ_RCVHWM, &c->own.high_water_mark, sizeof(int));
	zmq_setsockopt(s, ZMQ_HANDSHAKE_IVL, &handshake, sizeof(handshake));
	zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof(zero));
	zmq_setsockopt(s, ZMQ_BACKLOG, &backlog, sizeof(backlog));
	zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &c->own.max_size, sizeof(c->own.max_size));
	if (type == ZMQ_ROUTER)
		zmq_setsockopt(s, ZMQ_ROUTER_MANDATORY, &one, sizeof(one));
	if (zmq_curve_set(z, s) < 0) {
		int error = errno;
		zmq_close(s);
		errno = error;
		return NULL;
	}
	return s;
}

static int zmq_sockets_open_one(struct zmq_listener *z, unsigned number)
{
	struct zmq_endpoint *e = &z->at[number];
	size_t size = sizeof(e->bound);

	e->socket = zmq_sockets_make(z, z->behaviour->types[number]);
	if (!e->socket)
		return -errno;
	int r = zmq_monitor_open(z, number);
	if (r < 0)
		return r;
	if (e->fd >= 0) {
		/* The socket listens already: see zmq_setsockopt(3), ZMQ_USE_FD. */
		int copy = fcntl(e->fd, F_DUPFD_CLOEXEC, 3);
		if (copy < 0 || zmq_setsockopt(e->socket, ZMQ_USE_FD, &copy, sizeof(copy)) < 0)
			return -errno;
	}
	if (zmq_bind(e->socket, z->setup.endpoints[number]) < 0)
		return -errno;
	if (zmq_getsockopt(e->socket, ZMQ_LAST_ENDPOINT, e->bound, &size) < 0)
		return -errno;
	return 0;
}

int zmq_sockets_open(struct zmq_listener *z, const char **ret_why)
{
	z->doors_closed = false;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		zmq_doors_set(&z->at[i], false); /* a process before may have died with them closed */
	zmq_msg_init(&z->message);
	z->held_message = (struct zmq_held){&z->message, false};
	z->libzmq = zmq_ctx_new();
	if (!z->libzmq)
		return -errno;
	zmq_ctx_set(z->libzmq, ZMQ_MAX_SOCKETS, SOCKETS_MAX); /* the kernel's limit counts, not libzmq's */
	int r = zmq_curve_open(z);
	if (r == 0)
		r = zmq_room_enter(z);
	for (unsigned i = 0; r == 0 && i < HANDLER_ENDPOINTS; i++)
		if (z->behaviour->types[i]) {
			r = zmq_sockets_open_one(z, i);
			if (r < 0)
				*ret_why = z->setup.endpoints[i];
		}
	return r;
}

void zmq_sockets_close(struct zmq_listener *z)
{
	int linger = (int)(atomic_load(&z->linger_us) / 1000);

	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		struct zmq_endpoint *e = &z->at[i];
		zmq_monitor_close(e);
		if (e->socket) {
			zmq_setsockopt(e->socket, ZMQ_LINGER, &linger, sizeof(linger));
			zmq_close(e->socket);
		}
		e->socket = NULL;
	}
	if (z->zap)
		zmq_close(z->zap);
	z->zap = NULL;
	zmq_msg_close(&z->message);
	if (z->libzmq)
		zmq_ctx_term(z->libzmq); /* waits for linger */
	z->libzmq = NULL;
	/* Whoever comes now waits in the backlog. */
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		zmq_doors_set(&z->at[i], false);
}
