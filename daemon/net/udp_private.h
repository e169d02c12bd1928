/* SPDX-License-Identifier: MIT */
/*
 * What the files of a UDP listener share, and nobody else includes: udp_listener.c is the listener on its worker,
 * udp_send.c sends and udp_receive.c receives batches of datagrams, udp_errors.c asks what the network reported.
 */
#ifndef DAEMON_UDP_PRIVATE_H
#define DAEMON_UDP_PRIVATE_H

#include "daemon/net/udp.h"

#define UDP_RECEIVE_BATCH 64
#define UDP_UNREACHABLE_MAX 64

struct udp_listener {
	struct listener base;
	const struct udp_behaviour *behaviour;
	void *data;
	bool wildcard;	  /* bound to all addresses: answers have to come from the one that was asked */
	bool blocked;	  /* it waits for EPOLLOUT */
	bool no_segments; /* the kernel or a device refused them */
	bool frozen;
	uint32_t events;
	char *buffers; /* of a batch; pages exist where something was written */
	/* Datagrams that were received; the behaviour has not dealt with those from held_at on. */
	struct datagram held[UDP_RECEIVE_BATCH];
	size_t held_at, held_n;
	union address unreachable[UDP_UNREACHABLE_MAX];
	size_t n_unreachable;
};

/* Waits for what there is to wait for. */
void udp_watch(struct udp_listener *u);

/* Makes the buffers. Returns 0 or -ENOMEM. */
int udp_receive_init(struct udp_listener *u);
void udp_receive_release(struct udp_listener *u);
/* Has the behaviour deal with what is there. Bounded; wants_turn says if it has to go on. */
void udp_receive(struct udp_listener *u);

/*
 * Reads what the network reported (IP_RECVERR, ip(7)); it is acted upon by udp_errors_act(), when nobody walks
 * over the members. True if there was any.
 */
bool udp_errors_read(struct udp_listener *u);
void udp_errors_act(struct udp_listener *u);

/* Several threads may count for one origin. */
static inline void udp_tally(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

#endif
