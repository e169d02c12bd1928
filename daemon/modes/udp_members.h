/* SPDX-License-Identifier: MIT */
/*
 * The members of a UDP registry in this process: found by their address or by their place in the table of
 * clients, and in the order of their last datagrams, which is the order in which leases end. On one worker.
 */
#ifndef DAEMON_UDP_MEMBERS_H
#define DAEMON_UDP_MEMBERS_H

#include "daemon/net/udp.h"
#include "daemon/rooms/roster.h"
#include "daemon/state/clients.h"

struct member {
	struct member *next_in_bucket;
	struct member *older, *newer; /* by last activity */
	struct client *client;
	uint32_t index;
	union address address;
	struct udp_local local;
	struct roster_entry *roster;
	uint64_t seq; /* the next message to be sent */
	uint64_t received, sent, dropped;
	int64_t
	    began; /* CLOCK_MONOTONIC in us of the registration; an estimate, if it was in a process before */
	int64_t lines_due, nicks_due, asks_due; /* for limits_allow() and limits_charge() */
	struct question *asked;			/* that has no answer yet; it ends with the member */
};

struct question;
struct members;

/* NULL without memory. */
struct members *members_new(void);
/* Frees the members as well. */
void members_free(struct members *ms);

size_t members_count(const struct members *ms);
/* The one that was silent for the longest time, or NULL; from there member.newer leads to all. */
struct member *members_oldest(const struct members *ms);
struct member *members_find(const struct members *ms, const union address *a);
/* The one in that place of the table, or NULL. */
struct member *members_at(const struct members *ms, uint32_t index);

/* A member with that entry, whose address nobody has; the newest. NULL without memory. */
struct member *members_add(struct members *ms, struct client *c, uint32_t index, const union address *a);
/* Makes it the newest. */
void members_touch(struct members *ms, struct member *m);
void members_remove(struct members *ms, struct member *m);

#endif
