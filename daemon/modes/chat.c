/* SPDX-License-Identifier: MIT */
/*
 * TCP mode "chat": lines for people with nc and telnet. A line is a message to the sender's room; "/" begins
 * a command; what the server says begins with "* ". docs/PROTOCOL.md is the users' side of this. Here are the
 * handler and the taking apart of the input into lines; chat.h says where the rest is.
 */
#include "daemon/modes/chat.h"

#include "daemon/base/fault.h"
#include "daemon/config/handler.h"
#include "daemon/config/mode_settings.h"
#include "daemon/io/foreign.h"
#include "daemon/modes/notices.h"

#include <inttypes.h>
#include <string.h>

/* --- the input, line by line --- */

struct chat_stream {
	struct chat_input in;
	const char *data;
	size_t len, at; /* up to at it is dealt with, or in the run */
	bool eof;
	bool dry; /* what is left is not a whole line */
};

static struct chat_line chat_cut_line(const struct chat_stream *in, bool *ret_ended)
{
	const char *text = in->data + in->at;
	const char *newline = in->at < in->len ? memchr(text, '\n', in->len - in->at) : NULL;
	size_t n = newline ? (size_t)(newline - text) : in->len - in->at;

	*ret_ended = newline != NULL;
	return (struct chat_line){.text = text, .len = n, .consumed = n + (newline ? 1 : 0)};
}

/* The rest of a line that has been refused already. */
static void chat_discard(struct chat_stream *in, const struct chat_line *l, bool ended)
{
	struct connection *c = in->in.c;
	struct client_state *next = connection_begin(c);

	if (ended)
		next->flags &= (uint16_t)~CLIENT_DISCARD;
	connection_consume(c, l->consumed);
	connection_commit(c, NULL);
	in->at += l->consumed;
	in->dry = !ended && !in->eof;
}

/* A line whose end hasn't come yet: it is waited for, unless it is too long already. */
static enum verdict chat_unfinished(struct chat_stream *in, const struct chat_line *l)
{
	/* One byte more may be the '\r' of a line that is just not too long. */
	if (l->len <= in->in.max + 1u) {
		in->dry = true;
		return HANDLER_MORE;
	}
	chat_end_run(&in->in);
	if (connection_space(in->in.c) < CHAT_REPLY_MAX)
		return HANDLER_BLOCKED;
	chat_refuse_long(&in->in, l->len, true);
	in->at += l->len;
	return HANDLER_MORE;
}

/* HANDLER_MORE: there may be another line. */
static enum verdict chat_next(struct chat_stream *in)
{
	struct connection *c = in->in.c;
	bool ended;

	if (in->in.work >= CHAT_TURN_WORK)
		return HANDLER_YIELD;
	if (connection_state(c)->flags & CLIENT_CLOSING)
		return HANDLER_CLOSE;
	struct chat_line l = chat_cut_line(in, &ended);
	if (l.consumed == 0) { /* the end of the input: an unfinished line before it was a line */
		chat_end_run(&in->in);
		return chat_leave(c, CHAT_QUITS) ? HANDLER_CLOSE : HANDLER_BLOCKED;
	}
	if (connection_state(c)->flags & CLIENT_DISCARD) {
		chat_discard(in, &l, ended);
		return HANDLER_MORE;
	}
	if (!ended && !in->eof)
		return chat_unfinished(in, &l);
	if (l.len > 0 && l.text[l.len - 1] == '\r')
		l.len--;
	enum verdict verdict = chat_line(&in->in, &l);
	if (verdict == HANDLER_MORE)
		in->at += l.consumed;
	return verdict;
}

/* A client that speaks HTTP or TLS is told so in its own words, where it has some, and goes; nothing of it is
 * said. */
static enum verdict chat_turn_away(struct connection *c, enum foreign what, size_t len)
{
	static const char http[] =
	    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\n"
	    "Content-Length: 42\r\n\r\nThis is a chat server, not a web server.\r\n";
	static const char tls[] = "* TLS is not spoken here.\n";
	const char *name = what == FOREIGN_HTTP ? "HTTP" : "TLS";
	char from[ADDRESS_TEXT_MAX];

	if (!chat_leave(c, CHAT_QUITS))
		return HANDLER_BLOCKED;
	count(chat_counters(c), COUNT_FOREIGN, 1);
	const struct log_fields fields = chat_fields(c, EVENT_CLIENT_REFUSED, NULL);
	log_limited(LOG_TOPIC_REFUSED, LOG_NOTICE, &fields,
		    "client %" PRIu64 " from %s is turned away: it speaks %s", connection_id(c),
		    address_peer(connection_address(c), from), name);
	connection_begin(c)->flags |= CLIENT_CLOSING;
	if (what == FOREIGN_HTTP)
		connection_write(c, http, sizeof(http) - 1);
	else
		connection_write(c, tls, sizeof(tls) - 1);
	connection_consume(c, len);
	FAULT("foreign");
	connection_commit(c, NULL);
	return HANDLER_CLOSE;
}

static enum verdict chat_received(struct connection *c, const char *data, size_t len, bool eof)
{
	struct chat_stream in = {.in = chat_input(c), .data = data, .len = len, .eof = eof};
	enum verdict verdict = HANDLER_MORE;

	if (len > 0 && connection_state(c)->rights & CLIENT_NEW) {
		enum foreign what = foreign_find(data, len, eof, in.in.max + 1u);
		if (what != FOREIGN_NONE)
			return chat_turn_away(c, what, len);
	}
	while (verdict == HANDLER_MORE && !in.dry && (in.at < len || eof))
		verdict = chat_next(&in);
	chat_end_run(&in.in);
	if (verdict == HANDLER_MORE && connection_state(c)->flags & CLIENT_CLOSING)
		verdict = HANDLER_CLOSE;
	return verdict;
}

/* --- coming, coming back, and the end: chat_life.c --- */

static void chat_opened(struct connection *c, const char *room)
{
	chat_open(c, &(struct chat_opening){.room = room});
}

static const struct mode_settings chat_settings = {
    .common = {mode_socket_keys, mode_tcp_keys, mode_room_keys, mode_login_keys},
    .complete = mode_default_room,
};

const struct handler handler_tcp_chat = {
    .type = "tcp",
    .mode = "chat",
    .transport = TRANSPORT_TCP,
    .settings = &chat_settings,
    .has_nicks = true,
    .opened = chat_opened,
    .restored = chat_restore,
    .reloaded = chat_reload,
    .received = chat_received,
    .notice = notices_line,
    .closed = chat_close,
    .expelled = chat_expelled,
};
