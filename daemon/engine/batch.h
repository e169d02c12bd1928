/* SPDX-License-Identifier: MIT */
/*
 * How long a worker waits before it delivers a busy room, so that its members get more with each send.
 *
 * A send costs far more than the lines in it. Where one worker has all of a room's members, delivering takes
 * so long that the next batch gathers in the meantime. Where several share them, each is done sooner, and
 * would send often and little. So it waits for about as long as delivering to all members would take, if it may expect
 * that at least as much will be said in that time as is waiting already. An idle room is delivered at once.
 */
#ifndef DAEMON_BATCH_H
#define DAEMON_BATCH_H

#include <stdint.h>

/* Nothing is put off for longer than that. With half as much or twice as much two workers deliver a fifth less. */
#define BATCH_DELAY_MAX_US 500

/* What a worker remembers of its last delivery of the room that keeps it busiest; all zero at first. */
struct batch {
	uint32_t room;
	int64_t ended;	   /* CLOCK_MONOTONIC in us */
	int64_t took;	   /* us */
	int64_t period;	   /* us from the delivery before it to this one; 0: there was none */
	uint64_t messages; /* how many each member got */
};

/* The room was delivered; messages: how many were new to the worker. */
void batch_delivered(struct batch *b, uint32_t room, uint64_t messages, int64_t began, int64_t ended);

/*
 * How long (us) its next delivery had better wait. bytes and messages: what is new there; workers: how many
 * have members in it. 0: it is delivered at once.
 */
int64_t batch_delay(const struct batch *b, uint64_t bytes, uint64_t messages, unsigned workers);

#endif
