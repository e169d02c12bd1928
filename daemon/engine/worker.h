/* SPDX-License-Identifier: MIT */
/*
 * A worker: a thread with an epoll loop that owns its connections. The main thread talks to it by jobs only.
 *
 * A turn: events are read and lines appended, other workers with members in those rooms are woken, then every
 * dirty room is delivered. So a turn's messages leave in one send() per member.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "daemon/engine/context.h"

struct connection;

/* --- for the main thread --- */

int worker_new(struct shared *shared, unsigned index, const struct config *config, struct worker **ret);
/*
 * Before the start the main thread may use the worker as if it was its own, to hand connections over. After
 * quit and join it may be started again. Returns 0 or -errno.
 */
int worker_start(struct worker *w);
/* One turn of the loop: what the thread does over and over. */
void worker_turn(struct worker *w);
/* Asks the thread to end after its turn: it leaves its connections as they are. */
void worker_quit(struct worker *w);
/* True if the thread ended within the time (us). */
bool worker_join(struct worker *w, int64_t timeout_us);
void worker_free(struct worker *w);

/* CLOCK_MONOTONIC in us of the last turn. */
int64_t worker_beat(const struct worker *w);
unsigned worker_connections(const struct worker *w);
/* Of them, those whose sockets the keeper does not hold. */
unsigned worker_uncovered(const struct worker *w);
/* Of those, the ones that can't survive at all (TLS). */
unsigned worker_mortal(const struct worker *w);
/* The sum over all workers of one of the above. */
unsigned workers_sum(const struct shared *shared, unsigned (*of)(const struct worker *w));
/* Connections that would not survive a crash: TLS, or no fd store, or the keeper has not got them (yet). */
unsigned workers_uncovered(const struct shared *shared);
/* "io_uring" or "send". */
const char *worker_sender_name(const struct worker *w);

/*
 * Runs fn on every worker's thread (or on one) and waits. Returns 0, -ETIMEDOUT or -ENOMEM. After a time-out
 * fn may still run, so arg belongs to the call: release(arg) is called when nobody needs it any more.
 */
int workers_call(struct shared *shared, struct worker *only, void (*fn)(struct worker *w, void *arg),
		 void *arg, void (*release)(void *arg), int64_t timeout_us);

/* --- for the worker's own thread --- */

/* Something in the epoll set: the first member of a struct. */
struct source {
	void (*ready)(struct source *s, uint32_t events);
};

/* Work from another thread. run() owns the job; w is NULL if the worker ends without having come to it. */
struct job {
	struct job *next;
	void (*run)(struct worker *w, struct job *job);
};
/* From any thread. */
void worker_post(struct worker *w, struct job *job);

/* A worker begins with its context. */
static inline struct context *worker_context(struct worker *w)
{
	return (struct context *)w;
}

/* The configuration is another one. */
void worker_set_config(struct worker *w, const struct config *config);
int worker_watch(struct worker *w, int fd, uint32_t events, struct source *s);
int worker_rewatch(struct worker *w, int fd, uint32_t events, struct source *s);
void worker_unwatch(struct worker *w, int fd);

/* The heads of the lists that connections keep themselves: all of them, and those in a room. */
struct connection **worker_all(struct worker *w);
struct connection **worker_members(struct worker *w, uint32_t room);
void worker_count_connection(struct worker *w, int change);
void worker_count_uncovered(struct worker *w, int change);
void worker_count_mortal(struct worker *w, int change);
/* The connection with that place in the table, if it is this worker's. */
struct connection **worker_by_index(struct worker *w, uint32_t index);

/* Has connection_again() called for it at the end of this turn or of a later one. */
void worker_retry(struct worker *w, struct connection *c);
/* The same in some ten milliseconds. */
void worker_retry_later(struct worker *w, struct connection *c);
/* Somebody is to be retried who doesn't wait for other threads: the next turn comes at once. */
void worker_hurry(struct worker *w);
/* Up to where this worker has handed out private messages. */
uint64_t *worker_private_seq(struct worker *w);
/* Releases c at the end of the turn, when no event can point at it any more. */
void worker_bury(struct worker *w, struct connection *c);

/* The listeners that live here, in a list that they keep themselves. */
struct listener;
struct listener **worker_listeners(struct worker *w);

#endif
