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
#include <stdio.h>
#include <string.h>

/* --- what handlers write --- */

size_t connection_space(const struct connection *c)
{
	uint64_t end = c->drafting ? connection_draft(c)->out_end : connection_state(c)->out_end;

	return end > c->sent ? CLIENT_OUT_SIZE - (size_t)(end - c->sent) : CLIENT_OUT_SIZE;
}

void connection_write(struct connection *c, const char *data, size_t len)
{
	char *outbox = clients_outbox(c->ctx->shared->clients, c->client);
	struct client_state *draft = connection_draft(c);
	size_t at = draft->out_end % CLIENT_OUT_SIZE, first = CLIENT_OUT_SIZE - at;

	if (first > len)
		first = len;
	memcpy(outbox + at, data, first);
	memcpy(outbox, data + first, len - first);
	draft->out_end += len;
	c->out_touched = true;
}

void connection_printf(struct connection *c, const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n > 0)
		connection_write(c, text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);
}

static ssize_t output_transmit(struct connection *c, const void *data, size_t len)
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

bool connection_notify(struct connection *c, const struct notice *n)
{
	char text[NOTICE_MAX];
	size_t len = c->handler->notice ? c->handler->notice(c, n, text, sizeof(text)) : 0;

	if (len == 0 || connection_space(c) < len)
		return false;
	connection_write(c, text, len);
	return true;
}

/* --- the room's log --- */

/*
 * Within a transaction: has the member's handler render the events from *p on, as many as fit; true: all of them.
 * The log is locked or pinned.
 */
static bool output_render(struct connection *c, const struct logring_view *v, struct position *p)
{
	const struct logring *log = c->room->log;

	while (p->seq < v->count) {
		const struct record *event = logring_record(log, p->seq);
		if (!c->handler->deliver(c, event, logring_at(v, p->cursor), event->end - p->cursor))
			return false;
		p->cursor = event->end;
		p->seq++;
	}
	return true;
}

/* Within a transaction: the handler's words for what was missed. */
static void output_skip(struct connection *c, uint64_t skipped)
{
	connection_notify(c, &(struct notice){.kind = NOTICE_SKIPPED, .number = skipped});
	count(c->ctx->counters, COUNT_MESSAGES_SKIPPED, skipped);
}

bool connection_settle(struct connection *c, size_t reserve)
{
	struct logring_view v;

	if (!c->room)
		return true;
	logring_peek(c->room->log, &v);
	struct client_state *draft = connection_draft(c);
	struct position p = membership_place(c->ctx->shared->clients, draft);
	uint64_t out_end = draft->out_end;
	if (p.cursor < v.floor) {
		if (connection_space(c) < NOTICE_MAX + reserve)
			return false;
		output_skip(c, v.count - p.seq);
	} else if (c->handler->deliver) {
		if (!output_render(c, &v, &p) || connection_space(c) < reserve) {
			draft->out_end = out_end;
			return false;
		}
	} else {
		if (connection_space(c) < v.head - p.cursor + reserve)
			return false;
		connection_write(c, logring_at(&v, p.cursor), v.head - p.cursor);
	}
	connection_go_on_at(c, (struct position){v.head, v.count});
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
	output_skip(c, skipped);
	connection_commit(c, NULL);
	c->behind = true;
	log_event(LOG_DEBUG, CONNECTION_FIELDS(c, EVENT_SKIPPED, .room = c->room->name),
		  "client %" PRIu64 " from %s reads too slowly and misses %" PRIu64 " messages in %s",
		  c->client->id, address_peer(connection_address(c), from), skipped, c->room->name);
}

void output_finish(struct connection *c, const struct logring_view *v, uint64_t seq)
{
	uint64_t end = logring_record(c->room->log, seq)->end;

	connection_go_on_at(c, (struct position){end, seq + 1});
	connection_write(c, logring_at(v, c->pos), end - c->pos);
}

/* After a send from the log; n as in struct send_op. Holds the pin. */
static void output_sent(struct connection *c, const struct logring_view *v, ssize_t n)
{
	struct counters *counters = c->ctx->counters;

	count(counters, COUNT_SENDS, 1);
	if (n < 0) {
		if (!stream_is_temporary(n)) {
			closing_lose_peer(c, (int)-n);
			return;
		}
		n = 0;
	}
	count(counters, COUNT_BYTES_OUT, (uint64_t)n);
	c->pos += (uint64_t)n;
	c->sent += (uint64_t)n;
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
	c->blocked = true;
	c->behind = true;
	connection_rewatch(c);
}

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

/* The member's handler renders what is new, and that is sent. The outbox is empty. Holds the pin. */
static void output_deliver_rendered(struct connection *c, const struct logring_view *v)
{
	struct position p = {c->pos, c->seq};

	connection_begin(c);
	bool all = output_render(c, v, &p);
	if (!all && p.seq == c->seq) {
		/* It is larger than all of the outbox, and would be for ever. */
		p = (struct position){logring_record(c->room->log, p.seq)->end, p.seq + 1};
		count(c->ctx->counters, COUNT_MESSAGES_SKIPPED, 1);
	}
	connection_go_on_at(c, p);
	connection_commit(c, NULL);
	c->behind = !all;
	if (output_send_outbox(c) && c->behind)
		connection_retry(c);
	connection_rewatch(c);
}

static void output_send_log(struct connection *c)
{
	struct logring_view v;

	c->behind = false;
	logring_pin(c->room->log, c->ctx->slot, &v);
	if (c->pos < v.floor) {
		output_lapped(c, &v);
	} else if (c->pos < v.head && c->handler->deliver) {
		output_deliver_rendered(c, &v);
	} else if (c->pos < v.head) {
		output_sent(c, &v, output_transmit(c, logring_at(&v, c->pos), v.head - c->pos));
	}
	logring_unpin(c->room->log, c->ctx->slot);
}

void output_run(struct connection *c)
{
	while (!c->blocked && c->phase < PHASE_LINGERING) {
		if (output_is_pending(c)) {
			if (!output_send_outbox(c))
				break;
		} else if (c->room && c->behind) {
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

/* One member of a room that has news; ops[n] is filled with what has to be sent to it. Returns how many are. */
static size_t output_prepare(struct connection *c, const struct logring_view *v, struct send_op *ops,
			     size_t n)
{
	if (c->phase >= PHASE_DOOMED)
		return n;
	if (c->blocked || output_is_pending(c)) {
		c->behind = true;
		if (c->pos < v->floor && c->ctx->config->slow == SLOW_DISCONNECT)
			output_lapped(c, v);
	} else if (c->pos < v->floor) {
		output_lapped(c, v);
		connection_retry(c);
	} else if (c->pos < v->head && c->handler->deliver) {
		output_deliver_rendered(c, v);
	} else if (c->pos < v->head) {
		ops[n] = (struct send_op){
		    .fd = c->stream.fd, .data = logring_at(v, c->pos), .len = v->head - c->pos, .user = c};
		if (!c->unheard && stream_prepare(&c->stream, &ops[n].data, &ops[n].len))
			return n + 1;
		output_sent(c, v, output_transmit(c, ops[n].data, ops[n].len));
		connection_rewatch(c);
	}
	return n;
}

/* One of a batch has had its turn. */
static void output_offered(struct connection *c, const struct logring_view *v, ssize_t result)
{
	if (c->stream.ops->direct) {
		output_sent(c, v, result);
		return;
	}
	c->stream.ops->sent(&c->stream, result);
	output_sent(c, v, (ssize_t)(v->head - c->pos));
	if (stream_is_waiting(&c->stream))
		connection_rewatch(c);
}

void output_deliver(struct connections *cs, uint32_t index)
{
	struct connection *c = cs->members[index];
	struct context *ctx = cs->ctx;
	struct send_op ops[SENDER_BATCH];
	struct logring_view v;
	size_t n = 0;

	if (!c)
		return;
	struct logring *log = c->room->log;
	logring_pin(log, ctx->slot, &v);
	for (; c; c = c->room_next) {
		n = output_prepare(c, &v, ops, n);
		if (n < SENDER_BATCH && (c->room_next || n == 0))
			continue;
		sender_run(ctx->sender, ops, n);
		FAULT("send-log");
		for (size_t i = 0; i < n; i++)
			output_offered(ops[i].user, &v, ops[i].result);
		n = 0;
	}
	logring_flushed(log, ctx->slot, &v);
	logring_unpin(log, ctx->slot);
}
