/* SPDX-License-Identifier: MIT */
/*
 * IRC in WebSockets (https://ircv3.net/specs/extensions/websocket): the handler of a listener of type "http", mode "irc". At first
 * it reads one request, which is to be a handshake, at whatever path; from then on each message is a line.
 */
#include "daemon/irc/irc.h"

#include "common/cleanup.h"
#include "common/text.h"
#include "daemon/base/fault.h"
#include "daemon/config/irc_settings.h"
#include "daemon/irc/wire.h"
#include "daemon/web/frames.h"
#include "daemon/web/http_answer.h"
#include "daemon/web/origin.h"
#include "daemon/web/shake.h"

#include <stdlib.h>
#include <string.h>

/* What a control frame costs of IRC_TURN_WORK. */
#define SOCKET_CONTROL_WORK 16
/* The most bytes in a message; more than a line may have is refused as such. And so many of its frames may wait. */
#define SOCKET_MESSAGE_MAX (16U << 10)
#define SOCKET_WAITING_MAX (32U << 10)
/* Space for an answer to a control frame, or for a goodbye. */
#define SOCKET_ANSWER_MAX ((size_t)2 * FRAMES_CLOSE_MAX)

/* --- the handshake --- */

static enum verdict websocket_refuse(struct connection *c, size_t len, unsigned status, const char *detail,
				     const char *headers)
{
	_cleanup_free_ char *body = http_problem(status, detail);
	const struct http_answer a = {.status = status,
				      .type = "application/problem+json",
				      .headers = headers,
				      .body = body,
				      .len = body ? strlen(body) : 0,
				      .closes = true};
	char head[HTTP_ANSWER_HEAD_MAX];

	count(connection_context(c)->counters, COUNT_HTTP_REFUSED, 1);
	connection_begin(c)->flags |= CLIENT_CLOSING;
	connection_consume(c, len);
	connection_write(c, head, http_answer_head(&a, head));
	connection_write(c, body ? body : "", a.len);
	connection_commit(c, NULL);
	return HANDLER_CLOSE;
}

static bool websocket_is_spoken(struct http_text word, void *arg)
{
	static const char *const spoken[] = {"text.ircv3.net", "binary.ircv3.net"};

	for (size_t i = 0; i < sizeof(spoken) / sizeof(*spoken); i++)
		if (http_text_is(word, spoken[i])) {
			*(const char **)arg = spoken[i];
			return true;
		}
	return false;
}

/* The subprotocol that both speak, of several the one that the client likes best; NULL: it named none that is spoken here. */
static const char *websocket_protocol(const struct http_request *r)
{
	const char *found = NULL;

	http_any_word(r, "sec-websocket-protocol", websocket_is_spoken, &found);
	return found;
}

/* The request is answered, and it is somebody who speaks IRC, in one step. */
static enum verdict websocket_open(struct connection *c, const struct http_request *r, const char *accept)
{
	struct irc_call call = {.c = c, .consumed = r->head_len};
	const char *protocol = websocket_protocol(r);
	char head[SHAKE_ANSWER_MAX];

	irc_begin(&call);
	connection_write(c, head, shake_answer(accept, protocol, head));
	connection_set_form(
	    c,
	    IRC_FORM_SOCKET | (protocol && strcmp(protocol, "binary.ircv3.net") == 0 ? IRC_FORM_BINARY : 0));
	irc_come(&call);
	FAULT("irc-socket-open");
	irc_commit(&call);
	connection_line_done(c);
	count(connection_context(c)->counters, COUNT_SOCKETS, 1);
	return HANDLER_MORE;
}

static enum verdict websocket_shake(struct connection *c, const char *data, size_t len, bool eof)
{
	const char *why = NULL, *headers = NULL;
	char accept[SHAKE_ACCEPT_SIZE];
	struct http_request r;

	int status = http_request_parse(data, len, &r);
	if (status == HTTP_UNFINISHED)
		return eof ? HANDLER_CLOSE : HANDLER_MORE;
	if (!connection_may_talk(c, 1))
		return HANDLER_LIMITED;
	if (status == 0 && (status = (int)web_check_origin(c, &r)) != 0)
		why = web_origin_refused((unsigned)status);
	if (status == 0 && r.method != HTTP_GET) {
		status = 405;
		headers = "Allow: GET\r\n";
	}
	if (status == 0)
		status = (int)shake_check(&r, accept, &why, &headers);
	if (status == 0 && http_header(&r, "sec-websocket-protocol").at && !websocket_protocol(&r)) {
		status = 400;
		why = "The subprotocols are text.ircv3.net and binary.ircv3.net.";
	}
	if (status != 0)
		return websocket_refuse(c, len, (unsigned)status, why, headers);
	return websocket_open(c, &r, accept);
}

/* --- frames --- */

struct websocket_stream {
	struct connection *c;
	const char *data;
	size_t len, at;
	unsigned work;
	bool dry; /* what is left is not a whole frame, or message */
};

/* Whatever else came is not looked at. */
static enum verdict websocket_end(struct websocket_stream *s, unsigned code, const char *why)
{
	struct irc_call call = {.c = s->c};
	char frame[FRAMES_CLOSE_MAX];

	if (connection_space(s->c) < SOCKET_ANSWER_MAX)
		return HANDLER_BLOCKED;
	irc_leave_all(&call, why ? why : "", NULL);
	irc_begin(&call)->flags |= CLIENT_CLOSING;
	connection_consume(s->c, s->len - s->at);
	connection_write(s->c, frame, frames_close(frame, code, why));
	FAULT("irc-socket-end");
	irc_commit_step(&call);
	return HANDLER_CLOSE;
}

static enum verdict websocket_break(struct websocket_stream *s, unsigned code, const char *why)
{
	count(connection_context(s->c)->counters, COUNT_SOCKETS_BROKEN, 1);
	return websocket_end(s, code, why);
}

static enum verdict websocket_take_control(struct websocket_stream *s, const struct frames_found *f)
{
	char header[FRAMES_HEADER_MAX];

	s->work += SOCKET_CONTROL_WORK;
	if (f->opcode == FRAMES_CLOSE)
		return websocket_end(s, f->code, NULL);
	if (f->opcode == FRAMES_PING && connection_space(s->c) < SOCKET_ANSWER_MAX)
		return HANDLER_BLOCKED;
	if (f->opcode == FRAMES_PING && !connection_may_talk(s->c, 0))
		return HANDLER_LIMITED;
	connection_begin(s->c);
	connection_consume(s->c, f->at == 0 ? f->size : 0);
	if (f->opcode == FRAMES_PING) {
		connection_write(s->c, header, frames_header(header, FRAMES_PONG, f->len));
		connection_write(s->c, f->payload, f->len);
	}
	connection_commit(s->c, NULL);
	/* Within a message it is made a pong where it lies; whoever dies before that answers it twice, as is allowed. */
	if (f->at > 0)
		connection_amend_input(s->c, f->at, FRAMES_DEALT_WITH);
	else
		s->at += f->size;
	if (f->opcode == FRAMES_PING)
		connection_line_done(s->c);
	return HANDLER_MORE;
}

static enum verdict websocket_take_message(struct websocket_stream *s, const struct frames_found *f)
{
	static _Thread_local char text[SOCKET_MESSAGE_MAX];
	size_t len = f->len;

	frames_copy(s->data + s->at, f, text);
	if (f->opcode == FRAMES_TEXT && !text_is_utf8(text, len))
		return websocket_break(s, FRAMES_NOT_UTF8, "that is not UTF-8");
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (memchr(text, '\n', len))
		return websocket_break(s, FRAMES_POLICY, "one line a message, please");
	enum verdict verdict = irc_take_line(s->c, text, len, f->size, &s->work);
	if (verdict == HANDLER_MORE || verdict == HANDLER_CLOSE)
		s->at += f->size;
	return verdict;
}

static enum verdict websocket_next(struct websocket_stream *s)
{
	struct frames_found f;

	if (s->work >= IRC_TURN_WORK)
		return HANDLER_YIELD;
	if (connection_state(s->c)->flags & CLIENT_CLOSING)
		return HANDLER_CLOSE;
	frames_find(s->data + s->at, s->len - s->at, SOCKET_MESSAGE_MAX, &f);
	switch (f.what) {
	case FRAMES_FOUND_CONTROL:
		return websocket_take_control(s, &f);
	case FRAMES_FOUND_MESSAGE:
		return websocket_take_message(s, &f);
	case FRAMES_BROKEN:
		return websocket_break(s, f.code, f.why);
	default:
		if (s->len - s->at > SOCKET_WAITING_MAX)
			return websocket_break(s, FRAMES_TOO_LONG, "the message has too many frames");
		s->dry = true;
		return HANDLER_MORE;
	}
}

static enum verdict websocket_received(struct connection *c, const char *data, size_t len, bool eof)
{
	struct websocket_stream s = {.c = c, .data = data, .len = len};
	enum verdict verdict = HANDLER_MORE;

	if (!(connection_form(c) & IRC_FORM_SOCKET)) {
		const uint64_t begin = connection_state(c)->in_parsed;
		verdict = websocket_shake(c, data, len, eof);
		s.at = (size_t)(connection_state(c)->in_parsed - begin);
		if (verdict != HANDLER_MORE || s.at == 0)
			return verdict;
	}
	while (verdict == HANDLER_MORE && !s.dry && s.at < len)
		verdict = websocket_next(&s);
	return verdict == HANDLER_MORE && eof ? HANDLER_CLOSE : verdict;
}

/* --- the rest --- */

/* Nobody has come yet: that is with the handshake. */
static void websocket_opened(struct connection *c, const char *room)
{
	(void)c;
	(void)room;
}

static size_t websocket_notice(const struct connection *c, const struct notice *n, char *text, size_t size)
{
	char line[NOTICE_MAX], frame[FRAMES_CLOSE_MAX];

	if (!c || !(connection_form(c) & IRC_FORM_SOCKET)) {
		if (n->kind != NOTICE_REFUSED && n->kind != NOTICE_LATE)
			return 0;
		return http_problem_answer(n->kind == NOTICE_LATE ? 408 : 503,
					   n->kind == NOTICE_REFUSED ? n->text : NULL, text, size);
	}
	size_t len = irc_notice(c, n, line, sizeof(line));
	if (len < 2 || len - 2 + IRC_WIRE_MORE > size)
		return 0;
	memcpy(text, line, len - 2);
	len = irc_wire_finish(connection_form(c), text, 0, len - 2);
	if (strncmp(line, "ERROR ", 6) != 0)
		return len;
	size_t end = frames_close(frame, connection_is_ending(c) ? FRAMES_GOING_AWAY : FRAMES_POLICY, NULL);
	if (len + end <= size) {
		memcpy(text + len, frame, end);
		len += end;
	}
	return len;
}

/* Forms without IRC_FORM_SOCKET aren't sent anything of rooms. */
#define SOCKET_FORMS(first) (UINT64_C(0xffff) << (first))

const struct handler handler_http_irc = {
    .type = "http",
    .mode = "irc",
    .transport = TRANSPORT_TCP,
    .settings = &irc_http_settings,
    .has_nicks = true,
    .many = true,
    .opened = websocket_opened,
    .restored = irc_restored,
    .reloaded = irc_reloaded,
    .received = websocket_received,
    .renders = SOCKET_FORMS(IRC_FORM_SOCKET) | SOCKET_FORMS(IRC_FORM_SOCKET | IRC_FORM_BINARY),
    .render = irc_render,
    .letter = irc_render_letter,
    .sees = irc_sees,
    .notice = websocket_notice,
    .closed = irc_closed,
    .expelled = irc_expelled,
};

_Static_assert(IRC_CAPS_FORM == 15, "the forms are 16 each");
