/* SPDX-License-Identifier: MIT */
/*
 * A service is whatever has a thread of its own and isn't a worker: a ZeroMQ listener, the check of
 * passwords. It is one struct of functions, and the server starts, drains, watches, shows and ends all
 * services alike. A service begins its own struct with this one; that there is one of is a row in
 * server/services.c.
 */
#ifndef DAEMON_SERVICE_H
#define DAEMON_SERVICE_H

#include "daemon/base/counters.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct config;
struct service;

/* As long as a thread's name may be, pthread_setname_np(3). */
#define SERVICE_NAME_MAX 16

/* On the main thread. Those that may be NULL say so. */
struct service_ops {
	/*
	 * Starts the thread; after the end of one it may be started again. held: clients of the process before
	 * are expected to come back. Returns 0, or -errno, which it has logged.
	 */
	int (*start)(struct service *s, bool held);
	/* Begins nothing new, and finishes what is there; is_drained() tells when. start() takes that back. */
	void (*drain)(struct service *s);
	bool (*is_drained)(const struct service *s);
	/*
	 * Has the thread end, and join() waits for that: true if it ended within the time. What is not sent
	 * yet may keep the thread for as long as linger() says (NULL: not at all), but for at most linger_us.
	 */
	void (*quit)(struct service *s, int64_t linger_us);
	bool (*join)(struct service *s, int64_t timeout_us);
	int64_t (*linger)(const struct service *s);
	/* The configuration is another one (NULL). */
	void (*reloaded)(struct service *s, const struct config *config);
	/* CLOCK_MONOTONIC in us of its last turn (NULL: it works on one thing for long, and isn't watched). */
	int64_t (*beat)(const struct service *s);
	/* How many peers it serves (NULL: none, ever, and `chatctl status` doesn't show it). */
	unsigned (*peers)(const struct service *s);
	/* What it counted since it was made (NULL). */
	uint64_t (*counter)(const struct service *s, enum counter which);
	/* NULL: whoever made it frees it. */
	void (*free)(struct service *s);
};

struct service {
	const struct service_ops *ops;
	char name[SERVICE_NAME_MAX]; /* of its thread */
	const char *kind;	     /* "zmq", for `chatctl status` */
	const char *listener;	     /* whose thread it is, or NULL */
	struct service *next;
};

/* All of them, in the order in which they were added. All zeros: none. */
struct services {
	struct service *first;
};

void services_add(struct services *ss, struct service *s);
void services_remove(struct services *ss, struct service *s);
/* The one after s, or the first after NULL; NULL behind the last. */
struct service *services_next(const struct services *ss, const struct service *s);
/* Whether a thread has that name. */
bool services_has(const struct services *ss, const char *name);

/* Drains all of them, for at most timeout_us. */
void services_drain(struct services *ss, int64_t timeout_us);
/* Ends all of them; false if one does not end, which is logged. */
bool services_end(struct services *ss);
/* Starts all of them again after that. */
void services_start(struct services *ss);
void services_reloaded(struct services *ss, const struct config *config);
/* Frees those that nobody else does. They have ended. */
void services_free(struct services *ss);
/* How many `chatctl status` shows. */
unsigned services_shown(const struct services *ss);
/* False if one has made no progress for more than limit_us, which is logged. */
bool services_are_alive(const struct services *ss, int64_t now, int64_t limit_us);

static inline int service_start(struct service *s, bool held)
{
	return s->ops->start(s, held);
}

/* Drains one and ends it, for which it has timeout_us and its linger_us. Aborts if it does not end. */
void service_end(struct service *s, int64_t timeout_us);
/* For join(): *started says whether there is a thread. */
bool service_join_thread(pthread_t thread, bool *started, int64_t timeout_us);

#endif
