/* SPDX-License-Identifier: MIT */
#include "daemon/engine/worker.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"
#include "daemon/base/fault.h"
#include "daemon/base/logger.h"
#include "daemon/engine/connection.h"
#include "daemon/engine/listener.h"
#include "daemon/io/sender.h"
#include "daemon/state/sockets.h"

#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define EVENTS 512
#define TICK_US 1000000
/* So many connections are looked at again in a turn, since closing one takes a while. */
#define AGAIN_MAX 64
#define LATER_MAX 256
/* So many buffers' pages are given back in a tick, which takes 4 ms. */
#define RELEASES_MAX 512
#define LAST_TURNS 100
/* A timed join would know the wall clock only, which may jump. */
#define JOIN_POLL_NS 200000

struct list {
	struct connection **at;
	size_t n, room;
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
	atomic_uint connections, uncovered, mortal;

	int64_t ticked, later_at;
	unsigned retries; /* turns in a row with somebody to retry */
	bool listeners_wait, hurries;
	struct connection *all;
	struct connection **members;  /* per room */
	struct connection **by_index; /* per place in the table */
	struct listener *listeners;
	struct list retry, later, dead;
	uint64_t private_seq;

	pthread_mutex_t lock; /* of the jobs */
	struct job *jobs, **jobs_end;
};

static void wakeup_ready(struct source *s, uint32_t events)
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
	w->wakeup_source.ready = wakeup_ready;
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
	/* calloc() of that size is untouched pages: what isn't used costs nothing. */
	w->members = calloc(ROOMS_CAPACITY, sizeof(*w->members));
	w->by_index = calloc(CLIENTS_CAPACITY, sizeof(*w->by_index));
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	r = w->epoll < 0 ? -errno : 0;
	if (r == 0 && (!w->members || !w->by_index))
		r = -ENOMEM;
	if (r == 0)
		r = sender_new(config->io_uring, &w->ctx.sender);
	if (r == 0)
		r = worker_watch(w, wakeup_fd(w->wakeup), EPOLLIN, &w->wakeup_source);
	if (r < 0) {
		worker_free(w);
		return r;
	}
	*ret = w;
	return 0;
}

static void bury_all(struct worker *w)
{
	for (size_t i = 0; i < w->dead.n; i++)
		connection_free(w->dead.at[i]);
	w->dead.n = 0;
}

/* A connection that died while it waited to be retried is only there. */
static void free_dead(struct list *l)
{
	for (size_t i = 0; i < l->n; i++)
		if (connection_is_dead(l->at[i]))
			connection_free(l->at[i]);
	free(l->at);
}

void worker_free(struct worker *w)
{
	if (!w)
		return;
	free_dead(&w->retry);
	free_dead(&w->later);
	for (struct connection *c = w->all, *next; c; c = next) {
		next = connection_next(c);
		connection_free(c);
	}
	bury_all(w);
	for (struct job *j = w->jobs, *next; j; j = next) {
		next = j->next;
		j->run(NULL, j);
	}
	sender_free(w->ctx.sender);
	free(w->members);
	free(w->by_index);
	free(w->dead.at);
	if (w->epoll >= 0)
		close(w->epoll);
	pthread_mutex_destroy(&w->lock);
	free(w);
}

static void run_jobs(struct worker *w)
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

static void push(struct list *l, struct connection *c)
{
	if (l->n == l->room) {
		size_t room = l->room ? l->room * 2 : 64;
		struct connection **at = reallocarray(l->at, room, sizeof(*at));
		if (!at)
			abort(); /* a crash is recovered from; a lost connection is not */
		l->at = at;
		l->room = room;
	}
	l->at[l->n++] = c;
}

/* False if that was not all: the rest comes first in the next turn. */
static bool run_list(struct list *l, size_t most)
{
	struct list taken = *l;
	size_t n = taken.n < most ? taken.n : most;

	*l = (struct list){0};
	for (size_t i = 0; i < n; i++)
		connection_again(taken.at[i]);
	struct list added = *l;
	taken.n -= n;
	if (taken.n > 0)
		memmove(taken.at, taken.at + n, taken.n * sizeof(*taken.at));
	*l = taken;
	for (size_t i = 0; i < added.n; i++)
		push(l, added.at[i]);
	free(added.at);
	return taken.n == 0;
}

static void deliver(uint32_t room, void *arg)
{
	struct worker *w = arg;

	connection_deliver(w, room);
	for (struct listener *l = w->listeners; l; l = l->next)
		if (l->ops->deliver)
			l->ops->deliver(l, room);
}

/* Listeners that could not finish what they had to do. True if one still can't. */
static bool listeners_again(struct worker *w)
{
	bool waiting = false;

	for (struct listener *l = w->listeners; l; l = l->next) {
		if (!l->wants_turn)
			continue;
		l->wants_turn = false;
		l->ops->again(l);
		waiting |= l->wants_turn;
	}
	return waiting;
}

static void tick(struct worker *w)
{
	unsigned releases = RELEASES_MAX;

	for (struct connection *c = w->all, *next; c; c = next) {
		next = connection_next(c);
		connection_tick(c, &releases);
	}
	for (struct listener *l = w->listeners; l; l = l->next)
		if (l->ops->tick)
			l->ops->tick(l);
}

static int timeout_ms(const struct worker *w)
{
	/* Whoever waits for its own room is served at once; for other workers, give them a moment. */
	if (w->retry.n > 0 || w->listeners_wait)
		return w->hurries || w->retries < 4 ? 0 : 1;
	if (w->later.n > 0)
		return 10;
	return TICK_US / 1000;
}

void worker_turn(struct worker *w)
{
	struct epoll_event events[EVENTS];
	int timeout = wakeup_pending(w->wakeup) ? 0 : timeout_ms(w);
	atomic_store_explicit(&w->ctx.scratch->waits, timeout > 0, memory_order_release);
	int n = epoll_wait(w->epoll, events, EVENTS, timeout);

	atomic_store_explicit(&w->ctx.scratch->waits, 0, memory_order_release);
	w->hurries = false;
	w->ctx.now = clock_us(CLOCK_MONOTONIC);
	atomic_store_explicit(&w->beat, w->ctx.now, memory_order_relaxed);
	for (int i = 0; i < n; i++) {
		struct source *s = events[i].data.ptr;
		s->ready(s, events[i].events);
	}
	run_jobs(w);
	w->retries = w->retry.n > 0 || w->listeners_wait ? w->retries + 1 : 0;
	if (w->retry.n > 0 && !run_list(&w->retry, AGAIN_MAX))
		w->hurries = true;
	w->listeners_wait = listeners_again(w);
	if (w->later.n > 0 && w->ctx.now >= w->later_at)
		run_list(&w->later, LATER_MAX);
	if (w->ctx.now - w->ticked >= TICK_US) {
		w->ticked = w->ctx.now;
		tick(w);
	}
	rooms_kick(w->ctx.shared->rooms, &w->ctx.kick, w->ctx.slot);
	wakeup_take(w->wakeup, deliver, w);
	/* Closing a connection may have told a room so. */
	rooms_kick(w->ctx.shared->rooms, &w->ctx.kick, w->ctx.slot);
	bury_all(w);
	atomic_store_explicit(&w->ctx.scratch->beat_us, (uint64_t)w->ctx.now, memory_order_relaxed);
}

static void *run(void *arg)
{
	struct worker *w = arg;
	char name[16];

	snprintf(name, sizeof(name), "chatd/%u", w->ctx.slot);
	pthread_setname_np(pthread_self(), name);
	while (!atomic_load(&w->quit))
		worker_turn(w);
	/* Datagrams that were received, but had to wait for a room, are in nobody's hands but ours. */
	for (unsigned i = 0; i < LAST_TURNS && w->listeners_wait; i++)
		worker_turn(w);
	return NULL;
}

int worker_start(struct worker *w)
{
	atomic_store(&w->quit, false);
	int r = pthread_create(&w->thread, NULL, run, w);
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
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_us;

	while (w->started) {
		if (pthread_tryjoin_np(w->thread, NULL) == 0)
			w->started = false;
		else if (clock_us(CLOCK_MONOTONIC) >= until)
			return false;
		else
			nanosleep(&(struct timespec){.tv_nsec = JOIN_POLL_NS}, NULL);
	}
	return true;
}

int64_t worker_beat(const struct worker *w)
{
	return atomic_load_explicit(&w->beat, memory_order_relaxed);
}

unsigned worker_connections(const struct worker *w)
{
	return atomic_load_explicit(&w->connections, memory_order_relaxed);
}

unsigned worker_uncovered(const struct worker *w)
{
	return atomic_load_explicit(&w->uncovered, memory_order_relaxed);
}

unsigned worker_mortal(const struct worker *w)
{
	return atomic_load_explicit(&w->mortal, memory_order_relaxed);
}

unsigned workers_sum(const struct shared *shared, unsigned (*of)(const struct worker *w))
{
	unsigned n = 0;

	for (unsigned i = 0; i < shared->n_workers; i++)
		n += of(shared->workers[i]);
	return n;
}

unsigned workers_uncovered(const struct shared *shared)
{
	return workers_sum(shared, sockets_have_store() ? worker_uncovered : worker_connections);
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

/* One call on several workers; whoever is last to need it frees it. */
struct call {
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned pending, users;
	void (*fn)(struct worker *w, void *arg);
	void (*release)(void *arg);
	void *arg;
};

struct call_job {
	struct job job;
	struct call *call;
};

static void call_unref(struct call *c)
{
	pthread_mutex_lock(&c->lock);
	bool last = --c->users == 0;
	pthread_mutex_unlock(&c->lock);
	if (!last)
		return;
	if (c->release)
		c->release(c->arg);
	pthread_cond_destroy(&c->done);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

/* w is NULL when the worker ends without having come to it. */
static void run_call(struct worker *w, struct job *job)
{
	struct call *c = ((struct call_job *)job)->call;

	if (w)
		c->fn(w, c->arg);
	pthread_mutex_lock(&c->lock);
	c->pending--;
	pthread_cond_signal(&c->done);
	pthread_mutex_unlock(&c->lock);
	call_unref(c);
	free(job);
}

int workers_call(struct shared *shared, struct worker *only, void (*fn)(struct worker *w, void *arg),
		 void *arg, void (*release)(void *arg), int64_t timeout_us)
{
	struct call *c = calloc(1, sizeof(*c));
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_us;
	struct timespec ts = {until / 1000000, until % 1000000 * 1000};
	int r = 0;

	if (!c) {
		if (release)
			release(arg);
		return -ENOMEM;
	}
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->done, NULL);
	*c = (struct call){c->lock, c->done, 0, 1, fn, release, arg};
	for (unsigned i = 0; i < shared->n_workers; i++) {
		struct worker *w = shared->workers[i];
		if (only && w != only)
			continue;
		struct call_job *j = calloc(1, sizeof(*j));
		if (!j) {
			r = -ENOMEM;
			break;
		}
		j->job.run = run_call;
		j->call = c;
		pthread_mutex_lock(&c->lock);
		c->pending++;
		c->users++;
		pthread_mutex_unlock(&c->lock);
		worker_post(w, &j->job);
	}
	pthread_mutex_lock(&c->lock);
	while (c->pending > 0 && r != -ETIMEDOUT)
		if (pthread_cond_clockwait(&c->done, &c->lock, CLOCK_MONOTONIC, &ts) == ETIMEDOUT)
			r = -ETIMEDOUT;
	pthread_mutex_unlock(&c->lock);
	call_unref(c);
	return r;
}

/* --- for the worker's own thread --- */

void worker_set_config(struct worker *w, const struct config *config)
{
	w->ctx.config = config;
	for (struct connection *c = w->all, *next; c; c = next) {
		next = connection_next(c); /* it may be sent away */
		connection_reloaded(c);
	}
}

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

struct connection **worker_all(struct worker *w)
{
	return &w->all;
}

struct connection **worker_members(struct worker *w, uint32_t room)
{
	return &w->members[room];
}

void worker_count_connection(struct worker *w, int change)
{
	atomic_fetch_add(&w->connections, (unsigned)change);
}

void worker_count_uncovered(struct worker *w, int change)
{
	atomic_fetch_add(&w->uncovered, (unsigned)change);
}

struct connection **worker_by_index(struct worker *w, uint32_t index)
{
	return &w->by_index[index];
}

void worker_count_mortal(struct worker *w, int change)
{
	atomic_fetch_add(&w->mortal, (unsigned)change);
}

void worker_retry(struct worker *w, struct connection *c)
{
	push(&w->retry, c);
}

void worker_hurry(struct worker *w)
{
	w->hurries = true;
}

void worker_retry_later(struct worker *w, struct connection *c)
{
	if (w->later.n == 0)
		w->later_at = w->ctx.now + 10000;
	push(&w->later, c);
}

uint64_t *worker_private_seq(struct worker *w)
{
	return &w->private_seq;
}

void worker_bury(struct worker *w, struct connection *c)
{
	push(&w->dead, c);
}

struct listener **worker_listeners(struct worker *w)
{
	return &w->listeners;
}
