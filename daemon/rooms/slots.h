/* SPDX-License-Identifier: MIT */
/*
 * The slots of the threads that read rooms, and nobody else hands them out. A slot is a thread's number among
 * the readers of every log, with the wake-up by which it is told of news. The workers have the first ones;
 * the main thread and the services take theirs when they begin.
 */
#ifndef DAEMON_SLOTS_H
#define DAEMON_SLOTS_H

#include "daemon/rooms/logring.h"
#include "daemon/rooms/wakeup.h"

#include <stdatomic.h>

#define SLOTS_MAX LOGRING_READERS

/* Public for the sake of the inline functions below. */
struct slots {
	struct wakeup
	    *at[SLOTS_MAX]; /* made with the slot's first use, and kept: somebody may still wake it */
	bool taken[SLOTS_MAX], waited_for[SLOTS_MAX];
	_Atomic unsigned n; /* all that were ever taken are below */
	unsigned n_workers;
};

/* With slots 0 to n_workers - 1 taken by the workers. Returns 0, -ENOSPC or -errno. */
int slots_new(unsigned n_workers, struct slots **ret);
void slots_free(struct slots *s);

/*
 * Takes a slot. waited_for: rooms wait for this reader when it is far behind; else it is overrun, and has to
 * find out how much it missed. Returns 0, -ENOSPC or -errno. On the main thread, as is slots_give().
 */
int slots_take(struct slots *s, bool waited_for, unsigned *ret);
/* Its thread has ended and reads no room any more. */
void slots_give(struct slots *s, unsigned slot);

/* Any thread: */

static inline unsigned slots_count(const struct slots *s)
{
	return atomic_load_explicit(&s->n, memory_order_acquire);
}

static inline struct wakeup *slots_wakeup(const struct slots *s, unsigned slot)
{
	return s->at[slot];
}

static inline bool slots_waited_for(const struct slots *s, unsigned slot)
{
	return s->waited_for[slot];
}

/* A slot's number among those of the threads that are no workers. */
static inline unsigned slots_beyond_workers(const struct slots *s, unsigned slot)
{
	return slot - s->n_workers;
}

#endif
