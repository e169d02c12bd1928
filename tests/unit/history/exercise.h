/* SPDX-License-Identifier: MIT */
/* All that a store can do, done to one whose file may be damaged: whatever is wrong is an error, and what is read could
 * have been said. */
#ifndef TESTS_EXERCISE_H
#define TESTS_EXERCISE_H

#include "daemon/history/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXERCISE_REQUIRE(x) ((x) ? (void)0 : abort())

/* How many messages were read, and how many of all calls found the file damaged. */
struct exercise {
	unsigned messages, damaged;
};

static inline int exercise_error(struct exercise *x, int r)
{
	EXERCISE_REQUIRE(r == 0 || r == -EBADMSG || r == -ETIME || r == -EEXIST || r == -ENOENT ||
			 r == -EIO || r == -ENOSPC || r == -ENOMEM);
	x->damaged += r == -EBADMSG;
	return r;
}

static inline bool exercise_message(const struct store_message *m, void *arg)
{
	struct exercise *x = arg;

	EXERCISE_REQUIRE(text_room_valid(m->room, strlen(m->room)));
	EXERCISE_REQUIRE(m->id > 0 && m->number > 0 && m->event.kind < RECORD_KINDS);
	EXERCISE_REQUIRE(m->event.nick_len <= SPEECH_NICK_MAX && m->event.text_len <= SPEECH_TEXT_MAX);
	EXERCISE_REQUIRE(!memchr(m->event.text, '\n', m->event.text_len));
	return ++x->messages < 100000;
}

static inline bool exercise_room(const struct store_room *room, uint64_t next, int64_t last_us, void *arg)
{
	(void)next;
	(void)last_us;
	(void)arg;
	EXERCISE_REQUIRE(text_room_valid(room->name, strlen(room->name)));
	return true;
}

static inline bool exercise_gap(const struct store_gap *g, void *arg)
{
	(void)arg;
	EXERCISE_REQUIRE(g->first < g->end && text_is_clean(g->why, strlen(g->why)));
	return true;
}

static inline void exercise_reading(struct exercise *x, struct store *s)
{
	struct store_query queries[] = {{.notices = true},
					{.room = "lobby", .oldest_first = true},
					{.room = "ops", .limit = 20},
					{.text = "word"},
					{.text = "wor* text", .room = "lobby", .nick = "Alice"},
					{.since_us = 100, .until_us = 5000}};
	static uint8_t record[STORE_CHANNEL_MAX];
	struct store_figures figures;
	uint64_t n;
	size_t len = 0;

	for (size_t i = 0; i < sizeof(queries) / sizeof(*queries); i++) {
		queries[i].time_limit_us = 2000000;
		exercise_error(x, store_read(s, &queries[i], exercise_message, x));
	}
	exercise_error(x, store_rooms(s, exercise_room, NULL));
	exercise_error(x, store_gaps(s, NULL, exercise_gap, NULL));
	exercise_error(x, store_figures(s, &figures));
	exercise_error(x, store_position(s, "lobby", 77, &n));
	exercise_error(x, store_floor(s, &n));
	exercise_error(x, store_channel(s, "lobby", record, &len));
	EXERCISE_REQUIRE(len <= sizeof(record));
}

static inline void exercise_writing(struct exercise *x, struct store *s)
{
	const struct store_room room = {.name = "lobby", .epoch = 77};
	struct store_message m = {.number = INT64_MAX / 2,
				  .event = {.time_us = 9, .text = "a word", .text_len = 6}};
	uint64_t n;
	int r = exercise_error(x, store_begin(s));

	if (r == 0) {
		r = exercise_error(x, store_put(s, &room, &m));
		if (r == 0)
			r = exercise_error(x, store_index(s, 1000, &n));
		if (r == 0)
			r = exercise_error(x, store_set_channel(s, &room, 1, "decided", 7));
		if (r == 0)
			r = exercise_error(x, store_commit(s));
		if (r < 0)
			store_abandon(s);
	}
}

static inline void exercise_removing(struct exercise *x, struct store *s)
{
	int64_t from = 0;
	uint64_t n;
	bool more = true;

	for (int i = 0; more && i < 100; i++)
		if (exercise_error(
			x, store_expire(s, (struct store_keep[]){{.messages = 200}}, 1, 9, 100, &more)) < 0)
			break;
	more = true;
	for (int i = 0; more && i < 100; i++)
		if (exercise_error(
			x, store_forget(s, &(struct store_forget){.nick = "bob"}, 100, &from, &n, &more)) < 0)
			break;
	more = true;
	for (int i = 0; more && i < 100; i++)
		if (exercise_error(x, store_scrub(s, &more)) < 0)
			break;
}

/* Of a database that is there. */
static inline struct exercise exercise(const char *path)
{
	struct exercise x = {0};
	char why[STORE_WHY_MAX] = "";
	struct store *s, *reader;
	int r = store_open(path, STORE_WRITE, 77, &s, why);

	EXERCISE_REQUIRE(r == 0 || why[0]);
	if (r == -EPROTONOSUPPORT)
		return x;
	if (exercise_error(&x, r) < 0)
		return x;
	store_set_search(s, true);
	exercise_reading(&x, s);
	exercise_writing(&x, s);
	if (store_open(path, STORE_READ, 0, &reader, why) == 0) {
		exercise_reading(&x, reader);
		store_close(reader);
	}
	exercise_removing(&x, s);
	exercise_reading(&x, s);
	store_close(s);
	return x;
}

#endif
