/* SPDX-License-Identifier: MIT */
/* Copies of the database: a consistent one while it is in use, to which other files are added, and a damaged one that is
 * set aside. */
#include "daemon/history/store_own.h"

#include "common/cleanup.h"
#include "daemon/base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int store_sync(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* As private as the database, and never in the place of another file. SQLite takes an empty file as none. */
static int store_make_copy(struct store *s, const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0) {
		int r = -errno;

		snprintf(s->why, sizeof(s->why), "can't make %.150s: %s", path, strerror(-r));
		return r;
	}
	return 0;
}

int store_backup(struct store *s, const char *path)
{
	sqlite3_stmt *st = NULL;
	int r = store_make_copy(s, path);

	if (r < 0)
		return r;
	sqlite3_exec(s->db, "PRAGMA query_only = OFF", NULL, NULL, NULL);
	s->reading = true; /* it can be interrupted */
	if (sqlite3_prepare_v2(s->db, "VACUUM INTO ?1", -1, &st, NULL) == SQLITE_OK)
		sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
	r = store_step(s, st, "make a copy");
	s->reading = false;
	sqlite3_finalize(st);
	if (s->access == STORE_READ)
		sqlite3_exec(s->db, "PRAGMA query_only = ON", NULL, NULL, NULL);
	if (r == 0) {
		r = store_sync(path);
		if (r < 0)
			snprintf(s->why, sizeof(s->why), "can't make a copy: %s", strerror(-r));
	}
	if (r < 0)
		unlink(path);
	return r;
}

int store_add_file(const char *backup, const char *path, unsigned mode, const void *content, size_t len,
		   char why[static STORE_WHY_MAX])
{
	struct store s = {.access = STORE_WRITE};
	sqlite3_stmt *st = NULL;
	int r;

	if (sqlite3_open_v2(backup, &s.db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
		r = s.db ? store_failed(&s, "open the copy") : -ENOMEM;
	else
		r = store_run(
		    &s, "CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, mode INTEGER NOT NULL, "
			"content BLOB NOT NULL) STRICT");
	if (r == 0) {
		if (sqlite3_prepare_v2(
			s.db, "INSERT OR REPLACE INTO files (path, mode, content) VALUES (?1, ?2, ?3)", -1,
			&st, NULL) == SQLITE_OK) {
			sqlite3_bind_text(st, 1, path, -1, SQLITE_STATIC);
			sqlite3_bind_int64(st, 2, mode);
			sqlite3_bind_blob64(st, 3, len ? content : "", len, SQLITE_STATIC);
		}
		r = store_step(&s, st, "write to the copy");
	}
	sqlite3_finalize(st);
	sqlite3_close_v2(s.db);
	if (r < 0)
		snprintf(why, STORE_WHY_MAX, "%s", *s.why ? s.why : strerror(-r));
	return r;
}

/* Never onto another file. */
static int store_rename(const char *path, const char *to, const char *suffix)
{
	_cleanup_free_ char *from_name = NULL, *to_name = NULL;

	if (asprintf(&from_name, "%s%s", path, suffix) < 0 || asprintf(&to_name, "%s%s", to, suffix) < 0)
		return -ENOMEM;
	return renameat2(AT_FDCWD, from_name, AT_FDCWD, to_name, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

/* The WAL first: if the next database found it, SQLite would take it for its own. */
int store_set_aside(const char *path, char *ret_name, size_t size)
{
	static const char *const suffixes[] = {"-wal", "-shm", ""};
	_cleanup_close_ int lock = store_open_lock(path);
	time_t now = time(NULL);
	struct tm tm;
	char when[32];
	int r;

	if (lock == -EBUSY)
		return lock; /* somebody else began to write to it */
	strftime(when, sizeof(when), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	if ((size_t)snprintf(ret_name, size, "%s.damaged-%s", path, when) >= size)
		return -ENAMETOOLONG;
	for (size_t i = 0; i < sizeof(suffixes) / sizeof(*suffixes); i++) {
		r = store_rename(path, ret_name, suffixes[i]);
		if (r < 0 && (r != -ENOENT || !*suffixes[i]))
			return r;
		FAULT("history-aside");
	}
	return 0;
}
