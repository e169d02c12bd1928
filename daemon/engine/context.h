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
#include "daemon/engine/service.h"
#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/room.h"
#include "daemon/rooms/roster.h"
#include "daemon/rooms/slots.h"
#include "daemon/state/clients.h"

#include <stdint.h>

struct worker;
struct limits;
struct keeper;
struct sender;
struct bans;
struct logins;
struct late_accounts;
struct ban_share;
struct cluster;
struct cluster_file;
struct archive;
struct questions;
struct webhooks;
struct irc;
struct irc_channels;
struct connections;
struct tls_tools;
struct secrets;

/* The state has counters for all threads but so many. */
#define SHARED_SPARE_COUNTERS 3

/* What all threads share; made by the server before them and destroyed after them. */
struct shared {
	struct clients *clients;
	struct rooms *rooms;
	struct roster *roster;
	struct elsewhere *elsewhere; /* NULL: there is no cluster */
	struct ban_share *ban_share; /* likewise */
	struct limits *limits;
	struct keeper *keeper;
	struct secrets *secrets;	     /* or NULL */
	struct bans *bans;		     /* or NULL */
	struct logins *logins;		     /* or NULL */
	struct late_accounts *late_accounts; /* likewise */
	struct cluster *cluster;	     /* or NULL */
	struct cluster_file *cluster_file;   /* or NULL */
	struct questions *questions;	     /* likewise */
	struct archive *archive;	     /* or NULL */
	struct webhooks *webhooks;	     /* or NULL */
	_Atomic(struct irc *) irc; /* irc/store.h; NULL until a listener speaks IRC, also by a reload */
	_Atomic(struct irc_channels *) channels; /* that one's: channels/channels.h; likewise */
	struct slots *slots;
	struct services services;
	struct counters spare_counters[SHARED_SPARE_COUNTERS];
	atomic_uint preludes; /* connections whose handshake, or PROXY header, is not over */
	struct worker **workers;
	unsigned n_workers;
};

struct context {
	unsigned slot; /* this thread's among the readers of rooms */
	struct shared *shared;
	const struct config
	    *config; /* changes with a reload; NULL: the thread is told of its settings otherwise */
	struct counters *counters;
	struct scratch *scratch;	 /* NULL: it takes no input that has to survive */
	struct tls_tools *tls;		 /* for its connections' TLS; NULL: it has none */
	struct sender *sender;		 /* NULL: it sends to no members */
	struct connections *connections; /* its own; NULL: it has none */
	struct slot_set kick;		 /* whom to wake at the end of this turn, see rooms_mark() */
	int64_t now;			 /* CLOCK_MONOTONIC in us, as of this turn */
	int64_t worked_at;		 /* the now of the turn that this is of: */
	uint64_t worked;		 /* what commands looked at, see connection_has_turn() */
};

/* Threads with a slot that are neither workers nor ZeroMQ listeners: the main one, the cluster's, the archive's, the
 * webhooks'. */
#define CONTEXT_OTHERS 4

_Static_assert(CONFIG_MAX_WORKERS + CONFIG_MAX_ZMQ + CONTEXT_OTHERS <= SLOTS_MAX, "every thread has a slot");
_Static_assert(CONFIG_MAX_WORKERS <= CLIENTS_SCRATCHES, "every worker has a scratch");
_Static_assert(CONFIG_MAX_ZMQ + CONTEXT_OTHERS <= CLIENTS_MORE_COUNTERS + SHARED_SPARE_COUNTERS,
	       "every thread has counters");

/* The counters of the thread with that slot; NULL if there are none left. The last ones' don't outlive the
 * process. */
static inline struct counters *context_counters(struct shared *shared, unsigned slot)
{
	unsigned beyond = slots_beyond_workers(shared->slots, slot);

	if (slot < shared->slots->n_workers)
		return (struct counters *)clients_counters(shared->clients, slot);
	if (beyond < CLIENTS_MORE_COUNTERS)
		return (struct counters *)clients_counters(shared->clients, CLIENTS_SCRATCHES + beyond);
	beyond -= CLIENTS_MORE_COUNTERS;
	return beyond < SHARED_SPARE_COUNTERS ? &shared->spare_counters[beyond] : NULL;
}

#endif
