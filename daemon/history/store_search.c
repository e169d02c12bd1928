/* SPDX-License-Identifier: MIT */
/*
 * The index for searches, in parts: each has the words of the messages of one range of ids, and is an FTS5 table of its
 * own that is only added to. When messages are removed, a part that had them is made anew, or dropped with the last of
 * them; so nothing of them is left in it, and an old part costs nothing to get rid of.
 *
 * A message's text goes into the index with one more word, which names its room: so a search in a small room doesn't read
 * through what a large one has. Only which messages have a word is in there, so what is found is looked at once more.
 */
#include "daemon/history/store_own.h"

#include "common/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The word that names a room: a character for private use (U+E000), and its id's digits. */
#define STORE_ROOM_WORD "\xee\x80\x80"

/* The columns of store_give(), of a table called m. */
#define STORE_COLUMNS                                                                                        \
	"m.id, m.room, m.epoch, m.number, m.stream, m.time, m.kind, m.raw, m.sender, m.nick, m.text"

void store_set_search(struct store *s, bool on)
{
	s->search = on;
}

/* --- making it --- */

/* The part that is added to: the newest one. id 0: there is none. */
int store_last_part(struct store *s, struct store_part *ret)
{
	sqlite3_stmt *st = store_statement(s, STORE_LAST_PART);
	int r;

	*ret = (struct store_part){0};
	if (!st)
		return store_failed(s, "read");
	r = sqlite3_step(st);
	if (r == SQLITE_ROW)
		*ret = (struct store_part){.id = sqlite3_column_int64(st, 0),
					   .first = sqlite3_column_int64(st, 1),
					   .last = sqlite3_column_int64(st, 2)};
	r = r == SQLITE_ROW || r == SQLITE_DONE ? 0 : store_failed(s, "read");
	sqlite3_reset(st);
	return r;
}

int store_new_part(struct store *s, int64_t first, int64_t replaces, struct store_part *ret)
{
	sqlite3_stmt *st = store_statement(s, STORE_INSERT_PART);
	char sql[192];
	int r;

	if (st) {
		sqlite3_bind_int64(st, 1, first);
		sqlite3_bind_int64(st, 2, first - 1);
		sqlite3_bind_int64(st, 3, replaces);
	}
	r = store_step(s, st, "write");
	if (r < 0)
		return r;
	*ret = (struct store_part){.id = sqlite3_last_insert_rowid(s->db), .first = first, .last = first - 1};
	snprintf(sql, sizeof(sql),
		 "CREATE VIRTUAL TABLE messages_text_%lld USING fts5 (text, content = '', columnsize = 0, "
		 "detail = none)",
		 (long long)ret->id);
	r = store_run(s, sql);
	if (r < 0)
		return r;
	/* Merging at a sixteenth piece instead of at a fourth: less is written, and a part has few pieces anyway. */
	snprintf(sql, sizeof(sql),
		 "INSERT INTO messages_text_%lld (messages_text_%lld, rank) VALUES ('automerge', 16)",
		 (long long)ret->id, (long long)ret->id);
	return store_run(s, sql);
}

/* Finds the id up to which there are *rows messages, or no more than that up to *last; takes them from *rows. */
static int store_some_rows(struct store *s, int64_t first, int64_t *last, unsigned *rows)
{
	char sql[192];
	int64_t n;
	int r;

	snprintf(sql, sizeof(sql),
		 "SELECT id FROM messages WHERE id BETWEEN %lld AND %lld ORDER BY id LIMIT 1 OFFSET %u",
		 (long long)first, (long long)*last, *rows - 1);
	r = store_integer(s, sql, last);
	if (r == 0)
		*rows = 0;
	if (r != -ENOENT)
		return r;
	snprintf(sql, sizeof(sql), "SELECT count(*) FROM messages WHERE id BETWEEN %lld AND %lld",
		 (long long)first, (long long)*last);
	r = store_integer(s, sql, &n);
	if (r == 0)
		*rows -= (unsigned)n;
	return r;
}

/*
 * Adds up to *rows messages with ids up to last to the part, and says how many are left of *rows. In one statement: a
 * tenth of the processor time of storing goes into beginning and ending statements.
 */
int store_fill_part(struct store *s, struct store_part *part, int64_t last, unsigned *rows)
{
	sqlite3_stmt *st = NULL;
	char sql[256];
	int r = store_some_rows(s, part->last + 1, &last, rows);

	if (r < 0)
		return r;
	snprintf(sql, sizeof(sql),
		 "INSERT INTO messages_text_%lld (rowid, text) "
		 "SELECT id, CAST(text AS TEXT) || ' " STORE_ROOM_WORD "' || room FROM messages "
		 "WHERE id BETWEEN ?1 AND ?2 AND kind <= %d ORDER BY id",
		 (long long)part->id, RECORD_NOTICE);
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return store_failed(s, "write");
	sqlite3_bind_int64(st, 1, part->last + 1);
	sqlite3_bind_int64(st, 2, last);
	r = store_step(s, st, "write");
	sqlite3_finalize(st);
	if (r < 0)
		return r;
	part->last = last;
	st = store_statement(s, STORE_UPDATE_PART);
	if (st) {
		sqlite3_bind_int64(st, 1, part->id);
		sqlite3_bind_int64(st, 2, part->last);
	}
	return store_step(s, st, "write");
}

int store_drop_part(struct store *s, int64_t id)
{
	char sql[160];

	snprintf(sql, sizeof(sql), "DROP TABLE messages_text_%lld; DELETE FROM search WHERE id = %lld",
		 (long long)id, (long long)id);
	return store_run(s, sql);
}

/* One part less of an index that isn't to be there. */
static int store_drop_index(struct store *s)
{
	struct store_part part;
	int r = store_last_part(s, &part);

	return r < 0 || part.id == 0 ? r : store_drop_part(s, part.id);
}

static int store_index_some(struct store *s, unsigned rows)
{
	struct store_part part;
	int64_t first;
	int r = store_last_part(s, &part);

	while (r == 0 && rows > 0) {
		/* Those in between were removed, or never were. */
		r = store_next_id(s, part.last, &first);
		if (r <= 0)
			return r;
		r = 0;
		if (part.id == 0 || first >> STORE_PART_BITS != part.first >> STORE_PART_BITS)
			r = store_new_part(s, first, 0, &part);
		if (r == 0) {
			int64_t last = part.first | ((INT64_C(1) << STORE_PART_BITS) - 1);

			r = store_fill_part(s, &part, last < s->next_id ? last : s->next_id - 1, &rows);
		}
	}
	return r;
}

int store_index(struct store *s, unsigned max_rows, uint64_t *ret_waiting)
{
	bool own = !s->in_transaction;
	struct store_part part;
	int r;

	*ret_waiting = 0;
	r = store_last_part(s, &part);
	if (r < 0)
		return r;
	if (s->search ? part.id != 0 && part.last >= s->next_id - 1 : part.id == 0)
		return 0;
	r = own ? store_begin(s) : 0;
	if (r == 0)
		r = s->search ? store_index_some(s, max_rows) : store_drop_index(s);
	if (r == 0 && own)
		r = store_commit(s);
	if (r == 0)
		r = store_waiting(s, ret_waiting);
	if (r < 0 && own)
		store_abandon(s);
	return r;
}

int store_waiting(struct store *s, uint64_t *ret)
{
	struct store_part part;
	int64_t first = 0, last = 0;
	int r = store_last_part(s, &part);

	*ret = 0;
	if (r < 0)
		return r;
	r = store_integer(s, "SELECT max(id) FROM messages", &last);
	if (r == 0 && part.id == 0)
		r = store_integer(s, "SELECT min(id) FROM messages", &first);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	if (part.id != 0)
		first = part.last + 1;
	if (last >= first)
		*ret = (uint64_t)(last - first + 1);
	return 0;
}

/* --- searching --- */

/* What FTS5 is asked for: all of the words, and the room's. */
static void store_match_text(const struct store_reading *g, char *ret, size_t size)
{
	const struct store_words *w = &g->words;
	size_t n = 0;

	for (size_t i = 0; i < w->n; i++)
		n += (size_t)snprintf(ret + n, size - n, "%s\"%.*s\"%s", i ? " AND " : "", w->word[i].len,
				      w->word[i].text, w->word[i].prefix ? " *" : "");
	if (g->room)
		snprintf(ret + n, size - n, " AND \"" STORE_ROOM_WORD "%lld\"", (long long)g->room);
}

static int store_search_part(struct store_reading *g, const struct store_part *part, int64_t first,
			     int64_t last)
{
	struct store *s = g->store;
	char sql[384], match[STORE_WORDS_MAX * (sizeof(g->words.word[0].text) + 16) + 64];
	sqlite3_stmt *st;
	int r;

	snprintf(sql, sizeof(sql),
		 "SELECT " STORE_COLUMNS
		 " FROM messages_text_%lld AS t CROSS JOIN messages AS m ON m.id = t.rowid "
		 "WHERE t.messages_text_%lld MATCH ?1 AND t.rowid BETWEEN ?2 AND ?3 ORDER BY t.rowid %s",
		 (long long)part->id, (long long)part->id, g->query->oldest_first ? "ASC" : "DESC");
	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return store_failed(s, "search");
	store_match_text(g, match, sizeof(match));
	sqlite3_bind_text(st, 1, match, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, first > part->first ? first : part->first);
	sqlite3_bind_int64(st, 3, last < part->last ? last : part->last);
	r = store_give_all(g, st);
	sqlite3_finalize(st);
	return r;
}

/* What the index has not got yet is read through. */
static int store_search_rest(struct store_reading *g, int64_t indexed, int64_t first, int64_t last)
{
	return store_scan(g, first > indexed ? first : indexed + 1, last);
}

/* The parts' list is as long as the database is large: some hundred rows. */
static int store_parts(struct store *s, bool oldest_first, struct store_part **ret, size_t *ret_n)
{
	sqlite3_stmt *st = store_statement(s, oldest_first ? STORE_PARTS_UP : STORE_PARTS_DOWN);
	struct store_part *more;
	int r;

	*ret = NULL;
	*ret_n = 0;
	if (!st)
		return store_failed(s, "search");
	while ((r = sqlite3_step(st)) == SQLITE_ROW) {
		more = reallocarray(*ret, *ret_n + 1, sizeof(*more));
		if (!more) {
			sqlite3_reset(st);
			return -ENOMEM;
		}
		*ret = more;
		more[(*ret_n)++] = (struct store_part){.id = sqlite3_column_int64(st, 0),
						       .first = sqlite3_column_int64(st, 1),
						       .last = sqlite3_column_int64(st, 2)};
	}
	r = r == SQLITE_DONE ? 0 : store_failed(s, "search");
	sqlite3_reset(st);
	return r;
}

int store_search(struct store_reading *g, int64_t first, int64_t last)
{
	_cleanup_free_ struct store_part *parts = NULL;
	bool up = g->query->oldest_first;
	size_t n;
	int64_t indexed = 0;
	int r = store_parts(g->store, up, &parts, &n);

	if (r == 0 && n > 0)
		indexed = parts[up ? n - 1 : 0].last;
	if (r == 0 && !up)
		r = store_search_rest(g, indexed, first, last);
	for (size_t i = 0; r == 0 && !g->ended && i < n; i++) {
		if (parts[i].first > last || parts[i].last < first)
			continue;
		r = store_search_part(g, &parts[i], first, last);
		if (r == 0 && store_is_over(g->store))
			r = -ETIME;
	}
	if (r == 0 && up && !g->ended)
		r = store_search_rest(g, indexed, first, last);
	return r;
}
