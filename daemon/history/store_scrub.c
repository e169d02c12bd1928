/* SPDX-License-Identifier: MIT */
/*
 * Scrubbing: of messages that were removed nothing is to be left in the files. The parts of the index that had them are
 * made anew from what is still there, each in many small steps, and replace the old ones; then the WAL, which has pages as
 * they were, is emptied into the file, and what lies unused in its pages is overwritten (store_slack.c).
 */
#include "daemon/history/store_own.h"

#include "daemon/base/fault.h"

#include <errno.h>
#include <string.h>

#define STORE_SCRUB_ROWS 4096 /* a step: some 10 ms */

/* The new part that is being made, and the one that it replaces. */
struct store_renewal {
	struct store_part part, old; /* id 0: there is none */
};

static int store_read_part(struct store *s, enum store_statement which, int64_t id, struct store_part *ret,
			   int64_t *ret_replaces)
{
	sqlite3_stmt *st = store_statement(s, which);
	int r;

	*ret = (struct store_part){0};
	if (!st)
		return store_failed(s, "read");
	if (id)
		sqlite3_bind_int64(st, 1, id);
	r = sqlite3_step(st);
	if (r == SQLITE_ROW) {
		*ret = (struct store_part){.id = sqlite3_column_int64(st, 0),
					   .first = sqlite3_column_int64(st, 1),
					   .last = sqlite3_column_int64(st, 2)};
		if (ret_replaces)
			*ret_replaces = sqlite3_column_int64(st, 3);
	}
	r = r == SQLITE_ROW || r == SQLITE_DONE ? 0 : store_failed(s, "read");
	sqlite3_reset(st);
	return r;
}

/* One that was begun, or else for a part that had what was removed. */
static int store_renewal(struct store *s, struct store_renewal *ret)
{
	int64_t replaces = 0;
	int r = store_read_part(s, STORE_PART_BEGUN, 0, &ret->part, &replaces);

	ret->old = (struct store_part){0};
	if (r < 0)
		return r;
	if (ret->part.id) {
		r = store_read_part(s, STORE_PART_OF_ID, replaces, &ret->old, NULL);
		if (r == 0 && !ret->old.id)
			r = store_drop_part(s, ret->part.id);
		return r;
	}
	r = store_read_part(s, STORE_PART_UNCLEAN, 0, &ret->old, NULL);
	if (r == 0 && ret->old.id)
		r = store_new_part(s, ret->old.first, ret->old.id, &ret->part);
	return r;
}

/* 1: there is more to do. */
static int store_renew(struct store *s)
{
	struct store_renewal n;
	unsigned rows = STORE_SCRUB_ROWS;
	sqlite3_stmt *st;
	int r = store_renewal(s, &n);

	if (r < 0 || !n.part.id)
		return r;
	if (!n.old.id)
		return 1;
	r = store_fill_part(s, &n.part, n.old.last, &rows);
	if (r < 0 || n.part.last < n.old.last)
		return r < 0 ? r : 1;
	FAULT("history-index-renewed");
	r = store_drop_part(s, n.old.id);
	st = store_statement(s, STORE_PART_DONE);
	if (r == 0 && st)
		sqlite3_bind_int64(st, 1, n.part.id);
	if (r == 0)
		r = store_step(s, st, "forget");
	return r < 0 ? r : 1;
}

/* Of one step after the other, this is what is left: parts of the index first, then the file. */
static int store_scrub_index(struct store *s)
{
	int r = store_begin(s), more;

	if (r < 0)
		return r;
	more = r = store_renew(s);
	r = store_end_step(s, r < 0 ? r : 0);
	return r < 0 ? r : more;
}

static int store_scrubbed(struct store *s)
{
	int r;

	s->slack = 0;
	if (!store_is_unclean(s))
		return 0;
	r = store_begin(s);
	if (r == 0)
		r = store_end_step(s, store_set_value(s, "scrub", 0));
	return r;
}

int store_scrub(struct store *s, bool *ret_more)
{
	int r = s->slack ? 0 : store_scrub_index(s);

	*ret_more = true;
	if (r == 0) {
		r = store_clean_slack(s, &s->slack);
		*ret_more = r != 0;
		if (r == 0)
			r = store_scrubbed(s);
	}
	return r < 0 ? r : 0;
}

bool store_is_unclean(struct store *s)
{
	int64_t scrub = 0;

	return store_value(s, "scrub", &scrub) == 0 && scrub != 0;
}
