/* SPDX-License-Identifier: MIT */
/*
 * An errand is something that all workers do for a method, with a struct in which they leave what they found.
 * The main thread doesn't wait for ever, and a worker may get to it later; so whoever needs it last frees it.
 */
#ifndef DAEMON_ERRAND_H
#define DAEMON_ERRAND_H

#include "daemon/engine/worker.h"

#include <stdatomic.h>

/* The first member of the struct. */
struct errand {
	atomic_uint references;
	void (*clear)(struct errand *e); /* or NULL; before e itself is freed */
};

/* size: of the whole struct, which is zeroed. NULL without memory. */
struct errand *errand_new(size_t size, void (*clear)(struct errand *e));
/* Runs fn on every worker's thread. Returns 0, or -errno if one does not answer in time. */
int errand_run(struct errand *e, struct shared *shared, void (*fn)(struct worker *w, void *errand));
/* Ends the main thread's use of it. */
void errand_unref(struct errand *e);

#endif
