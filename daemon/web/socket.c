/* SPDX-License-Identifier: MIT */
/*
 * A WebSocket: messages are taken out of what comes, and pings and the end are answered. A message is consumed whole, in
 * one step with what it does, so what a successor finds of it is all of it. A ping is answered as soon as it is there; if
 * that is within a message, it is made a pong where it lies. Whoever dies in between answers it twice, as is allowed.
 */
#include "daemon/web/socket.h"

#include "common/text.h"
#include "daemon/base/fault.h"
#include "daemon/config/config.h"
#include "daemon/io/tls_record.h"
#include "daemon/modes/notices.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(SOCKET_WAITING_MAX + TLS_RECORD_MAX < CLIENT_IN_SIZE, "or nothing is received any more");
_Static_assert(SOCKET_MESSAGE_MAX + 2 * FRAMES_CONTROL_MAX < SOCKET_WAITING_MAX, "the longest fits");

_Thread_local struct socket_asked socket_asked;

/* Frames that have no answer are worth so much of CHAT_TURN_WORK, a control frame with an answer so much. */
#define SOCKET_WORK 1
#define SOCKET_CONTROL_WORK 8

struct socket_stream {
	struct chat_input in;
	const char *data;
	size_t len, at; /* up to at it is dealt with */
	size_t max;	/* bytes in a message */
	bool dry;	/* what is left is not a whole frame, or message */
};

/* --- the end --- */

/* Closes it, with that code. Whatever else came is not looked at. */
static enum verdict socket_end(struct socket_stream *s, unsigned code, const char *why)
{
	struct connection *c = s->in.c;
	char frame[FRAMES_CLOSE_MAX];

	chat_end_run(&s->in);
	if (!chat_leave(c, CHAT_QUITS))
		return HANDLER_BLOCKED;
	connection_begin(c);
	connection_consume(c, s->len - s->at);
	connection_write_last(c, frame, frames_close(frame, code, why));
	FAULT("socket-end");
	connection_commit(c, NULL);
	return HANDLER_CLOSE;
}

static enum verdict socket_break(struct socket_stream *s, unsigned code, const char *why)
{
	count(chat_counters(s->in.c), COUNT_SOCKETS_BROKEN, 1);
	return socket_end(s, code, why);
}

bool socket_is_moot(struct chat_input *in, size_t consumed)
{
	struct connection *c = in->c;

	if (!connection_is_unheard(c))
		return false;
	chat_end_run(in);
	in->work++;
	connection_begin(c);
	connection_consume(c, consumed);
	connection_commit(c, NULL);
	return true;
}

/* --- control frames --- */

static enum verdict socket_answer_ping(struct socket_stream *s, const struct frames_found *f)
{
	struct connection *c = s->in.c;
	char header[FRAMES_HEADER_MAX];

	if (socket_is_moot(&s->in, f->at == 0 ? f->size : 0))
		return HANDLER_MORE;
	if (connection_space(c) < CHAT_REPLY_MAX)
		return HANDLER_BLOCKED;
	if (!connection_may_talk(c, 0))
		return HANDLER_LIMITED;
	chat_begin_reply(c, f->at == 0 ? f->size : 0);
	connection_write_wire(c, header, frames_header(header, FRAMES_PONG, f->len));
	connection_write_wire(c, f->payload, f->len);
	FAULT("socket-ping");
	connection_commit(c, NULL);
	connection_line_done(c);
	return HANDLER_MORE;
}

static enum verdict socket_take_control(struct socket_stream *s, const struct frames_found *f)
{
	struct connection *c = s->in.c;
	enum verdict verdict = HANDLER_MORE;

	chat_end_run(&s->in);
	s->in.work += SOCKET_CONTROL_WORK;
	if (f->opcode == FRAMES_CLOSE)
		return socket_end(s, f->code, NULL);
	if (f->opcode == FRAMES_PING) {
		verdict = socket_answer_ping(s, f);
	} else {
		connection_begin(c);
		connection_consume(c, f->size);
		connection_commit(c, NULL);
	}
	if (verdict != HANDLER_MORE)
		return verdict;
	if (f->at > 0) {
		FAULT("socket-ping-within");
		connection_amend_input(c, f->at, FRAMES_DEALT_WITH);
	} else {
		s->at += f->size;
	}
	return HANDLER_MORE;
}

/* --- messages --- */

/* A line is a message, with or without its newline. */
static enum verdict socket_take_line(struct chat_input *in, const char *text, size_t len, size_t consumed)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	if (!memchr(text, '\n', len))
		return chat_line(in, &(struct chat_line){.text = text, .len = len, .consumed = consumed});
	if (socket_is_moot(in, consumed))
		return HANDLER_MORE;
	enum verdict verdict = chat_may_answer(in, 0, false);
	if (verdict != HANDLER_MORE)
		return verdict;
	chat_reply(in->c, consumed, "* One line a message, please; that one has been refused.\n");
	connection_line_done(in->c);
	return HANDLER_MORE;
}

static enum verdict socket_take_message(struct socket_stream *s, const struct frames_found *f)
{
	static _Thread_local char text[SOCKET_MESSAGE_MAX];
	struct connection *c = s->in.c;

	if (f->opcode == FRAMES_BINARY)
		return socket_break(s, FRAMES_UNSUPPORTED, "messages are text here");
	frames_copy(s->data + s->at, f, text);
	if (!text_is_utf8(text, f->len))
		return socket_break(s, FRAMES_NOT_UTF8, "that is not UTF-8");
	s->in.work += SOCKET_WORK;
	enum verdict verdict = connection_form(c) == WEB_JSON
				   ? socket_ask(&s->in, text, f->len, f->size)
				   : socket_take_line(&s->in, text, f->len, f->size);
	if (verdict == HANDLER_MORE)
		s->at += f->size;
	return verdict;
}

/* HANDLER_MORE: there may be something else. */
static enum verdict socket_next(struct socket_stream *s)
{
	struct frames_found f;

	if (s->in.work >= CHAT_TURN_WORK)
		return HANDLER_YIELD;
	if (connection_state(s->in.c)->flags & CLIENT_CLOSING)
		return HANDLER_CLOSE;
	frames_find(s->data + s->at, s->len - s->at, s->max, &f);
	switch (f.what) {
	case FRAMES_FOUND_CONTROL:
		return socket_take_control(s, &f);
	case FRAMES_FOUND_MESSAGE:
		return socket_take_message(s, &f);
	case FRAMES_BROKEN:
		return socket_break(s, f.code, f.why);
	default:
		if (s->len - s->at > SOCKET_WAITING_MAX)
			return socket_break(s, FRAMES_TOO_LONG, "the message has too many frames");
		s->dry = true;
		return HANDLER_MORE;
	}
}

enum verdict web_socket_received(struct connection *c, const char *data, size_t len, bool eof)
{
	size_t max = 4 * (size_t)chat_config(c)->max_message + 1024;
	struct socket_stream s = {.in = chat_input(c),
				  .data = data,
				  .len = len,
				  .max = max < SOCKET_MESSAGE_MAX ? max : SOCKET_MESSAGE_MAX};
	enum verdict verdict = HANDLER_MORE;

	while (verdict == HANDLER_MORE && !s.dry && s.at < len)
		verdict = socket_next(&s);
	chat_end_run(&s.in);
	if (verdict == HANDLER_MORE && connection_state(c)->flags & CLIENT_CLOSING)
		return HANDLER_CLOSE;
	/* What has no end doesn't count, and there was no goodbye. */
	if (verdict == HANDLER_MORE && eof)
		return chat_leave(c, CHAT_QUITS) ? HANDLER_CLOSE : HANDLER_BLOCKED;
	if (connection_expects(c) == WEB_EXPECTS_LOGIN && connection_state(c)->nick_len > 0)
		connection_expect(c, WEB_EXPECTS_NOTHING, 0);
	return verdict;
}

/* --- coming back, and the end --- */

void web_socket_restored(struct connection *c)
{
	chat_restore(c);
	if (connection_state(c)->nick_len == 0)
		connection_expect(c, WEB_EXPECTS_LOGIN, chat_config(c)->login_timeout_us);
}

void web_socket_reloaded(struct connection *c)
{
	chat_reload(c);
}

void web_socket_closed(struct connection *c)
{
	chat_close(c);
}

/* --- what is sent --- */

static size_t socket_frame_line(const char *line, size_t len, char *out)
{
	char header[FRAMES_HEADER_MAX];
	size_t n = len;

	if (text_is_utf8(line, len))
		memcpy(out + FRAMES_HEADER_MAX, line, len);
	else /* in a raw room */
		n = text_sanitise(out + FRAMES_HEADER_MAX, line, len);
	size_t head = frames_header(header, FRAMES_TEXT, n);
	memmove(out + head, out + FRAMES_HEADER_MAX, n);
	memcpy(out, header, head);
	return head + n;
}

size_t web_socket_render(unsigned form, const struct room *room, uint64_t seq, const struct record *event,
			 const char *line, size_t len, char *out)
{
	if (form == WEB_JSON)
		return socket_render_json(room, seq, event, line, len, out);
	return socket_frame_line(line, len - 1, out);
}

static void socket_reply_line(struct connection *c, const char *line, size_t len)
{
	char *frame = malloc(FRAMES_HEADER_MAX + TEXT_SANITISE_GROWTH * len);

	if (frame)
		connection_write_wire(c, frame, socket_frame_line(line, len, frame));
	free(frame);
}

/* Why the connection ends with what is written: the last line says it in words. */
static void socket_last_word(struct connection *c, const char *line, size_t len)
{
	char frame[FRAMES_CLOSE_MAX], why[FRAMES_CONTROL_MAX - 1];
	unsigned code = connection_is_ending(c) ? FRAMES_GOING_AWAY
			: len == 0		? FRAMES_NORMAL
						: FRAMES_POLICY;

	if (len > 2 && line[0] == '*') {
		line += 2;
		len -= 2;
	}
	if (len > sizeof(why) - 1)
		len = sizeof(why) - 1;
	while (len > 0 && !text_is_utf8(line, len))
		len--;
	memcpy(why, line, len);
	why[len] = '\0';
	connection_write_last(c, frame, frames_close(frame, code, why));
}

size_t web_socket_notice(const struct connection *c, const struct notice *n, char *text, size_t size)
{
	if (connection_form(c) != WEB_JSON || n->kind != NOTICE_SKIPPED)
		return notices_line(c, n, text, size);
	int len = snprintf(text, size, "%c%" PRIu64 "\n", SOCKET_SKIPPED, n->number);
	return (size_t)len < size ? (size_t)len : 0;
}

void web_socket_wrap(struct connection *c, const char *text, size_t len, bool closing)
{
	const char *line = text, *end = text + len, *last = text;
	size_t n = 0;

	for (; line < end; line += n + 1) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));
		last = line;
		n = (size_t)((newline ? newline : end) - line);
		if (connection_form(c) == WEB_JSON)
			socket_reply_json(c, line, n);
		else
			socket_reply_line(c, line, n);
	}
	if (closing)
		socket_last_word(c, last, n);
}
