/* SPDX-License-Identifier: MIT */
/* Disks that are full or can't be written, files that are damaged, newer, older or not chatd's; copies. */
#include "tests/unit/history/exercise.h"
#include "tests/unit/history/stored.h"

#include <dirent.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/resource.h>

static char why[STORE_WHY_MAX];

static void sql(const char *file, const char *text)
{
	sqlite3 *db;
	char *error = NULL;

	assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &error) != SQLITE_OK)
		fail_msg("%s", error);
	sqlite3_close(db);
}

static void fill(struct store *s, uint64_t first, unsigned n)
{
	uint64_t waiting;

	store_set_search(s, true);
	assert_int_equal(store_begin(s), 0);
	for (unsigned i = 0; i < n; i++)
		put(s, &lobby, first + i, i % 2 ? "alice" : "bob", "a word and some more text");
	assert_int_equal(store_index(s, 100000, &waiting), 0);
	assert_int_equal(store_commit(s), 0);
}

/* What was committed stays, what was not is nowhere, and it goes on when there is space again. */
static void a_full_disk(void **state)
{
	struct rlimit before, limit;
	struct store *s = opened(STORE_WRITE);
	struct store_message m = {
	    .number = 100,
	    .event = {.time_us = 1, .nick = "a", .nick_len = 1, .text = "text", .text_len = 4}};
	struct store_figures figures;
	uint64_t next;
	int r = 0;

	(void)state;
	fill(s, 1, 10);
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	limit = (struct rlimit){.rlim_cur = 400000, .rlim_max = before.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	for (int t = 0; r == 0 && t < 1000; t++) {
		r = store_begin(s);
		for (int i = 0; r == 0 && i < 100; i++, m.number++)
			r = store_put(s, &lobby, &m);
		if (r == 0)
			r = store_commit(s);
	}
	assert_int_equal(r, -ENOSPC);
	assert_non_null(strstr(store_why(s), "File too large"));
	store_abandon(s);
	assert_int_equal(store_position(s, "lobby", 77, &next), 0);
	assert_int_equal((next - 100) % 100, 0);
	assert_int_equal(store_figures(s, &figures), 0);
	assert_int_equal(figures.messages, 10 + next - 100);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	fill(s, next, 10);
	assert_int_equal(store_position(s, "lobby", 77, &m.number), 0);
	assert_int_equal(m.number, next + 10);
	store_close(s);
}

static void what_cannot_be_opened(void **state)
{
	struct store *s;

	(void)state;
	assert_int_equal(store_open(path, STORE_READ, 0, &s, why), -ENOENT);
	assert_int_equal(store_open("/proc/history.db", STORE_WRITE, 0, &s, why), -EIO);
	assert_non_null(strstr(why, "/proc/history.db"));
	assert_int_equal(store_open("/", STORE_WRITE, 0, &s, why), -EPROTONOSUPPORT);
	assert_null(s);
}

static void one_writes(void **state)
{
	struct store *s = opened(STORE_WRITE), *other, *reader;
	char name[128], link[80];

	(void)state;
	fill(s, 1, 3);
	assert_true(store_is_in_use(path));
	assert_int_equal(store_open(path, STORE_WRITE, 0, &other, why), -EBUSY);
	assert_non_null(strstr(why, "another chatd (process "));
	/* Under another name it is the same one. */
	snprintf(link, sizeof(link), "%s.link", path);
	assert_int_equal(symlink(path, link), 0);
	assert_int_equal(store_open(link, STORE_WRITE, 0, &other, why), -EBUSY);
	assert_true(store_is_in_use(link));
	unlink(link);
	assert_int_equal(store_set_aside(path, name, sizeof(name)), -EBUSY);
	reader = opened(STORE_READ);
	store_close(reader);
	fill(s, 4, 3);
	store_close(s);
	assert_false(store_is_in_use(path));
	s = opened(STORE_WRITE);
	fill(s, 7, 3);
	store_close(s);
}

/* Whatever is said of a room later, the numbers that it had stay below the floor. */
static void the_floor_never_falls(void **state)
{
	struct store *s = opened(STORE_WRITE);
	const struct store_room again = {.name = "lobby", .epoch = 78};
	uint64_t floor;

	(void)state;
	fill(s, 1000, 3);
	assert_int_equal(store_begin(s), 0);
	put(s, &again, 5, "alice", "another epoch");
	assert_int_equal(store_commit(s), 0);
	assert_int_equal(store_floor(s, &floor), 0);
	assert_int_equal(floor, 1003);
	store_close(s);
}

static void what_is_not_chatds(void **state)
{
	struct store *s;

	(void)state;
	sql(path, "CREATE TABLE recipes (name TEXT)");
	assert_int_equal(store_open(path, STORE_WRITE, 0, &s, why), -EPROTONOSUPPORT);
	assert_non_null(strstr(why, "not a history"));
	sql(path, "INSERT INTO recipes VALUES ('soup')"); /* it is as it was */
}

static void what_is_newer(void **state)
{
	struct store *s = opened(STORE_WRITE);

	(void)state;
	fill(s, 1, 1);
	store_close(s);
	sql(path, "PRAGMA user_version = 1000");
	assert_int_equal(store_open(path, STORE_WRITE, 0, &s, why), -EPROTONOSUPPORT);
	assert_non_null(strstr(why, "newer"));
	assert_int_equal(store_open(path, STORE_READ, 0, &s, why), -EPROTONOSUPPORT);
	sql(path, "PRAGMA user_version = 3"); /* which it has */
	s = opened(STORE_WRITE);
	assert_heard(s, &(struct store_query){0}, "lobby/1/77 bob: a word and some more text\n");
	store_close(s);
	/* It is made in one step, with its version. */
	sql(path, "PRAGMA user_version = 0");
	assert_int_equal(store_open(path, STORE_WRITE, 0, &s, why), -EBADMSG);
}

/* A database as version 1 made it, as the text that made it then. Whoever adds a version adds the next fixture. */
static const char *const version_1 =
    "PRAGMA journal_mode = WAL; PRAGMA application_id = 1667785076; PRAGMA user_version = 1;"
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE epochs (id INTEGER PRIMARY KEY, epoch INTEGER NOT NULL UNIQUE) STRICT;"
    "CREATE TABLE rooms (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, raw INTEGER NOT NULL DEFAULT 0,"
    " read_only INTEGER NOT NULL DEFAULT 0, members_only INTEGER NOT NULL DEFAULT 0, epoch INTEGER NOT NULL "
    "DEFAULT 0,"
    " next INTEGER NOT NULL DEFAULT 0, time INTEGER NOT NULL DEFAULT 0, messages INTEGER NOT NULL DEFAULT 0,"
    " bytes INTEGER NOT NULL DEFAULT 0) STRICT;"
    "CREATE TABLE messages (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " number INTEGER NOT NULL, stream INTEGER NOT NULL, time INTEGER NOT NULL, kind INTEGER NOT NULL,"
    " raw INTEGER NOT NULL, sender INTEGER NOT NULL, nick ANY NOT NULL, text ANY NOT NULL) STRICT;"
    "CREATE TABLE runs (room INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, steps BLOB NOT "
    "NULL,"
    " PRIMARY KEY (room, first)) STRICT, WITHOUT ROWID;"
    "CREATE TABLE blocks (id INTEGER PRIMARY KEY, oldest INTEGER NOT NULL, newest INTEGER NOT NULL) STRICT;"
    "CREATE TABLE gaps (id INTEGER PRIMARY KEY, room INTEGER NOT NULL, before INTEGER NOT NULL, epoch "
    "INTEGER NOT NULL,"
    " first INTEGER NOT NULL, \"end\" INTEGER NOT NULL, time INTEGER NOT NULL, why TEXT NOT NULL) STRICT;"
    "CREATE TABLE search (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL,"
    " removed INTEGER NOT NULL DEFAULT 0, replaces INTEGER NOT NULL DEFAULT 0) STRICT;"
    "INSERT INTO epochs VALUES (1, 77); INSERT INTO meta VALUES ('epoch', 1), ('floor', 4);"
    "INSERT INTO rooms VALUES (1, 'lobby', 0, 0, 0, 1, 7, 20, 2, 150);"
    "INSERT INTO messages VALUES (3, 1, 1, 5, 0, 10, 0, 0, 0, 'alice', 'hello'), (5, 1, 1, 6, 720897, 20, "
    "0, 0, 0, 'bob', 'hi');"
    "INSERT INTO runs VALUES (1, 3, 5, x'02'); INSERT INTO blocks VALUES (0, 10, 20);"
    "INSERT INTO search VALUES (1, 3, 3, 0, 0);"
    "CREATE VIRTUAL TABLE messages_text_1 USING fts5 (text, content = '', columnsize = 0, detail = none);"
    "INSERT INTO messages_text_1 (rowid, text) VALUES (3, 'hello ' || char(57344) || '1')";

static bool take_place(const char *room, const struct store_place *p, void *arg)
{
	assert_string_equal(room, "lobby");
	*(struct store_place *)arg = *p;
	return true;
}

static void what_is_older(void **state)
{
	struct store_place place = {0};
	struct store *s;
	uint64_t next;

	(void)state;
	sql(path, version_1);
	assert_int_equal(store_open(path, STORE_READ, 0, &s, why), -ESTALE);
	s = opened(STORE_WRITE);
	assert_int_equal(store_place(s, "lobby", &place), 0);
	assert_int_equal(place.place, 720897); /* of the last message */
	assert_int_equal(place.time_us, 20);
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(store_set_place(s, "lobby", &(struct store_place){786432, 30}), 0);
	assert_int_equal(store_set_place(s, "nowhere", &place), 0);
	assert_int_equal(store_commit(s), 0);
	store_close(s);
	s = opened(STORE_READ);
	assert_int_equal(store_places(s, take_place, &place), 0);
	assert_int_equal(place.place, 786432);
	assert_int_equal(place.time_us, 30);
	store_close(s);
	s = opened(STORE_WRITE);
	assert_int_equal(store_epoch(s), 77);
	assert_int_equal(store_position(s, "lobby", 77, &next), 0);
	assert_int_equal(next, 7);
	fill(s, 7, 2);
	assert_heard(s, &(struct store_query){.text = "h*", .room = "lobby"},
		     "lobby/6/77 bob: hi\nlobby/5/77 alice: hello\n");
	assert_heard(
	    s, &(struct store_query){.after = 5, .room = "lobby"},
	    "lobby/8/77 alice: a word and some more text\nlobby/7/77 bob: a word and some more text\n");
	store_close(s);
}

/* What version 2 has beside the tables of the first one. */
static const char *const version_2 =
    "PRAGMA user_version = 2;"
    "CREATE TABLE streams (room INTEGER PRIMARY KEY, place INTEGER NOT NULL, time INTEGER NOT NULL) STRICT;"
    "INSERT INTO streams VALUES (1, 786432, 30)";

static void what_is_of_version_2(void **state)
{
	static uint8_t record[STORE_CHANNEL_MAX];
	struct store_place place = {0};
	struct store *s;
	uint64_t next;
	size_t len;

	(void)state;
	sql(path, version_1);
	sql(path, version_2);
	assert_int_equal(store_open(path, STORE_READ, 0, &s, why), -ESTALE);
	s = opened(STORE_WRITE);
	assert_int_equal(store_place(s, "lobby", &place), 0);
	assert_int_equal(place.place, 786432); /* as it was */
	assert_int_equal(store_position(s, "lobby", 77, &next), 0);
	assert_int_equal(next, 7);
	assert_int_equal(store_channel(s, "lobby", record, &len), -ENOENT);
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(store_set_channel(s, &lobby, 7, "decided", 7), 0);
	assert_int_equal(store_commit(s), 0);
	store_close(s);
	s = opened(STORE_READ);
	assert_int_equal(store_channel(s, "lobby", record, &len), 0);
	assert_int_equal(len, 7);
	assert_memory_equal(record, "decided", 7);
	store_close(s);
}

static void assert_decided(struct store *s, const char *room, const char *is)
{
	static uint8_t record[STORE_CHANNEL_MAX];
	size_t len = 0;
	int r = store_channel(s, room, record, &len);

	assert_int_equal(r, is ? 0 : -ENOENT);
	assert_int_equal(len, is ? strlen(is) : 0);
	if (is)
		assert_memory_equal(record, is, len);
}

/* Also of a room of which no message was stored; with the transaction or not at all; as long as there is the room. */
static void what_is_decided(void **state)
{
	static uint8_t record[STORE_CHANNEL_MAX + 1];
	const struct store_room den = {.name = "den", .epoch = 77, .read_only = true};
	const struct store_keep for_ever[] = {{.room = NULL}}, nothing[] = {{.nothing = true}};
	struct store *s = opened(STORE_WRITE), *copy;
	char backup[80];
	uint64_t next;
	size_t len;
	bool more = true;

	(void)state;
	fill(s, 1, 3);
	assert_int_equal(store_set_channel(s, &den, 50, "early", 5), -EINVAL); /* in no transaction */
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(store_set_channel(s, &den, 50, "first", 5), 0);
	assert_int_equal(store_set_channel(s, &lobby, 4, "lobby's", 7), 0);
	assert_int_equal(store_set_channel(s, &lobby, 4, record, sizeof(record)), -EINVAL);
	assert_int_equal(store_commit(s), 0);
	assert_int_equal(store_position(s, "den", 77, &next), 0);
	assert_int_equal(next, 50);
	assert_int_equal(store_position(s, "lobby", 77, &next), 0);
	assert_int_equal(next, 4);
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(store_set_channel(s, &den, 60, "second", 6), 0);
	assert_int_equal(store_set_channel(s, &lobby, 4, NULL, 0), 0);
	store_abandon(s);
	assert_decided(s, "den", "first");
	assert_decided(s, "lobby", "lobby's");
	snprintf(backup, sizeof(backup), "%s.copy", path);
	assert_int_equal(store_backup(s, backup), 0);
	assert_int_equal(store_open(backup, STORE_READ, 0, &copy, why), 0);
	assert_decided(copy, "lobby", "lobby's");
	store_close(copy);
	unlink(backup);
	/* It stays however much of the room's messages goes, until the room does. */
	for (more = true; more;)
		assert_int_equal(store_expire(s, for_ever, 1, 100, 100, &more), 0);
	assert_decided(s, "den", "first");
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(store_room_ended(s, "den"), 0);
	assert_int_equal(store_commit(s), 0);
	for (more = true; more;)
		assert_int_equal(store_expire(s, for_ever, 1, 100, 100, &more), 0);
	assert_decided(s, "den", NULL);
	for (more = true; more;)
		assert_int_equal(store_expire(s, nothing, 1, 100, 100, &more), 0);
	assert_decided(s, "lobby", NULL);
	store_close(s);
	sql(path,
	    "CREATE TEMP TABLE t AS SELECT CASE count(*) WHEN 0 THEN 0 ELSE abs(-9223372036854775808) END "
	    "FROM channels"); /* which is an error */
	sql(path, "INSERT INTO rooms (name, next) VALUES ('lobby', 9)");
	sql(path, "INSERT INTO channels SELECT id, zeroblob(65537) FROM rooms");
	s = opened(STORE_READ);
	assert_int_equal(store_channel(s, "lobby", record, &len), -EBADMSG);
	store_close(s);
}

/* Rows that no chatd can have written are damage, and none of them is given. */
static void what_nobody_can_have_said(void **state)
{
	static const char *const changes[] = {
	    "UPDATE messages SET kind = 99 WHERE id = 2",
	    "UPDATE messages SET text = 'two' || char(10) || 'lines' WHERE id = 2",
	    "UPDATE messages SET text = char(27) || '[2J' WHERE id = 2",
	    "UPDATE messages SET nick = printf('%.*c', 100, 'x') WHERE id = 2",
	    "UPDATE messages SET text = 7 WHERE id = 2",
	    "UPDATE messages SET epoch = 9 WHERE id = 2",
	    "UPDATE messages SET room = 9 WHERE id = 2",
	    "UPDATE messages SET number = -1 WHERE id = 2",
	    "UPDATE rooms SET name = 'no/room' WHERE id = 1",
	    "DELETE FROM epochs",
	    "DELETE FROM meta",
	    "DROP TABLE messages"};
	struct store *s;
	unsigned n;

	(void)state;
	for (size_t i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
		int r;

		s = opened(STORE_WRITE);
		fill(s, 1, 3);
		store_close(s);
		sql(path, changes[i]);
		n = 0;
		r = store_open(path, STORE_WRITE, 77, &s, why);
		if (r == 0) {
			heard[0] = '\0';
			r = store_read(s, &(struct store_query){0}, hear, &n);
			assert_null(strstr(heard, "/2/"));
			assert_non_null(strstr(store_why(s), "damaged"));
			store_close(s);
		}
		if (r != -EBADMSG)
			fail_msg("%s: %d", changes[i], r);
		unlink(path);
	}
}

/* --- damage --- */

#define DAMAGES 300

static char *content;
static size_t content_size;

static void load(void)
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	content_size = (size_t)ftell(f);
	rewind(f);
	content = malloc(content_size);
	assert_int_equal(fread(content, 1, content_size, f), content_size);
	fclose(f);
}

static void save(size_t size)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(content, 1, size, f), size);
	fclose(f);
}

static uint32_t drawn = 1;

static uint32_t draw(size_t below)
{
	drawn = drawn * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)drawn * below >> 32);
}

/* A byte, a sector, a page of another place, or the end. */
static void damage(unsigned how)
{
	size_t at = draw(content_size);

	switch (how % 4) {
	case 0:
		content[at] = (char)draw(256);
		save(content_size);
		break;
	case 1:
		memset(content + at / 512 * 512, 0, 512);
		save(content_size);
		break;
	case 2:
		memcpy(content + at / 4096 * 4096, content + draw(content_size / 4096) * (size_t)4096, 4096);
		save(content_size);
		break;
	default:
		save(at);
	}
}

static void a_damaged_file(void **state)
{
	struct store *s = opened(STORE_WRITE);
	unsigned found = 0, read = 0;
	char *kept;

	(void)state;
	for (unsigned i = 0; i < 20; i++)
		fill(s, 1 + i * 50, 50);
	store_close(s);
	load();
	kept = malloc(content_size);
	memcpy(kept, content, content_size);
	for (unsigned i = 0; i < DAMAGES; i++) {
		struct exercise x;

		memcpy(content, kept, content_size);
		damage(i);
		x = exercise(path);
		found += x.damaged > 0;
		read += x.messages > 0;
	}
	free(content);
	free(kept);
	assert_true(found > DAMAGES / 4);
	assert_true(read > DAMAGES / 4);
}

/* Runs that lead back would make it endless. */
static void forgetting_a_damaged_room_ends(void **state)
{
	struct store *s = opened(STORE_WRITE);
	uint64_t n;
	int64_t from = 0;
	bool more = true;
	int r = 0;

	(void)state;
	fill(s, 1, 30);
	store_close(s);
	sql(path, "INSERT INTO runs SELECT room, 2, 29, x'1b' FROM runs");
	s = opened(STORE_WRITE);
	for (int i = 0; r == 0 && more && i < 1000; i++)
		r = store_forget(s, &(struct store_forget){.room = "lobby"}, 7, &from, &n, &more);
	assert_int_equal(r, -EBADMSG);
	store_close(s);
}

static void it_is_set_aside(void **state)
{
	struct store *s = opened(STORE_WRITE);
	char name[128], again[128];

	(void)state;
	fill(s, 1, 1);
	store_close(s);
	assert_int_equal(truncate(path, 5000), 0);
	assert_int_equal(store_open(path, STORE_WRITE, 0, &s, why), -EBADMSG);
	assert_int_equal(store_set_aside(path, name, sizeof(name)), 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(access(name, F_OK), 0);
	s = opened(STORE_WRITE);
	fill(s, 1, 1);
	store_close(s);
	/* Never onto another one. */
	if (store_set_aside(path, again, sizeof(again)) == 0) {
		assert_string_not_equal(name, again);
		unlink(again);
	}
	unlink(name);
}

/* --- copies --- */

static void a_copy_is_whole(void **state)
{
	struct store *s = opened(STORE_WRITE), *reader = opened(STORE_READ), *copied;
	char copy[80], original[64];
	struct stat st;

	(void)state;
	snprintf(copy, sizeof(copy), "%s.copy", path);
	fill(s, 1, 500);
	assert_int_equal(store_begin(s), 0);
	put(s, &lobby, 1000, "alice", "not yet");
	assert_int_equal(store_backup(reader, copy), 0);
	assert_int_equal(store_commit(s), 0);
	assert_int_equal(stat(copy, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(store_backup(reader, copy), -EEXIST);
	assert_int_equal(store_add_file(copy, "/etc/chatd/accounts", 0640, "alice:x\n", 8, why), 0);
	store_close(reader);
	store_close(s);
	strcpy(original, path);
	strcpy(path, copy);
	copied = opened(STORE_WRITE);
	assert_heard(copied, &(struct store_query){.text = "word", .limit = 1},
		     "lobby/500/77 alice: a word and some more text\n");
	store_close(copied);
	sql(copy,
	    "CREATE TABLE found AS SELECT 1 / (content = x'616c6963653a780a') FROM files WHERE mode = 416");
	unlink(copy);
	strcat(copy, "-lock");
	unlink(copy);
	strcpy(path, original);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(a_full_disk, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_cannot_be_opened, setup, teardown),
	    cmocka_unit_test_setup_teardown(one_writes, setup, teardown),
	    cmocka_unit_test_setup_teardown(the_floor_never_falls, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_not_chatds, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_newer, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_older, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_of_version_2, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_decided, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_nobody_can_have_said, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_damaged_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(forgetting_a_damaged_room_ends, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_is_set_aside, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_copy_is_whole, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
