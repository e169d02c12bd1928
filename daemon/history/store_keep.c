/* SPDX-License-Identifier: MIT */
/*
 * Keeping and forgetting: messages are removed in small steps, each of them a transaction. What is removed is overwritten
 * (secure_delete); that nothing is left elsewhere either is store_scrub.c's work.
 */
#include "daemon/history/store_own.h"

#include "daemon/base/fault.h"

#include <errno.h>
#include <string.h>

/* A room that messages are removed from. */
struct store_removing {
	struct store *store;
	int64_t room, messages, bytes; /* the room's id, and what it still has */
	int64_t next;
	unsigned looked_at, max;
	uint64_t removed;
};

/* --- keeping --- */

static const struct store_keep *store_rule(const struct store_keep *rules, size_t n, const char *room)
{
	for (size_t i = 0; i < n; i++)
		if (!rules[i].room || strcmp(rules[i].room, room) == 0)
			return &rules[i];
	return NULL;
}

static bool store_keeps(const struct store_keep *k, const struct store_removing *x, int64_t time_us,
			int64_t now_us)
{
	return !k->nothing && (!k->us || time_us >= now_us - k->us) &&
	       (!k->messages || x->messages <= (int64_t)k->messages) &&
	       (!k->bytes || x->bytes <= (int64_t)k->bytes);
}

/* Looks at the message: 1: it stays, and so do all after it; 0: it is gone now, or was before. */
static int store_expire_message(struct store_removing *x, const struct store_keep *k, int64_t now_us,
				int64_t id)
{
	struct store *s = x->store;
	sqlite3_stmt *st = store_statement(s, STORE_MESSAGE_SIZE);
	int64_t time_us, bytes;
	int r;

	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, id);
	r = sqlite3_step(st);
	time_us = sqlite3_column_int64(st, 0);
	bytes = sqlite3_column_int64(st, 1) + STORE_MESSAGE_BYTES;
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		r = store_failed(s, "read");
	sqlite3_reset(st);
	if (r == SQLITE_DONE || r < 0)
		return r == SQLITE_DONE ? 0 : r;
	if (store_keeps(k, x, time_us, now_us))
		return 1;
	r = store_remove(s, id);
	if (r < 0)
		return r;
	x->messages--;
	x->bytes -= bytes;
	x->removed++;
	return 0;
}

/* From its oldest message on, until one stays. Runs that have none left go with them. 1: the room is done. */
static int store_expire_messages(struct store_removing *x, const struct store_keep *k, int64_t now_us)
{
	struct store *s = x->store;
	struct store_ids ids;
	int64_t id, gone = 0;
	sqlite3_stmt *st;
	int r = store_ids_begin(&ids, s, x->room, s->expired_id + 1, INT64_MAX, true);
	int done = 0;

	while (r == 0 && x->looked_at < x->max) {
		r = store_ids_next(&ids, &id);
		if (r < 0)
			break;
		x->looked_at++;
		done = r == 0;
		r = done ? 1 : store_expire_message(x, k, now_us, id);
		done = r == 1;
		if (r == 0)
			s->expired_id = gone = id;
	}
	store_ids_end(&ids);
	if (r < 0 || gone == 0)
		return r < 0 ? r : done;
	st = store_statement(s, STORE_DELETE_RUNS);
	if (st) {
		sqlite3_bind_int64(st, 1, x->room);
		sqlite3_bind_int64(st, 2, gone);
	}
	r = store_step(s, st, "forget");
	return r < 0 ? r : done;
}

static int store_expire_gaps(struct store *s, int64_t room, const struct store_keep *k, int64_t now_us)
{
	sqlite3_stmt *st = store_statement(s, STORE_DELETE_GAPS);

	if (!k->nothing && !k->us)
		return 0;
	if (st) {
		sqlite3_bind_int64(st, 1, room);
		sqlite3_bind_int64(st, 2, k->nothing ? INT64_MAX : now_us - k->us);
	}
	return store_step(s, st, "forget");
}

/* The next room behind id at; 0: it is the last one. */
static int store_next_room(struct store *s, int64_t at, struct store_removing *x,
			   char name[TEXT_ROOM_MAX + 1])
{
	sqlite3_stmt *st = store_statement(s, STORE_NEXT_ROOM);
	const char *text;
	int r;

	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, at);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		text = (const char *)sqlite3_column_text(st, 1);
		if (text && strlen(text) <= TEXT_ROOM_MAX) {
			strcpy(name, text);
			x->room = sqlite3_column_int64(st, 0);
			x->messages = sqlite3_column_int64(st, 2);
			x->bytes = sqlite3_column_int64(st, 3);
			x->next = sqlite3_column_int64(st, 4);
			r = 1;
		} else {
			r = store_bad(s, "a room's name");
		}
	} else {
		r = r == SQLITE_DONE ? 0 : store_failed(s, "read");
	}
	sqlite3_reset(st);
	return r;
}

static int store_step_with(struct store *s, enum store_statement which, int64_t value)
{
	sqlite3_stmt *st = store_statement(s, which);

	if (st)
		sqlite3_bind_int64(st, 1, value);
	return store_step(s, st, "forget");
}

/* Of one that is to leave no trace the name goes as well; its numbers aren't given again. */
static int store_drop_room(struct store *s, const struct store_removing *x)
{
	int r = store_raise_floor(s, x->next > 0 ? (uint64_t)x->next : 0);

	if (r == 0)
		r = store_step_with(s, STORE_DELETE_ALL_RUNS, x->room);
	if (r == 0)
		r = store_step_with(s, STORE_DELETE_PLACE, x->room);
	if (r == 0)
		r = store_step_with(s, STORE_DELETE_CHANNEL, x->room);
	if (r == 0)
		r = store_step_with(s, STORE_DELETE_ROOM, x->room);
	if (r == 0)
		r = store_set_value(s, "scrub", 1);
	s->slack = 0;
	store_forget_known(s);
	return r;
}

/* 1: the room is done. */
static int store_expire_room(struct store_removing *x, const struct store_keep *k, int64_t now_us)
{
	struct store *s = x->store;
	int64_t messages = x->messages, bytes = x->bytes;
	int r = store_expire_messages(x, k, now_us), done = r;

	if (r >= 0 && x->removed > 0)
		r = store_count_removed(s, x->room, messages - x->messages, bytes - x->bytes);
	if (r >= 0 && done)
		r = store_expire_gaps(s, x->room, k, now_us);
	if (r >= 0 && done && k->nothing)
		r = store_drop_room(s, x);
	return r < 0 ? r : done;
}

/* A part of the index all of whose messages are gone. 1: there was one. */
static int store_expire_part(struct store *s, int64_t first)
{
	sqlite3_stmt *st = store_statement(s, STORE_PART_BEFORE);
	int64_t part = 0;
	int r;

	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, first);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW)
		part = sqlite3_column_int64(st, 0);
	r = r == SQLITE_ROW || r == SQLITE_DONE ? 0 : store_failed(s, "read");
	sqlite3_reset(st);
	if (r == 0 && part)
		r = store_drop_part(s, part);
	return r < 0 ? r : part != 0;
}

/* What belongs to messages and rooms that are gone. 1: there is more. */
static int store_expire_rest(struct store *s)
{
	int64_t first;
	int r = store_integer(s, "SELECT min(id) FROM messages", &first);

	if (r == -ENOENT)
		first = s->next_id;
	else if (r < 0)
		return r;
	r = store_expire_part(s, first);
	if (r != 0)
		return r;
	r = store_step_with(s, STORE_DELETE_BLOCKS, first >> STORE_BLOCK_BITS);
	if (r == 0)
		r = store_run(
		    s,
		    "DELETE FROM runs WHERE room IN (SELECT id FROM rooms WHERE next = 0 AND messages <= 0);"
		    "DELETE FROM gaps WHERE room IN (SELECT id FROM rooms WHERE next = 0 AND messages <= 0);"
		    "DELETE FROM streams WHERE room IN (SELECT id FROM rooms WHERE next = 0 AND messages <= "
		    "0);"
		    "DELETE FROM channels WHERE room IN (SELECT id FROM rooms WHERE next = 0 AND messages <= "
		    "0);"
		    "DELETE FROM rooms WHERE next = 0 AND messages <= 0");
	if (r == 0 && sqlite3_changes(s->db) > 0)
		store_forget_known(s);
	return r;
}

int store_expire(struct store *s, const struct store_keep *rules, size_t n, int64_t now_us, unsigned max_rows,
		 bool *ret_more)
{
	struct store_removing x = {.store = s, .max = max_rows};
	char name[TEXT_ROOM_MAX + 1];
	const struct store_keep *k;
	int r = store_begin(s);

	*ret_more = true;
	if (r < 0)
		return r;
	while (r == 0 && x.looked_at < x.max) {
		r = store_next_room(s, s->expired, &x, name);
		if (r == 0) {
			r = store_expire_rest(s);
			*ret_more = r == 1;
			s->expired = r == 1 ? s->expired : 0;
			r = r == 1 ? 0 : r;
			break;
		}
		x.looked_at++;
		x.removed = 0;
		k = r < 0 ? NULL : store_rule(rules, n, name);
		r = k ? store_expire_room(&x, k, now_us) : r;
		if (r == 1) {
			s->expired = x.room;
			s->expired_id = 0;
			r = 0;
		}
	}
	return store_end_step(s, r);
}
