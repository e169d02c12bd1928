/* SPDX-License-Identifier: MIT */
/*
 * The unused space in the pages of the file. SQLite overwrites what it removes (secure_delete), but when it moves rows from
 * one page to another, the old copies may stay between a page's directory and its rows, where nothing reads them; a row
 * that is removed later is overwritten in its new place only. So that space is filled with zeros here, some thousand pages
 * at a time.
 *
 * It is done in the file itself, behind SQLite's back, while a write transaction keeps others from writing, the WAL is
 * empty, and the connection has no page in memory that it could write back. What reads meanwhile never looks at these
 * bytes, and a power cut in the middle leaves a part of the zeros.
 */
#include "daemon/history/store_own.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORE_SLACK_PAGES 1024 /* a step: some milliseconds */
/* From here on the first byte of an overflow page, which is that of a page's number, could be taken for a kind of page. */
#define STORE_SLACK_LAST INT64_C(0x02000000)

static uint16_t store_slack_number(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

/* The unused space of a page: [*begin, *end) in it. False: it isn't a page of rows, or makes no sense. */
static bool store_slack_of(const unsigned char *page, size_t size, size_t *begin, size_t *end)
{
	size_t header;

	switch (page[0]) {
	case 0x02:
	case 0x05:
		header = 12;
		break;
	case 0x0a:
	case 0x0d:
		header = 8;
		break;
	default:
		return false;
	}
	*begin = header + (size_t)2 * store_slack_number(page + 3);
	*end = store_slack_number(page + 5);
	if (*end == 0)
		*end = 65536;
	return *begin < *end && *end <= size;
}

static int store_clean_page(sqlite3_file *f, unsigned char *page, int64_t at, size_t size, bool *ret_changed)
{
	static const unsigned char zeros[65536];
	size_t begin, end;
	int r = f->pMethods->xRead(f, page, (int)size, at);

	if (r != SQLITE_OK || !store_slack_of(page, size, &begin, &end) ||
	    memcmp(page + begin, zeros, end - begin) == 0)
		return r;
	*ret_changed = true;
	return f->pMethods->xWrite(f, zeros, (int)(end - begin), at + (int64_t)begin);
}

/* Page 1 has the tables' definitions, and nothing else. */
static int store_clean_pages(struct store *s, sqlite3_file *f, int64_t page_size, int64_t *page)
{
	_cleanup_free_ unsigned char *buffer = malloc((size_t)page_size);
	sqlite3_int64 size = 0;
	bool changed = false;
	int r = buffer ? f->pMethods->xFileSize(f, &size) : SQLITE_NOMEM;
	int64_t pages = size / page_size, end = *page + STORE_SLACK_PAGES;

	if (pages > STORE_SLACK_LAST)
		pages = STORE_SLACK_LAST;
	for (; r == SQLITE_OK && *page < pages && *page < end; ++*page)
		r = store_clean_page(f, buffer, *page * page_size, (size_t)page_size, &changed);
	FAULT("history-slack");
	if (r == SQLITE_OK && changed)
		r = f->pMethods->xSync(f, SQLITE_SYNC_NORMAL);
	if (r != SQLITE_OK) {
		snprintf(s->why, sizeof(s->why), "can't overwrite what was removed: %s", sqlite3_errstr(r));
		return -EIO;
	}
	return *page < pages;
}

/* Whether nothing but the file has anything. */
static bool store_wal_is_empty(struct store *s)
{
	sqlite3_file *wal = NULL;
	sqlite3_int64 size = 0;

	if (sqlite3_file_control(s->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &wal) != SQLITE_OK || !wal ||
	    !wal->pMethods)
		return true;
	return wal->pMethods->xFileSize(wal, &size) == SQLITE_OK && size == 0;
}

/* A reader that is in the middle of something keeps the WAL. 1: try again. */
static int store_empty_wal(struct store *s)
{
	int r;

	if (sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL) == SQLITE_OK)
		return 0;
	r = store_failed(s, "empty the log");
	return r == -EBUSY ? 1 : r;
}

int store_clean_slack(struct store *s, int64_t *page)
{
	sqlite3_file *f = NULL;
	int64_t page_size = 0;
	int r = store_integer(s, "PRAGMA page_size", &page_size);

	if (r == 0)
		r = store_empty_wal(s);
	if (r != 0)
		return r;
	sqlite3_db_release_memory(s->db);
	r = store_run(s, "BEGIN IMMEDIATE");
	if (r < 0)
		return r;
	if (*page == 0)
		*page = 1;
	if (!store_wal_is_empty(s))
		r = 1;
	else if (page_size < 512 || page_size > 65536 ||
		 sqlite3_file_control(s->db, "main", SQLITE_FCNTL_FILE_POINTER, &f) != SQLITE_OK || !f)
		r = store_bad(s, "the size of its pages");
	else
		r = store_clean_pages(s, f, page_size, page);
	sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}
