/* SPDX-License-Identifier: MIT */
/* Forgetting whose messages somebody wants gone, and removing a message at all: in small steps, each a transaction. */
#include "daemon/history/store_own.h"

#include "daemon/base/fault.h"

#include <errno.h>
#include <string.h>

/* --- one message --- */

/* The parts of the index that have it are to be made anew. */
int store_remove(struct store *s, int64_t id)
{
	sqlite3_stmt *st = store_statement(s, STORE_DELETE_MESSAGE);
	int r;

	if (st)
		sqlite3_bind_int64(st, 1, id);
	r = store_step(s, st, "forget");
	if (r < 0)
		return r;
	st = store_statement(s, STORE_PART_REMOVED);
	if (st)
		sqlite3_bind_int64(st, 1, id);
	r = store_step(s, st, "forget");
	/* No other message ever gets its id. */
	if (r == 0 && id == s->next_id - 1)
		r = store_set_value(s, "next", s->next_id);
	return r;
}

int store_count_removed(struct store *s, int64_t room, int64_t messages, int64_t bytes)
{
	sqlite3_stmt *st = store_statement(s, STORE_ROOM_REMOVED);

	if (st) {
		sqlite3_bind_int64(st, 1, room);
		sqlite3_bind_int64(st, 2, messages);
		sqlite3_bind_int64(st, 3, bytes);
	}
	return store_step(s, st, "forget");
}

/* A step's transaction ends; r: how it went. */
int store_end_step(struct store *s, int r)
{
	FAULT("history-removed");
	if (r == 0)
		r = store_commit(s);
	if (r < 0)
		store_abandon(s);
	return r;
}

/* --- forgetting --- */

/* Whether the row of STORE_MESSAGE is one of those. */
static int store_is_forgotten(struct store *s, const struct store_forget *f, int64_t room, sqlite3_stmt *st,
			      int64_t *ret_room, int64_t *ret_bytes)
{
	struct store_message m = {0};
	int r = store_row(s, st, ret_room, &m);
	int64_t time_us;

	if (r < 0)
		return r;
	time_us = (int64_t)m.event.time_us;
	*ret_bytes = (int64_t)(STORE_MESSAGE_BYTES + m.event.nick_len + m.event.text_len);
	return (!room || room == *ret_room) && (!f->number || m.number == f->number) &&
	       (!f->since_us || time_us >= f->since_us) && (!f->before_us || time_us < f->before_us) &&
	       (!f->nick || store_has_nick(&m.event, f->nick));
}

/* Looks at one message, and removes it if it is to be forgotten. 1: it was. */
static int store_forget_message(struct store *s, const struct store_forget *f, int64_t room, int64_t id)
{
	sqlite3_stmt *st = store_statement(s, STORE_MESSAGE);
	int64_t of = 0, bytes = 0;
	int r;

	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, id);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW)
		r = store_is_forgotten(s, f, room, st, &of, &bytes);
	else
		r = r == SQLITE_DONE ? 0 : store_failed(s, "read");
	sqlite3_reset(st);
	if (r <= 0)
		return r;
	r = store_remove(s, id);
	if (r == 0)
		r = store_count_removed(s, of, 1, bytes);
	return r < 0 ? r : 1;
}

static int store_forget_some(struct store *s, const struct store_forget *f, int64_t room, unsigned max_rows,
			     int64_t *from, uint64_t *ret_n, bool *ret_more)
{
	struct store_ids ids = {0};
	int64_t id = *from, last = f->last ? f->last : INT64_MAX;
	int r = room ? store_ids_begin(&ids, s, room, *from + 1, last, true) : 0;

	for (unsigned i = 0; r == 0; i++) {
		*ret_more = i == max_rows;
		if (*ret_more)
			break;
		r = room ? store_ids_next(&ids, &id) : store_next_id(s, id, &id);
		if (r <= 0 || id > last)
			break;
		if (id <= *from)
			r = -EBADMSG; /* it would never end */
		if (r < 0)
			break;
		r = store_forget_message(s, f, room, id);
		*from = id;
		if (r > 0)
			++*ret_n;
		r = r > 0 ? 0 : r;
	}
	if (room)
		store_ids_end(&ids);
	return r < 0 ? r : 0;
}

int store_forget(struct store *s, const struct store_forget *f, unsigned max_rows, int64_t *from,
		 uint64_t *ret_n, bool *ret_more)
{
	int64_t at = *from;
	const struct store_known *k = NULL;
	int r = 0;

	*ret_n = 0;
	*ret_more = false;
	if (!f->room && !f->nick)
		return -EINVAL;
	if (f->room) {
		k = store_find_room(s, f->room, &r);
		if (r < 0 || !k)
			return r;
	}
	r = store_begin(s);
	if (r < 0)
		return r;
	r = store_forget_some(s, f, k ? k->id : 0, max_rows, &at, ret_n, ret_more);
	if (r == 0 && *ret_n > 0) {
		s->slack = 0; /* what was scrubbed may have to be scrubbed again */
		r = store_set_value(s, "scrub", 1);
	}
	r = store_end_step(s, r);
	if (r == 0)
		*from = at;
	return r;
}
