/* SPDX-License-Identifier: MIT */
/*
 * How fast the store is: rows written a second with an index and without, bytes a row, how long it takes to open a large
 * database and to read the last messages of all of its rooms, to search, to expire and to forget.
 *
 *	history_store DIR [MESSAGES [ROOMS]]	makes DIR/history.db, and removes it
 *
 * In the environment, KEEP leaves it there, AGAIN takes the one that is there, NOPLAIN makes none without an index.
 */
#include "daemon/base/clock.h"
#include "daemon/history/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXTS 65536
#define WORDS 30000
#define TURN 13000 /* rows a transaction: 50 ms of 260,000 a second */

static char *texts[TEXTS];
static char names[10000][16], nicks[997][16];
static char path[512];

static void check(int r, const char *what, struct store *s)
{
	if (r >= 0)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, strerror(-r), s ? store_why(s) : "");
	exit(1);
}

static uint32_t state = 1;

static uint32_t draw(uint32_t below)
{
	state = state * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)state * below >> 32);
}

/* Some words are much more common than others. Each tenth text has "often", in each 10,000th is "seldom". */
static void make_texts(void)
{
	for (int i = 0; i < 10000; i++)
		sprintf(names[i], "room%d", i);
	for (int i = 0; i < 997; i++)
		sprintf(nicks[i], "nick%d", i);
	for (int i = 0; i < TEXTS; i++) {
		char text[256] = "";
		size_t n = 0;
		unsigned words = 4 + draw(9);

		for (unsigned w = 0; w < words; w++) {
			uint32_t of = draw(4) ? 1 + draw(1000) : WORDS;
			uint32_t word = draw(of);

			n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%c%c%c%x", w ? " " : "",
					      'a' + word % 26, 'a' + word / 26 % 26, 'k' + word % 7,
					      word / 676);
		}
		if (i % 10 == 3)
			snprintf(text + n, sizeof(text) - n, " often");
		texts[i] = strdup(text);
	}
}

static struct store *open_store(enum store_access access)
{
	char why[STORE_WHY_MAX];
	struct store *s;
	int r = store_open(path, access, 1, &s, why);

	if (r < 0) {
		fprintf(stderr, "%s\n", why);
		exit(1);
	}
	return s;
}

static void remove_store(void)
{
	char name[600];
	static const char *const more[] = {"", "-wal", "-shm", "-lock"};

	for (int i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, more[i]);
		unlink(name);
	}
}

static uint64_t size_of_store(void)
{
	struct stat st;

	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void put(struct store *s, uint64_t i, unsigned rooms)
{
	const char *text =
	    i % 10000 == 5000 ? "something seldom said" : texts[(uint32_t)(i * 2654435761U) >> 16];
	struct store_message m = {.number = 1700000000000000 + i,
				  .event = {.time_us = 1700000000000000 + i * 1000,
					    .sender = i % 997 << 20,
					    .kind = RECORD_MESSAGE,
					    .nick = nicks[i % 997],
					    .nick_len = (uint8_t)strlen(nicks[i % 997]),
					    .text = text,
					    .text_len = strlen(text)}};

	/* A room has one message, the first. */
	check(
	    store_put(s, &(struct store_room){.name = i ? names[i * 7919 % rooms] : "small", .epoch = 1}, &m),
	    "put", s);
}

static double seconds_since(int64_t then)
{
	return (double)(clock_us(CLOCK_MONOTONIC) - then) / 1e6;
}

static void fill(uint64_t messages, unsigned rooms, bool search)
{
	struct store *s = open_store(STORE_WRITE);
	int64_t begin = clock_us(CLOCK_MONOTONIC), cpu = clock_us(CLOCK_THREAD_CPUTIME_ID);
	uint64_t waiting;

	store_set_search(s, search);
	for (uint64_t i = 0; i < messages;) {
		check(store_begin(s), "begin", s);
		for (unsigned k = 0; k < TURN && i < messages; k++)
			put(s, i++, rooms);
		check(store_index(s, 2 * TURN, &waiting), "index", s);
		check(store_commit(s), "commit", s);
	}
	double t = seconds_since(begin), c = (double)(clock_us(CLOCK_THREAD_CPUTIME_ID) - cpu) / 1e6;
	store_close(s);
	printf("write, %u rooms, search %s: %.0f rows/s, %.0f a second of CPU, %.1f bytes a row\n", rooms,
	       search ? "on" : "off", (double)messages / t, (double)messages / c,
	       (double)size_of_store() / (double)messages);
	fflush(stdout);
}

static bool count(const struct store_message *m, void *arg)
{
	(void)m;
	++*(unsigned *)arg;
	return true;
}

static bool read_last(const struct store_room *room, uint64_t next, int64_t last_us, void *arg)
{
	struct store_query q = {.room = room->name, .limit = 20, .notices = true};
	unsigned n = 0;
	void **a = arg;

	(void)next;
	(void)last_us;
	check(store_read(a[0], &q, count, &n), "read", a[0]);
	*(unsigned *)a[1] += n;
	return true;
}

static void start(void)
{
	int64_t begin = clock_us(CLOCK_MONOTONIC);
	struct store *s = open_store(STORE_WRITE);
	double opened = seconds_since(begin);
	unsigned n = 0;

	check(store_rooms(s, read_last, (void *[]){s, &n}), "rooms", s);
	printf("open: %.1f ms; and the last 20 messages of each room, %u in all: %.1f ms\n", opened * 1e3, n,
	       seconds_since(begin) * 1e3);
	store_close(s);
}

static void search(const char *what, const struct store_query *q)
{
	struct store *s = open_store(STORE_READ);

	for (int again = 0; again < 2; again++) {
		int64_t begin = clock_us(CLOCK_MONOTONIC), cpu = clock_us(CLOCK_THREAD_CPUTIME_ID);
		unsigned n = 0;

		check(store_read(s, q, count, &n), "search", s);
		cpu = clock_us(CLOCK_THREAD_CPUTIME_ID) - cpu;
		printf("%s%s: %u found, %.1f ms, %.1f of them CPU\n", what, again ? ", again" : "", n,
		       seconds_since(begin) * 1e3, (double)cpu / 1e3);
	}
	fflush(stdout);
	store_close(s);
}

static void searches(void)
{
	const int64_t middle = 1700000000000000 + 2500000000;

	search("search a rare word, in all rooms", &(struct store_query){.text = "seldom", .limit = 20});
	search("search a rare word, in one room",
	       &(struct store_query){.text = "seldom", .limit = 20, .room = "room42"});
	search("search a common word, in all rooms", &(struct store_query){.text = "often", .limit = 20});
	search("search a common word, in one room",
	       &(struct store_query){.text = "often", .limit = 20, .room = "room42"});
	search("search a word that is not there", &(struct store_query){.text = "never", .limit = 20});
	search("search rare and common words", &(struct store_query){.text = "seldom often", .limit = 20});
	search("search a common word, in a room where it isn't",
	       &(struct store_query){.text = "often", .limit = 20, .room = "small"});
	search("search a common beginning of words",
	       &(struct store_query){.text = "oft*", .limit = 20, .room = "room42"});
	search(
	    "read from a time on",
	    &(struct store_query){.room = "room42", .since_us = middle, .limit = 20, .oldest_first = true});
	search("read before a time",
	       &(struct store_query){.room = "room42", .until_us = middle, .limit = 20});
}

/* The longest of many steps, and how many there were. */
struct steps {
	unsigned n;
	double longest, all;
};

static bool step(struct steps *t, int64_t begin, bool more)
{
	double took = seconds_since(begin) * 1e3;

	t->n++;
	t->all += took;
	t->longest = took > t->longest ? took : t->longest;
	return more;
}

static void told(const char *what, const struct steps *t)
{
	printf("%s: %u steps, %.1f ms in all, %.2f ms each, the longest one %.1f ms\n", what, t->n, t->all,
	       t->all / t->n, t->longest);
	fflush(stdout);
}

/* The oldest twentieth goes, and what one of 997 people said. */
static void removals(uint64_t messages)
{
	struct store *s = open_store(STORE_WRITE);
	struct steps expired = {0}, forgotten = {0}, scrubbed = {0};
	const struct store_keep keep = {.us = (int64_t)messages * 950};
	int64_t begin, from = 0, now = 1700000000000000 + (int64_t)messages * 1000;
	uint64_t n;
	bool more;

	store_set_search(s, true);
	do {
		begin = clock_us(CLOCK_MONOTONIC);
		check(store_expire(s, &keep, 1, now, 500, &more), "expire", s);
	} while (step(&expired, begin, more));
	told("expire, 500 rows a step", &expired);
	do {
		begin = clock_us(CLOCK_MONOTONIC);
		check(store_forget(s, &(struct store_forget){.nick = "nick7"}, 5000, &from, &n, &more),
		      "forget", s);
	} while (step(&forgotten, begin, more));
	told("forget what somebody said, 5,000 rows a step", &forgotten);
	do {
		begin = clock_us(CLOCK_MONOTONIC);
		check(store_scrub(s, &more), "scrub", s);
	} while (step(&scrubbed, begin, more));
	told("scrub", &scrubbed);
	store_close(s);
}

int main(int argc, char **argv)
{
	uint64_t messages = argc > 2 ? strtoull(argv[2], NULL, 10) : 10000000;
	unsigned rooms = argc > 3 ? (unsigned)atoi(argv[3]) : 100;

	if (argc < 2)
		return 2;
	snprintf(path, sizeof(path), "%s/history.db", argv[1]);
	if (!getenv("AGAIN")) {
		remove_store();
		make_texts();
		if (!getenv("NOPLAIN"))
			fill(messages < 2000000 ? messages : 2000000, rooms, false);
		remove_store();
		fill(messages, rooms, true);
	}
	start();
	searches();
	removals(messages);
	if (!getenv("KEEP"))
		remove_store();
	return 0;
}
