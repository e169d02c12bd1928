/* SPDX-License-Identifier: MIT */
/* Something is to be done on every worker's thread, as each has its own connections and nobody knows which. */
#ifndef DAEMON_EACH_WORKER_H
#define DAEMON_EACH_WORKER_H

#include "daemon/engine/context.h"
#include "daemon/engine/worker.h"

/*
 * Calls fn on each worker's thread, soon, and done on the last one, when what is needed no more. A worker that ends, or
 * without memory, isn't asked. Any thread.
 */
void each_worker(struct shared *shared, void (*fn)(struct worker *w, void *what), void (*done)(void *what),
		 void *what);

#endif
