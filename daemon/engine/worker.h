/* SPDX-License-Identifier: MIT */
/*
 * A worker: a thread with an epoll loop. What lives on it (its listeners, its connections) registers as a
 * resident and is called by its operations; the main thread talks to it by jobs only.
 *
 * A turn: events are read and lines appended, other workers with members in those rooms are woken, then every
 * dirty room is delivered. So a turn's messages leave in one send() per member. Where a busy room's members
 * are several workers', its delivery waits a moment for more: see batch.h.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include "daemon/engine/context.h"

struct client_info;
struct notice;
struct prefix;
union address;

/* --- for the main thread --- */

int worker_new(struct shared *shared, unsigned index, const struct config *config, struct worker **ret);
/*
 * Before the start the main thread may use the worker as if it was its own, to hand connections over. After
 * quit and join it may be started again. Returns 0 or -errno.
 */
int worker_start(struct worker *w);
/* One turn of the loop: what the thread does over and over. */
void worker_turn(struct worker *w);
/* Asks the thread to end after its turn: it leaves its residents as they are. */
void worker_quit(struct worker *w);
/* True if the thread ended within the time (us). */
bool worker_join(struct worker *w, int64_t timeout_us);
/* Frees the residents that say how, too. */
void worker_free(struct worker *w);

/* CLOCK_MONOTONIC in us of the last turn. */
int64_t worker_beat(const struct worker *w);
/* "io_uring" or "send". */
const char *worker_sender_name(const struct worker *w);

/*
 * Runs fn on every worker's thread (or on one) and waits. Returns 0, -ETIMEDOUT or -ENOMEM. After a time-out
 * fn may still run, so arg belongs to the call: release(arg) is called when nobody needs it any more.
 */
int workers_call(struct shared *shared, struct worker *only, void (*fn)(struct worker *w, void *arg),
		 void *arg, void (*release)(void *arg), int64_t timeout_us);
/* The same, of a function that needs nothing, on all of them. */
int workers_do(struct shared *shared, void (*fn)(struct worker *w), int64_t timeout_us);

/* --- from any thread --- */

/* Work from another thread. run() owns the job; w is NULL if the worker ends without having come to it. */
struct job {
	struct job *next;
	void (*run)(struct worker *w, struct job *job);
};
void worker_post(struct worker *w, struct job *job);

/* --- for the worker's own thread --- */

/* A worker begins with its context. */
static inline struct context *worker_context(struct worker *w)
{
	return (struct context *)w;
}

/* The worker that begins with it; the context is a worker's. */
static inline struct worker *context_worker(struct context *ctx)
{
	return (struct worker *)ctx;
}

/* Something in the epoll set: the first member of a struct. */
struct source {
	void (*ready)(struct source *s, uint32_t events);
};

int worker_watch(struct worker *w, int fd, uint32_t events, struct source *s);
int worker_rewatch(struct worker *w, int fd, uint32_t events, struct source *s);
void worker_unwatch(struct worker *w, int fd);

/* Something that may have to be looked at again, and that is released between two turns. */
struct task;
struct task_ops {
	void (*again)(struct task *t);
	void (*free)(struct task *t);
};
struct task {
	const struct task_ops *ops;
	struct task *next;
	bool waits, buried;
};

/* Has again() called for it at the end of this turn or of a later one; once, however often it is asked for. */
void worker_retry(struct worker *w, struct task *t);
/* The same in some ten milliseconds. */
void worker_retry_later(struct worker *w, struct task *t);
/* Somebody is to be retried who doesn't wait for other threads: the next turn comes at once. */
void worker_hurry(struct worker *w);
/* Has free() called for it at the end of the turn, when no event can point at it any more, instead of again(). */
void worker_bury(struct worker *w, struct task *t);

/*
 * What lives on the worker: one listener, or all connections together. What it has no need of is NULL. A
 * call may remove the resident itself.
 */
struct resident;
struct resident_ops {
	/* Each turn. True if it waits for others, and has to be called again before long. */
	bool (*again)(struct resident *r);
	/* Once a second. */
	void (*tick)(struct resident *r);
	/* The room has news; one that this worker reads, or the private one. */
	void (*deliver)(struct resident *r, uint32_t room);
	/* How long (us) this turn's deliveries had better wait for more input; at most half a millisecond. */
	int64_t (*delay)(struct resident *r);
	/* The context's configuration is another one. */
	void (*reload)(struct resident *r);
	/* The thread ends: what only it knows is put where a successor finds it. */
	void (*rest)(struct resident *r);
	/* The server ends: no more input; then what was said is sent, and the clients are sent away. */
	void (*freeze)(struct resident *r);
	void (*goodbye)(struct resident *r);
	/* Its clients, for `chatctl list clients`. */
	void (*each)(struct resident *r, void (*fn)(const struct client_info *info, void *arg), void *arg);
	/* The end of a client. False if it is not here, else *ret_from is where it was. */
	bool (*kick)(struct resident *r, uint64_t id, const struct notice *why, union address *ret_from);
	/* The end of all clients from there. Returns how many. */
	unsigned (*evict)(struct resident *r, const struct prefix *from, const struct notice *why);
	/* The worker is freed, and the resident with it; NULL: somebody else does that. */
	void (*free)(struct resident *r);
};
struct resident {
	const struct resident_ops *ops;
	struct resident *next, *prev;
};

void worker_add(struct worker *w, struct resident *r);
void worker_remove(struct worker *w, struct resident *r);

/* These go through all residents, as the operation of that name says. */
void worker_reload(struct worker *w, const struct config *config);
void worker_freeze(struct worker *w);
void worker_goodbye(struct worker *w);
void worker_each_client(struct worker *w, void (*fn)(const struct client_info *info, void *arg), void *arg);
bool worker_kick(struct worker *w, uint64_t id, const struct notice *why, union address *ret_from);
unsigned worker_evict(struct worker *w, const struct prefix *from, const struct notice *why);

#endif
