/* SPDX-License-Identifier: MIT */
/*
 * A mode of these tests whose connections have forms: 0 gets the room's lines, 1 and 2 get events rendered and lines
 * wrapped. So everything that is rendered, wrapped, or the last word shows what it is.
 */
#ifndef TESTS_UNIT_FORMED_H
#define TESTS_UNIT_FORMED_H

#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/engine/connection_own.h"
#include "daemon/engine/connections.h"
#include "daemon/modes/table.h"
#include "daemon/rooms/speech.h"
#include "tests/unit/harnessed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FORMED_MOST 20

static unsigned formed_renderings; /* how many were made */

/* Form 1: "{TEXT}"; the others: the number and the text, or nothing if that begins with "hide". From 3 on nothing is wrapped. */
static inline size_t formed_render(const struct shared *shared, unsigned form, const struct room *room,
				   uint64_t seq, const struct record *event, const char *line, size_t len,
				   char *out)
{
	(void)shared;
	size_t at = speech_text_at(event);

	assert_string_equal(room->name, "lobby");
	formed_renderings++;
	if (form == 1)
		return (size_t)sprintf(out, "{%.*s}", (int)(len - at - 1), line + at);
	if (len - at > 4 && memcmp(line + at, "hide", 4) == 0)
		return 0;
	return (size_t)sprintf(out, "<%llu:%.*s>", (unsigned long long)seq, (int)(len - at - 1), line + at);
}

/* Each line in parentheses; the last word is a number sign. */
static inline void formed_wrap(struct connection *c, const char *text, size_t len, bool closing)
{
	char frame[2048];

	for (const char *end; len > 0; len -= (size_t)(end + 1 - text), text = end + 1) {
		end = memchr(text, '\n', len);
		assert_non_null(end);
		int n = snprintf(frame, sizeof(frame), "(%.*s)", (int)(end - text), text);
		connection_write_wire(c, frame, (size_t)n);
	}
	if (closing)
		connection_write_wire(c, "#", 1);
}

static inline size_t formed_notice(const struct connection *c, const struct notice *n, char *text,
				   size_t size)
{
	(void)c;
	return (size_t)snprintf(text, size, "!%d %d\n", n->kind, (int)n->number);
}

static inline void formed_opened(struct connection *c, const char *name)
{
	struct context *ctx = connection_context(c);
	struct client_state *next = connection_begin(c);
	struct room *room;

	assert_int_equal(rooms_enter(ctx->shared->rooms, name, ctx->slot, &(struct room_guest){0}, &room), 0);
	next->flags |= CLIENT_GREETED;
	next->nick[0] = (char)('a' + connection_index(c) % 26);
	next->nick_len = 1;
	logring_lock(room->log);
	connection_place(c, room,
			 (struct position){logring_pending_head(room->log), logring_pending(room->log)});
	logring_unlock(room->log);
	connection_commit(c, NULL);
	connection_set_room(c, room);
}

static inline void formed_restored(struct connection *c)
{
	struct context *ctx = connection_context(c);
	uint32_t room = membership_room(ctx->shared->clients, connection_state(c));

	if (room != ROOM_NONE)
		connection_set_room(c, rooms_enter_index(ctx->shared->rooms, room, ctx->slot));
}

static inline void formed_settle(struct connection *c)
{
	struct room *room = connection_room(c);

	if (!room)
		return;
	logring_lock(room->log);
	connection_settle(c, 0);
	logring_unlock(room->log);
}

/* A word and what it does, in one transaction. */
static inline void formed_run(struct connection *c, const char *line, size_t len)
{
	struct client_state *next = connection_begin(c);

	formed_settle(c);
	if (len == 6 && memcmp(line, "form ", 5) == 0)
		connection_set_form(c, (unsigned)(line[5] - '0'));
	else if (len == 4 && memcmp(line, "last", 4) == 0)
		connection_write_last(c, "$", 1);
	else
		connection_printf(c, "%.*s\nsaid\n", (int)len, line);
	if (len == 4 && memcmp(line, "quit", 4) == 0)
		next->flags |= CLIENT_CLOSING;
	connection_consume(c, len + 1);
	connection_commit(c, NULL);
}

static inline enum verdict formed_received(struct connection *c, const char *data, size_t len, bool eof)
{
	(void)eof;
	for (const char *end; (end = memchr(data, '\n', len));
	     len -= (size_t)(end + 1 - data), data = end + 1) {
		formed_run(c, data, (size_t)(end - data));
		if (connection_state(c)->flags & CLIENT_CLOSING)
			return HANDLER_CLOSE;
	}
	return HANDLER_MORE;
}

/* It leaves as chat does: its entry says that it ends before it is out. */
static inline void formed_closed(struct connection *c)
{
	if (!connection_room(c))
		return;
	struct client_state *next = connection_begin(c);
	formed_settle(c);
	connection_place(c, NULL, (struct position){0, 0});
	next->flags |= CLIENT_CLOSING;
	next->nick_len = 0;
	connection_commit(c, NULL);
	connection_set_room(c, NULL);
}

static const struct handler formed = {
    .type = "tcp",
    .mode = "formed",
    .opened = formed_opened,
    .restored = formed_restored,
    .received = formed_received,
    .renders = (1 << (FORMED_MOST + 1)) - 2,
    .wraps = 1 << 1 | 1 << 2,
    .render = formed_render,
    .wrap = formed_wrap,
    .notice = formed_notice,
    .closed = formed_closed,
};

/* This program's modes, instead of modes/table.c. */
const struct handler *const handlers[] = {&formed, NULL};

const struct handler *handler_find(const char *type, const char *mode)
{
	return strcmp(type, formed.type) == 0 && strcmp(mode, formed.mode) == 0 ? &formed : NULL;
}

static inline int formed_setup(void **state)
{
	return harnessed(
	    state, "workers = 1; max_message = 1000; rooms = ( { name = \"lobby\"; log_size = \"1M\"; } );");
}

static inline int formed_setup_small(void **state)
{
	return harnessed(
	    state, "workers = 1; max_message = 1000; rooms = ( { name = \"lobby\"; log_size = \"64k\"; } );");
}

static inline int formed_setup_long(void **state)
{
	return harnessed(
	    state, "workers = 1; max_message = 1000; rooms = ( { name = \"lobby\"; log_size = \"16M\"; } );");
}

static inline int formed_join(struct harness *h, unsigned form)
{
	int fd = harness_connect(h, "tcp", "formed", "lobby");
	char line[16];

	snprintf(line, sizeof(line), "form %c\n", '0' + (int)form);
	assert_string_equal(harness_say(h, fd, line), "");
	return fd;
}

static inline struct connection *formed_connection(struct harness *h, uint32_t index)
{
	struct shared *shared = harness_shared(h);

	return connections_find(worker_context(shared->workers[0]), index,
				clients_at(shared->clients, index)->id);
}

static inline struct room *formed_room(struct harness *h)
{
	struct room *room;

	assert_int_equal(rooms_enter_existing(harness_shared(h)->rooms, "lobby", 0, &room), 0);
	rooms_leave(harness_shared(h)->rooms, room, 0);
	return room;
}

/* Somebody else says so, on another thread: the worker has not had its turn. */
static inline void formed_say(struct harness *h, const char *text)
{
	const struct speaker who = {.nick = "x", .nick_len = 1};
	struct slot_set kick = {{0}};
	struct speech s = {0};

	assert_true(speech_try(&s, harness_shared(h)->rooms, formed_room(h)));
	assert_int_equal(speech_say(&s, formed_room(h), &who, text, strlen(text)), 0);
	speech_commit(&s, harness_shared(h)->rooms, &kick);
}

/* What the entry says of where it is. */
static inline struct position formed_place(struct harness *h, uint32_t index)
{
	struct clients *clients = harness_shared(h)->clients;

	return membership_place(clients, client_live(clients_at(clients, index)));
}

#endif
