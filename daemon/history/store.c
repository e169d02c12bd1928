/* SPDX-License-Identifier: MIT */
/*
 * The store's connection to its database: opened, with what makes it durable, private and careful about what is in the
 * file; its statements; and SQLite's errors as ours, with words for people.
 */
#include "daemon/history/store_own.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Another process (people's sqlite3) holds a lock for moments only; who reads waits for a recovery. */
#define STORE_BUSY_MS 100
/* The progress handler is called each so many steps of SQLite's machine. */
#define STORE_PROGRESS 1000

static const char *const store_sql[STORE_STATEMENTS] = {
    [STORE_BEGIN] = "BEGIN IMMEDIATE",
    [STORE_COMMIT] = "COMMIT",
    [STORE_ROLLBACK] = "ROLLBACK",
    [STORE_INSERT_MESSAGE] =
	"INSERT INTO messages (id, room, epoch, number, stream, time, kind, raw, sender, nick, text) "
	"VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    [STORE_INSERT_GAP] = "INSERT INTO gaps (room, before, epoch, first, \"end\", time, why) "
			 "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    [STORE_INSERT_ROOM] = "INSERT INTO rooms (name) VALUES (?1)",
    [STORE_UPDATE_ROOM] =
	"UPDATE rooms SET raw = ?2, read_only = ?3, members_only = ?4, epoch = ?5, next = ?6, "
	"time = ?7, messages = messages + ?8, bytes = bytes + ?9 WHERE id = ?1",
    [STORE_INSERT_RUN] = "INSERT INTO runs (room, first, last, steps) VALUES (?1, ?2, ?3, ?4)",
    [STORE_MESSAGE] =
	"SELECT id, room, epoch, number, stream, time, kind, raw, sender, nick, text FROM messages "
	"WHERE id = ?1",
    [STORE_MESSAGES_UP] = "SELECT id, room, epoch, number, stream, time, kind, raw, sender, nick, text "
			  "FROM messages WHERE id BETWEEN ?1 AND ?2 ORDER BY id",
    [STORE_MESSAGES_DOWN] = "SELECT id, room, epoch, number, stream, time, kind, raw, sender, nick, text "
			    "FROM messages WHERE id BETWEEN ?1 AND ?2 ORDER BY id DESC",
    [STORE_PUT_BLOCK] =
	"INSERT INTO blocks (id, oldest, newest) VALUES (?1, ?2, ?3) ON CONFLICT (id) DO UPDATE "
	"SET oldest = min(oldest, excluded.oldest), newest = max(newest, excluded.newest)",
    [STORE_FIND_ROOM] =
	"SELECT id, name, raw, read_only, members_only, epoch, next, time FROM rooms WHERE name = ?1",
    [STORE_LIST_ROOMS] =
	"SELECT id, name, raw, read_only, members_only, epoch, next, time FROM rooms ORDER BY time DESC, id",
    [STORE_LIST_GAPS] =
	"SELECT name, before, gaps.epoch, first, \"end\", gaps.time, why FROM gaps "
	"JOIN rooms ON rooms.id = gaps.room WHERE ?1 IS NULL OR name = ?1 ORDER BY gaps.id DESC",
    [STORE_TOTALS] = "SELECT total(messages), total(bytes), count(*), (SELECT count(*) FROM gaps), "
		     "(SELECT time FROM messages ORDER BY id LIMIT 1), "
		     "(SELECT time FROM messages ORDER BY id DESC LIMIT 1) FROM rooms",
    [STORE_BLOCKS_UP] =
	"SELECT id FROM blocks WHERE newest >= ?1 AND oldest < ?2 AND id BETWEEN ?3 AND ?4 ORDER BY id",
    [STORE_BLOCKS_DOWN] =
	"SELECT id FROM blocks WHERE newest >= ?1 AND oldest < ?2 AND id BETWEEN ?3 AND ?4 ORDER BY id DESC",
    [STORE_ROOM_NAME] = "SELECT name FROM rooms WHERE id = ?1",
    [STORE_INSERT_EPOCH] = "INSERT INTO epochs (epoch) VALUES (?1)",
    [STORE_LIST_EPOCHS] = "SELECT id, epoch FROM epochs",
    [STORE_DELETE_MESSAGE] = "DELETE FROM messages WHERE id = ?1",
    [STORE_DELETE_RUNS] = "DELETE FROM runs WHERE room = ?1 AND last <= ?2",
    [STORE_DELETE_ALL_RUNS] = "DELETE FROM runs WHERE room = ?1",
    [STORE_DELETE_PLACE] = "DELETE FROM streams WHERE room = ?1",
    [STORE_DELETE_ROOM] = "DELETE FROM rooms WHERE id = ?1",
    [STORE_DELETE_GAPS] = "DELETE FROM gaps WHERE room = ?1 AND time < ?2",
    [STORE_DELETE_BLOCKS] = "DELETE FROM blocks WHERE id < ?1",
    [STORE_MESSAGE_SIZE] =
	"SELECT time, length(CAST(nick AS BLOB)) + length(CAST(text AS BLOB)) FROM messages WHERE id = ?1",
    [STORE_NEXT_ROOM] = "SELECT id, name, messages, bytes, next FROM rooms WHERE id > ?1 ORDER BY id LIMIT 1",
    [STORE_NEXT_ID] = "SELECT id FROM messages WHERE id > ?1 ORDER BY id LIMIT 1",
    [STORE_ROOM_REMOVED] = "UPDATE rooms SET messages = messages - ?2, bytes = bytes - ?3 WHERE id = ?1",
    [STORE_PART_REMOVED] = "UPDATE search SET removed = removed + 1 WHERE first <= ?1 AND last >= ?1",
    [STORE_PART_BEFORE] = "SELECT id FROM search WHERE last < ?1 ORDER BY last LIMIT 1",
    [STORE_PART_BEGUN] = "SELECT id, first, last, replaces FROM search WHERE replaces <> 0 LIMIT 1",
    [STORE_PART_UNCLEAN] = "SELECT id, first, last FROM search WHERE removed > 0 AND replaces = 0 LIMIT 1",
    [STORE_PART_OF_ID] = "SELECT id, first, last FROM search WHERE id = ?1",
    [STORE_PART_DONE] = "UPDATE search SET replaces = 0 WHERE id = ?1",
    [STORE_LAST_PART] = "SELECT id, first, last FROM search WHERE replaces = 0 ORDER BY first DESC LIMIT 1",
    [STORE_PARTS_UP] = "SELECT id, first, last FROM search WHERE replaces = 0 ORDER BY first",
    [STORE_PARTS_DOWN] = "SELECT id, first, last FROM search WHERE replaces = 0 ORDER BY first DESC",
    [STORE_INSERT_PART] = "INSERT INTO search (first, last, replaces) VALUES (?1, ?2, ?3)",
    [STORE_UPDATE_PART] = "UPDATE search SET last = ?2 WHERE id = ?1",
    [STORE_SET_VALUE] = "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value "
			"= excluded.value",
    [STORE_VALUE] = "SELECT value FROM meta WHERE key = ?1",
    [STORE_SET_PLACE] =
	"INSERT INTO streams (room, place, time) VALUES (?1, ?2, ?3) ON CONFLICT (room) DO UPDATE "
	"SET place = excluded.place, time = excluded.time",
    [STORE_PLACE] = "SELECT place, time FROM streams WHERE room = ?1",
    [STORE_LIST_PLACES] =
	"SELECT name, place, streams.time FROM streams JOIN rooms ON rooms.id = room ORDER BY name",
    [STORE_SET_CHANNEL] = "INSERT INTO channels (room, record) VALUES (?1, ?2) ON CONFLICT (room) DO UPDATE "
			  "SET record = excluded.record",
    [STORE_CHANNEL] = "SELECT record FROM channels WHERE room = ?1",
    [STORE_DELETE_CHANNEL] = "DELETE FROM channels WHERE room = ?1",
};

/* --- errors --- */

int store_error_of_errno(int e)
{
	switch (e) {
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		return -ENOSPC;
	case EROFS:
	case ENOMEM:
		return -e;
	case EACCES:
	case EPERM:
		return -EACCES;
	default:
		return -EIO;
	}
}

static int store_error_of(int code, int system_errno)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return -EACCES;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_PROTOCOL:
		return -EBUSY;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_INTERRUPT:
	case SQLITE_ABORT:
		return -EINTR;
	case SQLITE_IOERR:
		if (code == SQLITE_IOERR_NOMEM)
			return -ENOMEM;
		if (code == SQLITE_IOERR_CORRUPTFS)
			return -EBADMSG;
		return system_errno ? store_error_of_errno(system_errno) : -EIO;
	case SQLITE_CANTOPEN:
		return store_error_of_errno(system_errno);
	default: /* SQLITE_CORRUPT, SQLITE_NOTADB, and what only a file with other tables than ours can give */
		return -EBADMSG;
	}
}

/* What the system said when the database or its WAL could not be read or written. */
static int store_system_errno(struct store *s)
{
	static const int files[] = {SQLITE_FCNTL_JOURNAL_POINTER, SQLITE_FCNTL_FILE_POINTER};
	sqlite3_file *f;
	int e = sqlite3_system_errno(s->db);

	for (size_t i = 0; e == 0 && i < sizeof(files) / sizeof(*files); i++) {
		f = NULL;
		if (sqlite3_file_control(s->db, "main", files[i], &f) == SQLITE_OK && f && f->pMethods)
			f->pMethods->xFileControl(f, SQLITE_FCNTL_LAST_ERRNO, &e);
	}
	return e;
}

int store_failed(struct store *s, const char *doing)
{
	int code = sqlite3_extended_errcode(s->db), e = store_system_errno(s);
	int r = store_error_of(code, e);
	const char *words = sqlite3_errmsg(s->db);

	if (r == -EINTR && !atomic_exchange(&s->interrupted, false) && s->deadline)
		r = -ETIME;
	if ((code & 0xff) == SQLITE_IOERR && e)
		words = strerror(e);
	snprintf(s->why, sizeof(s->why), "can't %s: %s", doing, words);
	return r;
}

int store_bad(struct store *s, const char *what)
{
	snprintf(s->why, sizeof(s->why), "damaged: %s", what);
	return -EBADMSG;
}

int64_t store_last_id(const struct store *s)
{
	return s->next_id - 1;
}

const char *store_why(const struct store *s)
{
	return s->why;
}

/* --- statements --- */

sqlite3_stmt *store_statement(struct store *s, enum store_statement which)
{
	sqlite3_stmt **st = &s->statements[which];

	if (!*st &&
	    sqlite3_prepare_v3(s->db, store_sql[which], -1, SQLITE_PREPARE_PERSISTENT, st, NULL) != SQLITE_OK)
		return NULL;
	return *st;
}

int store_step(struct store *s, sqlite3_stmt *st, const char *doing)
{
	int r = 0;

	if (!st)
		return store_failed(s, doing);
	if (sqlite3_step(st) != SQLITE_DONE)
		r = store_failed(s, doing);
	sqlite3_reset(st);
	return r;
}

int store_run(struct store *s, const char *sql)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : store_failed(s, "use it");
}

int store_integer(struct store *s, const char *sql, int64_t *ret)
{
	sqlite3_stmt *st;
	int r = 0;

	if (sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) != SQLITE_OK)
		return store_failed(s, "read");
	switch (sqlite3_step(st)) {
	case SQLITE_ROW:
		if (sqlite3_column_type(st, 0) == SQLITE_INTEGER)
			*ret = sqlite3_column_int64(st, 0);
		else
			r = -ENOENT;
		break;
	case SQLITE_DONE:
		r = -ENOENT;
		break;
	default:
		r = store_failed(s, "read");
	}
	sqlite3_finalize(st);
	return r;
}

/* --- opening --- */

/* That its name is there has to outlive a power cut, too. */
static int store_sync_folder(const char *path)
{
	_cleanup_free_ char *copy = strdup(path);
	_cleanup_close_ int fd = -1;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* Its bytes are nobody else's from the first one on; what SQLite puts beside it has the same mode. A file that is open in
 * this process must not be closed, as that would take SQLite's locks away: so only one that wasn't there is opened. */
static int store_make_file(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd >= 0) {
		fchmod(fd, 0600);
		close(fd);
		return store_sync_folder(path);
	}
	if (errno != EEXIST)
		return store_error_of_errno(errno);
	if (stat(path, &st) < 0)
		return store_error_of_errno(errno);
	if (!S_ISREG(st.st_mode))
		return -EPROTONOSUPPORT;
	return (st.st_mode & 077) && chmod(path, 0600) < 0 ? store_error_of_errno(errno) : 0;
}

bool store_is_over(struct store *s)
{
	return atomic_load_explicit(&s->interrupted, memory_order_relaxed) ||
	       (s->deadline && clock_us(CLOCK_MONOTONIC) > s->deadline);
}

/* Only a query ends so. */
static int store_progress(void *arg)
{
	struct store *s = arg;

	return s->reading && store_is_over(s);
}

static int store_configure(struct store *s)
{
	int r;

	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, STORE_BUSY_MS);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(s->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
	r = store_run(s,
		      "PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON; "
		      "PRAGMA foreign_keys = OFF");
	/* A transaction's pages are written once, with the commit; little is kept of those before. */
	if (r == 0 && s->access == STORE_WRITE)
		r = store_run(
		    s, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -1000; "
		       "PRAGMA cache_spill = OFF; "
		       "PRAGMA journal_size_limit = 67108864");
	else if (r == 0)
		r = store_run(s, "PRAGMA query_only = ON");
	sqlite3_progress_handler(s->db, STORE_PROGRESS, store_progress, s);
	return r;
}

static int store_connect(struct store *s)
{
	/* A reader has to be able to write, too: what recovers a WAL is whoever comes first. */
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;

	if (sqlite3_open_v2(s->path, &s->db, flags, NULL) == SQLITE_OK)
		return 0;
	if (!s->db)
		return -ENOMEM;
	return store_failed(s, "open it");
}

int store_open(const char *path, enum store_access access, uint64_t epoch, struct store **ret,
	       char why[static STORE_WHY_MAX])
{
	struct store *s;
	struct stat st;
	int r;

	*ret = NULL;
	if (access == STORE_READ && stat(path, &st) < 0 && errno == ENOENT) {
		snprintf(why, STORE_WHY_MAX, "%s: not there", path);
		return -ENOENT;
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->access = access;
	s->lock = -1;
	s->key = hash_key_new();
	s->path = strdup(path);
	r = s->path ? 0 : -ENOMEM;
	if (r == 0 && access == STORE_WRITE) {
		r = store_make_file(path);
		if (r < 0)
			snprintf(s->why, sizeof(s->why), "can't make it: %s", strerror(-r));
	}
	if (r == 0 && access == STORE_WRITE)
		r = store_take_lock(s);
	if (r == 0)
		r = store_connect(s);
	if (r == 0)
		r = store_configure(s);
	if (r == 0)
		r = store_schema(s, epoch);
	if (r == 0)
		r = store_learn(s);
	if (r < 0) {
		snprintf(why, STORE_WHY_MAX, "%.100s: %.140s", path, *s->why ? s->why : strerror(-r));
		store_close(s);
		return r;
	}
	*ret = s;
	return 0;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	store_tokenizer_free(s);
	for (int i = 0; i < STORE_STATEMENTS; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close_v2(s->db);
	if (s->lock >= 0)
		close(s->lock);
	store_forget_known(s);
	free(s->epochs);
	free(s->path);
	free(s);
}

uint64_t store_epoch(const struct store *s)
{
	return s->epoch;
}

void store_interrupt(struct store *s)
{
	/* The progress handler sees it. sqlite3_interrupt() would end what another call does. */
	atomic_store(&s->interrupted, true);
}
