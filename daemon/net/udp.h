/* SPDX-License-Identifier: MIT */
/*
 * A UDP socket on one worker: it receives and sends datagrams in batches, and learns from the network which
 * addresses are unreachable. What is done with the datagrams is a behaviour's (struct udp_behaviour).
 */
#ifndef DAEMON_UDP_H
#define DAEMON_UDP_H

#include "daemon/engine/listener.h"

#include <netinet/in.h>

struct udp_listener;

/* Which of our addresses a datagram was sent to, so that the answer comes from there (IPv4: ::ffff:a.b.c.d). */
struct udp_local {
	bool known;
	struct in6_addr address;
};

struct datagram {
	union address from;
	struct udp_local local;
	char *data;
	size_t len;
};

struct udp_out {
	const union address *to;
	const struct udp_local *local;
	const void *data;
	size_t len;
	/* Not 0: data is many datagrams of that size, of which the last one may be shorter (GSO). */
	uint16_t segment;
	bool stuffed; /* one more '#' goes before data: see udp_registry_delivery.c */
	int error;    /* 0: taken by the kernel; -EAGAIN: not now, try again when writable */
	void *user;   /* the caller's */
};

#define UDP_BATCH 128
/* What one send may carry by segments. */
#define UDP_SEGMENTS_MAX 64
#define UDP_SEGMENTED_MAX 61440
#define UDP_SEGMENT_MAX 1200

struct udp_behaviour {
	/* Makes the data that udp_data() returns. Returns 0 or -errno. */
	int (*opened)(struct udp_listener *u, const struct listener_config *config, void **ret_data);
	/* On a worker now. */
	void (*started)(struct udp_listener *u);
	/* Returns how many it has dealt with: fewer than n to get the others again next turn. */
	size_t (*received)(struct udp_listener *u, struct datagram *d, size_t n);
	/* The room has news; or the socket takes datagrams again (ROOM_NONE). */
	void (*deliver)(struct udp_listener *u, uint32_t room);
	void (*tick)(struct udp_listener *u);
	/* The configuration is another one. */
	void (*reloaded)(struct udp_listener *u);
	/* The network says that nobody is there. */
	void (*unreachable)(struct udp_listener *u, const union address *a);
	/* All members are told to go: the listener ends, or (no announcements then) the server. */
	void (*goodbye)(struct udp_listener *u, bool announce);
	void (*each)(struct udp_listener *u, void (*fn)(const struct client_info *info, void *arg),
		     void *arg);
	bool (*kick)(struct udp_listener *u, uint64_t id, const struct notice *why, union address *ret_from);
	/* Frees the data. */
	void (*closed)(void *data);
};

/* The mode's behaviour; any of its functions may be NULL. */
extern const struct udp_behaviour udp_echo, udp_registry;

/* For listener_init(). NULL without memory. */
struct listener *udp_listener_new(const struct listener_config *config);

void *udp_data(struct udp_listener *u);
struct listener *udp_base(struct udp_listener *u);

/* Sends; each gets its result in error. A datagram that can't be sent at all is dropped and counted. */
void udp_send(struct udp_listener *u, struct udp_out *out, size_t n);
/* One datagram of text, whose loss doesn't matter. */
void udp_say(struct udp_listener *u, const union address *to, const struct udp_local *local, const char *text,
	     size_t len);
/* Whether udp_send() takes segments. */
bool udp_has_segments(const struct udp_listener *u);
bool udp_is_blocked(const struct udp_listener *u);

void udp_count_ignored(struct udp_listener *u);
void udp_count_dropped(struct udp_listener *u, uint64_t n);
void udp_count_accepted(struct udp_listener *u);

#endif
