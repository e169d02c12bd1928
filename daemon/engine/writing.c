/* SPDX-License-Identifier: MIT */
/*
 * What handlers write to one client: into its outbox, within a transaction. Where the client's form wraps, lines gather
 * beside it and are wrapped as a whole, at the latest when the transaction is committed.
 */
#include "daemon/engine/connection_own.h"

#include "common/cleanup.h"

#include <stdio.h>
#include <string.h>

/* What wrapping may add: as much again three times, and this once. */
#define WRAP_GROWTH 4
#define WRAP_MORE 2048

static struct lines *writing_lines(const struct connection *c)
{
	return &c->ctx->connections->lines;
}

static bool writing_wraps(const struct connection *c)
{
	return __builtin_expect(c->handler->wraps != 0, 0) && c->handler->wraps >> connection_form(c) & 1;
}

/* --- the form --- */

unsigned connection_form(const struct connection *c)
{
	return client_form(c->drafting ? connection_draft(c) : connection_state(c));
}

void connection_set_form(struct connection *c, unsigned form)
{
	struct client_state *draft = connection_draft(c);

	writing_wrap(c);
	draft->flags &= (uint16_t)~CLIENT_FORM;
	draft->flags |= (uint16_t)((form << CLIENT_FORM_SHIFT) & CLIENT_FORM);
}

/* --- bytes as they go out --- */

size_t connection_wire_space(const struct connection *c)
{
	uint64_t end = c->drafting ? connection_draft(c)->out_end : connection_state(c)->out_end;

	return end > c->sent ? CLIENT_OUT_SIZE - (size_t)(end - c->sent) : CLIENT_OUT_SIZE;
}

static void writing_put(struct connection *c, const char *data, size_t len)
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

bool connection_write_wire(struct connection *c, const char *data, size_t len)
{
	writing_wrap(c);
	if (len > connection_wire_space(c)) {
		count(c->ctx->counters, COUNT_REPLIES_CUT, 1);
		return false;
	}
	writing_put(c, data, len);
	return true;
}

bool connection_write_last(struct connection *c, const char *data, size_t len)
{
	bool fits = connection_write_wire(c, data, len);

	connection_draft(c)->flags |= CLIENT_CLOSING;
	writing_lines(c)->ended = true;
	return fits;
}

/* --- lines --- */

size_t connection_space(const struct connection *c)
{
	size_t wire = connection_wire_space(c);

	if (!writing_wraps(c))
		return wire;
	const struct lines *l = writing_lines(c);
	size_t lines = wire > WRAP_MORE ? (wire - WRAP_MORE) / WRAP_GROWTH : 0;
	size_t pending = l->of == c ? l->len : 0;
	return lines > pending ? lines - pending : 0;
}

void connection_write(struct connection *c, const char *data, size_t len)
{
	struct lines *l = writing_lines(c);

	if (!writing_wraps(c)) {
		writing_put(c, data, len);
		return;
	}
	if (len > sizeof(l->text) - l->len) {
		/* Whoever asks for space first never comes here. What is wrapped are whole lines all the same. */
		count(c->ctx->counters, COUNT_REPLIES_CUT, 1);
		len = sizeof(l->text) - l->len;
	}
	memcpy(l->text + l->len, data, len);
	l->len += len;
	if (l->len == sizeof(l->text))
		l->text[l->len - 1] = '\n';
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

bool connection_notify(struct connection *c, const struct notice *n)
{
	char text[NOTICE_MAX];
	size_t len = c->handler->notice ? c->handler->notice(c, n, text, sizeof(text)) : 0;

	if (len == 0 || connection_space(c) < len)
		return false;
	connection_write(c, text, len);
	return true;
}

/* --- events --- */

static size_t writing_render(struct connection *c, const struct room *room, uint64_t seq,
			     const struct record *event, const char *line, size_t len, const char **ret)
{
	const struct audience to = writing_audience(c, room);

	if (room->index == ROOM_PRIVATE && c->handler->letter)
		return renderings_letter(c->ctx->connections->renderings, c->handler, c, seq, event, line,
					 len, ret);
	return renderings_event(c->ctx->connections->renderings, &to, seq, event, line, len, ret);
}

size_t connection_event_size(struct connection *c, const struct room *room, uint64_t seq,
			     const struct record *event, const char *line, size_t len)
{
	const char *bytes;

	return writing_renders(c) ? writing_render(c, room, seq, event, line, len, &bytes) : len;
}

size_t connection_event_space(const struct connection *c, size_t reserve)
{
	size_t wire = connection_wire_space(c);

	if (writing_wraps(c)) {
		const struct lines *l = writing_lines(c);
		reserve = WRAP_GROWTH * (reserve + (l->of == c ? l->len : 0)) + WRAP_MORE;
	}
	return wire > reserve ? wire - reserve : 0;
}

bool connection_write_event(struct connection *c, const struct room *room, uint64_t seq,
			    const struct record *event, const char *line, size_t len)
{
	const char *bytes;

	if (!writing_renders(c)) {
		if (connection_space(c) < len)
			return false;
		connection_write(c, line, len);
		return true;
	}
	writing_wrap(c);
	size_t n = writing_render(c, room, seq, event, line, len, &bytes);
	if (n > connection_wire_space(c))
		return false;
	writing_put(c, bytes, n);
	return true;
}

/* --- transactions --- */

/* closing: nothing may follow any more. */
static void writing_wrap_all(struct connection *c, bool closing)
{
	struct lines *l = writing_lines(c);
	size_t len = l->of == c ? l->len : 0;

	if (len == 0 && !closing)
		return;
	l->len = 0; /* the handler writes its framing by functions that wrap what is there before */
	c->handler->wrap(c, l->text, len, closing);
}

void writing_wrap(struct connection *c)
{
	if (writing_wraps(c))
		writing_wrap_all(c, false);
}

void writing_begin(struct connection *c)
{
	struct lines *l = writing_lines(c);

	l->of = c;
	l->len = 0;
	l->ended = false;
}

void writing_abandon(struct connection *c)
{
	struct lines *l = writing_lines(c);

	if (l->of == c)
		l->of = NULL;
}

void writing_leave(struct connection *c, const struct notice *why)
{
	struct lines *l = writing_lines(c);

	l->leaving = why ? c : NULL;
	l->why = why;
}

void writing_commit(struct connection *c)
{
	struct lines *l = writing_lines(c);

	/* Behind the last word nothing is said, whatever happens until the end. */
	if (writing_wraps(c) && !(connection_state(c)->flags & CLIENT_CLOSING)) {
		bool closing = connection_draft(c)->flags & CLIENT_CLOSING && !l->ended;
		if (closing && l->leaving == c)
			connection_notify(c, l->why);
		writing_wrap_all(c, closing);
	}
	l->of = NULL;
}
