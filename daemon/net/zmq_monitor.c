/* SPDX-License-Identifier: MIT */
/*
 * Who is connected to a ZeroMQ listener, as libzmq tells it (zmq_socket_monitor(3)), and what is done to
 * them: who comes when file descriptors are short, or sends a message without an end, is cut off; and at the
 * listener's end nobody can send any more. Which peers there are is in zmq_peers.c.
 */
#include "common/cleanup.h"
#include "daemon/base/logger.h"
#include "daemon/net/zmq_private.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define MONITORED                                                                                            \
	(ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_ACCEPT_FAILED |                             \
	 ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |                        \
	 ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)

int zmq_monitor_open(struct zmq_listener *z, unsigned number)
{
	struct zmq_endpoint *e = &z->at[number];
	char address[64];

	zmq_peers_free(e->peers);
	e->peers = zmq_peers_new();
	if (!e->peers)
		return -errno;
	snprintf(address, sizeof(address), "inproc://monitor-%u", number);
	if (zmq_socket_monitor(e->socket, address, MONITORED) < 0)
		return -errno;
	e->monitor = zmq_socket(z->libzmq, ZMQ_PAIR);
	return e->monitor && zmq_connect(e->monitor, address) == 0 ? 0 : -errno;
}

void zmq_monitor_close(struct zmq_endpoint *e)
{
	int zero = 0;

	if (!e->monitor)
		return;
	zmq_socket_monitor(e->socket, NULL, 0);
	zmq_setsockopt(e->monitor, ZMQ_LINGER, &zero, sizeof(zero));
	zmq_close(e->monitor);
	e->monitor = NULL;
}

static void zmq_monitor_came(struct zmq_listener *z, struct zmq_endpoint *e, int fd)
{
	/* libzmq accepts all that there are; what is not for clients is not for its peers. */
	if (fd >= sockets_for_clients()) {
		zmq_doors_close(z);
		count(z->ctx.counters, COUNT_ACCEPT_PAUSES, 1);
		zmq_listener_count_ignored(z, 1);
		if (zmq_doors_led_to(e, fd))
			shutdown(fd, SHUT_RDWR);
	}
	zmq_tally(&z->tally->accepted, 1);
	atomic_fetch_add(&z->peers, 1);
	count(z->ctx.counters, COUNT_ZMQ_PEERS, 1);
	zmq_peers_came(e->peers, fd);
}

static void zmq_monitor_went(struct zmq_listener *z, struct zmq_endpoint *e, int fd)
{
	if (atomic_load(&z->peers) > 0)
		atomic_fetch_sub(&z->peers, 1);
	zmq_peers_went(e->peers, fd);
}

void zmq_monitor_read(struct zmq_listener *z, struct zmq_endpoint *e)
{
	for (unsigned i = 0; i < ZMQ_BURST; i++) {
		uint8_t event[6], address[256];
		uint16_t kind;
		uint32_t value;
		if (zmq_recv(e->monitor, event, sizeof(event), ZMQ_DONTWAIT) < (int)sizeof(event) ||
		    zmq_recv(e->monitor, address, sizeof(address), ZMQ_DONTWAIT) < 0)
			return;
		memcpy(&kind, event, sizeof(kind));
		memcpy(&value, event + 2, sizeof(value));
		if (kind == ZMQ_EVENT_ACCEPTED)
			zmq_monitor_came(z, e, (int)value);
		else if (kind == ZMQ_EVENT_DISCONNECTED)
			zmq_monitor_went(z, e, (int)value);
		else /* a handshake or an accept() that failed */
			zmq_listener_count_ignored(z, 1);
	}
}

/* --- messages without an end --- */

struct cut {
	struct zmq_listener *z;
	const struct zmq_endpoint *e;
};

static void zmq_monitor_cut_off(int fd, void *arg)
{
	const struct linger reset = {.l_onoff = 1};
	const struct cut *c = arg;
	const char *name = c->z->setup.name;
	union address a = {0};
	socklen_t len = sizeof(a);

	if (!zmq_doors_led_to(c->e, fd))
		return;
	bool known =
	    getpeername(fd, &a.sa, &len) == 0 && (a.sa.sa_family == AF_INET || a.sa.sa_family == AF_INET6);
	/* A reset, as its buffers are full of what nobody will read. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	shutdown(fd, SHUT_RDWR);
	zmq_tally(&c->z->tally->dropped, 1);
	count(c->z->ctx.counters, COUNT_ZMQ_TOO_LONG, 1);
	log_limited(LOG_TOPIC_REFUSED, LOG_NOTICE,
		    &(struct log_fields){
			.message_id = EVENT_CLIENT_REFUSED, .listener = name, .address = known ? &a : NULL},
		    "listener %s: a peer is cut off: its message is longer than max_size", name);
}

bool zmq_monitor_may_look(const struct zmq_listener *z, int64_t now)
{
	return now - z->peers_looked_at >= INT64_C(1000) * ZMQ_LOOK_MS;
}

bool zmq_monitor_wants_to_look(const struct zmq_listener *z, int64_t now)
{
	bool suspects = false;

	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++)
		suspects |= z->at[i].socket && zmq_peers_suspects(z->at[i].peers);
	return suspects || !zmq_monitor_may_look(z, now);
}

void zmq_monitor_look(struct zmq_listener *z, int64_t now)
{
	uint64_t limit = (uint64_t)z->setup.own.max_size, waiting = (uint64_t)z->setup.own.high_water_mark;

	if (!zmq_monitor_may_look(z, now))
		return;
	z->peers_looked_at = now;
	for (unsigned i = 0; i < HANDLER_ENDPOINTS; i++) {
		struct zmq_endpoint *e = &z->at[i];
		struct cut cut = {z, e};
		if (!e->socket)
			continue;
		/* Nobody has anything to say there, so there is nothing to be taken. */
		if (z->behaviour->types[i] == ZMQ_PUSH)
			zmq_peers_took_all(e->peers);
		/* An eighth more, for what frames cost on the wire. */
		zmq_peers_look(e->peers, limit + limit / 8, waiting > 0 ? waiting : 1, zmq_monitor_cut_off,
			       &cut);
	}
}

/* --- the end --- */

static void zmq_monitor_end_peer(int fd, void *arg)
{
	if (zmq_doors_led_to(arg, fd))
		shutdown(fd, SHUT_WR);
}

void zmq_monitor_end_peers(const struct zmq_endpoint *e)
{
	zmq_peers_each(e->peers, zmq_monitor_end_peer, (void *)e);
}
