/* SPDX-License-Identifier: MIT */
/*
 * A handler that renders its room's events and has its own words for notices, as a small mode of this test: the
 * engine gives it every event once, whatever is cut, full, or dies.
 */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/connections.h"
#include "daemon/modes/table.h"
#include "daemon/rooms/speech.h"
#include "tests/unit/harnessed.h"

#include <ctype.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the mode "loud": every event is a line with its number and its text in capitals --- */

static void loud_enter(struct connection *c, struct room *room)
{
	struct client_state *next = connection_begin(c);

	logring_lock(room->log);
	next->flags |= CLIENT_GREETED;
	next->nick[0] = (char)('a' + connection_index(c));
	next->nick_len = 1;
	connection_place(c, room,
			 (struct position){logring_pending_head(room->log), logring_pending(room->log)});
	logring_unlock(room->log);
	connection_commit(c, NULL);
	connection_set_room(c, room);
}

static void loud_opened(struct connection *c, const char *name)
{
	struct context *ctx = connection_context(c);
	struct room *room;

	assert_int_equal(rooms_enter(ctx->shared->rooms, name, ctx->slot, &(struct room_guest){0}, &room), 0);
	loud_enter(c, room);
}

static void loud_restored(struct connection *c)
{
	struct context *ctx = connection_context(c);
	uint32_t room = membership_room(ctx->shared->clients, connection_state(c));

	if (room != ROOM_NONE)
		connection_set_room(c, rooms_enter_index(ctx->shared->rooms, room, ctx->slot));
}

static size_t loud_render(const struct shared *shared, unsigned form, const struct room *room, uint64_t seq,
			  const struct record *event, const char *line, size_t len, char *out)
{
	(void)shared;
	size_t n = (size_t)sprintf(out, "%d ", event->kind);

	assert_int_equal(form, 0);
	assert_string_equal(room->name, "lobby");
	assert_ptr_equal(logring_record(room->log, seq), event);
	for (size_t i = speech_text_at(event); i < len; i++)
		out[n++] = (char)toupper((unsigned char)line[i]);
	return n;
}

static size_t loud_notice(const struct connection *c, const struct notice *n, char *text, size_t size)
{
	(void)c;
	if (n->kind == NOTICE_BANNED)
		return 0;
	return (size_t)snprintf(text, size, "!%d %d %s\n", n->kind, (int)n->number, n->text ? n->text : "");
}

/* "leave": first what the room has, then a last word. */
static void loud_leave(struct connection *c, size_t consumed)
{
	struct room *room = connection_room(c);

	connection_begin(c);
	logring_lock(room->log);
	assert_true(connection_settle(c, 16));
	logring_unlock(room->log);
	connection_write(c, "left\n", 5);
	connection_consume(c, consumed);
	connection_place(c, NULL, (struct position){0, 0});
	connection_commit(c, NULL);
	connection_set_room(c, NULL);
}

/* "ask": an answer for which all of the outbox is wanted, so that what the room has can only come after it. */
static void loud_answer(struct connection *c, size_t consumed)
{
	struct room *room = connection_room(c);

	connection_begin(c);
	logring_lock(room->log);
	assert_false(connection_settle(c, CLIENT_OUT_SIZE));
	logring_unlock(room->log);
	connection_write(c, "now\n", 4);
	connection_consume(c, consumed);
	connection_commit(c, NULL);
}

static enum verdict loud_received(struct connection *c, const char *data, size_t len, bool eof)
{
	const struct speaker who = {.id = connection_id(c), .nick = "x", .nick_len = 1};

	(void)eof;
	for (const char *end; (end = memchr(data, '\n', len));
	     len -= (size_t)(end + 1 - data), data = end + 1) {
		size_t n = (size_t)(end - data);
		struct speech s = {0};
		if (n == 5 && memcmp(data, "leave", 5) == 0) {
			loud_leave(c, n + 1);
			continue;
		}
		if (n == 3 && memcmp(data, "ask", 3) == 0) {
			loud_answer(c, n + 1);
			continue;
		}
		if (!speech_try(&s, connection_context(c)->shared->rooms, connection_room(c)))
			return HANDLER_CROWDED;
		assert_int_equal(speech_say(&s, connection_room(c), &who, data, n), 0);
		connection_begin(c);
		connection_consume(c, n + 1);
		connection_commit(c, speech_room(&s));
	}
	return HANDLER_MORE;
}

static void loud_closed(struct connection *c)
{
	(void)c;
}

static const struct handler loud = {
    .type = "tcp",
    .mode = "loud",
    .opened = loud_opened,
    .restored = loud_restored,
    .received = loud_received,
    .renders = 1 << 0,
    .render = loud_render,
    .notice = loud_notice,
    .closed = loud_closed,
};

/* This program's modes, instead of modes/table.c. */
const struct handler *const handlers[] = {&loud, NULL};

const struct handler *handler_find(const char *type, const char *mode)
{
	return strcmp(type, loud.type) == 0 && strcmp(mode, loud.mode) == 0 ? &loud : NULL;
}

/* --- tests --- */

static int setup(void **state)
{
	return harnessed(
	    state, "workers = 1; max_message = 1000; rooms = ( { name = \"lobby\"; log_size = \"1M\"; } );");
}

static int setup_with_a_long_log(void **state)
{
	return harnessed(
	    state, "workers = 1; max_message = 1000; rooms = ( { name = \"lobby\"; log_size = \"16M\"; } );");
}

static int join(struct harness *h)
{
	int fd = harness_connect(h, "tcp", "loud", "lobby");

	harness_settle(h);
	return fd;
}

static struct connection *first_connection(struct harness *h)
{
	struct shared *shared = harness_shared(h);

	return connections_find(worker_context(shared->workers[0]), 0, clients_at(shared->clients, 0)->id);
}

static void events_are_rendered(void **state)
{
	int a = join(*state), b = join(*state);

	assert_string_equal(harness_say(*state, a, "hello\nyou\n"), "0 HELLO\n0 YOU\n");
	assert_string_equal(harness_read(*state, b), "0 HELLO\n0 YOU\n");
	close(a);
	close(b);
}

static void what_the_room_has_comes_before_a_reply(void **state)
{
	int a = join(*state);

	assert_string_equal(harness_say(*state, a, "one\ntwo\nleave\n"), "0 ONE\n0 TWO\nleft\n");
	close(a);
}

/* What was rendered already is forgotten then, or it would come twice. */
static void what_does_not_fit_comes_after_a_reply(void **state)
{
	int a = join(*state);

	assert_string_equal(harness_say(*state, a, "one\ntwo\nask\nthree\n"), "now\n0 ONE\n0 TWO\n0 THREE\n");
	close(a);
}

static void notices_are_the_handlers(void **state)
{
	int a = join(*state), b = join(*state);

	assert_true(connection_kick(first_connection(*state),
				    &(struct notice){.kind = NOTICE_REMOVED, .number = 7, .text = "why"}));
	harness_settle(*state);
	char expected[32];
	snprintf(expected, sizeof(expected), "!%d 7 why\n", NOTICE_REMOVED);
	assert_string_equal(harness_read(*state, a), expected);
	close(a);
	close(b);
}

static void a_handler_may_say_nothing(void **state)
{
	int a = join(*state);

	assert_true(connection_kick(first_connection(*state), &(struct notice){.kind = NOTICE_BANNED}));
	harness_settle(*state);
	assert_string_equal(harness_read(*state, a), "");
	close(a);
}

/* Says n lines, ten at a time, each with its number; the other one doesn't read. */
static void say_lines(struct harness *h, int fd, unsigned from, unsigned n)
{
	char lines[10 * 600], filler[500];

	memset(filler, 'x', sizeof(filler));
	for (unsigned i = from; i < from + n; i += 10) {
		char *end = lines;
		for (unsigned k = i; k < i + 10; k++)
			end += snprintf(end, 600, "%06u %.*s\n", k, (int)sizeof(filler), filler);
		harness_say(h, fd, lines);
	}
}

/*
 * Reads until the line before that number has come; each must be the next one, or skip as many as a notice said
 * before. The kernel may take a while, as it waits for space.
 */
static unsigned read_lines(struct harness *h, int fd, unsigned next, unsigned until, unsigned *ret_skipped)
{
	int64_t deadline = clock_us(CLOCK_MONOTONIC) + 20 * SECOND_US;
	char line[700];
	size_t n = 0;

	*ret_skipped = 0;
	while (next < until && clock_us(CLOCK_MONOTONIC) < deadline) {
		const char *got = harness_read(h, fd);
		if (!*got)
			poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 100);
		for (; *got; got++) {
			assert_true(n < sizeof(line) - 1);
			line[n++] = *got;
			if (*got != '\n')
				continue;
			line[n] = '\0';
			n = 0;
			if (line[0] == '!') {
				unsigned kind, skipped;
				assert_int_equal(sscanf(line, "!%u %u", &kind, &skipped), 2);
				assert_int_equal(kind, NOTICE_SKIPPED);
				*ret_skipped += skipped;
				next += skipped;
				continue;
			}
			assert_int_equal(strlen(line), 2 + 7 + 500 + 1);
			assert_int_equal(strtoul(line + 2, NULL, 10), next);
			next++;
		}
		harness_settle(h);
	}
	assert_int_equal(n, 0);
	return next;
}

/* A reader that is behind by more than socket and outbox hold, while the process dies several times. */
static void a_slow_reader_gets_each_event_once(void **state)
{
	int a = join(*state), b = join(*state);
	struct takeover r;
	unsigned skipped, next = 0;

	setsockopt(b, SOL_SOCKET, SO_RCVBUF, &(int){131072}, sizeof(int));
	for (unsigned i = 0; i < 4; i++) {
		say_lines(*state, a, i * 2500, 2500);
		assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
		assert_int_equal(r.taken, 2);
		assert_int_equal(r.closed, 0);
		if (i % 2 == 1) {
			harness_settle(*state);
			next = read_lines(*state, b, next, (i + 1) * 2500, &skipped);
			assert_int_equal(skipped, 0);
		}
	}
	assert_int_equal(next, 10000);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, b), "");
	close(a);
	close(b);
}

/* One that is lapped hears from its handler how much it missed, and goes on with the next event. */
static void a_lapped_reader_is_told(void **state)
{
	int a = join(*state), b = join(*state);
	unsigned skipped;

	setsockopt(b, SOL_SOCKET, SO_RCVBUF, &(int){131072}, sizeof(int));
	say_lines(*state, a, 0, 12000);
	assert_int_equal(read_lines(*state, b, 0, 12000, &skipped), 12000);
	assert_true(skipped > 1000);
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(events_are_rendered, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(what_the_room_has_comes_before_a_reply, setup,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(what_does_not_fit_comes_after_a_reply, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(notices_are_the_handlers, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(a_handler_may_say_nothing, setup, harnessed_teardown),
	    cmocka_unit_test_setup_teardown(a_slow_reader_gets_each_event_once, setup_with_a_long_log,
					    harnessed_teardown),
	    cmocka_unit_test_setup_teardown(a_lapped_reader_is_told, setup, harnessed_teardown),
	};

	return cmocka_run_group_tests_name("deliver", tests, NULL, NULL);
}
