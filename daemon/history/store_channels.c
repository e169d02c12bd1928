/* SPDX-License-Identifier: MIT */
/* What is decided in rooms: a row for each room of which something is, in the transaction of what is said there. */
#include "daemon/history/store_own.h"

#include "daemon/base/clock.h"

#include <errno.h>
#include <string.h>

static int store_delete_channel(struct store *s, const char *room)
{
	int r;
	const struct store_known *k = store_find_room(s, room, &r);
	sqlite3_stmt *st;

	if (r < 0 || !k)
		return r;
	st = store_statement(s, STORE_DELETE_CHANNEL);
	if (st)
		sqlite3_bind_int64(st, 1, k->id);
	return store_step(s, st, "forget");
}

int store_set_channel(struct store *s, const struct store_room *room, uint64_t next, const void *data,
		      size_t len)
{
	struct store_known *k;
	sqlite3_stmt *st;
	int r;

	if (!s->in_transaction || next >= INT64_MAX || len > STORE_CHANNEL_MAX)
		return -EINVAL;
	if (len == 0)
		return store_delete_channel(s, room->name);
	r = store_room_to_write(s, room, &k);
	if (r < 0)
		return r;
	if (k->next == 0) {
		k->next = next;
		if (k->time_us == 0)
			k->time_us = clock_us(CLOCK_REALTIME);
		store_mark(s, k);
	}
	st = store_statement(s, STORE_SET_CHANNEL);
	if (st) {
		sqlite3_bind_int64(st, 1, k->id);
		sqlite3_bind_blob(st, 2, data, (int)len, SQLITE_STATIC);
	}
	return store_step(s, st, "write");
}

int store_channel(struct store *s, const char *room, uint8_t ret[static STORE_CHANNEL_MAX], size_t *ret_len)
{
	int r;
	const struct store_known *k = store_find_room(s, room, &r);
	sqlite3_stmt *st;

	if (r < 0 || !k)
		return r < 0 ? r : -ENOENT;
	st = store_statement(s, STORE_CHANNEL);
	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_int64(st, 1, k->id);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		const void *p = sqlite3_column_blob(st, 0);
		size_t len = (size_t)sqlite3_column_bytes(st, 0);
		bool good = sqlite3_column_type(st, 0) == SQLITE_BLOB && p && len <= STORE_CHANNEL_MAX;

		if (good) {
			memcpy(ret, p, len);
			*ret_len = len;
		}
		r = good ? 0 : store_bad(s, "what was decided in a room");
	} else {
		r = r == SQLITE_DONE ? -ENOENT : store_failed(s, "read");
	}
	sqlite3_reset(st);
	return r;
}
