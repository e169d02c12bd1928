/* SPDX-License-Identifier: MIT */
/* A call of a function on the workers' threads, for which the main thread waits, but not for ever. */
#include "daemon/engine/worker.h"

#include "common/cleanup.h"
#include "daemon/base/clock.h"

#include <pthread.h>
#include <time.h>

/* One call on several workers; whoever is last to need it frees it. */
struct call {
	pthread_mutex_t lock;
	pthread_cond_t done;
	unsigned pending, users;
	void (*plain)(struct worker *w); /* or NULL, and it is */
	void (*fn)(struct worker *w, void *arg);
	void (*release)(void *arg);
	void *arg;
};

struct call_job {
	struct job job;
	struct call *call;
};

/* In one step, so that whoever waits for the others is the last: what is released is gone when the call ends. */
static void call_leave(struct call *c, unsigned ran)
{
	pthread_mutex_lock(&c->lock);
	bool last = --c->users == 0;
	c->pending -= ran;
	pthread_cond_signal(&c->done);
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
static void call_run(struct worker *w, struct job *job)
{
	struct call *c = ((struct call_job *)job)->call;

	if (w && c->plain)
		c->plain(w);
	else if (w)
		c->fn(w, c->arg);
	call_leave(c, 1);
	free(job);
}

/* what: what is called, and its argument. */
static int call_workers(struct shared *shared, const struct worker *only, const struct call *what,
			int64_t timeout_us)
{
	struct call *c = calloc(1, sizeof(*c));
	int64_t until = clock_us(CLOCK_MONOTONIC) + timeout_us;
	struct timespec ts = {until / 1000000, until % 1000000 * 1000};
	int r = 0;

	if (!c) {
		if (what->release)
			what->release(what->arg);
		return -ENOMEM;
	}
	*c = *what;
	c->users = 1;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->done, NULL);
	for (unsigned i = 0; i < shared->n_workers; i++) {
		struct worker *w = shared->workers[i];
		if (only && w != only)
			continue;
		struct call_job *j = calloc(1, sizeof(*j));
		if (!j) {
			r = -ENOMEM;
			break;
		}
		j->job.run = call_run;
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
	call_leave(c, 0);
	return r;
}

int workers_call(struct shared *shared, struct worker *only, void (*fn)(struct worker *w, void *arg),
		 void *arg, void (*release)(void *arg), int64_t timeout_us)
{
	return call_workers(shared, only, &(struct call){.fn = fn, .arg = arg, .release = release},
			    timeout_us);
}

int workers_do(struct shared *shared, void (*fn)(struct worker *w), int64_t timeout_us)
{
	return call_workers(shared, NULL, &(struct call){.plain = fn}, timeout_us);
}
