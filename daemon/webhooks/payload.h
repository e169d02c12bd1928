/* SPDX-License-Identifier: MIT */
/*
 * What is delivered at once: some of a room's messages from a cursor on, as JSON, and how many before them are missing as
 * they are too old or no longer in the room's log.
 */
#ifndef DAEMON_WEBHOOKS_PAYLOAD_H
#define DAEMON_WEBHOOKS_PAYLOAD_H

#include "daemon/rooms/room.h"
#include "daemon/rooms/speech.h"
#include "daemon/webhooks/cursors.h"

#include <stdio.h>

#define PAYLOAD_ID_SIZE 40
/* Of text, in one. */
#define PAYLOAD_BYTES (128U << 10)

struct payload {
	char id[PAYLOAD_ID_SIZE]; /* EPOCH-NUMBER of its last message */
	char *body;		  /* NULL: there is nothing to be delivered */
	size_t len;
	unsigned messages;
	uint64_t missed;     /* so many numbers before them, */
	bool unknown;	     /* or nobody knows how many, if any */
	struct cursor after; /* where the next one begins */
	bool more;	     /* there may be more */
};

/*
 * The next one from that cursor on, of at most that many messages. The room is held by the caller. Its log's lock is
 * taken while the messages are copied. Returns 0 or -ENOMEM.
 */
int payload_make(struct room *room, const struct webhook_config *c, const struct cursor *from, unsigned max,
		 int64_t now_us, struct payload *ret);
/* The same of these, which the caller has, with p->after and what is missing as the caller has noted it. */
struct payload_item {
	struct speech_event event;
	uint64_t number;
};
int payload_compose(const struct webhook_config *c, const char *room, const struct payload_item *at,
		    unsigned n, struct payload *p);
void payload_free(struct payload *p);
/* The cursor behind everything that was said; name and room are the caller's. */
void payload_end(struct room *room, struct cursor *ret);
/* The number of the first message that the log has, or will have. */
uint64_t payload_first(struct room *room);
/* How many numbers of the room are not delivered yet. */
uint64_t payload_waiting(struct room *room, const struct cursor *c);

#endif
