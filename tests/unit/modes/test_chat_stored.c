/* SPDX-License-Identifier: MIT */
/* /history and /search of the TCP mode "chat" where a database has what is asked for, and what may go wrong meanwhile. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/config/notice.h"
#include "daemon/engine/connection_own.h"
#include "daemon/engine/connections.h"
#include "daemon/history/archive.h"
#include "daemon/history/questions.h"
#include "tests/harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct fixture {
	struct harness *h;
	char dir[32], path[64];
	unsigned stored;
};

/* --- a database, and the services --- */

/* What was said before there was this room: "said 1", "said 2" and so on. */
static void store(struct fixture *f, const char *room, const char *nick, unsigned n)
{
	const struct store_room in = {.name = room, .epoch = 7};
	struct store *s;
	char why[STORE_WHY_MAX], text[32];

	assert_int_equal(store_open(f->path, STORE_WRITE, 7, &s, why), 0);
	assert_int_equal(store_begin(s), 0);
	while (n-- > 0) {
		unsigned i = ++f->stored;
		struct store_message m = {.epoch = 7, .number = 1000 + i};
		m.event = (struct speech_event){.time_us = 1764000000000000 + i * 1000000,
						.sender = 1,
						.kind = i % 2 ? RECORD_MESSAGE : RECORD_ACTION,
						.nick = nick,
						.nick_len = (uint8_t)strlen(nick),
						.text = text,
						.text_len = (size_t)sprintf(text, "said %u", i)};
		assert_int_equal(store_put(s, &in, &m), 0);
	}
	assert_int_equal(store_commit(s), 0);
	store_close(s);
}

/* The next n could not be stored. */
static void lose(struct fixture *f, const char *room, unsigned n)
{
	const struct store_room in = {.name = room, .epoch = 7};
	struct store *s;
	char why[STORE_WHY_MAX];
	uint64_t first = 1001 + f->stored;

	f->stored += n;
	assert_int_equal(store_open(f->path, STORE_WRITE, 7, &s, why), 0);
	assert_int_equal(store_begin(s), 0);
	assert_int_equal(
	    store_gap(s, &in, first, first + n, 1764000000000000 + f->stored * 1000000, "disk full"), 0);
	assert_int_equal(store_commit(s), 0);
	store_close(s);
}

static void begin_services(struct fixture *f)
{
	struct shared *shared = harness_shared(f->h);
	const struct config *config = worker_context(shared->workers[0])->config;

	assert_int_equal(archive_open(shared, config), 0);
	assert_int_equal(questions_open(shared, config), 0);
	assert_non_null(shared->questions);
}

static void end_services(struct fixture *f)
{
	struct shared *shared = harness_shared(f->h);

	services_end(&shared->services);
	services_free(&shared->services);
	shared->questions = NULL;
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));
	char config[512];

	*state = f;
	strcpy(f->dir, "/tmp/chatd-stored-XXXXXX");
	if (!mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/history.db", f->dir);
	snprintf(config, sizeof(config),
		 "workers = 1; limits: { commands_per_second = 0; lines_per_second = 0; };"
		 "rooms = ( { name = \"lobby\"; history = 3; }, { name = \"secret\"; keep = \"0\"; },"
		 "          { name = \"silent\"; history = 0; } );"
		 /* A busy machine is slow. */
		 "history: { database = \"%s\"; keep = \"forever\"; questions = 1; time_limit = 0;"
		 "};",
		 f->path);
	f->h = harness_new(config);
	if (!f->h)
		return -1;
	begin_services(f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	end_services(f);
	harness_free(f->h);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	if (system(command) != 0)
		return -1;
	test_free(f);
	return 0;
}

/* --- people --- */

static int join(struct fixture *f, const char *room)
{
	int fd = harness_connect(f->h, "tcp", "chat", room);
	harness_settle(f->h);
	harness_read(f->h, fd);
	return fd;
}

/* What comes until that text does, with the number to go on from as N, and the times of the log's lines as T. */
static const char *until(struct fixture *f, int fd, const char *text)
{
	static char got[1 << 16], out[1 << 16];
	int64_t end = clock_us(CLOCK_MONOTONIC) + 20 * SECOND_US;
	size_t n = 0;

	got[0] = '\0';
	while (!strstr(got, text) && clock_us(CLOCK_MONOTONIC) < end) {
		harness_settle(f->h);
		strcat(got, harness_read(f->h, fd));
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	for (const char *p = got; *p;) {
		if (strncmp(p, " before:", 8) == 0) {
			memcpy(out + n, " before:N", 9);
			n += 9;
			p += 8 + strspn(p + 8, "0123456789");
		} else if (strncmp(p, "* [", 3) == 0 && p[23] == ' ' &&
			   strncmp(p, "* [2025-11-24 16:00:", 20) != 0) {
			memcpy(out + n, "* T", 3);
			n += 3;
			p += 23;
		} else {
			out[n++] = *p++;
		}
	}
	out[n] = '\0';
	return out;
}

static const char *ask(struct fixture *f, int fd, const char *line, const char *last)
{
	const char *at_once = harness_say(f->h, fd, "");

	assert_string_equal(at_once, "");
	assert_int_equal(write(fd, line, strlen(line)), (ssize_t)strlen(line));
	return until(f, fd, last);
}

static void drain(struct fixture *f)
{
	services_drain(&harness_shared(f->h)->services, 20 * SECOND_US);
}

static void go_on(struct fixture *f)
{
	services_start(&harness_shared(f->h)->services);
}

/* Says it, and waits until so many questions wait. */
static void leave_waiting(struct fixture *f, int fd, const char *line, unsigned n)
{
	const struct connections *cs = worker_context(harness_shared(f->h)->workers[0])->connections;
	int64_t end = clock_us(CLOCK_MONOTONIC) + 20 * SECOND_US;
	unsigned waiting = 0;

	assert_int_equal(write(fd, line, strlen(line)), (ssize_t)strlen(line));
	while (waiting != n && clock_us(CLOCK_MONOTONIC) < end) {
		harness_settle(f->h);
		waiting = 0;
		for (uint32_t i = 0; i < cs->n_activities; i++)
			waiting += cs->activities[i].awaited != NULL;
	}
	assert_int_equal(waiting, n);
	assert_string_equal(harness_read(f->h, fd), "");
}

/* --- the tests --- */

static void the_database_comes_before_the_log(void **state)
{
	struct fixture *f = *state;

	store(f, "lobby", "alice", 5);
	store(f, "den", "bob", 1);
	int a = join(f, "lobby");
	harness_say(f->h, a, "x\ny\n");
	assert_string_equal(ask(f, a, "/history 4\n", "Older ones: /history 4 before:"),
			    "* 4 messages in lobby, times in UTC:\n"
			    "* [2025-11-24 16:00:04] alice * said 4\n* [2025-11-24 16:00:05] alice: said 5\n"
			    "* T guest1: x\n* T guest1: y\n* Older ones: /history 4 before:N\n");
	assert_string_equal(ask(f, a, "/history 9 before:1004\n", "said 3"),
			    "* 3 messages in lobby before that, times in UTC:\n"
			    "* [2025-11-24 16:00:01] alice: said 1\n* [2025-11-24 16:00:02] alice * said 2\n"
			    "* [2025-11-24 16:00:03] alice: said 3\n");
	assert_string_equal(ask(f, a, "/history 2 before:1001\n", "\n"),
			    "* There is no message in lobby before that.\n");
	/* What the log has needs no database. */
	drain(f);
	assert_string_equal(ask(f, a, "/history 1\n", ":"),
			    "* 1 message in lobby, times in UTC:\n* T guest1: y\n"
			    "* Older ones: /history 1 before:N\n");
	go_on(f);
	close(a);
}

static void what_is_missing_is_told(void **state)
{
	struct fixture *f = *state;

	lose(f, "lobby", 1);
	store(f, "lobby", "alice", 2);
	lose(f, "lobby", 7);
	store(f, "lobby", "alice", 1);
	lose(f, "den", 5);
	lose(f, "lobby", 2);
	int a = join(f, "lobby");
	assert_string_equal(
	    ask(f, a, "/history\n", "18] (2"),
	    "* 3 messages in lobby, times in UTC:\n"
	    "* [2025-11-24 16:00:01] (1 line is missing)\n"
	    "* [2025-11-24 16:00:02] alice * said 2\n* [2025-11-24 16:00:03] alice: said 3\n"
	    "* [2025-11-24 16:00:10] (7 lines are missing)\n* [2025-11-24 16:00:11] alice: said 11\n"
	    "* [2025-11-24 16:00:18] (2 lines are missing)\n");
	/* Page by page, each once. */
	assert_string_equal(
	    ask(f, a, "/history 1\n", "Older ones: /history 1 before:"),
	    "* 1 message in lobby, times in UTC:\n* [2025-11-24 16:00:11] alice: said 11\n"
	    "* [2025-11-24 16:00:18] (2 lines are missing)\n* Older ones: /history 1 before:N\n");
	assert_string_equal(
	    ask(f, a, "/history 1 before:1011\n", "Older ones: /history 1 before:"),
	    "* 1 message in lobby before that, times in UTC:\n* [2025-11-24 16:00:03] alice: said 3\n"
	    "* [2025-11-24 16:00:10] (7 lines are missing)\n* Older ones: /history 1 before:N\n");
	assert_string_equal(
	    ask(f, a, "/history 1 before:1003\n", "said 2"),
	    "* 1 message in lobby before that, times in UTC:\n"
	    "* [2025-11-24 16:00:01] (1 line is missing)\n* [2025-11-24 16:00:02] alice * said 2\n");
	close(a);
}

static void what_is_typed_behind_waits(void **state)
{
	struct fixture *f = *state;

	store(f, "lobby", "alice", 1);
	int a = join(f, "lobby"), b = join(f, "lobby");
	until(f, a, "guest2 joined");
	drain(f);
	leave_waiting(f, a, "/history\nhello\n", 1);
	/* Others talk meanwhile, and are heard. */
	assert_string_equal(harness_say(f->h, b, "hi\n"), "guest2: hi\n");
	assert_string_equal(harness_read(f->h, a), "guest2: hi\n");
	go_on(f);
	assert_string_equal(
	    until(f, a, "hello"),
	    "* 2 messages in lobby, times in UTC:\n* [2025-11-24 16:00:01] alice: said 1\n* T guest2: hi\n"
	    "guest1: hello\n");
	close(a);
	close(b);
}

static void who_leaves_is_not_waited_for(void **state)
{
	struct fixture *f = *state;

	store(f, "lobby", "alice", 1);
	int a = join(f, "lobby"), b = join(f, "lobby");
	until(f, a, "guest2 joined");
	drain(f);
	leave_waiting(f, a, "/history\n", 1);
	setsockopt(a, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
	close(a);
	harness_settle(f->h);
	/* There is space for one question. */
	assert_string_equal(until(f, b, "left"), "* guest1 left lobby\n");
	leave_waiting(f, b, "/history\n", 1);
	go_on(f);
	assert_string_equal(until(f, b, "said"),
			    "* 1 message in lobby, times in UTC:\n* [2025-11-24 16:00:01] alice: said 1\n");
	/* Or is sent away. */
	drain(f);
	leave_waiting(f, b, "/history\n", 1);
	union address from;
	assert_true(
	    worker_kick(harness_shared(f->h)->workers[0], 2, &(struct notice){.kind = NOTICE_SILENT}, &from));
	go_on(f);
	harness_settle(f->h);
	assert_null(strstr(harness_read(f->h, b), "said"));
	close(b);
}

static void the_next_process_answers(void **state)
{
	struct fixture *f = *state;
	struct takeover t;

	store(f, "lobby", "alice", 1);
	int a = join(f, "lobby");
	drain(f);
	leave_waiting(f, a, "/history\nhello\n", 1);
	end_services(f);
	assert_int_equal(harness_crash(f->h, NULL, NULL, &t), 0);
	begin_services(f);
	assert_string_equal(
	    until(f, a, "hello"),
	    "* 1 message in lobby, times in UTC:\n* [2025-11-24 16:00:01] alice: said 1\nguest1: hello\n");
	close(a);
}

static void too_many_are_told(void **state)
{
	struct fixture *f = *state;

	store(f, "lobby", "alice", 1);
	int a = join(f, "lobby"), b = join(f, "lobby");
	until(f, a, "guest2 joined");
	drain(f);
	leave_waiting(f, a, "/history\n", 1);
	assert_string_equal(ask(f, b, "/history\n", "while.\n"),
			    "* There is no message in lobby.\n"
			    "* Too many are asking at the moment; try again in a while.\n");
	assert_string_equal(ask(f, b, "/search said\n", "while.\n"),
			    "* Too many are asking at the moment; try again in a while.\n");
	go_on(f);
	assert_non_null(strstr(until(f, a, "said"), "said 1"));
	close(a);
	close(b);
}

static void the_database_may_be_away(void **state)
{
	struct fixture *f = *state;
	char aside[80];

	store(f, "lobby", "alice", 1);
	snprintf(aside, sizeof(aside), "%s/aside", f->dir);
	assert_int_equal(rename(f->path, aside), 0);
	int a = join(f, "lobby");
	harness_say(f->h, a, "x\n");
	assert_string_equal(
	    ask(f, a, "/history\n", "still"),
	    "* 1 message in lobby, times in UTC:\n* T guest1: x\n"
	    "* What is stored can't be read at the moment; this is what the room still has.\n");
	assert_string_equal(ask(f, a, "/search x\n", "\n"),
			    "* What is stored can't be searched at the moment; try again in a while.\n");
	assert_int_equal(rename(aside, f->path), 0);
	assert_non_null(strstr(ask(f, a, "/history\n", "said"),
			       "* [2025-11-24 16:00:01] alice: said 1\n* T guest1: x\n"));
	close(a);
}

static void a_disk_may_hang(void **state)
{
	struct fixture *f = *state;

	store(f, "lobby", "alice", 1);
	int a = join(f, "lobby");
	drain(f);
	leave_waiting(f, a, "/history\n", 1);
	struct connections *cs = worker_context(harness_shared(f->h)->workers[0])->connections;
	assert_int_equal(cs->n_activities, 1);
	cs->activities[0].awaited_until = 0;
	assert_string_equal(
	    until(f, a, "moment"),
	    "* There is no message in lobby.\n* The history does not answer at the moment.\n");
	go_on(f);
	assert_non_null(strstr(ask(f, a, "/history\n", "said"), "alice: said 1\n"));
	close(a);
}

static void what_isnt_kept_isnt_asked_for(void **state)
{
	struct fixture *f = *state;

	store(f, "secret", "alice", 1);
	store(f, "silent", "alice", 1);
	int a = join(f, "secret"), b = join(f, "silent");
	assert_string_equal(ask(f, a, "/history\n", "\n"), "* There is no message in secret.\n");
	assert_string_equal(ask(f, a, "/search said\n", "\n"), "* There is no search in secret.\n");
	assert_string_equal(ask(f, b, "/history\n", "\n"),
			    "* Room silent shows nothing of what was said before.\n");
	assert_string_equal(ask(f, b, "/search said\n", "\n"),
			    "* Room silent shows nothing of what was said before.\n");
	close(a);
	close(b);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    CASE(the_database_comes_before_the_log), CASE(what_is_missing_is_told),
	    CASE(what_is_typed_behind_waits),	     CASE(who_leaves_is_not_waited_for),
	    CASE(the_next_process_answers),	     CASE(too_many_are_told),
	    CASE(the_database_may_be_away),	     CASE(a_disk_may_hang),
	    CASE(what_isnt_kept_isnt_asked_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
