/* SPDX-License-Identifier: MIT */
/*
 * The tables of the store, and how those of earlier versions become them. A step from one version to the next is a row of
 * SQL text, and happens in one transaction; the file says which version it has.
 */
#include "daemon/history/store_own.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

/*
 * Version 1. The id of a message is in the order of storing, so that what is new goes to the end of the file. stream,
 * time and number as in struct store_message; nick and text are BLOBs where they aren't UTF-8. rooms.epoch, and that of
 * messages, is an id of epochs; rooms.next is the position, 0: it has none.
 * runs says which messages are in a room (store_runs.c), blocks has the times in each range of ids (store_own.h), search
 * the parts of the index (store_search.c). The view is for people.
 */
static const char store_version_1[] =
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE epochs (id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,"
    " raw INTEGER NOT NULL DEFAULT 0, read_only INTEGER NOT NULL DEFAULT 0,"
    " members_only INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL DEFAULT 0,"
    " next INTEGER NOT NULL DEFAULT 0, time INTEGER NOT NULL DEFAULT 0,"
    " messages INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " number INTEGER NOT NULL, stream INTEGER NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " raw INTEGER NOT NULL, sender INTEGER NOT NULL, nick ANY NOT NULL, text ANY NOT NULL) STRICT;"
    "CREATE TABLE runs (room INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,"
    " steps BLOB NOT NULL, PRIMARY KEY (room, first)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE blocks (id INTEGER PRIMARY KEY, oldest INTEGER NOT NULL, newest INTEGER NOT NULL) STRICT;"
    "CREATE TABLE gaps (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, before INTEGER NOT NULL,"
    " epoch INTEGER NOT NULL, first INTEGER NOT NULL, \"end\" INTEGER NOT NULL, time INTEGER NOT NULL,"
    " why TEXT NOT NULL) STRICT;"
    "CREATE TABLE search (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,"
    " removed INTEGER NOT NULL DEFAULT 0, replaces INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE VIEW history AS SELECT strftime('%Y-%m-%d %H:%M:%f', messages.time / 1e6, 'unixepoch') AS utc,"
    " rooms.name AS room, messages.nick AS nick, messages.text AS text"
    " FROM messages JOIN rooms ON rooms.id = messages.room;";

/*
 * Version 2. streams has for each room that is shared with other machines up to which place of their stream, and to which
 * time there, all that the room had was stored: what was removed since doesn't come again when a node's memory is lost.
 */
static const char store_version_2[] =
    "CREATE TABLE streams (room INTEGER PRIMARY KEY, place INTEGER NOT NULL, time INTEGER NOT NULL) STRICT;"
    "INSERT INTO streams SELECT room, stream, time FROM messages WHERE stream > 0 AND id IN"
    " (SELECT (SELECT last FROM runs WHERE room = rooms.id ORDER BY first DESC LIMIT 1) FROM rooms);";

/*
 * Version 3. channels has for each room of which something is decided what that is, as bytes that the store doesn't read
 * (daemon/channels/pack.h).
 */
static const char store_version_3[] =
    "CREATE TABLE channels (room INTEGER PRIMARY KEY, record BLOB NOT NULL) STRICT;";

/*
 * The step to version i + 1. Whoever adds one: its text above and its row here, which no release ever changes again; it
 * happens before anybody is served, so it must not read all messages (what takes long is for archive_upkeep.c); a fixture
 * of the version before and what is to become of it in tests/unit/history/test_store_trouble.c.
 */
static const char *const store_steps[] = {store_version_1, store_version_2, store_version_3};

#define STORE_VERSION ((int)(sizeof(store_steps) / sizeof(*store_steps)))

/* In one transaction. */
static int store_run_both(struct store *s, const char *first, const char *second)
{
	int r = store_run(s, "BEGIN IMMEDIATE");

	if (r == 0)
		r = store_run(s, first);
	if (r == 0)
		r = store_run(s, second);
	if (r == 0)
		r = store_run(s, "COMMIT");
	if (r < 0)
		sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return r;
}

static int store_migrate(struct store *s, int from)
{
	char version[64];
	int r = 0;

	for (int i = from; r == 0 && i < STORE_VERSION; i++) {
		snprintf(version, sizeof(version), "PRAGMA user_version = %d", i + 1);
		r = store_run_both(s, store_steps[i], version);
	}
	return r;
}

/* A new database becomes true in one step, with its epoch. */
static int store_create(struct store *s, uint64_t epoch)
{
	char sql[256];

	while (epoch == 0)
		randombytes_buf(&epoch, sizeof(epoch));
	snprintf(
	    sql, sizeof(sql),
	    "PRAGMA application_id = %d; PRAGMA user_version = 1; "
	    "INSERT INTO epochs (epoch) VALUES (%lld); INSERT INTO meta (key, value) VALUES ('epoch', 1)",
	    STORE_APPLICATION_ID, (long long)(int64_t)epoch);
	int r = store_run_both(s, store_version_1, sql);
	return r < 0 ? r : store_migrate(s, 1);
}

int store_schema(struct store *s, uint64_t epoch)
{
	int64_t id = 0, version = 0, tables = 0;
	int r = store_integer(s, "PRAGMA application_id", &id);

	if (r == 0)
		r = store_integer(s, "PRAGMA user_version", &version);
	if (r == 0)
		r = store_integer(s, "SELECT count(*) FROM sqlite_schema", &tables);
	if (r < 0)
		return r == -ENOENT ? store_bad(s, "no header") : r;
	if (id == 0 && version == 0 && tables == 0 && s->access == STORE_WRITE)
		return store_create(s, epoch);
	if (id != STORE_APPLICATION_ID) {
		snprintf(s->why, sizeof(s->why), "not a history of chatd's");
		return -EPROTONOSUPPORT;
	}
	if (version > STORE_VERSION) {
		snprintf(s->why, sizeof(s->why), "of a newer chatd (schema %lld, this one knows %d)",
			 (long long)version, STORE_VERSION);
		return -EPROTONOSUPPORT;
	}
	if (version < 1)
		return store_bad(s, "no version");
	if (version < STORE_VERSION && s->access == STORE_READ) {
		snprintf(s->why, sizeof(s->why), "of an older chatd, and not brought up to date yet");
		return -ESTALE;
	}
	return store_migrate(s, (int)version);
}
