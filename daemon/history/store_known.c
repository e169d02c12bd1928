/* SPDX-License-Identifier: MIT */
/* What a store remembers of its file between transactions: the rooms with their positions, the epochs, the next id. */
#include "daemon/history/store_own.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORE_KNOWN_MIN 64

/* --- what is remembered --- */

void store_forget_known(struct store *s)
{
	for (size_t i = 0; i < s->known_size; i++) {
		if (s->known[i])
			store_free_run(s->known[i]);
		free(s->known[i]);
	}
	free(s->known);
	s->known = NULL;
	s->known_size = s->n_known = 0;
	s->dirty = NULL;
	s->block.open = false;
}

/* Where it is in the table, or the free place for it. */
static struct store_known **store_known_place(struct store *s, const char *name)
{
	size_t i = hash_bytes(&s->key, name, strlen(name)) & (s->known_size - 1);

	while (s->known[i] && strcmp(s->known[i]->name, name) != 0)
		i = (i + 1) & (s->known_size - 1);
	return &s->known[i];
}

static bool store_known_grow(struct store *s)
{
	size_t old_size = s->known_size, size = old_size ? old_size * 2 : STORE_KNOWN_MIN;
	struct store_known **old = s->known, **table;

	if (old && s->n_known * 4 < old_size * 3)
		return true;
	table = calloc(size, sizeof(struct store_known *));
	if (!table)
		return false;
	s->known = table;
	s->known_size = size;
	for (size_t i = 0; old && i < old_size; i++)
		if (old[i])
			*store_known_place(s, old[i]->name) = old[i];
	free(old);
	return true;
}

static int store_learn_epochs(struct store *s)
{
	sqlite3_stmt *st = store_statement(s, STORE_LIST_EPOCHS);
	struct store_epoch *more;
	int r = 0;

	if (!st)
		return store_failed(s, "read");
	s->n_epochs = 0;
	while ((r = sqlite3_step(st)) == SQLITE_ROW) {
		more = reallocarray(s->epochs, s->n_epochs + 1, sizeof(*more));
		if (!more) {
			sqlite3_reset(st);
			return -ENOMEM;
		}
		s->epochs = more;
		s->epochs[s->n_epochs++] = (struct store_epoch){
		    .id = sqlite3_column_int64(st, 0), .epoch = (uint64_t)sqlite3_column_int64(st, 1)};
	}
	r = r == SQLITE_DONE ? 0 : store_failed(s, "read");
	sqlite3_reset(st);
	return r;
}

int store_epoch_of(struct store *s, int64_t id, uint64_t *ret)
{
	int r;

	for (int again = 0; again < 2; again++) {
		for (size_t i = 0; i < s->n_epochs; i++)
			if (s->epochs[i].id == id) {
				*ret = s->epochs[i].epoch;
				return 0;
			}
		if (again == 0) {
			r = store_learn_epochs(s);
			if (r < 0)
				return r;
		}
	}
	return store_bad(s, "no such epoch");
}

int store_epoch_id(struct store *s, uint64_t epoch, int64_t *ret)
{
	sqlite3_stmt *st;
	int r;

	for (size_t i = 0; i < s->n_epochs; i++)
		if (s->epochs[i].epoch == epoch) {
			*ret = s->epochs[i].id;
			return 0;
		}
	st = store_statement(s, STORE_INSERT_EPOCH);
	if (st)
		sqlite3_bind_int64(st, 1, (int64_t)epoch);
	r = store_step(s, st, "write");
	if (r < 0)
		return r;
	*ret = sqlite3_last_insert_rowid(s->db);
	return store_learn_epochs(s);
}

int store_learn(struct store *s)
{
	int64_t last = 0, kept = 0, id = 0;
	int r = store_learn_epochs(s);

	if (r == 0)
		r = store_value(s, "epoch", &id);
	if (r == 0)
		r = store_epoch_of(s, id, &s->epoch);
	if (r == -ENOENT)
		return store_bad(s, "it has no epoch");
	if (r == 0)
		r = store_integer(s, "SELECT max(id) FROM messages", &last);
	if (r == 0 || r == -ENOENT)
		r = store_value(s, "next", &kept);
	if (r < 0 && r != -ENOENT)
		return r;
	if (last < 0 || last > STORE_ID_MAX || kept < 0 || kept > STORE_ID_MAX)
		return store_bad(s, "ids that were never given");
	s->next_id = last + 1 > kept ? last + 1 : kept;
	return 0;
}

/* --- rooms --- */

struct store_known *store_remember(struct store *s, const char *name, const struct store_known *k)
{
	size_t size = strlen(name) + 1;
	struct store_known *copy;

	/* Another store may change what a reader remembers. */
	if (s->access == STORE_READ) {
		s->found = *k;
		return &s->found;
	}
	if (!store_known_grow(s))
		return NULL;
	copy = malloc(sizeof(*copy) + size);
	if (!copy)
		return NULL;
	*copy = *k;
	copy->name = memcpy(copy + 1, name, size);
	*store_known_place(s, name) = copy;
	s->n_known++;
	return copy;
}

struct store_known *store_find_room(struct store *s, const char *name, int *ret_error)
{
	struct store_known k = {0}, *found = s->known ? *store_known_place(s, name) : NULL;
	sqlite3_stmt *st;
	int r;

	*ret_error = 0;
	if (found)
		return found;
	st = store_statement(s, STORE_FIND_ROOM);
	if (!st) {
		*ret_error = store_failed(s, "read");
		return NULL;
	}
	sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		k.id = sqlite3_column_int64(st, 0);
		k.raw = sqlite3_column_int(st, 2);
		k.read_only = sqlite3_column_int(st, 3);
		k.members_only = sqlite3_column_int(st, 4);
		k.epoch_id = sqlite3_column_int64(st, 5);
		k.next = (uint64_t)sqlite3_column_int64(st, 6);
		k.time_us = sqlite3_column_int64(st, 7);
		if (k.epoch_id != 0)
			*ret_error = store_epoch_of(s, k.epoch_id, &k.epoch);
		if (*ret_error == 0) {
			found = store_remember(s, name, &k);
			*ret_error = found ? 0 : -ENOMEM;
		}
	} else if (r != SQLITE_DONE) {
		*ret_error = store_failed(s, "read");
	}
	sqlite3_reset(st);
	return found;
}
