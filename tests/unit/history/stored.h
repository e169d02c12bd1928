/* SPDX-License-Identifier: MIT */
/* What tests of the store share: a database in a folder of its own, messages to put, and what was read as text. */
#ifndef TESTS_STORED_H
#define TESTS_STORED_H

#include "tests/unit/unit.h"

#include "daemon/history/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[64];

static inline int setup(void **state)
{
	static char dir[32];

	(void)state;
	strcpy(dir, "/tmp/store-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/history.db", dir);
	return 0;
}

static inline int teardown(void **state)
{
	char name[80];
	static const char *const more[] = {"", "-wal", "-shm", "-lock"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", path, more[i]);
		unlink(name);
	}
	*strrchr(path, '/') = '\0';
	return rmdir(path);
}

static inline struct store *opened(enum store_access access)
{
	char why[STORE_WHY_MAX] = "";
	struct store *s;
	int r = store_open(path, access, 77, &s, why);

	if (r < 0)
		fail_msg("%d: %s", r, why);
	return s;
}

static const struct store_room lobby = {.name = "lobby", .epoch = 77};

static inline void put(struct store *s, const struct store_room *room, uint64_t number, const char *nick,
		       const char *text)
{
	struct store_message m = {.number = number,
				  .event = {.time_us = number * 10,
					    .kind = RECORD_MESSAGE,
					    .nick = nick,
					    .nick_len = (uint8_t)strlen(nick),
					    .text = text,
					    .text_len = strlen(text)}};

	assert_int_equal(store_put(s, room, &m), 0);
}

static char heard[4096];

static inline bool hear(const struct store_message *m, void *arg)
{
	size_t n = strlen(heard);

	(void)arg;
	snprintf(heard + n, sizeof(heard) - n, "%s/%d/%d %.*s: %.*s\n", m->room, (int)m->number,
		 (int)m->epoch, (int)m->event.nick_len, m->event.nick, (int)m->event.text_len, m->event.text);
	return true;
}

static inline void assert_heard(struct store *s, const struct store_query *q, const char *expected)
{
	heard[0] = '\0';
	assert_int_equal(store_read(s, q, hear, NULL), 0);
	assert_string_equal(heard, expected);
}

#endif
