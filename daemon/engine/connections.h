/* SPDX-License-Identifier: MIT */
/*
 * All connections of one worker together: a resident of it that knows who is where, and that does for all of
 * them what the server wants. On the worker's thread, but for the numbers.
 */
#ifndef DAEMON_CONNECTIONS_H
#define DAEMON_CONNECTIONS_H

#include "daemon/engine/worker.h"

struct connection;
struct handler;
struct connections;
struct renderings;

/* Makes the worker one that takes connections; its end is theirs. Returns 0 or -ENOMEM. */
int connections_new(struct worker *w);

/* The connection with that place in the table, if it is alive and that client's; else NULL. */
struct connection *connections_find(const struct context *ctx, uint32_t index, uint64_t id);
/* The same, but for one that is about to be closed: as connections_with() has them. */
struct connection *connections_served(const struct context *ctx, uint32_t index, uint64_t id);

/* Calls fn for each of that handler's; any of them may end meanwhile. */
void connections_with(struct context *ctx, const struct handler *handler,
		      void (*fn)(struct connection *c, void *arg), void *arg);

/* How many there are; from any thread. */
struct connections_tally {
	unsigned all;
	unsigned uncovered; /* whose sockets the keeper does not hold */
	unsigned mortal;    /* of those, the ones that can't survive at all: see tls_mortal.c */
};
struct connections_tally connections_tally(struct worker *w);
/* The sum over all workers. */
struct connections_tally connections_total(const struct shared *shared);
/* Connections that would not survive a crash: mortal ones, or no fd store, or the keeper has not got them (yet). */
unsigned connections_at_risk(const struct shared *shared);

/* While the server ends: looks at all of them as often as it is called, not only once a second. */
void connections_drain(struct worker *w);
/*
 * Something in rooms' logs is forgotten: how far members have been sent what was rendered of it is found out in time, and
 * nobody else is sent that.
 */
void connections_tell_places(struct worker *w);
/* The worker's, before its thread starts. */
struct renderings *connections_renderings(struct worker *w);
/* Tries again to put those sockets into the keeper that are not there. */
void connections_cover(struct worker *w);
/* Sends those away that can't survive the process. */
void connections_dismiss_mortals(struct worker *w);
/* Cuts all of them, or the mortal ones, without a word; the worker's thread has ended. */
void connections_hang_up(struct worker *w, bool mortals_only);

/* Has the private messages that were sent by now delivered to this thread's people; no transaction is under way. */
void connections_deliver_private(struct context *ctx);

#endif
