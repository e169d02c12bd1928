/* SPDX-License-Identifier: MIT */
/*
 * What a connection is sent: its outbox in the client's entry first, then the log of its room, straight from the
 * ring and for all members of a room as one batch.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/io/sender.h"

#include <inttypes.h>

ssize_t output_transmit(struct connection *c, const void *data, size_t len)
{
	return c->unheard ? (ssize_t)len : c->stream.ops->send(&c->stream, data, len);
}

size_t connection_send(struct connection *c, const char *data, size_t len)
{
	if (c->blocked || len == 0 || connection_state(c)->out_end > c->sent)
		return 0;
	ssize_t n = output_transmit(c, data, len);
	FAULT("send-straight");
	count(c->ctx->counters, COUNT_SENDS, 1);
	if (n < 0 && !stream_is_temporary(n)) {
		closing_lose_peer(c, (int)-n);
		n = c->unheard ? (ssize_t)len : 0;
	} else if (n < 0) {
		n = 0;
	}
	c->sent += (uint64_t)n;
	c->blocked = (size_t)n < len;
	count(c->ctx->counters, COUNT_BYTES_OUT, (uint64_t)n);
	return (size_t)n;
}

/* --- the room's log --- */

bool output_shows(struct connection *c, const struct room *room, uint64_t seq, const struct record *event,
		  const char *line, size_t len)
{
	return !c->handler->sees || (event->sender != c->client->id && !record_is_notice(event)) ||
	       c->handler->sees(c, room, seq, event, line, len);
}

/*
 * Within a transaction: has the member's handler render the events from *p on, as many as fit; true: all of them.
 * The log is locked or pinned.
 */
static bool output_render(struct connection *c, const struct room *room, const struct logring_view *v,
			  struct position *p)
{
	while (p->seq < v->count) {
		const struct record *event = logring_record(room->log, p->seq);
		const char *line = logring_at(v, p->cursor);
		size_t len = event->end - p->cursor;
		if (output_shows(c, room, p->seq, event, line, len) &&
		    !connection_write_event(c, room, p->seq, event, line, len))
			return false;
		p->cursor = event->end;
		p->seq++;
	}
	return true;
}

/* Within a transaction: the handler's words for what was missed. */
static void output_skip(struct connection *c, const struct room *room, uint64_t skipped)
{
	connection_notify(c, &(struct notice){.kind = NOTICE_SKIPPED, .number = skipped, .room = room});
	count(c->ctx->counters, COUNT_MESSAGES_SKIPPED, skipped);
}

bool output_settle_at(struct connection *c, struct room *room, struct position *p, size_t reserve)
{
	struct logring_view v;

	logring_peek(room->log, &v);
	writing_wrap(c);
	struct client_state *draft = connection_draft(c);
	uint64_t out_end = draft->out_end;
	if (p->cursor < v.floor) {
		if (connection_space(c) < NOTICE_MAX + reserve)
			return false;
		output_skip(c, room, v.count - p->seq);
	} else if (writing_renders(c)) {
		if (!output_render(c, room, &v, p) || connection_space(c) < reserve) {
			draft->out_end = out_end;
			return false;
		}
	} else {
		if (connection_space(c) < v.head - p->cursor + reserve)
			return false;
		connection_write(c, logring_at(&v, p->cursor), v.head - p->cursor);
	}
	*p = (struct position){v.head, v.count};
	return true;
}

bool connection_settle(struct connection *c, size_t reserve)
{
	if (!c->room)
		return true;
	struct position p = membership_place(c->ctx->shared->clients, connection_draft(c));
	if (!output_settle_at(c, c->room, &p, reserve))
		return false;
	connection_go_on_at(c, p);
	return true;
}

/* A reader whose next message is gone goes on with the oldest at hand, or ends, as configured. Holds the pin. */
static void output_lapped(struct connection *c, const struct logring_view *v)
{
	char from[ADDRESS_TEXT_MAX];
	uint64_t seq, pos;

	if (c->ctx->config->slow == SLOW_DISCONNECT && !c->unheard) {
		if (c->phase < PHASE_DOOMED) {
			count(c->ctx->counters, COUNT_CLIENTS_SLOW, 1);
			log_event(LOG_INFO, CONNECTION_FIELDS(c, EVENT_CLIENT_CLOSED, .room = c->room->name),
				  "client %" PRIu64 " from %s reads too slowly and is disconnected",
				  c->client->id, address_peer(connection_address(c), from));
		}
		closing_doom(c, EOVERFLOW);
		return;
	}
	pos = logring_resume(c->room->log, v, &seq);
	connection_begin(c);
	connection_go_on_at(c, (struct position){pos, seq});
	uint64_t skipped = seq > c->seq ? seq - c->seq : 0;
	output_skip(c, c->room, skipped);
	connection_commit(c, NULL);
	c->behind = true;
	log_event(LOG_DEBUG, CONNECTION_FIELDS(c, EVENT_SKIPPED, .room = c->room->name),
		  "client %" PRIu64 " from %s reads too slowly and misses %" PRIu64 " messages in %s",
		  c->client->id, address_peer(connection_address(c), from), skipped, c->room->name);
}

/* Within a transaction: of message number seq, which was sent up to c->pos, the rest goes to the outbox. */
static void output_finish(struct connection *c, const struct logring_view *v, uint64_t seq)
{
	uint64_t end = logring_record(c->room->log, seq)->end;

	connection_go_on_at(c, (struct position){end, seq + 1});
	connection_write(c, logring_at(v, c->pos), end - c->pos);
}

ssize_t output_took(struct connection *c, ssize_t n)
{
	count(c->ctx->counters, COUNT_SENDS, 1);
	if (n < 0 && !stream_is_temporary(n)) {
		closing_lose_peer(c, (int)-n);
		return -1;
	}
	if (n < 0)
		n = 0;
	count(c->ctx->counters, COUNT_BYTES_OUT, (uint64_t)n);
	c->sent += (uint64_t)n;
	return n;
}

void output_was_cut(struct connection *c)
{
	c->blocked = true;
	c->behind = true;
	connection_rewatch(c);
}

/* After a send from the log. Holds the pin. */
static void output_sent(struct connection *c, const struct logring_view *v, ssize_t n)
{
	n = output_took(c, n);
	if (n < 0)
		return;
	c->pos += (uint64_t)n;
	if (c->pos == v->head) {
		c->seq = v->count;
		return;
	}

	/* Cut. Within a message, its rest goes to the outbox, so that the cursor stands on a boundary. */
	FAULT("send-cut");
	uint64_t seq = logring_seek(c->room->log, v, c->pos);
	if (logring_start(c->room->log, v, seq) != c->pos) {
		connection_begin(c);
		output_finish(c, v, seq);
		connection_commit(c, NULL);
	} else {
		c->seq = seq;
	}
	output_was_cut(c);
}

bool output_restore(struct connection *c, uint64_t straight)
{
	struct logring *log = c->room->log;
	struct logring_view v;
	bool restored = true;

	logring_lock(log);
	logring_peek(log, &v);
	if (writing_renders(c)) {
		restored = output_restore_rendered(c, &v, straight);
		logring_unlock(log);
		return restored;
	}
	c->pos += straight;
	if (c->pos >= v.floor && c->pos <= v.head) {
		uint64_t seq = logring_seek(log, &v, c->pos);
		c->seq = seq;
		connection_begin(c);
		if (logring_start(log, &v, seq) != c->pos)
			output_finish(c, &v, seq);
		connection_commit(c, NULL);
	}
	logring_unlock(log);
	return true;
}

/* --- all of it --- */

/* Sends what the outbox holds; true when it is empty. */
static bool output_send_outbox(struct connection *c)
{
	const char *outbox = clients_outbox(c->ctx->shared->clients, c->client);
	uint64_t end = connection_state(c)->out_end;

	while (c->sent < end) {
		size_t at = c->sent % CLIENT_OUT_SIZE, n = CLIENT_OUT_SIZE - at;
		if (n > end - c->sent)
			n = end - c->sent;
		ssize_t r = output_transmit(c, outbox + at, n);
		FAULT("send-outbox");
		count(c->ctx->counters, COUNT_SENDS, 1);
		if (r < 0 && !stream_is_temporary(r)) {
			closing_lose_peer(c, (int)-r);
			if (c->phase >= PHASE_DOOMED)
				return false;
			continue;
		}
		if (r > 0) {
			c->sent += (uint64_t)r;
			count(c->ctx->counters, COUNT_BYTES_OUT, (uint64_t)r);
		}
		if (r < (ssize_t)n) {
			c->blocked = true;
			return false;
		}
	}
	return true;
}

static void output_send_log(struct connection *c)
{
	struct logring_view v;

	c->behind = false;
	logring_pin(c->room->log, c->ctx->slot, &v);
	if (c->pos < v.floor) {
		output_lapped(c, &v);
	} else if (c->pos < v.head && writing_renders(c)) {
		output_send_rendered(c, &v);
	} else if (c->pos < v.head) {
		output_sent(c, &v, output_transmit(c, logring_at(&v, c->pos), v.head - c->pos));
	}
	logring_unpin(c->room->log, c->ctx->slot);
	if (!c->behind && c->handler->many && !c->blocked && !output_is_pending(c))
		c->behind = seats_turn(c);
}

void output_run(struct connection *c)
{
	while (!c->blocked && c->phase < PHASE_LINGERING) {
		if (output_is_pending(c)) {
			if (!output_send_outbox(c))
				break;
		} else if (c->behind && (c->room || (c->handler->many && seats_turn(c)))) {
			output_send_log(c);
		} else if (connection_state(c)->flags & CLIENT_CLOSING) {
			closing_finish(c);
			break;
		} else if (c->ending) {
			connection_begin(c);
			connection_notify(c, &(struct notice){.kind = NOTICE_GOING_DOWN});
			connection_commit(c, NULL);
			closing_leave(c);
		} else {
			break;
		}
	}
	connection_rewatch(c);
}

/* One member of a room that has news. */
static void output_prepare(struct connection *c, const struct logring_view *v, struct output_batch *b)
{
	if (c->phase >= PHASE_DOOMED)
		return;
	if (c->blocked || output_is_pending(c)) {
		c->behind = true;
		if (c->pos < v->floor && c->ctx->config->slow == SLOW_DISCONNECT)
			output_lapped(c, v);
	} else if (c->pos < v->floor) {
		output_lapped(c, v);
		connection_retry(c);
	} else if (c->pos < v->head && writing_renders(c)) {
		output_prepare_rendered(c, v, b);
	} else if (c->pos < v->head) {
		struct send_op *op = &b->ops[b->n];
		*op = (struct send_op){
		    .fd = c->stream.fd, .data = logring_at(v, c->pos), .len = v->head - c->pos, .user = c};
		if (!c->unheard && stream_prepare(&c->stream, &op->data, &op->len)) {
			b->n++;
			return;
		}
		output_sent(c, v, output_transmit(c, op->data, op->len));
		connection_rewatch(c);
	}
}

/* One of a batch has had its turn. */
static void output_offered(const struct output_batch *b, size_t i, const struct logring_view *v)
{
	struct connection *c = b->ops[i].user;
	ssize_t result = b->ops[i].result;
	bool rendered = writing_renders(c);

	if (!c->stream.ops->direct) {
		c->stream.ops->sent(&c->stream, result);
		result = (ssize_t)(rendered ? b->parts[i].len : v->head - c->pos);
	}
	if (rendered) {
		output_sent_rendered(c, v, &b->parts[i], result);
		/* There was something in between that it isn't shown. */
		if (c->handler->sees && c->behind && !c->blocked)
			connection_retry(c);
	} else {
		output_sent(c, v, result);
	}
	if (stream_is_waiting(&c->stream))
		connection_rewatch(c);
}

static void output_deliver_to(struct connection *members, const struct logring_view *v)
{
	struct sender *sender = members->ctx->sender;
	struct output_batch b;

	b.n = 0;
	for (struct connection *c = members; c; c = c->room_next) {
		output_prepare(c, v, &b);
		if (b.n < SENDER_BATCH && (c->room_next || b.n == 0))
			continue;
		sender_run(sender, b.ops, b.n);
		FAULT("send-log");
		for (size_t i = 0; i < b.n; i++)
			output_offered(&b, i, v);
		b.n = 0;
	}
}

void output_deliver(struct connections *cs, uint32_t index)
{
	struct connection *members = cs->members[index];
	struct context *ctx = cs->ctx;
	struct logring_view v;

	if (!members)
		return;
	struct logring *log = members->room->log;
	logring_pin(log, ctx->slot, &v);
	uint64_t first = logring_reader_at(log, ctx->slot);
	renderings_begin(cs->renderings, members->room, first > v.first ? first : v.first);
	do
		output_deliver_to(members, &v);
	while (renderings_advance(cs->renderings, &v));
	logring_flushed(log, ctx->slot, &v);
	logring_unpin(log, ctx->slot);
}
