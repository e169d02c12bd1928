/* SPDX-License-Identifier: MIT */
/*
 * From the stream into a room. Lines that are known by their numbers are left out, so it does no harm if some come
 * twice, packed otherwise. The others become true together with what is noted of them: cluster_file.h.
 */
#include "daemon/cluster/core.h"

#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/channels/follow.h"
#include "daemon/rooms/archived.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define APPLY_TELL_US (3600 * SECOND_US)
/* By so much the clocks of NATS's servers may differ. */
#define APPLY_CLOCKS_NS (10 * SECOND_US * 1000)

/* NULL: there is nothing that anybody decided. */
static struct irc_channels *apply_channels(const struct core *c)
{
	return c->start.channels ? atomic_load(c->start.channels) : NULL;
}

/* What is put is to become true together with the position. */
static void apply_commit(struct core *c, const struct apply *a, struct speech *s, uint64_t expected,
			 uint64_t echoed, struct cluster_applied applied)
{
	if (!s->room) {
		cluster_file_move(c->start.file, a->p, expected, echoed, applied);
		return;
	}
	cluster_file_intend(c->start.file, s->room, logring_pending(s->room->log), a->p, expected, echoed,
			    applied);
	FAULT("cluster-intent");
	irc_follow_seal(apply_channels(c), s->room);
	c->status.lines_in += speech_commit(s, c->start.rooms, c->start.kick);
	FAULT("cluster-committed");
	cluster_file_done(c->start.file);
	FAULT("cluster-done");
	rooms_kick(c->start.rooms, c->start.kick, c->start.slot);
}

/* What a line is called in the stream: it goes with the line, also into a database. */
static uint64_t apply_place(uint64_t seq, uint64_t index)
{
	return seq == 0 ? 0 : seq << 16 | (index < UINT16_MAX ? index : UINT16_MAX);
}

bool apply_lines(struct core *c, const struct apply *a, struct wire_batch *b)
{
	struct channel *ch = a->ch;
	uint64_t n = b->first, e = a->p->expected, echoed = a->p->echoed;
	struct speech s = {0};
	struct speech_event event;
	enum wire_next next;

	for (; (next = wire_next(b, &event)) != WIRE_END; n++) {
		event.stream = apply_place(a->seq, n - b->first);
		if (n < e || next == WIRE_UNKNOWN || (event.stream != 0 && event.stream <= a->after))
			continue;
		if (!a->own)
			event.sender = 0; /* another node's number of a client means nothing here */
		int r = speech_replay(&s, ch->main, &event);
		if (r == -EAGAIN) {
			apply_commit(c, a, &s, n, echoed, cluster_file_applied(c->start.file));
			if (room_log_is_crowded(c->start.rooms, ch->main))
				return false;
			r = speech_replay(&s, ch->main, &event);
		}
		if (r == 0)
			irc_follow(apply_channels(c), ch->main, &event);
		if (r < 0) {
			c->refused++;
			log_limited(LOG_TOPIC_CLUSTER, LOG_WARNING,
				    &(struct log_fields){.message_id = EVENT_CLUSTER, .room = ch->room},
				    "cluster: line %" PRIu64 " of node %.*s is passed over: %s", n,
				    (int)b->node_len, b->node, strerror(-r));
		}
	}
	apply_commit(c, a, &s, n > e ? n : e, a->echoed, a->applied);
	return true;
}

/* --- messages --- */

/* Nothing was put anywhere. */
static void apply_pass(struct core *c)
{
	cluster_file_set_applied(c->start.file, gap_applied(c));
}

/* Own lines are back, up to end, and all nodes have them. */
static void apply_echo(struct core *c, struct channel *ch, uint64_t first, uint64_t end)
{
	if (end > ch->in_stream)
		ch->in_stream = end;
	if (first > ch->low) {
		channel_go_back(ch, c->now); /* some before them are not there */
		channel_look(c, ch);
		return;
	}
	if (end <= ch->low)
		return;
	ch->low = end;
	ch->moved_at = c->now;
	if (ch->sent < end)
		ch->sent = end;
	if (ch->flight && ch->flight_end <= end)
		ch->flight = 0;
	if (ch->sent == end)
		ch->asks = false;
	if (ch->low == ch->own->echoed)
		channel_tell_echoed(c, ch);
}

/* Whether own lines before that number are nowhere any more, as what was noted of them is lost. */
static bool apply_is_lost(const struct core *c, const struct channel *ch, uint64_t first)
{
	return channel_oldest(c, ch) >= first;
}

/* Whether anybody has said anything in a room; and where and when the last of what a database had of it is in the stream. */
static bool apply_has_lines(const struct core *c, struct logring *log, uint64_t *ret_place, int64_t *ret_us)
{
	struct logring_view v;

	logring_pin(log, c->start.slot, &v);
	uint64_t seq = v.count;
	bool r = logring_back(log, &v, &seq);
	for (bool more = r; more && *ret_place == 0; more = logring_back(log, &v, &seq)) {
		const struct record *record = logring_record(log, seq);
		*ret_place = record->number ? record->target : 0;
		*ret_us = (int64_t)record->time_us;
	}
	logring_unpin(log, c->start.slot);
	return r;
}

/* Where the room goes on in the stream: a database knows it, also of what was removed there since. */
static void apply_find_restored(const struct core *c, struct channel *ch)
{
	uint64_t line = 0;
	int64_t us = 0, line_us = 0;
	bool has_lines = apply_has_lines(c, ch->main->log, &line, &line_us);
	uint64_t place = room_stored_place(ch->main, &us);

	if (place == 0) {
		ch->restored = line;
		ch->restored_ns = cluster_file_made_ns(c->start.file);
	} else if (line > place && line_us > us) {
		/* It was stored right when it came, and its place was to follow. In another stream it would be older. */
		ch->restored = line;
		ch->restored_ns = line_us * 1000;
	} else {
		ch->restored = place;
		ch->restored_ns = us * 1000;
	}
	ch->history = has_lines && ch->restored == 0 ? HISTORY_LEFT : HISTORY_TAKEN;
}

/*
 * Whether the lines of a message are from before this node's memory, and the room had others then: they were shown
 * there, or are not what people who sit there want to see now. A room that begins empty takes them; one that a database
 * has given its messages back, those behind them.
 */
static bool apply_is_old(const struct core *c, struct channel *ch)
{
	if (!c->first_read)
		return false;
	if (ch->history == HISTORY_UNKNOWN)
		apply_find_restored(c, ch);
	if (ch->history != HISTORY_LEFT ||
	    c->read.time_ns >= cluster_file_made_ns(c->start.file) - APPLY_CLOCKS_NS)
		return false;
	log_limited(LOG_TOPIC_CLUSTER, LOG_NOTICE,
		    &(struct log_fields){.message_id = EVENT_CLUSTER, .room = ch->room},
		    "cluster: the room has lines of its own; what was said in it before this node came "
		    "is left out");
	return true;
}

/* Up to where. A stream that is made anew has later messages at these places. */
static uint64_t apply_after(const struct core *c, const struct channel *ch)
{
	bool before = c->read.time_ns < ch->restored_ns + APPLY_CLOCKS_NS;

	return c->first_read && before ? ch->restored : 0;
}

/* A batch of lines that were said on this node, since its memory was made. */
static bool apply_own(struct core *c, struct channel *ch, struct wire_batch *b)
{
	const struct cluster_position *p = ch->own;
	uint64_t end = b->first + b->count, e = p->expected, first = b->first;

	if (!misuse_is_own(c, ch, b)) {
		misuse_found(c, ch, b);
		apply_pass(c);
		return true;
	}
	if (first > e && !apply_is_lost(c, ch, first)) {
		apply_echo(c, ch, first, end); /* they are published again from the missing one on */
		apply_pass(c);
		return true;
	}
	if (end > e && room_log_is_crowded(c->start.rooms, ch->main))
		return false;
	if (first > e)
		gap_give_up(c, ch, c->node, p, e = first);
	bool follows = first <= ch->low && end > ch->low;
	uint64_t got = follows ? misuse_got(ch, end) : end;
	uint64_t echoed = first <= ch->low && got > p->echoed ? got : p->echoed;
	bool old = end <= e || apply_is_old(c, ch);
	const struct apply a = {ch, p, true, echoed, gap_applied(c), c->read.seq, apply_after(c, ch)};
	c->status.trimmed += (end < e ? end : e) - b->first;
	if (old)
		cluster_file_move(c->start.file, p, end > e ? end : e, echoed, a.applied);
	else if (!apply_lines(c, &a, b))
		return false;
	FAULT("cluster-echo");
	if (follows)
		misuse_echo(ch, end);
	apply_echo(c, ch, first, got);
	return true;
}

static bool apply_foreign(struct core *c, struct channel *ch, struct wire_batch *b)
{
	const struct cluster_position *p =
	    cluster_file_position(c->start.file, ch->room, b->node, b->node_len, b->boot);
	uint64_t end = b->first + b->count, first = b->first;

	if (!p) {
		c->refused++;
		apply_pass(c);
		return true;
	}
	/* Of whom nothing is known, what comes is the first. */
	if (!p->fresh && b->first > p->expected && !gap_found(c, ch, b, p)) {
		apply_pass(c);
		return true;
	}
	if (!p->fresh && end <= p->expected) {
		c->status.trimmed += b->count;
		gap_filled(c, ch, b, p->expected);
		apply_pass(c);
		return true;
	}
	if (room_log_is_crowded(c->start.rooms, ch->main))
		return false;
	if (!p->fresh && p->expected > first)
		c->status.trimmed += p->expected - first;
	bool old = apply_is_old(c, ch);
	const struct apply a = {ch, p, false, 0, gap_applied(c), c->read.seq, apply_after(c, ch)};
	if (old)
		cluster_file_move(c->start.file, p, end, 0, a.applied);
	else if (!apply_lines(c, &a, b))
		return false;
	gap_filled(c, ch, b, end);
	return true;
}

/* The room that a message is for; NULL: nothing can be made of it. */
static struct channel *apply_find_channel(struct core *c, const struct nats_event *e,
					  char room[static TEXT_ROOM_MAX + 1])
{
	size_t n = strlen(c->root);
	static const char rest[] = ".s.room.";

	if (!e->subject || strncmp(e->subject, c->root, n) != 0 ||
	    strncmp(e->subject + n, rest, sizeof(rest) - 1) != 0)
		return NULL;
	const char *token = e->subject + n + sizeof(rest) - 1;
	return wire_room(token, strlen(token), room) ? channel_of_room(c, room) : NULL;
}

static void apply_refuse(struct core *c, int error)
{
	c->refused++;
	if (!core_may_tell(c, &c->version_told, APPLY_TELL_US))
		return;
	log_event(
	    LOG_ERR, &(struct log_fields){.message_id = EVENT_CLUSTER},
	    error == -EPROTONOSUPPORT
		? "cluster: a node speaks a newer version of what nodes say; what it says is passed over"
		: "cluster: there is something in the stream that no node has put there");
}

bool apply_message(struct core *c, const struct nats_event *e)
{
	char room[TEXT_ROOM_MAX + 1];
	struct wire_batch b;
	bool all;

	struct cluster_applied before = c->read;
	c->read = (struct cluster_applied){e->seq, e->time_ns};
	int r = wire_open(e->data, e->len, &b);
	struct channel *ch = r == 0 ? apply_find_channel(c, e, room) : NULL;
	if (r < 0)
		apply_refuse(c, r);
	if (!ch) {
		apply_pass(c);
		return true;
	}
	FAULT("cluster-message");
	if (b.boot == ch->boot.boot && b.node_len == c->node_len && memcmp(b.node, c->node, b.node_len) == 0)
		all = apply_own(c, ch, &b);
	else
		all = apply_foreign(c, ch, &b);
	if (all)
		room_note_place(ch->main, apply_place(e->seq, UINT16_MAX), e->time_ns / 1000);
	else
		c->read = before;
	return all;
}
