/* SPDX-License-Identifier: MIT */
/*
 * What every thread carries, be it a worker, a service or the main thread: who it is among the readers of
 * rooms, what it shares with the others, and what is its own. Whoever gets a context may use all of it, on
 * that thread.
 */
#ifndef DAEMON_CONTEXT_H
#define DAEMON_CONTEXT_H

#include "daemon/base/counters.h"
#include "daemon/config/config.h"
#include "daemon/rooms/room.h"
#include "daemon/rooms/roster.h"
#include "daemon/state/clients.h"

#include <stdint.h>

struct worker;
struct limits;
struct keeper;
struct sender;
struct bans;
struct logins;

/* What all threads share; made by the server before them and destroyed after them. */
struct shared {
	struct clients *clients;
	struct rooms *rooms;
	struct roster *roster;
	struct limits *limits;
	struct keeper *keeper;
	struct bans *bans;     /* or NULL */
	struct logins *logins; /* or NULL */
	struct wakeup **slots;
	struct worker **workers;
	unsigned n_workers;
};

struct context {
	unsigned slot; /* this thread's among the readers of rooms */
	struct shared *shared;
	const struct config
	    *config; /* changes with a reload; NULL: the thread is told of its settings otherwise */
	struct counters *counters;
	struct scratch *scratch; /* NULL: it takes no input that has to survive */
	struct sender *sender;	 /* NULL: it sends to no members */
	struct slot_set kick;	 /* whom to wake at the end of this turn, see rooms_mark() */
	int64_t now;		 /* CLOCK_MONOTONIC in us, as of this turn */
};

#endif
