/* SPDX-License-Identifier: MIT */
/* What the store tells of itself: rooms, gaps, how much there is. */
#include "daemon/history/store_own.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* r: what the last sqlite3_step() returned, or what a row was given up with. */
static int store_end_rows(struct store *s, sqlite3_stmt *st, int r)
{
	if (r == SQLITE_DONE)
		r = 0;
	else if (r > 0)
		r = store_failed(s, "read");
	sqlite3_reset(st);
	return r;
}

int store_rooms(struct store *s,
		bool (*fn)(const struct store_room *room, uint64_t next, int64_t last_us, void *arg),
		void *arg)
{
	sqlite3_stmt *st = store_statement(s, STORE_LIST_ROOMS);
	struct store_room room;
	int64_t epoch, next;
	int r;

	if (!st)
		return store_failed(s, "read");
	while ((r = sqlite3_step(st)) == SQLITE_ROW) {
		room = (struct store_room){.name = (const char *)sqlite3_column_text(st, 1),
					   .raw = sqlite3_column_int(st, 2),
					   .read_only = sqlite3_column_int(st, 3),
					   .members_only = sqlite3_column_int(st, 4)};
		epoch = sqlite3_column_int64(st, 5);
		next = sqlite3_column_int64(st, 6);
		r = 0;
		if (!room.name || !text_room_valid(room.name, strlen(room.name)) || next < 0)
			r = store_bad(s, "a room");
		else if (epoch != 0)
			r = store_epoch_of(s, epoch, &room.epoch);
		if (r < 0 || !fn(&room, (uint64_t)next, sqlite3_column_int64(st, 7), arg))
			break;
	}
	return store_end_rows(s, st, r);
}

int store_room_next(struct store *s, const char *room, uint64_t *ret_epoch, uint64_t *ret_next)
{
	sqlite3_stmt *st = store_statement(s, STORE_FIND_ROOM);

	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_text(st, 1, room, -1, SQLITE_STATIC);
	int r = sqlite3_step(st);
	if (r != SQLITE_ROW) {
		r = store_end_rows(s, st, r);
		return r < 0 ? r : -ENOENT;
	}
	int64_t epoch = sqlite3_column_int64(st, 5), next = sqlite3_column_int64(st, 6);
	sqlite3_reset(st);
	if (epoch == 0 || next <= 0)
		return -ENOENT;
	*ret_next = (uint64_t)next;
	return store_epoch_of(s, epoch, ret_epoch);
}

/* The columns: room's name, before, epoch, first, end, time, why. */
static int store_gap_row(struct store *s, sqlite3_stmt *st, struct store_gap *ret)
{
	*ret = (struct store_gap){.room = (const char *)sqlite3_column_text(st, 0),
				  .why = (const char *)sqlite3_column_text(st, 6),
				  .before = sqlite3_column_int64(st, 1),
				  .first = (uint64_t)sqlite3_column_int64(st, 3),
				  .end = (uint64_t)sqlite3_column_int64(st, 4),
				  .time_us = sqlite3_column_int64(st, 5)};
	if (!ret->room || !text_room_valid(ret->room, strlen(ret->room)) || !ret->why ||
	    !text_is_clean(ret->why, strlen(ret->why)) || ret->first >= ret->end || ret->end >= INT64_MAX)
		return store_bad(s, "a gap that nobody can have stored");
	return store_epoch_of(s, sqlite3_column_int64(st, 2), &ret->epoch);
}

int store_gaps(struct store *s, const char *room, bool (*fn)(const struct store_gap *g, void *arg), void *arg)
{
	sqlite3_stmt *st = store_statement(s, STORE_LIST_GAPS);
	struct store_gap g;
	int r;

	if (!st)
		return store_failed(s, "read");
	if (room)
		sqlite3_bind_text(st, 1, room, -1, SQLITE_STATIC);
	else
		sqlite3_bind_null(st, 1);
	while ((r = sqlite3_step(st)) == SQLITE_ROW) {
		r = store_gap_row(s, st, &g);
		if (r < 0 || !fn(&g, arg))
			break;
	}
	return store_end_rows(s, st, r);
}

static int store_totals(struct store *s, struct store_figures *ret)
{
	sqlite3_stmt *st = store_statement(s, STORE_TOTALS);
	int r;

	if (!st)
		return store_failed(s, "read");
	r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		ret->messages = (uint64_t)sqlite3_column_int64(st, 0);
		ret->bytes = (uint64_t)sqlite3_column_int64(st, 1);
		ret->rooms = (uint64_t)sqlite3_column_int64(st, 2);
		ret->gaps = (uint64_t)sqlite3_column_int64(st, 3);
		ret->oldest_us = sqlite3_column_int64(st, 4);
		ret->newest_us = sqlite3_column_int64(st, 5);
		r = 0;
	} else {
		r = store_failed(s, "read");
	}
	sqlite3_reset(st);
	return r;
}

int store_figures(struct store *s, struct store_figures *ret)
{
	char wal[4096];
	struct stat st;
	int r;

	*ret = (struct store_figures){0};
	r = store_totals(s, ret);
	if (r == 0 && s->search)
		r = store_waiting(s, &ret->waiting);
	snprintf(wal, sizeof(wal), "%s-wal", s->path);
	if (stat(s->path, &st) == 0)
		ret->file_bytes += (uint64_t)st.st_size;
	if (stat(wal, &st) == 0)
		ret->file_bytes += (uint64_t)st.st_size;
	return r;
}
