/* SPDX-License-Identifier: MIT */
/*
 * The subscribers of a ZeroMQ listener that publishes. After a restart they connect again by themselves,
 * which takes a moment; until as many are there as before, nothing is taken or published, so that they miss
 * nothing.
 */
#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/net/zmq_private.h"

/* How long subscribers of a process before may take to come back. */
#define HELD_US (SECOND_US)

/* What a message from an XPUB socket begins with. */
enum { UNSUBSCRIBED, SUBSCRIBED, OTHER };

static bool zmq_subscribers_exist(const struct zmq_listener *z)
{
	return z->behaviour->types[1] == ZMQ_XPUB;
}

void zmq_subscribers_begin(struct zmq_listener *z, bool held)
{
	z->held = held && zmq_subscribers_exist(z);
	z->held_until = clock_us(CLOCK_MONOTONIC) + HELD_US;
}

void zmq_subscribers_read(struct zmq_listener *z)
{
	const struct zmq_endpoint *e = &z->at[1];
	zmq_msg_t m;

	zmq_msg_init(&m);
	for (unsigned i = 0; i < ZMQ_BURST; i++) {
		if (zmq_msg_recv(&m, e->socket, ZMQ_DONTWAIT) < 0) {
			zmq_peers_took_all(e->peers);
			break;
		}
		zmq_peers_took(e->peers, &m);
		unsigned now = atomic_load(&z->subscribers);
		char kind = zmq_msg_size(&m) > 0 ? *(const char *)zmq_msg_data(&m) : OTHER;
		if (kind == SUBSCRIBED)
			atomic_store(&z->subscribers, now + 1);
		else if (kind == UNSUBSCRIBED && now > 0)
			atomic_store(&z->subscribers, now - 1);
	}
	zmq_msg_close(&m);
}

void zmq_subscribers_look(struct zmq_listener *z)
{
	_Atomic uint32_t *before = clients_peers(z->ctx.shared->clients, z->origin);
	unsigned now = atomic_load(&z->subscribers);

	if (!zmq_subscribers_exist(z))
		return;
	if (z->held && (now >= atomic_load(before) || clock_us(CLOCK_MONOTONIC) >= z->held_until))
		z->held = false;
	if (!z->held)
		atomic_store(before, now);
}
