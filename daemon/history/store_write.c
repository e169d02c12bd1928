/* SPDX-License-Identifier: MIT */
/*
 * Writing: messages and gaps of many rooms in one transaction, with the positions that belong to them. Rooms are
 * remembered between transactions, so that a message is one insertion; what changed in a room goes to its row once, with
 * the commit.
 */
#include "daemon/history/store_own.h"

#include "daemon/base/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORE_KNOWN_MAX 16384 /* so many are remembered from one transaction to the next */

/* --- rooms --- */

/* What a room has had stays below the floor, also when its row says nothing of that any more. */
int store_raise_floor(struct store *s, uint64_t next)
{
	int64_t floor = 0;
	int r = store_value(s, "floor", &floor);

	if ((r < 0 && r != -ENOENT) || (int64_t)next <= floor)
		return r == -ENOENT ? 0 : r;
	return store_set_value(s, "floor", (int64_t)next);
}

int store_room_to_write(struct store *s, const struct store_room *room, struct store_known **ret)
{
	struct store_known k = {0};
	sqlite3_stmt *st;
	int r;

	if (!s->in_transaction || !text_room_valid(room->name, strlen(room->name)))
		return -EINVAL;
	*ret = store_find_room(s, room->name, &r);
	if (r < 0)
		return r;
	if (!*ret) {
		st = store_statement(s, STORE_INSERT_ROOM);
		if (st)
			sqlite3_bind_text(st, 1, room->name, -1, SQLITE_STATIC);
		r = store_step(s, st, "write");
		if (r < 0)
			return r;
		k.id = sqlite3_last_insert_rowid(s->db);
		*ret = store_remember(s, room->name, &k);
		if (!*ret)
			return -ENOMEM;
	}
	(*ret)->raw = room->raw;
	(*ret)->read_only = room->read_only;
	(*ret)->members_only = room->members_only;
	if ((*ret)->epoch == room->epoch && (*ret)->epoch_id != 0)
		return 0;
	r = store_raise_floor(s, (*ret)->next);
	if (r == 0)
		r = store_epoch_id(s, room->epoch, &(*ret)->epoch_id);
	if (r < 0)
		return r;
	(*ret)->epoch = room->epoch;
	(*ret)->next = 0;
	return 0;
}

static int store_update_room(struct store *s, struct store_known *k)
{
	sqlite3_stmt *st = store_statement(s, STORE_UPDATE_ROOM);
	int r = store_end_run(s, k);

	if (r < 0)
		return r;
	if (st) {
		sqlite3_bind_int64(st, 1, k->id);
		sqlite3_bind_int(st, 2, k->raw);
		sqlite3_bind_int(st, 3, k->read_only);
		sqlite3_bind_int(st, 4, k->members_only);
		sqlite3_bind_int64(st, 5, k->epoch_id);
		sqlite3_bind_int64(st, 6, (int64_t)k->next);
		sqlite3_bind_int64(st, 7, k->time_us);
		sqlite3_bind_int64(st, 8, k->messages);
		sqlite3_bind_int64(st, 9, k->bytes);
	}
	r = store_step(s, st, "write");
	if (r < 0)
		return r;
	k->is_dirty = false;
	k->messages = k->bytes = 0;
	return 0;
}

void store_mark(struct store *s, struct store_known *k)
{
	if (k->is_dirty)
		return;
	k->is_dirty = true;
	k->next_dirty = s->dirty;
	s->dirty = k;
}

/* --- blocks --- */

/* What the file has of the block, of earlier transactions, is widened. */
static int store_put_block(struct store *s)
{
	sqlite3_stmt *st = store_statement(s, STORE_PUT_BLOCK);

	if (st) {
		sqlite3_bind_int64(st, 1, s->block.id);
		sqlite3_bind_int64(st, 2, s->block.oldest);
		sqlite3_bind_int64(st, 3, s->block.newest);
	}
	return store_step(s, st, "write");
}

static int store_put_blocks(struct store *s)
{
	int r;

	if (!s->block.open)
		return 0;
	r = store_put_block(s);
	if (r == 0)
		s->block.open = false;
	return r;
}

static int store_note_time(struct store *s, int64_t time_us)
{
	int64_t id = s->next_id >> STORE_BLOCK_BITS;
	int r = 0;

	if (s->block.open && s->block.id != id)
		r = store_put_blocks(s);
	if (!s->block.open)
		s->block = (struct store_block){.id = id, .open = true, .oldest = time_us, .newest = time_us};
	if (time_us < s->block.oldest)
		s->block.oldest = time_us;
	if (time_us > s->block.newest)
		s->block.newest = time_us;
	return r;
}

/* --- a transaction --- */

int store_begin(struct store *s)
{
	int r = store_step(s, store_statement(s, STORE_BEGIN), "write");

	s->in_transaction = r == 0;
	return r;
}

int store_commit(struct store *s)
{
	int r = 0;

	if (!s->in_transaction)
		return -EINVAL;
	while (r == 0 && s->dirty) {
		r = store_update_room(s, s->dirty);
		if (r == 0)
			s->dirty = s->dirty->next_dirty;
	}
	if (r == 0)
		r = store_put_blocks(s);
	FAULT("history-written");
	if (r == 0)
		r = store_step(s, store_statement(s, STORE_COMMIT), "write");
	FAULT("history-committed");
	if (r < 0)
		return r;
	s->in_transaction = false;
	if (s->n_known > STORE_KNOWN_MAX)
		store_forget_known(s);
	return 0;
}

void store_abandon(struct store *s)
{
	char why[STORE_WHY_MAX];

	if (!s->in_transaction)
		return;
	memcpy(why, s->why, sizeof(why)); /* of what went wrong before */
	s->in_transaction = false;
	if (!sqlite3_get_autocommit(s->db))
		store_step(s, store_statement(s, STORE_ROLLBACK), "roll back");
	store_forget_known(s);
	store_learn(s);
	memcpy(s->why, why, sizeof(why));
}

/* What isn't clean (a raw room's may be anything) is a BLOB, so that all that is TEXT can be shown as it is. */
static void store_bind_text(sqlite3_stmt *st, int column, const char *text, size_t len)
{
	if (text_is_clean(text, len))
		sqlite3_bind_text(st, column, len ? text : "", (int)len, SQLITE_STATIC);
	else
		sqlite3_bind_blob(st, column, text, (int)len, SQLITE_STATIC);
}

int store_put(struct store *s, const struct store_room *room, const struct store_message *m)
{
	const struct speech_event *e = &m->event;
	struct store_known *k;
	sqlite3_stmt *st;
	int r = store_room_to_write(s, room, &k);

	if (r < 0)
		return r;
	if (m->number < k->next)
		return -EEXIST;
	if (m->number == 0 || m->number >= INT64_MAX || e->time_us > INT64_MAX || e->kind >= RECORD_KINDS ||
	    e->nick_len > SPEECH_NICK_MAX || e->text_len > (size_t)SPEECH_TEXT_MAX)
		return -EINVAL;
	st = store_statement(s, STORE_INSERT_MESSAGE);
	if (!st)
		return store_failed(s, "write");
	sqlite3_bind_int64(st, 1, s->next_id);
	sqlite3_bind_int64(st, 2, k->id);
	sqlite3_bind_int64(st, 3, k->epoch_id);
	sqlite3_bind_int64(st, 4, (int64_t)m->number);
	sqlite3_bind_int64(st, 5, (int64_t)m->stream);
	sqlite3_bind_int64(st, 6, (int64_t)e->time_us);
	sqlite3_bind_int(st, 7, e->kind);
	sqlite3_bind_int(st, 8, e->raw);
	sqlite3_bind_int64(st, 9, (int64_t)e->sender);
	store_bind_text(st, 10, e->nick, e->nick_len);
	store_bind_text(st, 11, e->text, e->text_len);
	r = store_step(s, st, "write");
	if (r == 0)
		r = store_note_time(s, (int64_t)e->time_us);
	if (r == 0)
		r = store_add_to_run(s, k, s->next_id);
	if (r < 0)
		return r;
	s->next_id++;
	k->next = m->number + 1;
	k->time_us = (int64_t)e->time_us;
	k->messages++;
	k->bytes += (int64_t)(STORE_MESSAGE_BYTES + e->nick_len + e->text_len);
	store_mark(s, k);
	return 0;
}

int store_gap(struct store *s, const struct store_room *room, uint64_t first, uint64_t end, int64_t time_us,
	      const char *why)
{
	struct store_known *k;
	sqlite3_stmt *st;
	int r = store_room_to_write(s, room, &k);

	if (r < 0)
		return r;
	if (first < k->next)
		return -EEXIST;
	if (first == 0 || end <= first || end >= INT64_MAX)
		return -EINVAL;
	st = store_statement(s, STORE_INSERT_GAP);
	if (!st)
		return store_failed(s, "write");
	sqlite3_bind_int64(st, 1, k->id);
	sqlite3_bind_int64(st, 2, s->next_id);
	sqlite3_bind_int64(st, 3, k->epoch_id);
	sqlite3_bind_int64(st, 4, (int64_t)first);
	sqlite3_bind_int64(st, 5, (int64_t)end);
	sqlite3_bind_int64(st, 6, time_us);
	sqlite3_bind_text(st, 7, why, -1, SQLITE_STATIC);
	r = store_step(s, st, "write");
	if (r < 0)
		return r;
	k->next = end;
	store_mark(s, k);
	return 0;
}

int store_position(struct store *s, const char *room, uint64_t epoch, uint64_t *ret_next)
{
	int r;
	const struct store_known *k = store_find_room(s, room, &r);

	if (r < 0)
		return r;
	if (!k || k->next == 0 || k->epoch != epoch)
		return -ENOENT;
	*ret_next = k->next;
	return 0;
}

int store_room_ended(struct store *s, const char *room)
{
	int r;
	struct store_known *k = store_find_room(s, room, &r);

	if (r < 0 || !k || k->next == 0)
		return r;
	r = store_raise_floor(s, k->next);
	if (r < 0)
		return r;
	k->next = 0;
	k->epoch = 0;
	k->epoch_id = 0;
	store_mark(s, k);
	return 0;
}

/* --- values --- */

int store_set_value(struct store *s, const char *key, int64_t value)
{
	sqlite3_stmt *st = store_statement(s, STORE_SET_VALUE);

	if (st) {
		sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
		sqlite3_bind_int64(st, 2, value);
	}
	return store_step(s, st, "write");
}

int store_value(struct store *s, const char *key, int64_t *ret)
{
	sqlite3_stmt *st = store_statement(s, STORE_VALUE);
	int r;

	if (!st)
		return store_failed(s, "read");
	sqlite3_bind_text(st, 1, key, -1, SQLITE_STATIC);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		*ret = sqlite3_column_int64(st, 0);
		r = 0;
	} else {
		r = r == SQLITE_DONE ? -ENOENT : store_failed(s, "read");
	}
	sqlite3_reset(st);
	return r;
}

/* What is known and isn't written yet may be above what the file has. */
int store_floor(struct store *s, uint64_t *ret)
{
	int64_t floor = 0, next = 0;
	int r = store_value(s, "floor", &floor);

	if (r == 0 || r == -ENOENT)
		r = store_integer(s, "SELECT max(next) FROM rooms", &next);
	if (r < 0 && r != -ENOENT)
		return r;
	*ret = (uint64_t)(floor > next ? floor : next);
	for (const struct store_known *k = s->dirty; k; k = k->next_dirty)
		if (k->next > *ret)
			*ret = k->next;
	return 0;
}
