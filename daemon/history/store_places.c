/* SPDX-License-Identifier: MIT */
/* How far what came from the cluster's stream was stored, for each room: in the same transaction as that. */
#include "daemon/history/store_own.h"

#include <errno.h>
#include <string.h>

int store_set_place(struct store *s, const char *room, const struct store_place *p)
{
	sqlite3_stmt *st;
	int r;
	const struct store_known *k = store_find_room(s, room, &r);

	if (r < 0 || !k)
		return r;
	if (!s->in_transaction || p->place >= INT64_MAX)
		return -EINVAL;
	st = store_statement(s, STORE_SET_PLACE);
	if (st) {
		sqlite3_bind_int64(st, 1, k->id);
		sqlite3_bind_int64(st, 2, (int64_t)p->place);
		sqlite3_bind_int64(st, 3, p->time_us);
	}
	return store_step(s, st, "write");
}

static void store_take_place(sqlite3_stmt *st, int column, struct store_place *ret)
{
	int64_t place = sqlite3_column_int64(st, column);

	*ret = (struct store_place){.place = place > 0 ? (uint64_t)place : 0,
				    .time_us = sqlite3_column_int64(st, column + 1)};
}

int store_place(struct store *s, const char *room, struct store_place *ret)
{
	sqlite3_stmt *st;
	int r;
	const struct store_known *k = store_find_room(s, room, &r);

	*ret = (struct store_place){0};
	if (r < 0 || !k)
		return r;
	st = store_statement(s, STORE_PLACE);
	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, k->id);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW)
		store_take_place(st, 0, ret);
	r = r == SQLITE_ROW || r == SQLITE_DONE ? 0 : store_failed(s, "read");
	sqlite3_reset(st);
	return r;
}

int store_places(struct store *s, bool (*fn)(const char *room, const struct store_place *p, void *arg),
		 void *arg)
{
	sqlite3_stmt *st = store_statement(s, STORE_LIST_PLACES);
	int r = SQLITE_DONE;

	if (!st)
		return store_failed(s, "read");
	while ((r = sqlite3_step(st)) == SQLITE_ROW) {
		struct store_place p;
		const char *name = (const char *)sqlite3_column_text(st, 0);

		store_take_place(st, 1, &p);
		if (!name || !text_room_valid(name, strlen(name)))
			continue;
		if (!fn(name, &p, arg)) {
			r = SQLITE_DONE;
			break;
		}
	}
	r = r == SQLITE_DONE ? 0 : store_failed(s, "read");
	sqlite3_reset(st);
	return r;
}
