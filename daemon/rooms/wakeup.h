/* SPDX-License-Identifier: MIT */
/*
 * How threads tell each other that a room has news: each thread has a slot with a set of dirty rooms and an
 * eventfd. Marking costs an atomic or; the eventfd is written once a turn, and only when the thread isn't
 * awake already.
 */
#ifndef DAEMON_WAKEUP_H
#define DAEMON_WAKEUP_H

#include <stdbool.h>
#include <stdint.h>

#define ROOMS_CAPACITY 16384

struct wakeup;

int wakeup_new(struct wakeup **ret);
void wakeup_free(struct wakeup *w);
int wakeup_fd(const struct wakeup *w);

/* Marks a room dirty; returns true if the slot's thread needs wakeup_kick() at the end of the caller's turn.
 */
bool wakeup_mark(struct wakeup *w, uint32_t room);
/* Wakes the thread (async-signal-safe). */
void wakeup_kick(struct wakeup *w);

/* The owner's side: takes the wake-up back before it looks for work. */
void wakeup_clear(struct wakeup *w);
/* Whether any room is marked. */
bool wakeup_pending(struct wakeup *w);
/* Takes the marks, calling fn for each room. */
void wakeup_take(struct wakeup *w, void (*fn)(uint32_t room, void *arg), void *arg);

#endif
