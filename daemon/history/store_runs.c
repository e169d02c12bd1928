/* SPDX-License-Identifier: MIT */
/*
 * Which messages are in which room. The table runs has a row for each room and transaction, with the ids that the room got
 * then: an index row for each message would cost as much as the message. A run may name messages that were removed since,
 * and says nothing else of them.
 *
 * A run is its first id, and behind it, in a blob, the differences from each id to the next one, seven bits a byte with the
 * lowest ones first.
 */
#include "daemon/history/store_own.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STORE_RUN_FIRST 16 /* bytes of differences that space is made for at first */
#define STORE_RUN_SIZE ((size_t)STORE_RUN_MAX * 3)

/* --- writing --- */

void store_free_run(struct store_known *k)
{
	if (k->run)
		free(k->run->steps);
	free(k->run);
	k->run = NULL;
}

int store_end_run(struct store *s, struct store_known *k)
{
	const struct store_run *run = k->run;
	sqlite3_stmt *st;
	int r;

	if (!run)
		return 0;
	st = store_statement(s, STORE_INSERT_RUN);
	if (st) {
		sqlite3_bind_int64(st, 1, k->id);
		sqlite3_bind_int64(st, 2, run->first);
		sqlite3_bind_int64(st, 3, run->last);
		sqlite3_bind_blob(st, 4, run->steps ? run->steps : (void *)"", (int)run->len, SQLITE_STATIC);
	}
	r = store_step(s, st, "write");
	store_free_run(k);
	return r;
}

static bool store_run_grow(struct store_run *run)
{
	size_t size = run->size ? run->size * 2 : STORE_RUN_FIRST;
	uint8_t *more;

	if (run->size - run->len >= 10)
		return true;
	more = realloc(run->steps, size);
	if (!more)
		return false;
	run->steps = more;
	run->size = size;
	return true;
}

int store_add_to_run(struct store *s, struct store_known *k, int64_t id)
{
	struct store_run *run = k->run;
	uint64_t step;
	int r;

	if (run && (run->n == STORE_RUN_MAX || run->len > STORE_RUN_SIZE)) {
		r = store_end_run(s, k);
		if (r < 0)
			return r;
		run = NULL;
	}
	if (!run) {
		run = k->run = calloc(1, sizeof(*run));
		if (!run)
			return -ENOMEM;
		*run = (struct store_run){.n = 1, .first = id, .last = id};
		return 0;
	}
	if (!store_run_grow(run))
		return -ENOMEM;
	run->n++;
	step = (uint64_t)(id - run->last);
	for (; step >= 0x80; step >>= 7)
		run->steps[run->len++] = (uint8_t)(step | 0x80);
	run->steps[run->len++] = (uint8_t)step;
	run->last = id;
	return 0;
}

/* --- reading --- */

int store_ids_begin(struct store_ids *ids, struct store *s, int64_t room, int64_t first, int64_t last,
		    bool up)
{
	const char *sql =
	    up ? "SELECT first, last, steps FROM runs WHERE room = ?1 AND first <= ?3 AND last >= ?2 "
		 "ORDER BY first"
	       : "SELECT first, last, steps FROM runs WHERE room = ?1 AND first <= ?3 AND last >= ?2 "
		 "ORDER BY first DESC";

	*ids = (struct store_ids){.store = s, .up = up, .first = first, .last = last};
	if (sqlite3_prepare_v2(s->db, sql, -1, &ids->statement, NULL) != SQLITE_OK)
		return store_failed(s, "read");
	sqlite3_bind_int64(ids->statement, 1, room);
	sqlite3_bind_int64(ids->statement, 2, first);
	sqlite3_bind_int64(ids->statement, 3, last);
	return 0;
}

void store_ids_end(struct store_ids *ids)
{
	sqlite3_finalize(ids->statement);
	ids->statement = NULL;
}

/* Takes the row's run apart, and checks it. */
static int store_ids_unpack(struct store_ids *ids)
{
	sqlite3_stmt *st = ids->statement;
	int64_t id = sqlite3_column_int64(st, 0), last = sqlite3_column_int64(st, 1);
	const uint8_t *p = sqlite3_column_blob(st, 2), *end = p ? p + sqlite3_column_bytes(st, 2) : NULL;

	ids->n = ids->at = 0;
	if (id <= 0)
		return store_bad(ids->store, "a run of no ids");
	ids->id[ids->n++] = id;
	while (p < end) {
		uint64_t step = 0;

		for (unsigned shift = 0;; shift += 7) {
			if (p == end || shift > 56)
				return store_bad(ids->store, "a run that ends too soon");
			step |= (uint64_t)(*p & 0x7f) << shift;
			if (!(*p++ & 0x80))
				break;
		}
		if (step == 0 || step > (uint64_t)(INT64_MAX - id) || ids->n == STORE_RUN_MAX)
			return store_bad(ids->store, "a run out of order");
		id += (int64_t)step;
		ids->id[ids->n++] = id;
	}
	return id == last ? 0 : store_bad(ids->store, "a run that doesn't end where it should");
}

int store_ids_next(struct store_ids *ids, int64_t *ret)
{
	int r;

	for (;;) {
		while (ids->at < ids->n) {
			*ret = ids->id[ids->up ? ids->at : ids->n - 1 - ids->at];
			ids->at++;
			if (*ret >= ids->first && *ret <= ids->last)
				return 1;
		}
		r = sqlite3_step(ids->statement);
		if (r != SQLITE_ROW)
			return r == SQLITE_DONE ? 0 : store_failed(ids->store, "read");
		r = store_ids_unpack(ids);
		if (r < 0)
			return r;
	}
}
