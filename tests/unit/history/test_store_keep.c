/* SPDX-License-Identifier: MIT */
/* What isn't to be kept goes, in steps, and nothing else does; of what was forgotten no byte is left. */
#include "tests/unit/history/stored.h"

static void index_all(struct store *s)
{
	uint64_t waiting = 1;

	store_set_search(s, true);
	while (waiting)
		assert_int_equal(store_index(s, 100000, &waiting), 0);
}

static void expire(struct store *s, const struct store_keep *rules, size_t n, int64_t now, unsigned max_rows)
{
	bool more = true;

	for (int i = 0; more && i < 10000; i++)
		assert_int_equal(store_expire(s, rules, n, now, max_rows, &more), 0);
	assert_false(more);
}

static uint64_t forget(struct store *s, const struct store_forget *f)
{
	uint64_t n, all = 0;
	int64_t from = 0;
	bool more = true;

	for (int i = 0; more && i < 100000; i++) {
		assert_int_equal(store_forget(s, f, 7, &from, &n, &more), 0);
		all += n;
	}
	assert_false(more);
	return all;
}

static void scrub(struct store *s)
{
	bool more = true;

	for (int i = 0; more && i < 10000; i++)
		assert_int_equal(store_scrub(s, &more), 0);
	assert_false(more);
	assert_false(store_is_unclean(s));
}

static const struct store_room ops = {.name = "ops", .epoch = 77}, quiet = {.name = "quiet", .epoch = 77};

static void fill(struct store *s)
{
	assert_int_equal(store_begin(s), 0);
	for (uint64_t i = 1; i <= 10; i++) {
		put(s, &lobby, 10 * i, "alice", "hello");
		put(s, &ops, 10 * i + 1, "bob", "hi");
		put(s, &quiet, 10 * i + 2, "carol", "hush");
	}
	assert_int_equal(store_gap(s, &ops, 200, 210, 500, "the disk was full"), 0);
	assert_int_equal(store_commit(s), 0);
}

static unsigned count(struct store *s, const char *room)
{
	char *p;
	unsigned n = 0;

	heard[0] = '\0';
	assert_int_equal(store_read(s, &(struct store_query){.room = room}, hear, NULL), 0);
	for (p = heard; (p = strchr(p, '\n')); p++)
		n++;
	return n;
}

static bool count_gap(const struct store_gap *g, void *arg)
{
	++*(unsigned *)arg;
	assert_string_equal(g->room, "ops");
	assert_string_equal(g->why, "the disk was full");
	assert_int_equal(g->first, 200);
	assert_int_equal(g->end, 210);
	assert_int_equal(g->epoch, 77);
	assert_int_equal(g->before, 31);
	return true;
}

static unsigned gaps(struct store *s)
{
	unsigned n = 0;

	assert_int_equal(store_gaps(s, NULL, count_gap, &n), 0);
	return n;
}

/* times are ten times the number: see put(). */
static void each_rule_keeps_what_it_says(void **state)
{
	struct store *s = opened(STORE_WRITE);
	const struct store_keep rules[] = {
	    {.room = "lobby", .us = 550}, {.room = "ops", .messages = 3}, {.bytes = 2 * (64 + 9)}};
	struct store_figures f;
	uint64_t next;

	(void)state;
	fill(s);
	index_all(s);
	assert_int_equal(store_figures(s, &f), 0);
	assert_int_equal(f.messages, 30);
	assert_int_equal(f.bytes, 10 * (3 * 64 + 10 + 5 + 9));
	assert_int_equal(f.oldest_us, 100);
	assert_int_equal(f.newest_us, 1020);
	assert_int_equal(f.gaps, 1);
	expire(s, rules, 3, 1000, 2);
	assert_int_equal(count(s, "lobby"), 6); /* 50 .. 100, of the times 500 .. 1000 */
	assert_int_equal(count(s, "ops"), 3);
	assert_int_equal(count(s, "quiet"), 2);
	assert_int_equal(gaps(s), 1);
	assert_int_equal(store_figures(s, &f), 0);
	assert_int_equal(f.messages, 11);
	assert_int_equal(f.bytes, 11 * 64 + 6 * 10 + 3 * 5 + 2 * 9);
	assert_int_equal(f.rooms, 3);
	assert_heard(s, &(struct store_query){.text = "hush", .limit = 1}, "quiet/102/77 carol: hush\n");
	/* What room rules of nothing and of no limit do. */
	expire(s, (struct store_keep[]){{.room = "quiet", .nothing = true}, {0}}, 2, 100000, 100);
	assert_int_equal(count(s, "quiet"), 0);
	assert_int_equal(count(s, "ops"), 3);
	/* A room that is to leave no trace has no name either, but its numbers aren't given again. */
	assert_int_equal(store_position(s, "quiet", 77, &next), -ENOENT);
	assert_int_equal(store_floor(s, &next), 0);
	assert_int_equal(next, 210);
	assert_true(store_is_unclean(s));
	scrub(s);
	/* One that ended and has no messages is nowhere. */
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(store_room_ended(s, "lobby"), 0);
	assert_int_equal(store_commit(s), 0);
	expire(s, (struct store_keep[]){{.us = 1}}, 1, 100000, 100);
	assert_int_equal(store_figures(s, &f), 0);
	assert_int_equal(f.rooms, 1);
	assert_int_equal(f.messages, 0);
	assert_int_equal(f.gaps, 0);
	assert_int_equal(f.oldest_us, 0);
	/* Numbers and ids go on behind all that ever was, in later processes as well. */
	store_close(s);
	s = opened(STORE_WRITE);
	assert_int_equal(store_floor(s, &next), 0);
	assert_int_equal(next, 210);
	assert_int_equal(store_begin(s), 0);
	put(s, &quiet, 300, "carol", "again");
	assert_int_equal(store_commit(s), 0);
	assert_heard(s, &(struct store_query){.after = 30}, "quiet/300/77 carol: again\n");
	store_close(s);
}

static void whose_is_forgotten(void **state)
{
	struct store *s = opened(STORE_WRITE);

	(void)state;
	fill(s);
	assert_int_equal(forget(s, &(struct store_forget){.nick = "ALICE", .before_us = 301}), 3);
	assert_int_equal(count(s, "lobby"), 7);
	assert_int_equal(forget(s, &(struct store_forget){.nick = "alice", .room = "ops"}), 0);
	assert_int_equal(forget(s, &(struct store_forget){.room = "ops", .since_us = 911}), 1);
	assert_int_equal(count(s, "ops"), 9);
	assert_int_equal(forget(s, &(struct store_forget){.room = "ops"}), 9);
	assert_int_equal(forget(s, &(struct store_forget){.room = "nowhere"}), 0);
	assert_int_equal(count(s, "quiet"), 10);
	/* What is stored meanwhile stays, in a room and in all. */
	assert_int_equal(store_last_id(s), 30);
	assert_int_equal(store_begin(s), 0);
	put(s, &quiet, 500, "carol", "later");
	assert_int_equal(store_commit(s), 0);
	assert_int_equal(forget(s, &(struct store_forget){.room = "quiet", .last = 27}), 9);
	assert_int_equal(forget(s, &(struct store_forget){.nick = "carol", .last = 30}), 1);
	assert_heard(s, &(struct store_query){.room = "quiet"}, "quiet/500/77 carol: later\n");
	store_close(s);
}

/* --- no byte is left --- */

#define MARKS 6000
#define NICKS 8

static uint64_t drawn = 1;

static unsigned draw(unsigned below)
{
	drawn ^= drawn << 13;
	drawn ^= drawn >> 7;
	drawn ^= drawn << 17;
	return (unsigned)(drawn % below);
}

/* Each message has a word of 12 letters of its own, once or many times, and a nick. */
static char marks[MARKS][13];
static unsigned char nicks[MARKS];

static void put_mark(struct store *s, unsigned i)
{
	static char text[16384];
	char nick[8];
	size_t n = 0, words = 1 + (draw(20) ? draw(12) : draw(600));

	for (int k = 0; k < 12; k++)
		marks[i][k] = (char)('a' + draw(26));
	for (size_t w = 0; w < words; w++)
		n += (size_t)sprintf(text + n, "%s ", marks[i]);
	text[n - 1] = '\0';
	nicks[i] = (unsigned char)draw(NICKS);
	snprintf(nick, sizeof(nick), "nick%u", nicks[i]);
	put(s, i % 3 ? &lobby : &ops, i + 1, nick, text);
}

/* By the first four of the eight letters in the middle of the word, as the index leaves out what words begin with. */
static unsigned bucket(const char *p)
{
	uint32_t x;

	memcpy(&x, p, sizeof(x));
	return x * 2654435761U >> 16;
}

/* Of the messages whose nicks are below this, how many words are in the file. */
static unsigned left(const char *suffix, unsigned below)
{
	static int head[65536], next[MARKS];
	static bool seen[MARKS];
	char name[80], *data;
	size_t size = 0;
	unsigned n = 0;
	FILE *f;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	f = fopen(name, "r");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = (size_t)ftell(f);
	rewind(f);
	data = malloc(size + 1);
	assert_int_equal(fread(data, 1, size, f), size);
	fclose(f);
	memset(head, 0xff, sizeof(head));
	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < MARKS; i++) {
		unsigned b = bucket(marks[i] + 4);

		if (nicks[i] >= below)
			continue;
		next[i] = head[b];
		head[b] = i;
	}
	for (size_t at = 0; at + 8 <= size; at++)
		for (int i = head[bucket(data + at)]; i >= 0; i = next[i])
			if (!seen[i] && memcmp(data + at, marks[i] + 4, 8) == 0) {
				seen[i] = true;
				n++;
			}
	free(data);
	return n;
}

/* Those who say something go one after the other, so that rows are moved about before they are removed. */
static void nothing_is_left_of_it(void **state)
{
	struct store *s = opened(STORE_WRITE), *reader = opened(STORE_READ);
	uint64_t waiting, n = 0;
	struct store_figures figures;
	char nick[8];

	(void)state;
	store_set_search(s, true);
	for (unsigned i = 0; i < MARKS;) {
		assert_int_equal(store_begin(s), 0);
		for (unsigned k = 0; k < 40; k++)
			put_mark(s, i++);
		assert_int_equal(store_index(s, 100000, &waiting), 0);
		assert_int_equal(store_commit(s), 0);
	}
	for (unsigned who = 0; who < NICKS; who++) {
		snprintf(nick, sizeof(nick), "nick%u", who);
		n += forget(s, &(struct store_forget){.nick = nick});
		assert_true(store_is_unclean(s));
		scrub(s);
		assert_int_equal(left("", who + 1), 0);
		assert_int_equal(left("-wal", who + 1), 0);
		assert_int_equal(store_figures(reader, &figures), 0);
		assert_int_equal(figures.messages, MARKS - n);
		if (figures.messages)
			assert_true(left("", NICKS) > 0);
	}
	assert_int_equal(n, MARKS);
	store_close(reader);
	store_close(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(each_rule_keeps_what_it_says, setup, teardown),
	    cmocka_unit_test_setup_teardown(whose_is_forgotten, setup, teardown),
	    cmocka_unit_test_setup_teardown(nothing_is_left_of_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
