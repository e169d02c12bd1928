/* SPDX-License-Identifier: MIT */
/*
 * Webhooks: what is said in a room is posted to somebody's address, by a service (chatd/webhooks) that reads the room as
 * a member does. No room waits for it, and no receiver for another. Each message is delivered at least once and in
 * order, also if chatd is killed: how far a receiver has got is in a file (cursors.h), and what it gets tells it what it
 * has had already. While it is away it is tried again, until what was said is older than `keep`, or neither the room's log
 * nor the history has it; then it is told how many are missing.
 */
#ifndef DAEMON_WEBHOOKS_H
#define DAEMON_WEBHOOKS_H

#include "daemon/config/webhooks.h"

struct config;
struct shared;
struct webhooks;

/* Makes the service; it has no thread, and takes no slot, as long as none is configured. 0 or -errno. */
int webhooks_open(struct shared *shared, const struct config *config);
/* Begins, when the rooms are there. w may be NULL, as everywhere here. */
int webhooks_start(struct webhooks *w);
/* Nothing is left for a successor: what was said is delivered before the end, if it can be. On the main thread. */
void webhooks_leave(struct webhooks *w);

struct webhook_status {
	char name[WEBHOOK_NAME_MAX + 1];
	char room[TEXT_ROOM_MAX + 1];
	bool away;	  /* what was tried last failed */
	int64_t since_us; /* CLOCK_REALTIME, of that */
	char why[256];	  /* it is away: "it answers with 503"; "" */
	uint64_t waiting; /* messages that are to be delivered, with comings and goings */
	uint64_t delivered, deliveries, failures; /* messages and requests, in this process */
	uint64_t missed;			  /* messages that were too old, or gone, likewise */
	int64_t took_us;			  /* by the last delivery */
};

/* An array to be freed, and its length; NULL: there are none. On the main thread. */
struct webhook_status *webhooks_copy_status(struct webhooks *w, size_t *ret_n);

#endif
