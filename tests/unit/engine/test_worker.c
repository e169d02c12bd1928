/* SPDX-License-Identifier: MIT */
/* A worker's loop: jobs from other threads, tasks that are retried and buried, residents, quit and join. */
#include "tests/unit/unit.h"

#include "daemon/base/clock.h"
#include "daemon/config/notice.h"
#include "daemon/engine/worker.h"
#include "tests/harness.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int setup(void **state)
{
	*state = harness_new("workers = 1;");
	return *state ? 0 : -1;
}

static int teardown(void **state)
{
	harness_free(*state);
	return 0;
}

static struct worker *worker_of(void **state)
{
	return harness_shared(*state)->workers[0];
}

/* One turn, which doesn't wait for anything. */
static void turn(void **state)
{
	wakeup_kick(slots_wakeup(harness_shared(*state)->slots, 0));
	worker_turn(worker_of(state));
}

/* --- jobs --- */

static char order[64];

struct letter {
	struct job job;
	char c;
};

static void write_letter(struct worker *w, struct job *job)
{
	struct letter *l = (struct letter *)job;
	size_t n = strlen(order);

	order[n] = w ? l->c : '-';
	order[n + 1] = '\0';
	free(l);
}

static void post(struct worker *w, char c)
{
	struct letter *l = calloc(1, sizeof(*l));

	l->job.run = write_letter;
	l->c = c;
	worker_post(w, &l->job);
}

static void jobs_run_in_their_order(void **state)
{
	order[0] = '\0';
	post(worker_of(state), 'a');
	post(worker_of(state), 'b');
	post(worker_of(state), 'c');
	assert_string_equal(order, "");
	turn(state);
	assert_string_equal(order, "abc");
	post(worker_of(state), 'd');
	turn(state);
	assert_string_equal(order, "abcd");
}

static void a_job_that_was_not_reached_is_told(void **state)
{
	struct harness *h = *state;

	order[0] = '\0';
	post(worker_of(state), 'a');
	harness_free(h);
	assert_string_equal(order, "-");
	assert_int_equal(setup(state), 0);
}

/* --- the thread --- */

struct seen {
	pthread_t thread;
	char name[16];
	int64_t sleep_us;
	atomic_uint runs, released;
};

static void look(struct worker *w, void *arg)
{
	struct seen *s = arg;

	(void)w;
	s->thread = pthread_self();
	pthread_getname_np(s->thread, s->name, sizeof(s->name));
	nanosleep(&(struct timespec){.tv_nsec = s->sleep_us * 1000}, NULL);
	atomic_fetch_add(&s->runs, 1);
}

static void release(void *arg)
{
	atomic_fetch_add(&((struct seen *)arg)->released, 1);
}

static void wait_for(const atomic_uint *what, unsigned n)
{
	for (unsigned i = 0; i < 5000 && atomic_load(what) < n; i++)
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	assert_int_equal(atomic_load(what), n);
}

static void a_call_runs_on_its_thread(void **state)
{
	struct worker *w = worker_of(state);
	struct seen s = {.sleep_us = 0};

	assert_int_equal(worker_start(w), 0);
	assert_int_equal(workers_call(harness_shared(*state), NULL, look, &s, release, 5 * SECOND_US), 0);
	assert_int_equal(s.runs, 1);
	wait_for(&s.released, 1);
	assert_false(pthread_equal(s.thread, pthread_self()));
	assert_string_equal(s.name, "chatd/0");
	worker_quit(w);
	assert_true(worker_join(w, 5 * SECOND_US));
}

static void a_call_that_takes_too_long_is_left_alone(void **state)
{
	struct worker *w = worker_of(state);
	struct seen s = {.sleep_us = 200000};

	assert_int_equal(worker_start(w), 0);
	assert_int_equal(workers_call(harness_shared(*state), w, look, &s, release, 1000), -ETIMEDOUT);
	assert_int_equal(s.released, 0); /* it may still be at it */
	wait_for(&s.released, 1);
	assert_int_equal(s.runs, 1);
	worker_quit(w);
	assert_true(worker_join(w, 5 * SECOND_US));
}

static void it_ends_after_its_turn_and_may_start_again(void **state)
{
	struct worker *w = worker_of(state);
	struct seen s = {.sleep_us = 200000};

	assert_int_equal(worker_start(w), 0);
	assert_false(worker_join(w, 0));
	assert_int_equal(workers_call(harness_shared(*state), w, look, &s, NULL, 0), -ETIMEDOUT);
	worker_quit(w);
	assert_true(worker_join(w, 5 * SECOND_US));
	assert_true(worker_join(w, 0));

	unsigned before = s.runs;
	s.sleep_us = 0;
	assert_int_equal(worker_start(w), 0);
	assert_int_equal(workers_call(harness_shared(*state), w, look, &s, NULL, 5 * SECOND_US), 0);
	assert_in_range(s.runs, before + 1, before + 2);
	worker_quit(w);
	assert_true(worker_join(w, 5 * SECOND_US));
}

/* --- tasks --- */

struct chore {
	struct task task;
	struct worker *w;
	unsigned runs, frees, more; /* how often it asks for another turn */
	bool later;
};

static unsigned chores_run;

static void chore_again(struct task *t)
{
	struct chore *k = (struct chore *)t;

	k->runs++;
	chores_run++;
	if (k->more == 0)
		return;
	k->more--;
	if (k->later)
		worker_retry_later(k->w, t);
	else
		worker_retry(k->w, t);
}

static void chore_free(struct task *t)
{
	((struct chore *)t)->frees++;
}

static const struct task_ops chore_ops = {.again = chore_again, .free = chore_free};

static struct chore chore(void **state, unsigned more)
{
	return (struct chore){.task.ops = &chore_ops, .w = worker_of(state), .more = more};
}

static void a_task_is_retried_once_a_turn(void **state)
{
	struct chore a = chore(state, 0), b = chore(state, 2);

	worker_retry(a.w, &a.task);
	worker_retry(a.w, &a.task);
	worker_retry_later(a.w, &a.task);
	worker_retry(b.w, &b.task);
	turn(state);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 1);
	turn(state);
	assert_int_equal(b.runs, 2);
	turn(state);
	turn(state);
	assert_int_equal(a.runs, 1);
	assert_int_equal(b.runs, 3);
	worker_retry(a.w, &a.task);
	turn(state);
	assert_int_equal(a.runs, 2);
}

/* So that closing a thousand connections doesn't hold the others up; nobody is overtaken by who comes again. */
static void a_turn_has_its_share(void **state)
{
	enum { MANY = 200 };
	struct chore *all = calloc(MANY, sizeof(*all));

	chores_run = 0;
	for (unsigned i = 0; i < MANY; i++) {
		all[i] = chore(state, 1);
		worker_retry(all[i].w, &all[i].task);
	}
	turn(state);
	assert_in_range(chores_run, 1, MANY / 2);
	assert_int_equal(all[0].runs, 1);
	assert_int_equal(all[MANY - 1].runs, 0);
	for (unsigned i = 0; i < 20; i++) {
		turn(state);
		assert_true(all[0].runs < 2 || all[MANY - 1].runs >= 1);
	}
	assert_int_equal(chores_run, 2 * MANY);
	free(all);
}

static void later_is_not_at_once(void **state)
{
	struct chore a = chore(state, 1);

	a.later = true;
	turn(state);
	worker_retry_later(a.w, &a.task);
	int64_t until = worker_context(a.w)->now + 9000;
	do {
		turn(state);
		assert_true(a.runs == 0 || worker_context(a.w)->now >= until);
	} while (a.runs == 0);
	until = worker_context(a.w)->now + 9000;
	do {
		turn(state);
		assert_true(a.runs == 1 || worker_context(a.w)->now >= until);
	} while (a.runs == 1);
	assert_int_equal(a.runs, 2);
}

static void bury_job(struct worker *w, struct job *job)
{
	struct chore *k = *(struct chore **)(job + 1);

	worker_bury(w, &k->task);
	assert_int_equal(k->frees, 0); /* an event of this turn may still point at it */
	free(job);
}

static void what_is_buried_is_freed_between_turns(void **state)
{
	struct chore a = chore(state, 0), b = chore(state, 0), c = chore(state, 0);
	struct job *job = calloc(1, sizeof(*job) + sizeof(struct chore *));

	job->run = bury_job;
	*(struct chore **)(job + 1) = &a;
	worker_post(a.w, job);
	turn(state);
	assert_int_equal(a.frees, 1);

	/* One that waits is freed instead of being looked at again. */
	worker_retry(b.w, &b.task);
	worker_bury(b.w, &b.task);
	worker_retry_later(c.w, &c.task);
	worker_bury(c.w, &c.task);
	turn(state);
	assert_int_equal(b.frees, 1);
	assert_int_equal(b.runs, 0);
	assert_int_equal(c.frees, 0);

	/* The worker's end frees it, wherever it waits. */
	harness_free(*state);
	assert_int_equal(c.frees, 1);
	assert_int_equal(c.runs, 0);
	assert_int_equal(a.frees + b.frees, 2);
	assert_int_equal(setup(state), 0);
}

/* --- residents --- */

struct guest {
	struct resident resident;
	struct worker *w;
	unsigned repeats, ticks, delivered, reloads, freezes;
	unsigned waits; /* so often it asks for another turn */
	uint64_t id;
};

static bool guest_again(struct resident *r)
{
	struct guest *g = (struct guest *)r;

	g->repeats++;
	if (g->waits == 0)
		return false;
	g->waits--;
	return true;
}

static void guest_deliver(struct resident *r, uint32_t room)
{
	if (room != ROOM_PRIVATE)
		((struct guest *)r)->delivered++;
}

static void guest_reload(struct resident *r)
{
	((struct guest *)r)->reloads++;
}

static void guest_freeze(struct resident *r)
{
	struct guest *g = (struct guest *)r;

	g->freezes++;
	worker_remove(g->w, r);
}

static bool guest_kick(struct resident *r, uint64_t id, const struct notice *why, union address *ret_from)
{
	(void)why;
	memset(ret_from, 0, sizeof(*ret_from));
	return ((struct guest *)r)->id == id;
}

static unsigned guest_evict(struct resident *r, const struct prefix *from, const struct notice *why)
{
	(void)r;
	(void)from;
	(void)why;
	return 2;
}

static const struct resident_ops guest_ops = {
    .again = guest_again,
    .deliver = guest_deliver,
    .reload = guest_reload,
    .freeze = guest_freeze,
    .kick = guest_kick,
    .evict = guest_evict,
};
static const struct resident_ops idle_ops = {.reload = NULL};

/* Somebody posts a job while the worker waits for more input. */
static int64_t guest_delay(struct resident *r)
{
	post(((struct guest *)r)->w, 'a');
	return 100;
}

static const struct resident_ops busy_ops = {.delay = guest_delay, .freeze = guest_freeze};

static void a_job_does_not_wait_for_another_turn(void **state)
{
	struct worker *w = worker_of(state);
	struct guest busy = {.resident.ops = &busy_ops, .w = w};

	order[0] = '\0';
	worker_add(w, &busy.resident);
	turn(state);
	worker_remove(w, &busy.resident);
	assert_string_equal(order, "a");
}

static void residents_are_called(void **state)
{
	struct worker *w = worker_of(state);
	struct context *ctx = worker_context(w);
	struct guest a = {.resident.ops = &guest_ops, .w = w, .id = 7, .waits = 1}, b = a;
	struct resident idle = {.ops = &idle_ops};
	const struct notice why = {.kind = NOTICE_REMOVED};
	union address from;
	struct room *room;

	b.id = 8;
	worker_add(w, &a.resident);
	worker_add(w, &idle);
	worker_add(w, &b.resident);
	turn(state);
	assert_int_equal(a.repeats, 1);

	assert_int_equal(rooms_enter(ctx->shared->rooms, "hall", 0, &(struct room_guest){0}, &room), 0);
	rooms_mark(ctx->shared->rooms, room, &ctx->kick);
	turn(state);
	assert_int_equal(a.delivered, 1);
	assert_int_equal(b.delivered, 1);

	worker_reload(w, ctx->config);
	assert_int_equal(b.reloads, 1);
	uint64_t kicked = atomic_load(&ctx->counters->v[COUNT_CLIENTS_KICKED]);
	assert_true(worker_kick(w, 8, &why, &from));
	assert_false(worker_kick(w, 9, &why, &from));
	assert_int_equal(worker_evict(w, &(struct prefix){.bits = 0}, &why), 4);
	assert_int_equal(atomic_load(&ctx->counters->v[COUNT_CLIENTS_KICKED]), kicked + 5);

	/* Both leave while all are gone through. */
	worker_freeze(w);
	assert_int_equal(a.freezes + b.freezes, 2);
	worker_freeze(w);
	assert_int_equal(a.freezes + b.freezes, 2);
	worker_remove(w, &idle);
	rooms_leave(ctx->shared->rooms, room, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(jobs_run_in_their_order, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_job_that_was_not_reached_is_told, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_job_does_not_wait_for_another_turn, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_call_runs_on_its_thread, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_call_that_takes_too_long_is_left_alone, setup, teardown),
	    cmocka_unit_test_setup_teardown(it_ends_after_its_turn_and_may_start_again, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_task_is_retried_once_a_turn, setup, teardown),
	    cmocka_unit_test_setup_teardown(a_turn_has_its_share, setup, teardown),
	    cmocka_unit_test_setup_teardown(later_is_not_at_once, setup, teardown),
	    cmocka_unit_test_setup_teardown(what_is_buried_is_freed_between_turns, setup, teardown),
	    cmocka_unit_test_setup_teardown(residents_are_called, setup, teardown),
	};

	return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
