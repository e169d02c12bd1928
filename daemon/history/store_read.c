/* SPDX-License-Identifier: MIT */
/*
 * Reading: messages of a room or of all. Each row is checked before anybody sees it: the file is
 * chatd's, but a disk may have changed it.
 */
#include "daemon/history/store_own.h"

#include "common/cleanup.h"
#include "common/nick.h"
#include "daemon/base/clock.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* --- one row --- */

/* A text as it could have been stored; false: it could not. */
static bool store_column_text(sqlite3_stmt *st, int column, size_t max, const char **ret, size_t *ret_len)
{
	int type = sqlite3_column_type(st, column);
	const void *p;
	size_t len;

	if (type != SQLITE_TEXT && type != SQLITE_BLOB)
		return false;
	p = sqlite3_column_blob(st, column);
	len = (size_t)sqlite3_column_bytes(st, column);
	if (len > max || (len && (!p || memchr(p, '\n', len))))
		return false;
	if (type == SQLITE_TEXT && !text_is_clean(p, len))
		return false;
	*ret = len ? p : "";
	*ret_len = len;
	return true;
}

/* The columns: id, room, epoch, number, stream, time, kind, raw, sender, nick, text. */
int store_row(struct store *s, sqlite3_stmt *st, int64_t *ret_room, struct store_message *ret)
{
	struct speech_event *e = &ret->event;
	int64_t kind = sqlite3_column_int64(st, 6), raw = sqlite3_column_int64(st, 7);
	size_t nick_len;

	for (int i = 0; i < 9; i++)
		if (sqlite3_column_type(st, i) != SQLITE_INTEGER)
			return store_bad(s, "a message with a text for a number");
	*ret = (struct store_message){.id = sqlite3_column_int64(st, 0),
				      .number = (uint64_t)sqlite3_column_int64(st, 3),
				      .stream = (uint64_t)sqlite3_column_int64(st, 4)};
	*ret_room = sqlite3_column_int64(st, 1);
	e->time_us = (uint64_t)sqlite3_column_int64(st, 5);
	e->sender = (uint64_t)sqlite3_column_int64(st, 8);
	if (ret->id <= 0 || ret->number == 0 || ret->number >= INT64_MAX || e->time_us > INT64_MAX ||
	    kind < 0 || kind >= RECORD_KINDS || (raw != 0 && raw != 1))
		return store_bad(s, "a message that nobody can have said");
	e->kind = (uint8_t)kind;
	e->raw = raw;
	if (!store_column_text(st, 9, SPEECH_NICK_MAX, &e->nick, &nick_len) ||
	    !store_column_text(st, 10, (size_t)SPEECH_TEXT_MAX, &e->text, &e->text_len))
		return store_bad(s, "a text that nobody can have said");
	e->nick_len = (uint8_t)nick_len;
	return store_epoch_of(s, sqlite3_column_int64(st, 2), &ret->epoch);
}

int store_next_id(struct store *s, int64_t from, int64_t *ret)
{
	sqlite3_stmt *st = store_statement(s, STORE_NEXT_ID);
	int r;

	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, from);
	r = sqlite3_step(st);
	*ret = sqlite3_column_int64(st, 0);
	r = r == SQLITE_ROW ? 1 : r == SQLITE_DONE ? 0 : store_failed(s, "read");
	sqlite3_reset(st);
	return r;
}

/* --- a query --- */

bool store_has_nick(const struct speech_event *e, const char *nick)
{
	size_t len = strlen(nick);

	if (e->nick_len == 0)
		return len == 0;
	return (e->nick_len == len && memcmp(e->nick, nick, len) == 0) ||
	       nick_equal(e->nick, e->nick_len, nick, len);
}

static bool store_wanted(const struct store_query *q, const struct speech_event *e)
{
	if (!q->notices && e->kind >= RECORD_NOTICE)
		return false;
	if (q->since_us && (int64_t)e->time_us < q->since_us)
		return false;
	if (q->until_us && (int64_t)e->time_us >= q->until_us)
		return false;
	return !q->nick || store_has_nick(e, q->nick);
}

static bool store_is_wanted(const struct store_reading *g, const struct speech_event *e)
{
	return store_wanted(g->query, e) &&
	       (g->words.n == 0 || store_has_words(g->store, &g->words, e->text, e->text_len));
}

static int store_room_name(struct store *s, int64_t id, struct store_name *n)
{
	sqlite3_stmt *st;
	const char *name;
	int r;

	if (n->id == id)
		return 0;
	st = store_statement(s, STORE_ROOM_NAME);
	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, id);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		name = (const char *)sqlite3_column_text(st, 0);
		r = name && text_room_valid(name, strlen(name)) ? 0 : store_bad(s, "a room's name");
		if (r == 0) {
			snprintf(n->name, sizeof(n->name), "%s", name);
			n->id = id;
		}
	} else {
		r = r == SQLITE_DONE ? store_bad(s, "a message of no room") : store_failed(s, "read");
	}
	sqlite3_reset(st);
	return r;
}

int store_give(struct store_reading *g, sqlite3_stmt *st)
{
	const struct store_query *q = g->query;
	struct store_message m = {0};
	int64_t room = 0;
	int r = store_row(g->store, st, &room, &m);

	if (r < 0 || !store_is_wanted(g, &m.event) || (g->room && room != g->room))
		return r;
	r = store_room_name(g->store, room, &g->name);
	if (r < 0)
		return r;
	m.room = g->name.name;
	g->given++;
	g->ended = !g->fn(&m, g->arg) || (q->limit && g->given >= q->limit);
	return 0;
}

int store_give_all(struct store_reading *g, sqlite3_stmt *st)
{
	int r;

	do {
		r = sqlite3_step(st);
		if (r == SQLITE_ROW)
			r = store_give(g, st);
		else
			r = r == SQLITE_DONE ? 1 : store_failed(g->store, "read");
	} while (r == 0 && !g->ended);
	return r < 0 ? r : 0;
}

/* Of one room: message by message. */
static int store_scan_room(struct store_reading *g, int64_t first, int64_t last)
{
	struct store *s = g->store;
	struct store_ids ids;
	sqlite3_stmt *st = store_statement(s, STORE_MESSAGE);
	int64_t id;
	int r;

	if (!st)
		return store_failed(s, "read");
	r = store_ids_begin(&ids, s, g->room, first, last, g->query->oldest_first);
	while (r == 0 && !g->ended && (r = store_ids_next(&ids, &id)) > 0) {
		sqlite3_bind_int64(st, 1, id);
		r = store_give_all(g, st);
		sqlite3_reset(st);
	}
	store_ids_end(&ids);
	return r;
}

int store_scan(struct store_reading *g, int64_t first, int64_t last)
{
	struct store *s = g->store;
	sqlite3_stmt *st;
	int r;

	if (first > last)
		return 0;
	if (g->room)
		return store_scan_room(g, first, last);
	st = store_statement(s, g->query->oldest_first ? STORE_MESSAGES_UP : STORE_MESSAGES_DOWN);
	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, first);
	sqlite3_bind_int64(st, 2, last);
	r = store_give_all(g, st);
	sqlite3_reset(st);
	return r;
}

static int store_read_ids(struct store_reading *g, int64_t first, int64_t last)
{
	return g->words.n > 0 ? store_search(g, first, last) : store_scan(g, first, last);
}

/* Only the blocks that may have messages of that time. Those that are beside each other are read as one. */
static int store_read_times(struct store_reading *g, int64_t first, int64_t last)
{
	const struct store_query *q = g->query;
	struct store *s = g->store;
	sqlite3_stmt *st = store_statement(s, q->oldest_first ? STORE_BLOCKS_UP : STORE_BLOCKS_DOWN);
	int64_t from = -1, to = -1, block;
	int r = 0, step = SQLITE_ROW;

	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, q->since_us);
	sqlite3_bind_int64(st, 2, q->until_us ? q->until_us : INT64_MAX);
	sqlite3_bind_int64(st, 3, first >> STORE_BLOCK_BITS);
	sqlite3_bind_int64(st, 4, last >> STORE_BLOCK_BITS);
	while (r == 0 && !g->ended && step == SQLITE_ROW) {
		step = sqlite3_step(st);
		if (step != SQLITE_ROW && step != SQLITE_DONE)
			r = store_failed(s, "read");
		block = step == SQLITE_ROW ? sqlite3_column_int64(st, 0) : -2;
		if (from >= 0 && block == (q->oldest_first ? to + 1 : from - 1)) {
			from = block < from ? block : from;
			to = block > to ? block : to;
			continue;
		}
		if (r == 0 && from >= 0) {
			int64_t a = from << STORE_BLOCK_BITS, b = ((to + 1) << STORE_BLOCK_BITS) - 1;

			r = store_read_ids(g, a > first ? a : first, b < last ? b : last);
		}
		from = to = block;
	}
	sqlite3_reset(st);
	return r;
}

/* All of an answer is from one state of the database, even if there are several statements. */
static int store_answer(struct store_reading *g)
{
	const struct store_query *q = g->query;
	struct store *s = g->store;
	bool own = sqlite3_get_autocommit(s->db);
	int64_t first = q->after + 1, last = q->before ? q->before - 1 : INT64_MAX;
	int r = own ? store_run(s, "BEGIN") : 0;

	s->reading = true;
	if (r == 0)
		r = q->since_us || q->until_us ? store_read_times(g, first, last)
					       : store_read_ids(g, first, last);
	s->reading = false;
	if (own && !sqlite3_get_autocommit(s->db))
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

int store_read(struct store *s, const struct store_query *q,
	       bool (*fn)(const struct store_message *m, void *arg), void *arg)
{
	struct store_reading g = {.store = s, .query = q, .fn = fn, .arg = arg};
	const struct store_known *k;
	int r = q->text ? store_parse_words(s, q->text, &g.words) : 0;

	if (r < 0)
		return r;
	s->deadline = q->time_limit_us ? clock_us(CLOCK_MONOTONIC) + q->time_limit_us : 0;
	if (q->room) {
		k = store_find_room(s, q->room, &r);
		g.room = k ? k->id : 0;
	}
	if (r == 0 && (g.room || !q->room))
		r = store_answer(&g);
	s->deadline = 0;
	return r;
}
