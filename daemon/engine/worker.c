/* SPDX-License-Identifier: MIT */
/*
 * The loop of a worker and what it keeps for it: the epoll set, the jobs that other threads post, the tasks
 * that are to be looked at again, and the residents. It knows nothing of what these are.
 */
#include "daemon/engine/worker.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/service.h"
#include "daemon/io/sender.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define EVENTS 512
#define TICK_US 1000000
#define TICK_LOSERS_US 50000
/* At most this many tasks are looked at again in a turn, since closing a connection takes a while. */
#define AGAIN_MAX 64
#define LATER_MAX 256
#define LATER_US 10000
#define LAST_TURNS 100

/* Tasks in the order in which they came. */
struct queue {
	struct task *first, **end;
	size_t n;
};

struct worker {
	struct context ctx; /* first: see worker_context() */
	struct source wakeup_source;
	struct wakeup *wakeup;
	int epoll;
	pthread_t thread;
	bool started;
	atomic_bool quit;
	_Atomic int64_t beat;

	int64_t ticked, later_at;
	unsigned losses;  /* roster_losses() at the last tick */
	unsigned retries; /* turns in a row with somebody to retry */
	bool residents_wait, hurries;
	struct resident *residents, *last_resident;
	struct queue retry, later, dead;

	pthread_mutex_t lock; /* of the jobs */
	struct job *jobs, **jobs_end;
};

/* --- tasks --- */

static void worker_queue_push(struct queue *q, struct task *t)
{
	t->waits = true;
	t->next = NULL;
	*q->end = t;
	q->end = &t->next;
	q->n++;
}

static struct task *worker_queue_pop(struct queue *q)
{
	struct task *t = q->first;

	q->first = t->next;
	if (!q->first)
		q->end = &q->first;
	q->n--;
	t->waits = false;
	return t;
}

static void worker_bury_all(struct worker *w)
{
	while (w->dead.n > 0) {
		struct task *t = worker_queue_pop(&w->dead);
		t->ops->free(t);
	}
}

/* False if that was not all that waited: the rest comes first in the next turn. */
static bool worker_run_queue(struct worker *w, struct queue *q, size_t most)
{
	size_t waiting = q->n;

	for (size_t n = waiting < most ? waiting : most; n > 0; n--) {
		struct task *t = worker_queue_pop(q);
		if (t->buried)
			worker_queue_push(&w->dead, t);
		else
			t->ops->again(t);
	}
	return waiting <= most;
}

/* What was buried while it waited is only there. */
static void worker_drop_buried(struct queue *q)
{
	while (q->n > 0) {
		struct task *t = worker_queue_pop(q);
		if (t->buried)
			t->ops->free(t);
	}
}

void worker_retry(struct worker *w, struct task *t)
{
	if (!t->waits)
		worker_queue_push(&w->retry, t);
}

void worker_retry_later(struct worker *w, struct task *t)
{
	if (t->waits)
		return;
	if (w->later.n == 0)
		w->later_at = w->ctx.now + LATER_US;
	worker_queue_push(&w->later, t);
}

void worker_hurry(struct worker *w)
{
	w->hurries = true;
}

void worker_bury(struct worker *w, struct task *t)
{
	t->buried = true;
	if (!t->waits)
		worker_queue_push(&w->dead, t);
}

/* --- residents --- */

void worker_add(struct worker *w, struct resident *r)
{
	r->next = NULL;
	r->prev = w->last_resident;
	if (r->prev)
		r->prev->next = r;
	else
		w->residents = r;
	w->last_resident = r;
}

void worker_remove(struct worker *w, struct resident *r)
{
	if (r->prev)
		r->prev->next = r->next;
	else
		w->residents = r->next;
	if (r->next)
		r->next->prev = r->prev;
	else
		w->last_resident = r->prev;
}

/* Calls an operation of all residents that have it. */
#define RESIDENTS(w, op, ...)                                                                                \
	do {                                                                                                 \
		for (struct resident *r = (w)->residents, *after; r; r = after) {                            \
			after = r->next;                                                                     \
			if (r->ops->op)                                                                      \
				r->ops->op(r, ##__VA_ARGS__);                                                \
		}                                                                                            \
	} while (0)

void worker_reload(struct worker *w, const struct config *config)
{
	w->ctx.config = config;
	RESIDENTS(w, reload);
}

void worker_freeze(struct worker *w)
{
	RESIDENTS(w, freeze);
}

void worker_goodbye(struct worker *w)
{
	RESIDENTS(w, goodbye);
}

void worker_each_client(struct worker *w, void (*fn)(const struct client_info *info, void *arg), void *arg)
{
	RESIDENTS(w, each, fn, arg);
}

bool worker_kick(struct worker *w, uint64_t id, const struct notice *why, union address *ret_from)
{
	bool found = false;

	for (struct resident *r = w->residents; r && !found; r = r->next)
		found = r->ops->kick && r->ops->kick(r, id, why, ret_from);
	if (found)
		count(w->ctx.counters, COUNT_CLIENTS_KICKED, 1);
	return found;
}

unsigned worker_evict(struct worker *w, const struct prefix *from, const struct notice *why)
{
	unsigned n = 0;

	for (struct resident *r = w->residents; r; r = r->next)
		if (r->ops->evict)
			n += r->ops->evict(r, from, why);
	count(w->ctx.counters, COUNT_CLIENTS_KICKED, n);
	return n;
}

/* Those that could not finish what they had to do. True if one still can't. */
static bool worker_residents_again(struct worker *w)
{
	bool waiting = false;

	for (struct resident *r = w->residents; r; r = r->next)
		waiting |= r->ops->again && r->ops->again(r);
	return waiting;
}

static void worker_deliver_room(uint32_t room, void *arg)
{
	struct worker *w = arg;

	RESIDENTS(w, deliver, room);
}

/* --- making and freeing one --- */

static void worker_wakeup_ready(struct source *s, uint32_t events)
{
	(void)events;
	wakeup_clear(((struct worker *)((char *)s - offsetof(struct worker, wakeup_source)))->wakeup);
}

int worker_new(struct shared *shared, unsigned index, const struct config *config, struct worker **ret)
{
	struct worker *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->wakeup_source.ready = worker_wakeup_ready;
	w->ctx.slot = index;
	w->ctx.shared = shared;
	w->ctx.config = config;
	w->wakeup = slots_wakeup(shared->slots, index);
	w->ctx.scratch = clients_scratch(shared->clients, index);
	w->ctx.counters = (struct counters *)clients_counters(shared->clients, index);
	w->jobs_end = &w->jobs;
	w->ctx.now = w->ticked = clock_us(CLOCK_MONOTONIC);
	atomic_store(&w->beat, w->ctx.now);
	pthread_mutex_init(&w->lock, NULL);
	w->retry.end = &w->retry.first;
	w->later.end = &w->later.first;
	w->dead.end = &w->dead.first;
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = w->epoll < 0 ? -errno : 0;
	if (r == 0)
		r = sender_new(config->io_uring, &w->ctx.sender);
	if (r == 0)
		r = tls_tools_new(clients_tls_scratches(shared->clients) + index, &w->ctx.tls);
	if (r == 0)
		r = worker_watch(w, wakeup_fd(w->wakeup), EPOLLIN, &w->wakeup_source);
	if (r < 0) {
		worker_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	worker_drop_buried(&w->retry);
	worker_drop_buried(&w->later);
	RESIDENTS(w, free);
	worker_bury_all(w);
	for (struct job *j = w->jobs, *next; j; j = next) {
		next = j->next;
		j->run(NULL, j);
	}
	sender_free(w->ctx.sender);
	tls_tools_free(w->ctx.tls);
	if (w->epoll >= 0)
		close(w->epoll);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

/* --- the loop --- */

static void worker_run_jobs(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	struct job *j = w->jobs, *next;
	w->jobs = NULL;
	w->jobs_end = &w->jobs;
	pthread_mutex_unlock(&w->lock);
	for (; j; j = next) {
		next = j->next;
		j->run(w, j);
	}
}

/* Somebody has to give a nick back, which is seen to in the tick. */
static bool worker_has_losers(const struct worker *w)
{
	const struct roster *ro = w->ctx.shared->roster;

	return ro && roster_losses(ro) != w->losses;
}

static int worker_timeout_ms(const struct worker *w)
{
	/* What waits for a room of our own is served at once; other workers are given a moment. */
	if (w->retry.n > 0 || w->residents_wait)
		return w->hurries || w->retries < 4 ? 0 : 1;
	if (w->later.n > 0 || worker_has_losers(w))
		return 10;
	return TICK_US / 1000;
}

static void worker_read_events(struct worker *w, int timeout)
{
	struct epoll_event events[EVENTS];

	atomic_store_explicit(&w->ctx.scratch->waits, timeout > 0, memory_order_release);
	int n = epoll_wait(w->epoll, events, EVENTS, timeout);
	atomic_store_explicit(&w->ctx.scratch->waits, 0, memory_order_release);
	w->ctx.now = clock_us(CLOCK_MONOTONIC);
	atomic_store_explicit(&w->beat, w->ctx.now, memory_order_relaxed);
	for (int i = 0; i < n; i++) {
		struct source *s = events[i].data.ptr;
		s->ready(s, events[i].events);
	}
}

/* Lets more input come for a room that is busy, and reads it. */
static void worker_gather(struct worker *w)
{
	int64_t delay = 0;

	for (struct resident *r = w->residents; r; r = r->next) {
		int64_t wanted = r->ops->delay ? r->ops->delay(r) : 0;
		if (wanted > delay)
			delay = wanted;
	}
	if (delay == 0)
		return;
	/* The others may begin with what is there. */
	rooms_kick(w->ctx.shared->rooms, &w->ctx.kick, w->ctx.slot);
	nanosleep(&(struct timespec){.tv_nsec = delay * 1000}, NULL);
	worker_read_events(w, 0);
	/* Whoever has posted one since then has woken this worker already, and won't do it again. */
	worker_run_jobs(w);
}

void worker_turn(struct worker *w)
{
	int timeout = wakeup_pending(w->wakeup) ? 0 : worker_timeout_ms(w);

	w->hurries = false;
	worker_read_events(w, timeout);
	worker_run_jobs(w);
	w->retries = w->retry.n > 0 || w->residents_wait ? w->retries + 1 : 0;
	if (w->retry.n > 0 && !worker_run_queue(w, &w->retry, AGAIN_MAX))
		w->hurries = true;
	w->residents_wait = worker_residents_again(w);
	if (w->later.n > 0 && w->ctx.now >= w->later_at && worker_run_queue(w, &w->later, LATER_MAX))
		w->later_at = w->ctx.now + LATER_US;
	if (w->ctx.now - w->ticked >= (worker_has_losers(w) ? TICK_LOSERS_US : TICK_US)) {
		w->ticked = w->ctx.now;
		w->losses = w->ctx.shared->roster ? roster_losses(w->ctx.shared->roster) : 0;
		RESIDENTS(w, tick);
	}
	worker_gather(w);
	rooms_kick(w->ctx.shared->rooms, &w->ctx.kick, w->ctx.slot);
	wakeup_take(w->wakeup, worker_deliver_room, w);
	/* Closing a connection may have told a room so. */
	rooms_kick(w->ctx.shared->rooms, &w->ctx.kick, w->ctx.slot);
	worker_bury_all(w);
	atomic_store_explicit(&w->ctx.scratch->beat_us, (uint64_t)w->ctx.now, memory_order_relaxed);
}

static void *worker_run(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "chatd/%u", w->ctx.slot);
	pthread_setname_np(pthread_self(), name);
	while (!atomic_load(&w->quit))
		worker_turn(w);
	/* Datagrams that were received, but had to wait for a room, are in nobody's hands but ours. */
	for (unsigned i = 0; i < LAST_TURNS && w->residents_wait; i++)
		worker_turn(w);
	RESIDENTS(w, rest);
	return NULL;
}

int worker_start(struct worker *w)
{
	atomic_store(&w->quit, false);
	int r = pthread_create(&w->thread, NULL, worker_run, w);
	w->started = r == 0;
	return -r;
}

void worker_quit(struct worker *w)
{
	atomic_store(&w->quit, true);
	wakeup_kick(w->wakeup);
}

bool worker_join(struct worker *w, int64_t timeout_us)
{
	return service_join_thread(w->thread, &w->started, timeout_us);
}

int64_t worker_beat(const struct worker *w)
{
	return atomic_load_explicit(&w->beat, memory_order_relaxed);
}

const char *worker_sender_name(const struct worker *w)
{
	return sender_name(w->ctx.sender);
}

/* --- jobs --- */

void worker_post(struct worker *w, struct job *job)
{
	job->next = NULL;
	pthread_mutex_lock(&w->lock);
	*w->jobs_end = job;
	w->jobs_end = &job->next;
	pthread_mutex_unlock(&w->lock);
	wakeup_kick(w->wakeup);
}

/* --- the epoll set --- */

int worker_watch(struct worker *w, int fd, uint32_t events, struct source *s)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

int worker_rewatch(struct worker *w, int fd, uint32_t events, struct source *s)
{
	struct epoll_event e = {.events = events, .data.ptr = s};

	return epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &e) < 0 ? -errno : 0;
}

void worker_unwatch(struct worker *w, int fd)
{
	epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, NULL);
}
