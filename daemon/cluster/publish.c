/* SPDX-License-Identifier: MIT */
/*
 * From a room's outgoing log to the stream. One batch of a room is on its way at a time, or a lost one would
 * leave a gap behind it; the next one may go when it came back, or when the server has stored it. The server is asked
 * for a reply only if what went out before has not come back: else that would wake up everybody twice for each line. What
 * has not come back in the end is published again from the first such line on, packed anew.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define PUBLISH_REPLY_US (2 * SECOND_US)
/* Without one: less than what people are told of. */
#define PUBLISH_BACK_US 500000
#define PUBLISH_RETRY_US 100000
#define PUBLISH_TELL_US (60 * SECOND_US)

size_t publish_pack(struct core *c, struct channel *ch, uint64_t *first, uint64_t *ret_end)
{
	struct logring *log = ch->out->log;
	struct speech_event event;
	struct wire_writer w;
	struct logring_view v;

	logring_pin(log, c->start.slot, &v);
	if (*first < v.first)
		*first = v.first; /* the others ask for them, and hear that they are gone */
	uint64_t n = *first;
	wire_begin(&w, c->batch, sizeof(c->batch), c->node, ch->boot.boot, n);
	for (; n < v.count; n++) {
		speech_event_at(log, &v, n, &event);
		if ((n > *first && w.len + event.nick_len + event.text_len > c->batch_max) ||
		    !(channel_skips(ch, n) ? wire_add_nothing(&w) : wire_add(&w, &event)))
			break;
	}
	logring_unpin(log, c->start.slot);
	*ret_end = n;
	return n > *first ? wire_end(&w) : 0;
}

/* Not even a line alone goes into a message: nothing of its room can go out before the server takes more. */
static void publish_too_large(struct core *c, const struct channel *ch, size_t len)
{
	if (!core_may_tell(c, &c->size_told, PUBLISH_TELL_US))
		return;
	snprintf(c->status.why, sizeof(c->status.why),
		 "a line of the room %s is larger than max_payload of the server allows, and waits",
		 ch->room);
	log_event(LOG_ERR, &(struct log_fields){.message_id = EVENT_CLUSTER, .room = ch->room},
		  "cluster: the server takes no message of %zu bytes (max_payload), so a line waits, and all "
		  "behind it in that room",
		  len);
}

/* It can't be sent now. */
static void publish_failed(struct core *c, struct channel *ch, int error, size_t len)
{
	channel_go_back(ch, c->now + PUBLISH_RETRY_US);
	if (error != -EMSGSIZE)
		return;
	if (c->batch_max <= CORE_BATCH_MIN) {
		publish_too_large(c, ch, len);
		return;
	}
	if (c->batch_max == CORE_BATCH_MAX)
		log_limited(
		    LOG_TOPIC_CLUSTER, LOG_WARNING, &(struct log_fields){.message_id = EVENT_CLUSTER},
		    "cluster: the server takes no messages of %d kB (max_payload), so they get smaller",
		    CORE_BATCH_MAX / 1024);
	c->batch_max /= 2;
	ch->retry_at = 0;
}

void publish_channel(struct core *c, struct channel *ch)
{
	uint64_t end;

	if (ch->misused) {
		misuse_turn(c, ch);
		return;
	}
	if (ch->flight && c->now - ch->flight_at > (ch->asks ? PUBLISH_REPLY_US : PUBLISH_BACK_US))
		channel_go_back(ch, c->now);
	if (!c->ready)
		ch->moved_at = c->now;
	if (!c->ready || ch->flight || c->now < ch->retry_at)
		return;
	uint64_t first = ch->sent;
	size_t len = publish_pack(c, ch, &first, &end);
	if (len == 0)
		return;
	if (first > ch->sent)
		ch->low = ch->sent = first; /* they can't be published any more */
	uint64_t id = ++c->batch_id * ROOMS_CAPACITY + ch->index;
	FAULT("cluster-packed");
	int r = c->start.link.publish(c->start.link.arg, c->generation, ch->asks ? id : 0, ch->subject,
				      c->batch, len);
	FAULT("cluster-published");
	if (r < 0) {
		publish_failed(c, ch, r, len);
		return;
	}
	c->status.batches++;
	c->status.lines_out += end - ch->sent;
	ch->sent = end;
	ch->flight = id;
	ch->flight_end = end;
	ch->flight_at = c->now;
}

void publish_replied(struct core *c, const struct nats_event *e)
{
	struct channel *ch = c->at[e->id % ROOMS_CAPACITY];

	if (e->generation != c->generation || !ch || ch->flight != e->id)
		return;
	if (e->why) {
		log_limited(LOG_TOPIC_CLUSTER, LOG_WARNING,
			    &(struct log_fields){.message_id = EVENT_CLUSTER, .room = ch->room},
			    "cluster: a batch was not stored: %s", e->why);
		channel_go_back(ch, c->now + PUBLISH_RETRY_US);
		return;
	}
	ch->moved_at = c->now;
	ch->flight = 0; /* what was stored may still be lost: low moves when it comes back */
	ch->stored = e->seq;
	if (e->seq > c->last)
		c->last = e->seq;
	if (c->subscribed && e->seq <= c->read.seq)
		core_read_again(c); /* as a number that was another message's */
}
