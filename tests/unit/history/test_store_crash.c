/* SPDX-License-Identifier: MIT */
/*
 * Power cuts and kills. A power cut is made at every write of a sequence of transactions, with whatever was not synced
 * arriving in part; the database is then in the state of the last transaction that was committed, or of the one after it.
 * A kill at any instant leaves rows and positions that agree.
 */
#include "tests/unit/history/stored.h"

#include "daemon/history/store_own.h"
#include "tests/unit/history/disk.h"

#include <signal.h>
#include <sys/wait.h>

/* --- the states that there may be --- */

#define STATES 200

static char *states[STATES];
static int n_states;

struct dump {
	FILE *f;
};

static bool dump_message(const struct store_message *m, void *arg)
{
	struct dump *d = arg;

	fprintf(d->f, "%lld %s %llu %.*s %.*s\n", (long long)m->id, m->room, (unsigned long long)m->number,
		m->event.nick_len, m->event.nick, (int)m->event.text_len, m->event.text);
	return true;
}

static bool dump_room(const struct store_room *room, uint64_t next, int64_t last_us, void *arg)
{
	struct dump *d = arg;

	fprintf(d->f, "%s %llu %lld\n", room->name, (unsigned long long)next, (long long)last_us);
	return true;
}

static bool dump_gap(const struct store_gap *g, void *arg)
{
	struct dump *d = arg;

	fprintf(d->f, "gap %s %llu %llu\n", g->room, (unsigned long long)g->first,
		(unsigned long long)g->end);
	return true;
}

/* All that can be read, by all ways there are; to be freed. */
static char *dump(struct store *s)
{
	char *text = NULL;
	size_t size;
	struct dump d = {.f = open_memstream(&text, &size)};
	static const char *const rooms[] = {"lobby", "ops"};

	assert_non_null(d.f);
	assert_int_equal(store_rooms(s, dump_room, &d), 0);
	assert_int_equal(store_gaps(s, NULL, dump_gap, &d), 0);
	assert_int_equal(store_read(s, &(struct store_query){0}, dump_message, &d), 0);
	for (int i = 0; i < 2; i++)
		assert_int_equal(store_read(s, &(struct store_query){.room = rooms[i]}, dump_message, &d), 0);
	assert_int_equal(store_read(s, &(struct store_query){.text = "word"}, dump_message, &d), 0);
	fclose(d.f);
	return text;
}

/* What is there now, once this is committed. */
static void note(struct store *s)
{
	assert_true(n_states < STATES);
	states[n_states] = dump(s);
	disk_record(DISK_COMMITTED, 0, n_states++, NULL, 0);
}

/* --- the transactions --- */

static const struct store_room ops = {.name = "ops", .epoch = 77};

static uint64_t add(struct store *s, uint64_t number, unsigned n, size_t len)
{
	char text[4096];

	memset(text, 'x', len);
	text[len] = '\0';
	memcpy(text, "word ", 5);
	assert_int_equal(store_begin(s), 0);
	for (unsigned i = 0; i < n; i++, number++)
		put(s, number % 3 ? &lobby : &ops, number, "alice", text);
	assert_int_equal(store_commit(s), 0);
	note(s);
	return number;
}

static void keep_few(struct store *s)
{
	bool more = true;

	while (more) {
		assert_int_equal(store_expire(s, (struct store_keep[]){{.messages = 12}}, 1, 1, 7, &more), 0);
		note(s);
	}
}

static void forget_some(struct store *s)
{
	int64_t from = 0;
	bool more = true;
	uint64_t n;

	while (more) {
		assert_int_equal(store_forget(s, &(struct store_forget){.room = "ops"}, 5, &from, &n, &more),
				 0);
		note(s);
	}
	for (more = true; more;) {
		assert_int_equal(store_scrub(s, &more), 0);
		note(s);
	}
}

static void happen(struct store *s)
{
	uint64_t number = 1, waiting;

	store_set_search(s, true);
	note(s);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3; i++)
			number = add(s, number, 1 + (unsigned)i, 40);
		number = add(s, number, 5, 3000);
		assert_int_equal(store_index(s, 1000, &waiting), 0);
		note(s);
		assert_int_equal(store_begin(s), 0);
		assert_int_equal(store_gap(s, &lobby, number, number + 3, 1, "why"), 0);
		number += 3;
		assert_int_equal(store_commit(s), 0);
		note(s);
		number = add(s, number, 20, 100);
		keep_few(s);
		number = add(s, number, 2, 40);
		forget_some(s);
	}
}

/* --- power cuts --- */

struct cut {
	unsigned how;
	size_t first, at, last;
	uint64_t random;
};

static uint64_t cut_random(struct cut *c)
{
	c->random ^= c->random << 13;
	c->random ^= c->random >> 7;
	c->random ^= c->random << 17;
	return c->random;
}

/* Of what was not synced: nothing, all, all but the last, only the last, half of the last, any, any sectors. */
#define CUTS 7

static uint64_t cut_choice(size_t op, void *arg)
{
	struct cut *c = arg;
	bool last = op == c->last;

	switch (c->how) {
	case 0:
		return 0;
	case 1:
		return UINT64_MAX;
	case 2:
		return last ? 0 : UINT64_MAX;
	case 3:
		return last ? UINT64_MAX : 0;
	case 4:
		return last ? 0xf : UINT64_MAX;
	case 5:
		return cut_random(c) & 1 ? UINT64_MAX : 0;
	default:
		return cut_random(c);
	}
}

static void check_integrity(struct store *s)
{
	sqlite3_stmt *st;

	assert_int_equal(sqlite3_prepare_v2(s->db, "PRAGMA integrity_check", -1, &st, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(st), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(st, 0), "ok");
	sqlite3_finalize(st);
}

/* committed: the state of the last transaction that was committed before the cut; -1: not even the database was made. */
static void check_after_cut(int committed, size_t op, unsigned how)
{
	char why[STORE_WHY_MAX] = "";
	struct store *s;
	char *now;
	int r = store_open(path, STORE_WRITE, 77, &s, why);

	if (r < 0)
		fail_msg("cut %zu/%u: %d: %s", op, how, r, why);
	store_set_search(s, true);
	check_integrity(s);
	now = dump(s);
	if (strcmp(now, states[committed < 0 ? 0 : committed]) != 0 &&
	    (committed + 1 == n_states || strcmp(now, states[committed + 1]) != 0))
		fail_msg("cut %zu/%u after state %d:\n%s", op, how, committed, now);
	free(now);
	store_close(s);
}

static void power_goes(void **state)
{
	char recorded[64];
	struct store *s;
	int committed = -1;
	size_t cuts = 0;

	(void)state;
	strcpy(recorded, path);
	disk_begin();
	disk.path = recorded;
	s = opened(STORE_WRITE);
	sqlite3_exec(s->db, "PRAGMA wal_autocheckpoint = 25", NULL, NULL, NULL);
	happen(s);
	disk.path = NULL;
	store_close(s);
	strcat(path, ".cut");
	for (size_t op = 0; op <= disk.n; op++) {
		if (op > 0 && disk.op[op - 1].kind == DISK_COMMITTED)
			committed = (int)disk.op[op - 1].offset;
		for (unsigned how = 0; how < CUTS; how++) {
			struct cut c = {.how = how, .last = op - 1, .random = op * CUTS + how + 1};

			disk_after(op, cut_choice, &c, path);
			check_after_cut(committed, op, how);
			cuts++;
		}
	}
	print_message("%zu power cuts, %zu operations, %d states\n", cuts, disk.n, n_states);
	for (int i = 0; i < n_states; i++)
		free(states[i]);
	disk_free();
	for (int i = 0; i < DISK_FILES; i++) {
		char name[80];

		snprintf(name, sizeof(name), "%s%s", path, disk_suffixes[i]);
		unlink(name);
	}
	strcat(path, "-lock");
	unlink(path);
	strcpy(path, recorded);
}

/* --- kills --- */

#define KILLS 60

/* Says how far it has committed, until it is killed. */
static void work(int report, unsigned seed)
{
	struct store *s = opened(STORE_WRITE);
	uint64_t number = 1, next, waiting;

	srand(seed);
	store_set_search(s, true);
	if (store_position(s, "lobby", 77, &next) == 0)
		number = next;
	for (;;) {
		unsigned n = 1 + (unsigned)rand() % 300;
		bool more;

		if (store_begin(s) < 0)
			_exit(1);
		for (unsigned i = 0; i < n; i++, number++) {
			put(s, &lobby, number, "alice", "a word and some more");
			put(s, &ops, number, "bob", "a word");
		}
		if (rand() % 3 == 0)
			store_index(s, 1000, &waiting);
		if (store_commit(s) < 0 || write(report, &number, sizeof(number)) != sizeof(number))
			_exit(1);
		if (rand() % 4 == 0)
			store_expire(s, (struct store_keep[]){{.room = "ops", .messages = 50}, {0}}, 2, 1,
				     100, &more);
	}
}

struct contiguous {
	uint64_t lobby, ops;
};

static bool next_in_room(const struct store_message *m, void *arg)
{
	struct contiguous *c = arg;
	uint64_t *last = m->room[0] == 'l' ? &c->lobby : &c->ops;

	if (m->room[0] == 'l' || *last)
		assert_int_equal(m->number, *last + 1);
	*last = m->number;
	return true;
}

static void killed_at_any_instant(void **state)
{
	uint64_t reported = 0, next, kept = 0;

	(void)state;
	for (unsigned k = 0; k < KILLS; k++) {
		struct contiguous c = {0};
		struct store_figures f;
		int report[2], status;
		struct store *s;
		pid_t pid;

		assert_int_equal(pipe(report), 0);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0)
			work(report[1], k);
		close(report[1]);
		usleep(2000 + (unsigned)rand() % 40000);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status));
		while (read(report[0], &next, sizeof(next)) == sizeof(next))
			reported = next;
		close(report[0]);
		s = opened(STORE_WRITE);
		assert_int_equal(store_read(s, &(struct store_query){.oldest_first = true}, next_in_room, &c),
				 0);
		if (store_position(s, "lobby", 77, &next) < 0)
			next = 1;
		assert_int_equal(c.lobby + 1, next);
		assert_true(next >= reported);
		assert_int_equal(c.ops, c.lobby);
		assert_int_equal(store_figures(s, &f), 0);
		kept = f.messages;
		store_close(s);
	}
	assert_true(kept > 0 && reported > KILLS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(power_goes, setup, teardown),
	    cmocka_unit_test_setup_teardown(killed_at_any_instant, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
