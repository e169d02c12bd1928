/* SPDX-License-Identifier: MIT */
/* Questions about the history: what is answered, whose turn it is, who has to go, and how the service ends. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/engine/worker.h"
#include "daemon/history/questions.h"
#include "tests/harness.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAITING_MAX 8
#define MESSAGES_MAX 1000
#define EPOCH 77
/* The numbers of a room begin there. */
#define BASE 5000

struct fixture {
	struct harness *h;
	struct questions *qs;
	struct services services;
	char dir[32], path[64];
	int64_t time_us;
};

/* The ids of those who were answered, in that order. */
static uint64_t told[32];
static unsigned n_told;

static void answered(struct context *ctx, struct question *q)
{
	assert_int_equal(ctx->slot, 0);
	assert_non_null(question_answer(q));
	told[n_told++] = question_who(q)->id;
}

/* Messages number from .. from + n - 1 of that room, each of which says its number. */
static void store_numbers(struct fixture *f, const char *room, const char *nick, unsigned from, unsigned n)
{
	const struct store_room in = {.name = room, .epoch = EPOCH};
	struct store *s;
	char why[STORE_WHY_MAX], text[32];

	assert_int_equal(store_open(f->path, STORE_WRITE, EPOCH, &s, why), 0);
	assert_int_equal(store_begin(s), 0);
	for (unsigned i = from; i < from + n; i++) {
		struct store_message m = {.epoch = EPOCH, .number = BASE + i};
		m.event = (struct speech_event){.time_us = (uint64_t)f->time_us++,
						.sender = 1,
						.kind = RECORD_MESSAGE,
						.nick = nick,
						.nick_len = (uint8_t)strlen(nick),
						.text = text,
						.text_len = (size_t)sprintf(text, "says %u", i)};
		assert_int_equal(store_put(s, &in, &m), 0);
	}
	assert_int_equal(store_commit(s), 0);
	store_close(s);
}

static void begin(struct fixture *f)
{
	const struct questions_limits limits = {WAITING_MAX, MESSAGES_MAX, 5 * SECOND_US};

	assert_int_equal(questions_new(f->path, &limits, harness_shared(f->h)->slots, &f->qs), 0);
	services_add(&f->services, (struct service *)f->qs);
}

static int setup(void **state)
{
	struct fixture *f = test_calloc(1, sizeof(*f));

	*state = f;
	n_told = 0;
	f->time_us = 1000000;
	strcpy(f->dir, "/tmp/chatd-questions-XXXXXX");
	f->h = harness_new("rooms = ( { name = \"lobby\"; } );");
	if (!f->h || !mkdtemp(f->dir))
		return -1;
	snprintf(f->path, sizeof(f->path), "%s/history.db", f->dir);
	begin(f);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char command[64];

	services_end(&f->services);
	services_free(&f->services);
	harness_free(f->h);
	snprintf(command, sizeof(command), "rm -r %s", f->dir);
	if (system(command) != 0)
		return -1;
	test_free(f);
	return 0;
}

static struct question *ask(struct fixture *f, const char *from, uint64_t id,
			    const struct question_request *r)
{
	struct question_caller caller = {
	    .w = harness_shared(f->h)->workers[0], .answered = answered, .id = id};
	union address a;
	struct question *q;

	if (from) {
		assert_int_equal(address_parse(from, &a), 0);
		caller.address = &a;
	}
	return question_ask(f->qs, &caller, r, &q) == 0 ? q : NULL;
}

/* Turns the worker until so many were told, or for so long. */
static void settle(struct fixture *f, unsigned n, int64_t us)
{
	int64_t until = clock_us(CLOCK_MONOTONIC) + us;

	while (n_told < n && clock_us(CLOCK_MONOTONIC) < until) {
		harness_settle(f->h);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static const struct answer *ask_and_wait(struct fixture *f, const struct question_request *r,
					 struct question **ret)
{
	unsigned before = n_told;

	*ret = ask(f, "192.0.2.1:1", 1, r);
	assert_non_null(*ret);
	settle(f, before + 1, 20 * SECOND_US);
	assert_non_null(question_answer(*ret));
	return question_answer(*ret);
}

/* The texts' numbers, with a '+' behind them if there is more. */
static const char *numbers(const struct answer *a)
{
	static char text[1024];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < a->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%.*s", i ? " " : "",
				      (int)a->at[i]->event.text_len - 5, a->at[i]->event.text + 5);
	if (a->more)
		strcpy(text + n, "+");
	return text;
}

static void the_newest_come_first(void **state)
{
	struct fixture *f = *state;
	struct question *q;

	store_numbers(f, "lobby", "alice", 1, 5);
	store_numbers(f, "den", "bob", 6, 1);
	const struct answer *a =
	    ask_and_wait(f, &(struct question_request){.query = {.room = "lobby", .limit = 3}}, &q);
	assert_int_equal(a->error, 0);
	assert_string_equal(numbers(a), "5 4 3+");
	assert_string_equal(a->at[0]->room, "lobby");
	assert_int_equal(a->at[0]->number, BASE + 5);
	assert_int_equal(a->at[0]->epoch, EPOCH);
	assert_memory_equal(a->at[0]->event.nick, "alice", 5);
	int64_t last = a->at[2]->id;
	question_drop(q);
	a = ask_and_wait(
	    f, &(struct question_request){.query = {.room = "lobby", .limit = 3, .before = last}}, &q);
	assert_string_equal(numbers(a), "2 1");
	question_drop(q);
	a = ask_and_wait(f, &(struct question_request){.query = {.nick = "BOB"}}, &q);
	assert_string_equal(numbers(a), "6");
	question_drop(q);
	a = ask_and_wait(
	    f, &(struct question_request){.query = {.room = "lobby", .text = "says 4", .oldest_first = true}},
	    &q);
	assert_string_equal(numbers(a), "4");
	question_drop(q);
	assert_int_equal(ask_and_wait(f, &(struct question_request){.query = {.text = "*"}}, &q)->error,
			 -EINVAL);
	question_drop(q);
	a = ask_and_wait(f, &(struct question_request){.query = {.room = "nowhere"}}, &q);
	assert_int_equal(a->error, 0);
	assert_string_equal(numbers(a), "");
	question_drop(q);
}

/* Whatever lies between a room's messages, and wherever the number lies. */
static void a_number_says_where_to_go_on(void **state)
{
	struct fixture *f = *state;

	store_numbers(f, "den", "bob", 1, 3);
	store_numbers(f, "lobby", "alice", 10, 3);
	store_numbers(f, "den", "bob", 4, 40);
	store_numbers(f, "lobby", "alice", 20, 2);
	store_numbers(f, "den", "bob", 100, 1);
	static const struct {
		unsigned number;
		const char *expected;
	} cases[] = {{1, ""},
		     {10, ""},
		     {11, "10"},
		     {12, "11 10"},
		     {13, "12 11 10"},
		     {20, "12 11 10"},
		     {21, "20 12 11 10"},
		     {22, "21 20 12 11 10"},
		     {500, "21 20 12 11 10"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct question *q;
		const struct question_request r = {.query.room = "lobby",
						   .before_number = BASE + cases[i].number};
		assert_string_equal(numbers(ask_and_wait(f, &r, &q)), cases[i].expected);
		question_drop(q);
	}
}

static void an_answer_is_bounded(void **state)
{
	struct fixture *f = *state;
	struct question *q;

	store_numbers(f, "lobby", "alice", 1, MESSAGES_MAX + 1);
	const struct answer *a = ask_and_wait(f, &(struct question_request){.bytes = 30}, &q);
	assert_int_equal(a->n, 2);
	assert_true(a->more);
	question_drop(q);
	a = ask_and_wait(f, &(struct question_request){.bytes = 1}, &q);
	assert_int_equal(a->n, 1);
	assert_true(a->more);
	question_drop(q);
	a = ask_and_wait(f, &(struct question_request){.query.limit = 1000000}, &q);
	assert_int_equal(a->n, MESSAGES_MAX);
	assert_true(a->more);
	question_drop(q);
}

/* What was found until then is there. */
static void a_question_that_takes_too_long_is_ended(void **state)
{
	struct fixture *f = *state;
	struct question *q;

	store_numbers(f, "lobby", "alice", 1, MESSAGES_MAX);
	store_numbers(f, "den", "bob", 1, 5);
	const struct answer *a = ask_and_wait(f, &(struct question_request){.query.time_limit_us = 1}, &q);
	assert_int_equal(a->error, -ETIME);
	assert_true(a->more);
	assert_true(a->n < MESSAGES_MAX);
	assert_true(a->why[0] != '\0');
	question_drop(q);
}

static void addresses_take_turns(void **state)
{
	struct fixture *f = *state;
	static const uint64_t order[] = {1, 4, 5, 2, 6, 3};
	struct question *q[6];

	store_numbers(f, "lobby", "alice", 1, 1);
	services_drain(&f->services, 20 * SECOND_US);
	for (uint64_t id = 1; id <= 3; id++)
		q[id - 1] = ask(f, "192.0.2.1:1", id, &(struct question_request){.bytes = 0});
	q[3] = ask(f, "192.0.2.2:1", 4, &(struct question_request){.bytes = 0});
	q[4] = ask(f, NULL, 5, &(struct question_request){.bytes = 0}); /* an admin's */
	q[5] = ask(f, NULL, 6, &(struct question_request){.bytes = 0});
	services_start(&f->services);
	settle(f, 6, 20 * SECOND_US);
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(told[i], order[i]);
		question_drop(q[i]);
	}
}

/* Whoever floods is refused, and doesn't keep others from asking. */
static void too_many_questions_are_refused(void **state)
{
	struct fixture *f = *state;
	struct question *q[WAITING_MAX], *other[3];

	store_numbers(f, "lobby", "alice", 1, 1);
	services_drain(&f->services, 20 * SECOND_US);
	for (uint64_t i = 0; i < WAITING_MAX; i++)
		assert_non_null(q[i] = ask(f, "192.0.2.1:1", i + 1, &(struct question_request){.bytes = 0}));
	assert_null(ask(f, "192.0.2.1:1", 100, &(struct question_request){.bytes = 0}));
	for (uint64_t i = 0; i < 3; i++)
		assert_non_null(other[i] =
				    ask(f, "192.0.2.2:1", 101 + i, &(struct question_request){.bytes = 0}));
	/* Three of the first one's had to go, the last first. */
	settle(f, 3, 20 * SECOND_US);
	assert_int_equal(n_told, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(told[i], WAITING_MAX - i);
		assert_int_equal(question_answer(q[WAITING_MAX - 1 - i])->error, -EBUSY);
	}
	services_start(&f->services);
	settle(f, WAITING_MAX + 3, 20 * SECOND_US);
	assert_int_equal(n_told, WAITING_MAX + 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(question_answer(other[i])->error, 0);
		question_drop(other[i]);
	}
	for (unsigned i = 0; i < WAITING_MAX; i++)
		question_drop(q[i]);
}

static void who_drops_a_question_hears_nothing(void **state)
{
	struct fixture *f = *state;

	store_numbers(f, "lobby", "alice", 1, 1);
	services_drain(&f->services, 20 * SECOND_US);
	struct question *first = ask(f, "192.0.2.1:1", 1, &(struct question_request){.bytes = 0});
	struct question *second = ask(f, "192.0.2.1:1", 2, &(struct question_request){.bytes = 0});
	question_drop(first);
	services_start(&f->services);
	settle(f, 1, 20 * SECOND_US);
	assert_int_equal(told[0], 2);
	question_drop(second);
	/* While it is looked up, or on its way back. */
	for (unsigned i = 0; i < 200; i++) {
		struct question *q = ask(f, "192.0.2.1:1", 3, &(struct question_request){.bytes = 0});
		if (i % 2)
			nanosleep(&(struct timespec){.tv_nsec = (long)i * 1000}, NULL);
		question_drop(q);
	}
	settle(f, 2, 50000);
	assert_int_equal(n_told, 1);
	question_drop(NULL);
}

/* Also if it ended with questions; nobody reads the last ones, and nothing is left of them. */
static void it_pauses_ends_and_goes_on(void **state)
{
	struct fixture *f = *state;
	struct service *s = (struct service *)f->qs;

	store_numbers(f, "lobby", "alice", 1, 1);
	services_drain(&f->services, 20 * SECOND_US);
	assert_true(s->ops->is_drained(s));
	struct question *q = ask(f, "192.0.2.1:1", 1, &(struct question_request){.bytes = 0});
	settle(f, 1, 50000);
	assert_int_equal(n_told, 0);
	assert_true(services_end(&f->services));
	assert_null(ask(f, "192.0.2.1:1", 2, &(struct question_request){.bytes = 0}));
	services_start(&f->services);
	settle(f, 1, 20 * SECOND_US);
	assert_int_equal(question_answer(q)->n, 1);
	question_drop(q);
	services_drain(&f->services, 20 * SECOND_US);
	q = ask(f, "192.0.2.1:1", 1, &(struct question_request){.bytes = 0});
	services_end(&f->services);
	services_free(&f->services);
	assert_int_equal(question_answer(q)->error, -ECANCELED);
	question_drop(q);
	assert_int_equal(services_shown(&f->services), 0);
}

/* The main thread has no worker: it is woken, and looks. */
static void a_slot_is_woken(void **state)
{
	struct fixture *f = *state;
	struct slots *slots = harness_shared(f->h)->slots;
	struct question_caller caller = {.w = NULL};
	struct question *q;

	store_numbers(f, "lobby", "alice", 1, 1);
	assert_int_equal(slots_take(slots, false, &caller.slot), 0);
	struct pollfd p = {.fd = wakeup_fd(slots_wakeup(slots, caller.slot)), .events = POLLIN};
	assert_int_equal(question_ask(f->qs, &caller, &(struct question_request){.bytes = 0}, &q), 0);
	assert_int_equal(poll(&p, 1, 20000), 1);
	assert_int_equal(question_answer(q)->n, 1);
	question_drop(q);
	/* It has gone before the answer came. */
	assert_int_equal(question_ask(f->qs, &caller, &(struct question_request){.bytes = 0}, &q), 0);
	question_drop(q);
	services_end(&f->services);
	slots_give(slots, caller.slot);
}

/* Missing, damaged, another one: it is as it is at that moment. */
static void the_database_may_change(void **state)
{
	struct fixture *f = *state;
	struct question *q;
	const struct question_request all = {.bytes = 0};
	char aside[80];

	snprintf(aside, sizeof(aside), "%s/aside", f->dir);
	assert_int_equal(ask_and_wait(f, &all, &q)->error, -ENOENT);
	assert_true(question_answer(q)->why[0] != '\0');
	question_drop(q);
	store_numbers(f, "lobby", "alice", 1, 2);
	assert_string_equal(numbers(ask_and_wait(f, &all, &q)), "2 1");
	question_drop(q);
	assert_int_equal(rename(f->path, aside), 0);
	assert_int_equal(ask_and_wait(f, &all, &q)->error, -ENOENT);
	question_drop(q);
	store_numbers(f, "lobby", "alice", 3, 1);
	assert_string_equal(numbers(ask_and_wait(f, &all, &q)), "3");
	question_drop(q);
	assert_int_equal(rename(f->path, aside), 0);
	FILE *file = fopen(f->path, "w");
	assert_non_null(file);
	for (unsigned i = 0; i < 8192; i++)
		fputc('x', file);
	fclose(file);
	assert_int_equal(ask_and_wait(f, &all, &q)->error, -EBADMSG);
	question_drop(q);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(the_newest_come_first),
	    TEST(a_number_says_where_to_go_on),
	    TEST(an_answer_is_bounded),
	    TEST(a_question_that_takes_too_long_is_ended),
	    TEST(addresses_take_turns),
	    TEST(too_many_questions_are_refused),
	    TEST(who_drops_a_question_hears_nothing),
	    TEST(it_pauses_ends_and_goes_on),
	    TEST(a_slot_is_woken),
	    TEST(the_database_may_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
