/* SPDX-License-Identifier: MIT */
/*
 * A connection in many rooms: it gets each room's events whole, once and in order, but for what it isn't shown, wherever
 * a send is cut and whenever the process dies.
 */
#include "tests/unit/unit.h"

#include "daemon/engine/connection_own.h"
#include "daemon/engine/connections.h"
#include "daemon/engine/seats.h"
#include "daemon/modes/table.h"
#include "daemon/rooms/speech.h"
#include "tests/unit/harnessed.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- a mode whose connections join, leave and talk by words of one letter and a room --- */

static size_t many_render(const struct shared *shared, unsigned form, const struct room *room, uint64_t seq,
			  const struct record *event, const char *line, size_t len, char *out)
{
	(void)shared;
	(void)form;
	(void)seq;
	return (size_t)sprintf(out, "[%s %.*s]\n", room->name, (int)(len - event->text - 1),
			       line + event->text);
}

/* Its own are not shown, and what is told in several rooms is shown once. */
static bool many_sees(struct connection *c, const struct room *room, uint64_t seq, const struct record *event,
		      const char *line, size_t len)
{
	(void)seq;
	(void)line;
	(void)len;
	if (event->sender == connection_id(c))
		return false;
	return (event->kind != RECORD_RENAME && event->kind != RECORD_QUIT) ||
	       !seats_passed_elsewhere(c, room, event);
}

static size_t many_notice(const struct connection *c, const struct notice *n, char *text, size_t size)
{
	(void)c;
	return (size_t)snprintf(text, size, "!%d %s\n", n->kind, n->room ? n->room->name : "");
}

static struct room *many_room(struct connection *c, const char *name)
{
	struct context *ctx = connection_context(c);
	struct room *room;

	assert_int_equal(rooms_enter(ctx->shared->rooms, name, ctx->slot, &(struct room_guest){0}, &room), 0);
	return room;
}

static void many_opened(struct connection *c, const char *name)
{
	struct client_state *next = connection_begin(c);

	(void)name;
	next->flags |= CLIENT_GREETED;
	next->nick[0] = (char)('a' + connection_index(c) % 26);
	next->nick_len = 1;
	connection_commit(c, NULL);
}

static void many_join(struct connection *c, const char *name, size_t consumed)
{
	struct room *room = many_room(c, name);

	connection_begin(c);
	logring_lock(room->log);
	assert_int_equal(
	    seats_join(c, room,
		       (struct position){logring_pending_head(room->log), logring_pending(room->log)}),
	    0);
	logring_unlock(room->log);
	connection_printf(c, "+%s\n", name);
	connection_consume(c, consumed);
	connection_commit(c, NULL);
	seats_joined(c, room);
}

static bool many_leave_one(struct connection *c, struct room *room, void *arg)
{
	connection_begin(c);
	logring_lock(room->log);
	seats_settle(c, room, 0);
	logring_unlock(room->log);
	seats_leave(c, room);
	connection_printf(c, "-%s\n", room->name);
	connection_consume(c, *(size_t *)arg);
	*(size_t *)arg = 0;
	connection_commit(c, NULL);
	seats_left(c, room);
	return true;
}

/* What it says is put, and its place is behind that, as it says itself what it said. */
static void many_say(struct connection *c, struct room *room, const char *text, size_t consumed)
{
	const struct speaker who = {.id = connection_id(c), .nick = "x", .nick_len = 1};
	struct speech s = {0};
	bool settles = text[0] == 's';

	connection_begin(c);
	speech_begin(&s, room);
	if (settles)
		assert_true(seats_settle(c, room, 0));
	assert_int_equal(speech_say(&s, room, &who, text, strlen(text)), 0);
	if (settles) {
		connection_printf(c, "(%s %s)\n", room->name, text);
		seats_go_on_at(
		    c, room, (struct position){logring_pending_head(room->log), logring_pending(room->log)});
	}
	connection_consume(c, consumed);
	connection_commit(c, speech_room(&s));
}

static bool many_settle_one(struct connection *c, struct room *room, void *arg)
{
	(void)arg;
	logring_lock(room->log);
	assert_true(seats_settle(c, room, 0));
	logring_unlock(room->log);
	return true;
}

/* Whatever was said in any room comes before the answer, in one transaction. */
static void many_ping(struct connection *c, size_t consumed)
{
	connection_begin(c);
	seats_each(c, many_settle_one, NULL);
	connection_printf(c, "pong\n");
	connection_consume(c, consumed);
	connection_commit(c, NULL);
}

static enum verdict many_received(struct connection *c, const char *data, size_t len, bool eof)
{
	char line[128];

	(void)eof;
	for (const char *end; (end = memchr(data, '\n', len));
	     len -= (size_t)(end + 1 - data), data = end + 1) {
		size_t n = (size_t)(end - data);
		memcpy(line, data, n);
		line[n] = 0;
		size_t consumed = n + 1;
		if (line[0] == 'p') {
			many_ping(c, consumed);
			continue;
		}
		char *space = strchr(line + 1, ' ');
		if (space)
			*space = 0;
		struct room *room = many_room(c, line + 1);
		if (line[0] == 'j')
			many_join(c, line + 1, consumed);
		else if (line[0] == 'l')
			many_leave_one(c, room, &consumed);
		else
			many_say(c, room, space + 1, consumed);
		rooms_leave(connection_context(c)->shared->rooms, room, connection_context(c)->slot);
	}
	return HANDLER_MORE;
}

static void many_closed(struct connection *c)
{
	size_t none = 0;

	seats_each(c, many_leave_one, &none);
	connection_begin(c)->nick_len = 0;
	connection_draft(c)->flags |= CLIENT_CLOSING;
	connection_commit(c, NULL);
}

static const struct handler many = {
    .type = "tcp",
    .mode = "many",
    .many = true,
    .opened = many_opened,
    .restored = seats_restore,
    .received = many_received,
    .renders = 1,
    .render = many_render,
    .sees = many_sees,
    .notice = many_notice,
    .closed = many_closed,
};

const struct handler *const handlers[] = {&many, NULL};

const struct handler *handler_find(const char *type, const char *mode)
{
	return strcmp(type, many.type) == 0 && strcmp(mode, many.mode) == 0 ? &many : NULL;
}

static int many_setup(void **state)
{
	return harnessed(state,
			 "workers = 1; max_message = 1000; rooms = ( { name = \"a\"; log_size = \"1M\"; }, "
			 "{ name = \"b\"; log_size = \"1M\"; }, { name = \"c\"; log_size = \"64k\"; } );");
}

/* Somebody in no room does that in it. */
static void others(struct harness *h, const char *name, enum record_kind kind, const char *text,
		   uint64_t time_us)
{
	const struct speaker who = {.id = 4711, .nick = "o", .nick_len = 1};
	struct shared *shared = harness_shared(h);
	struct slot_set kick = {{0}};
	struct speech s = {0};
	struct room *room;

	assert_int_equal(rooms_enter_existing(shared->rooms, name, 0, &room), 0);
	speech_begin(&s, room);
	if (time_us)
		s.time_us = time_us;
	if (kind == RECORD_RENAME)
		assert_true(speech_rename(&s, room, &who, text, strlen(text)));
	else if (kind == RECORD_QUIT)
		assert_true(speech_leave(&s, room, &who, true));
	else
		assert_int_equal(speech_say(&s, room, &who, text, strlen(text)), 0);
	speech_commit(&s, shared->rooms, &kick);
	rooms_leave(shared->rooms, room, 0);
}

static int joined(struct harness *h, const char *rooms)
{
	int fd = harness_connect(h, "tcp", "many", "a");
	char line[8], answer[8];

	for (; *rooms; rooms++) {
		snprintf(line, sizeof(line), "j%c\n", *rooms);
		snprintf(answer, sizeof(answer), "+%c\n", *rooms);
		assert_string_equal(harness_say(h, fd, line), answer);
	}
	return fd;
}

/* --- --- */

static void each_room_is_heard(void **state)
{
	int x = joined(*state, "ab"), y = joined(*state, "bc"), z = joined(*state, "");

	others(*state, "a", RECORD_MESSAGE, "1", 0);
	others(*state, "b", RECORD_MESSAGE, "2", 0);
	harness_settle(*state);
	others(*state, "c", RECORD_MESSAGE, "3", 0);
	harness_settle(*state);
	others(*state, "a", RECORD_MESSAGE, "4", 0);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[a 1]\n[b 2]\n[a 4]\n");
	assert_string_equal(harness_read(*state, y), "[b 2]\n[c 3]\n");
	assert_string_equal(harness_read(*state, z), "");
	assert_string_equal(harness_say(*state, x, "la\n"), "-a\n");
	others(*state, "a", RECORD_MESSAGE, "5", 0);
	others(*state, "b", RECORD_MESSAGE, "6", 0);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[b 6]\n");
	assert_string_equal(harness_say(*state, x, "lb\nja\n"), "-b\n+a\n");
	others(*state, "a", RECORD_MESSAGE, "7", 0);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[a 7]\n");
	close(x);
	close(y);
	close(z);
}

static void its_own_is_left_out(void **state)
{
	int x = joined(*state, "ab"), y = joined(*state, "ab");

	others(*state, "a", RECORD_MESSAGE, "1", 0);
	assert_string_equal(harness_say(*state, x, "ta mine\nta mine too\n"), "[a 1]\n");
	others(*state, "a", RECORD_MESSAGE, "2", 0);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[a 2]\n");
	assert_string_equal(harness_read(*state, y), "[a 1]\n[a mine]\n[a mine too]\n[a 2]\n");
	/* What was said before it comes before, and nothing twice. */
	others(*state, "b", RECORD_MESSAGE, "3", 0);
	assert_string_equal(harness_say(*state, x, "tb settled\n"), "[b 3]\n(b settled)\n");
	/* All in one delivery: in front of it, and behind. */
	others(*state, "b", RECORD_MESSAGE, "4", 0);
	assert_int_equal(send(x, "tb 5\ntb 6\n", 10, 0), 10);
	others(*state, "b", RECORD_MESSAGE, "7", 0);
	harness_settle(*state);
	others(*state, "b", RECORD_MESSAGE, "8", 0);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[b 4]\n[b 7]\n[b 8]\n");
	assert_string_equal(harness_read(*state, y),
			    "[b 3]\n[b settled]\n[b 4]\n[b 7]\n[b 5]\n[b 6]\n[b 8]\n");
	close(x);
	close(y);
}

/* Others speak in front of it and behind it in the same turn. */
static void its_own_is_left_out_in_the_midst(void **state)
{
	int w = joined(*state, "a"), x = joined(*state, "a"), y = joined(*state, "a");

	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(send(w, "ta 1\n", 5, 0), 5);
		assert_int_equal(send(x, "ta 2\nta 3\n", 10, 0), 10);
		assert_int_equal(send(y, "ta 4\n", 5, 0), 5);
		harness_settle(*state);
		assert_string_equal(harness_read(*state, w), "[a 2]\n[a 3]\n[a 4]\n");
		assert_string_equal(harness_read(*state, x), "[a 1]\n[a 4]\n");
		assert_string_equal(harness_read(*state, y), "[a 1]\n[a 2]\n[a 3]\n");
	}
	close(w);
	close(x);
	close(y);
}

/* It can't be sent anything when a room has news, which isn't the one that it was sent last. */
static void who_is_blocked_is_sent_it_later(void **state)
{
	int x = joined(*state, "abc");
	struct connection *c = connections_find(worker_context(harness_shared(*state)->workers[0]), 0,
						clients_at(harness_shared(*state)->clients, 0)->id);

	others(*state, "a", RECORD_MESSAGE, "1", 0);
	harness_settle(*state);
	c->blocked = true;
	others(*state, "b", RECORD_MESSAGE, "2", 0);
	others(*state, "c", RECORD_MESSAGE, "3", 0);
	harness_settle(*state);
	c->blocked = false;
	connection_retry(c);
	harness_settle(*state);
	const char *got = harness_read(*state, x);
	assert_memory_equal(got, "[a 1]\n", 6);
	assert_non_null(strstr(got, "[b 2]\n"));
	assert_non_null(strstr(got, "[c 3]\n"));
	close(x);
}

static void what_is_told_in_each_room_is_shown_once(void **state)
{
	int x = joined(*state, "ab"), y = joined(*state, "b");
	const uint64_t now = 1700000000000000;

	others(*state, "a", RECORD_RENAME, "n", now);
	others(*state, "b", RECORD_RENAME, "n", now);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[a n]\n");
	assert_string_equal(harness_read(*state, y), "[b n]\n");
	others(*state, "b", RECORD_RENAME, "m", now + 1);
	harness_settle(*state);
	others(*state, "a", RECORD_RENAME, "m", now + 1);
	others(*state, "a", RECORD_RENAME, "n", now + 2);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[b m]\n[a n]\n");
	/* In another process, too; and who dies in between quits twice. */
	others(*state, "b", RECORD_RENAME, "n", now + 2);
	others(*state, "a", RECORD_QUIT, "", now + 3);
	struct takeover r;
	assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
	assert_int_equal(r.taken, 2);
	harness_settle(*state);
	others(*state, "b", RECORD_QUIT, "", now + 4);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[a a]\n");
	assert_string_equal(harness_read(*state, y), "[b m]\n[b n]\n[b b]\n");
	close(x);
	close(y);
}

/* Both copies go to the outbox in one transaction, while one room after the other is locked. */
static void who_asks_is_told_once(void **state)
{
	int x = joined(*state, "ab");
	const uint64_t now = 1700000000000000;

	others(*state, "a", RECORD_RENAME, "n", now);
	others(*state, "b", RECORD_RENAME, "n", now);
	others(*state, "b", RECORD_QUIT, "", now + 1);
	others(*state, "a", RECORD_QUIT, "", now + 2);
	const char *got = harness_say(*state, x, "p\n");
	assert_int_equal(strlen(got), strlen("[b n]\n[b b]\npong\n"));
	assert_non_null(strstr(got, "pong\n"));
	close(x);
}

/* Who came after the copy in the other room has not been told. */
static void who_came_later_is_told(void **state)
{
	int x = joined(*state, "b");
	const uint64_t now = 1700000000000000;

	others(*state, "a", RECORD_RENAME, "n", now);
	harness_settle(*state);
	assert_string_equal(harness_say(*state, x, "ja\n"), "+a\n");
	others(*state, "b", RECORD_RENAME, "n", now);
	harness_settle(*state);
	assert_string_equal(harness_read(*state, x), "[b n]\n");
	close(x);
}

static void who_lags_is_told_in_which_room(void **state)
{
	int x = joined(*state, "ac");
	struct connection *c = connections_find(worker_context(harness_shared(*state)->workers[0]), 0,
						clients_at(harness_shared(*state)->clients, 0)->id);
	char text[900];

	memset(text, '.', sizeof(text));
	text[sizeof(text) - 1] = 0;
	c->blocked = true;
	others(*state, "a", RECORD_MESSAGE, "first", 0);
	for (unsigned i = 0; i < 100; i++) {
		others(*state, "c", RECORD_MESSAGE, text, 0);
		harness_settle(*state);
	}
	others(*state, "a", RECORD_MESSAGE, "last", 0);
	harness_settle(*state);
	c->blocked = false;
	connection_retry(c);
	harness_settle(*state);
	const char *got = harness_read(*state, x);
	assert_non_null(strstr(got, "[a first]\n[a last]\n"));
	assert_non_null(strstr(got, "!0 c\n[c ."));
	close(x);
}

/* --- chance --- */

enum { MEMBERS = 5, ROOMS = 3, ROUNDS = 400 };

/* What one member has to get of each room, and has got. */
struct heard {
	char due[ROOMS][1 << 17];
	size_t len[ROOMS], at[ROOMS];
	bool in[ROOMS];
};
static struct heard heard[MEMBERS];

static void hear(const char *got, struct heard *h)
{
	for (const char *end; (end = strchr(got, '\n')); got = end + 1) {
		if (*got != '[')
			continue;
		size_t room = (size_t)(got[1] - 'a'), n = (size_t)(end + 1 - got);
		assert_true(room < ROOMS && h->at[room] + n <= h->len[room]);
		assert_memory_equal(got, h->due[room] + h->at[room], n);
		h->at[room] += n;
	}
	assert_string_equal(got, "");
}

static void say_by_chance(struct harness *h, const int *fds, unsigned n)
{
	unsigned room = (unsigned)rand() % ROOMS, by = (unsigned)rand() % (2 * MEMBERS);
	char name[2] = {(char)('a' + room), 0}, text[64], line[80];

	snprintf(text, sizeof(text), "%u%.*s", n, rand() % 40, "........................................");
	if (by < MEMBERS && heard[by].in[room]) {
		size_t len = (size_t)snprintf(line, sizeof(line), "t%s %s\n", name, text);
		assert_int_equal(send(fds[by], line, len, 0), len);
		harness_settle(h); /* so that it is known in which order they speak */
	} else {
		by = MEMBERS;
		others(h, name, RECORD_MESSAGE, text, 0);
	}
	for (unsigned i = 0; i < MEMBERS; i++)
		if (heard[i].in[room] && i != by)
			heard[i].len[room] +=
			    (size_t)sprintf(heard[i].due[room] + heard[i].len[room], "[%s %s]\n", name, text);
}

static void come_and_go(struct harness *h, int fd, struct heard *m)
{
	unsigned room = (unsigned)rand() % ROOMS;
	char line[8];

	snprintf(line, sizeof(line), "%c%c\n", m->in[room] ? 'l' : 'j', 'a' + room);
	m->in[room] = !m->in[room];
	assert_int_equal(send(fd, line, 3, 0), 3);
	harness_settle(h);
}

/* The kernel has so much of what comes next for one that has it all in the order of one room, and nobody has noted that. */
static void send_unnoted(struct harness *h, uint32_t index, struct heard *m)
{
	struct shared *shared = harness_shared(h);
	struct connection *c = connections_find(worker_context(shared->workers[0]), index,
						clients_at(shared->clients, index)->id);
	struct position at = membership_place(shared->clients, connection_state(c));
	struct logring_view v;
	char event[160];

	if (!c->room || output_is_pending(c))
		return;
	logring_lock(c->room->log);
	logring_peek(c->room->log, &v);
	at = (struct position){c->pos, c->seq};
	if (at.seq < v.count && logring_record(c->room->log, at.seq)->sender != c->client->id) {
		const struct record *r = logring_record(c->room->log, at.seq);
		size_t n = many_render(NULL, 0, c->room, at.seq, r, logring_at(&v, at.cursor),
				       r->end - at.cursor, event);
		n = 1 + (size_t)rand() % n;
		assert_int_equal(send(c->stream.fd, event, n, MSG_NOSIGNAL), n);
	}
	logring_unlock(c->room->log);
	(void)m;
}

static void it_dies_whenever_chance_wants(void **state)
{
	int fds[MEMBERS];
	static char rest[MEMBERS][1 << 16];
	struct takeover r;
	unsigned n = 0;

	srand(20);
	memset(heard, 0, sizeof(heard));
	for (unsigned i = 0; i < MEMBERS; i++)
		fds[i] = joined(*state, "");
	for (unsigned round = 0; round < ROUNDS; round++) {
		for (unsigned i = 0; i < MEMBERS; i++)
			if (rand() % 8 == 0)
				come_and_go(*state, fds[i], &heard[i]);
		for (int k = rand() % 9; k > 0; k--)
			say_by_chance(*state, fds, n++);
		if (rand() % 2) {
			for (unsigned i = 0; i < MEMBERS; i++)
				send_unnoted(*state, i, &heard[i]);
			assert_int_equal(harness_crash(*state, NULL, NULL, &r), 0);
			assert_int_equal(r.taken, MEMBERS);
		}
		harness_settle(*state);
		for (unsigned i = 0; i < MEMBERS; i++) {
			/* The last line may not be whole. */
			strcat(rest[i], harness_read(*state, fds[i]));
			char *end = strrchr(rest[i], '\n');
			if (!end)
				continue;
			char cut = end[1];
			end[1] = 0;
			hear(rest[i], &heard[i]);
			end[1] = cut;
			memmove(rest[i], end + 1, strlen(end + 1) + 1);
		}
	}
	for (unsigned i = 0; i < MEMBERS; i++) {
		for (unsigned room = 0; room < ROOMS; room++)
			assert_int_equal(heard[i].at[room], heard[i].len[room]);
		close(fds[i]);
	}
}

static void who_goes_leaves_all_rooms(void **state)
{
	int x = joined(*state, "abc");
	struct rooms *rooms = harness_shared(*state)->rooms;
	struct room *room;

	close(x);
	harness_settle(*state);
	for (const char *name = "abc"; *name; name++) {
		assert_int_equal(rooms_enter_existing(rooms, (char[]){*name, 0}, 0, &room), 0);
		assert_int_equal(room_members(room), 1); /* this test */
		rooms_leave(rooms, room, 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define SEATS(test) cmocka_unit_test_setup_teardown(test, many_setup, harnessed_teardown)
	    SEATS(each_room_is_heard),
	    SEATS(its_own_is_left_out),
	    SEATS(its_own_is_left_out_in_the_midst),
	    SEATS(who_is_blocked_is_sent_it_later),
	    SEATS(what_is_told_in_each_room_is_shown_once),
	    SEATS(who_asks_is_told_once),
	    SEATS(who_came_later_is_told),
	    SEATS(who_lags_is_told_in_which_room),
	    SEATS(it_dies_whenever_chance_wants),
	    SEATS(who_goes_leaves_all_rooms),
#undef SEATS
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
