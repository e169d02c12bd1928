/* SPDX-License-Identifier: MIT */
/*
 * GET /api/v1/rooms/NAME/events: server-sent events, which are the body of an answer that has no end. Whoever reads them is a
 * member of the room that says nothing and that nobody sees: it has a place in the log, so it goes on in the next process.
 */
#include "daemon/web/api.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- what goes out --- */

size_t web_events_render(const struct room *room, uint64_t seq, const struct record *event, const char *line,
			 size_t len, char *out)
{
	json_t *o = message_json_of(room, seq, event, line, len);
	char epoch[MESSAGE_EPOCH_MAX];
	size_t most = HANDLER_RENDERED_MAX(len);

	if (!o)
		abort(); /* it would not be the same another time; a crash is recovered from */
	message_epoch(room->epoch, epoch);
	size_t n = (size_t)sprintf(out, "id: %s-%" PRIu64 "\ndata: ", epoch, room_number(room, event, seq));
	n += json_dumpb(o, out + n, most - n - 2, JSON_COMPACT);
	memcpy(out + n, "\n\n", 2);
	json_decref(o);
	return n + 2;
}

/* Lines that chatd has for people are events of another name. */
void web_events_wrap(struct connection *c, const char *text, size_t len, bool closing)
{
	(void)closing;
	while (len > 0) {
		const char *newline = memchr(text, '\n', len);
		size_t n = newline ? (size_t)(newline - text) : len;
		size_t skip = n >= 2 && memcmp(text, "* ", 2) == 0 ? 2 : 0;
		json_t *o = json_pack("{s:s%}", "text", text + skip, n - skip);
		_cleanup_free_ char *data = o ? json_dumps(o, JSON_COMPACT) : NULL, *event = NULL;
		json_decref(o);
		/* In one piece, so that it is there whole or not at all. */
		int size = data ? asprintf(&event, "event: notice\ndata: %s\n\n", data) : -1;
		if (size > 0)
			connection_write_wire(c, event, (size_t)size);
		len -= n + (newline != NULL);
		text += n + (newline != NULL);
	}
}

/* --- where it begins --- */

struct events_begin {
	bool asked; /* to go on behind a message */
	uint64_t epoch, number;
	struct position at;
	bool gap; /* what was between can't be had */
	uint64_t first;
};

/* Which message it has seen last: as EventSource tells, or by ?after=EPOCH-NUMBER. */
static const char *events_read_id(const struct http_request *r, struct events_begin *b)
{
	struct http_text header = http_header(r, "last-event-id");
	char text[48];
	int n = http_query(r, "after", text, sizeof(text));

	if (!header.at && n == -ENOENT)
		return NULL;
	if (!header.at && n > 0)
		header = (struct http_text){text, (size_t)n};
	b->asked = true;
	return header.at && message_parse_id(header.at, header.len, &b->epoch, &b->number)
		   ? NULL
		   : "Last-Event-ID, or after, must be a message's name: EPOCH-NUMBER.";
}

/* With the room's log locked. */
static void events_find_place(const struct room *room, struct events_begin *b)
{
	struct logring_view v;

	logring_peek(room->log, &v);
	b->at = (struct position){v.head, v.count};
	b->first = room->number_base + v.count;
	/* Where nothing is shown of what was before, nobody can say that he was there. */
	b->gap = b->asked && room->history == 0 && b->number + 1 < b->first;
	if (!b->asked || room->history == 0)
		return;
	/* Numbers only grow, whatever the epoch; and a log that was restored has those of before. What writers are about
	   to overwrite could be gone before it is sent. */
	uint64_t oldest, seq = speech_find_number(room, &v, b->number + 1);
	logring_resume(room->log, &v, &oldest);
	if (oldest < v.count)
		b->first = room_number(room, logring_record(room->log, oldest), oldest);
	b->gap = b->number + 1 < b->first;
	seq = seq > oldest ? seq : oldest;
	b->at = (struct position){seq < v.count ? logring_start(room->log, &v, seq) : v.head, seq};
}

static void events_write_head(const struct web_call *call, const struct events_begin *b)
{
	char head[HTTP_ANSWER_HEAD_MAX], cors[WEB_CORS_MAX], headers[HTTP_ANSWER_HEAD_MAX / 2], gap[128];

	snprintf(headers, sizeof(headers), "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n%s",
		 web_cors(call->c, call->r, cors));
	size_t n = http_answer_head(&(struct http_answer){.status = 200,
							  .type = "text/event-stream",
							  .headers = headers,
							  .endless = true,
							  .closes = true},
				    head);
	connection_write(call->c, head, n);
	int len = snprintf(gap, sizeof(gap), "retry: 2000\n\n");
	connection_write(call->c, gap, (size_t)len);
	if (!b->gap)
		return;
	len = snprintf(gap, sizeof(gap), "event: gap\ndata: {\"from\":%" PRIu64 ",\"to\":%" PRIu64 "}\n\n",
		       b->number + 1, b->first - 1);
	connection_write(call->c, gap, (size_t)len);
}

static enum verdict events_begin(const struct web_call *call, const struct token *t, struct room *room,
				 struct events_begin *b)
{
	struct connection *c = call->c;
	char guest[TEXT_NICK_MAX + 1];
	const char *nick = t ? web_token_name(t) : guest;

	roster_guest(connection_context(c)->shared->roster, connection_id(c), guest);
	struct client_state *next = connection_begin(c);
	logring_lock(room->log);
	events_find_place(room, b);
	connection_consume(c, call->consumed);
	events_write_head(call, b);
	connection_set_form(c, WEB_EVENTS);
	client_set_nick(next, nick, strlen(nick));
	if (t)
		next->flags |= CLIENT_ACCOUNT;
	clients_at(connection_context(c)->shared->clients, connection_index(c))->proof =
	    t ? web_token_proof(t) : 0;
	connection_place(c, room, b->at);
	FAULT("http-events");
	logring_unlock(room->log);
	connection_commit(c, NULL);
	connection_limit_unsent(c, 0);
	connection_set_room(c, room);
	count(connection_context(c)->counters, COUNT_HTTP_STREAMS, 1);
	return HANDLER_BLOCKED; /* what the log has already is sent behind the head */
}

enum verdict web_events_open(const struct web_call *call)
{
	struct events_begin b = {.asked = false};
	const struct token *t;
	struct room *room;

	if (web_token(call->c, call->r, &t) == WEB_LIAR)
		return web_refuse_token(call);
	const char *wrong = events_read_id(call->r, &b);
	if (wrong)
		return web_refuse(call, 400, wrong);
	enum verdict verdict = api_enter(call, t, &room);
	if (!room)
		return verdict;
	return events_begin(call, t, room, &b);
}

/* --- its life --- */

enum verdict web_events_received(struct connection *c, size_t len, bool eof)
{
	/* Nothing can follow the request for it. */
	if (len > 0) {
		connection_begin(c);
		connection_consume(c, len);
		connection_commit(c, NULL);
	}
	if (!eof)
		return HANDLER_MORE;
	web_events_closed(c);
	return HANDLER_CLOSE;
}

void web_events_restored(struct connection *c)
{
	struct context *ctx = connection_context(c);
	uint32_t room = membership_room(ctx->shared->clients, connection_state(c));

	if (room != ROOM_NONE)
		connection_set_room(c, rooms_enter_index(ctx->shared->rooms, room, ctx->slot));
}

/* A right may have been taken away. */
void web_events_reloaded(struct connection *c)
{
	const struct client_state *st = connection_state(c);
	const struct room *room = connection_room(c);

	if (!room || st->flags & CLIENT_CLOSING)
		return;
	/* Nobody there sees who reads, so it may not stay as people may when a room is closed to others. */
	if (st->flags & CLIENT_ACCOUNT ? web_proved_token_may(c, room->name) : room_is_open(room))
		return;
	connection_kick(c, &(struct notice){.kind = NOTICE_ACCOUNT_GONE});
}

void web_events_closed(struct connection *c)
{
	if (!connection_room(c))
		return;
	struct client_state *next = connection_begin(c);
	next->flags |= CLIENT_CLOSING;
	client_set_nick(next, "", 0);
	connection_place(c, NULL, (struct position){0, 0});
	connection_commit(c, NULL);
	connection_set_room(c, NULL);
}
