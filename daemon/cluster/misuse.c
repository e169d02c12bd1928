/* SPDX-License-Identifier: MIT */
/*
 * Somebody who may publish says lines in this node's name, with numbers that it would give next: other nodes take what
 * it says then for known. This node sees them come back without having said them. It publishes nothing until it is known
 * what became of what was on its way, and goes on under another boot, with what the others have not got.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/logger.h"

#include <string.h>

#define MISUSE_REPLY_US (2 * SECOND_US)

static bool misuse_is_same(const struct speech_event *a, const struct speech_event *b)
{
	return a->time_us == b->time_us && a->sender == b->sender && a->kind == b->kind && a->raw == b->raw &&
	       a->nick_len == b->nick_len && a->text_len == b->text_len &&
	       memcmp(a->nick, b->nick, a->nick_len) == 0 && memcmp(a->text, b->text, a->text_len) == 0;
}

/* Lines that are back are known everywhere, and may be overwritten here: they are not looked at. */
bool misuse_is_own(const struct core *c, const struct channel *ch, const struct wire_batch *batch)
{
	struct logring *log = ch->out->log;
	struct wire_batch b = *batch;
	struct speech_event said, own;
	struct logring_view v;
	bool same = true;

	logring_pin(log, c->start.slot, &v);
	for (uint64_t n = b.first; same && n < batch->first + batch->count; n++) {
		enum wire_next next = wire_next(&b, &said);
		if (n >= v.count) {
			same = false;
		} else if (n >= ch->low && n >= v.first) {
			const struct record *r = speech_event_at(log, &v, n, &own);
			same = r->forgotten	    ? true
			       : next == WIRE_EVENT ? misuse_is_same(&said, &own)
						    : !wire_says(&own) || channel_skips(ch, n);
		}
	}
	logring_unpin(log, c->start.slot);
	return same;
}

void misuse_found(struct core *c, struct channel *ch, const struct wire_batch *b)
{
	c->refused++;
	c->status.misused++;
	log_limited(LOG_TOPIC_CLUSTER, LOG_ERR,
		    &(struct log_fields){.message_id = EVENT_CLUSTER, .room = ch->room, .node = c->node},
		    "cluster: lines came back that were not said here: somebody else speaks as this node in "
		    "room %s",
		    ch->room);
	if (!ch->misused) {
		/* Until it is mended, another process finds it again. */
		if (c->n_misused++ == 0)
			c->misused_before = cluster_file_applied(c->start.file);
		ch->misused = true;
		ch->theirs = ch->low;
	}
	if (b->first <= ch->theirs && b->first + b->count > ch->theirs)
		ch->theirs = b->first + b->count;
	channel_look(c, ch);
}

uint64_t misuse_got(const struct channel *ch, uint64_t end)
{
	return !ch->misused || ch->theirs <= ch->low ? end : ch->low;
}

void misuse_echo(struct channel *ch, uint64_t end)
{
	if (!ch->misused || ch->theirs >= end)
		return;
	/* The others have left out what was numbered as that was, and have the rest of it. */
	if (ch->theirs > ch->low) {
		ch->boot.skip_from = ch->theirs;
		ch->boot.skip_to = end;
	}
	ch->theirs = end;
}

static void misuse_mend(struct core *c, struct channel *ch)
{
	if (!boots_change(c, ch))
		return; /* no space for its position: told of by who finds that */
	ch->misused = false;
	if (--c->n_misused == 0)
		cluster_file_set_applied(c->start.file, gap_applied(c));
	log_limited(LOG_TOPIC_CLUSTER, LOG_NOTICE,
		    &(struct log_fields){.message_id = EVENT_CLUSTER, .room = ch->room, .node = c->node},
		    "cluster: what is said here in room %s goes out under another number of this node",
		    ch->room);
}

void misuse_turn(struct core *c, struct channel *ch)
{
	ch->moved_at = c->now;
	if (!c->ready)
		return;
	if (ch->flight && c->now - ch->flight_at > MISUSE_REPLY_US) {
		ch->flight = 0;
		core_read_again(c); /* by another connection: then all that was stored is there */
	}
	if (!ch->flight && c->ready && c->read.seq >= ch->stored)
		misuse_mend(c, ch);
}
