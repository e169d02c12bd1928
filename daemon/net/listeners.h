/* SPDX-License-Identifier: MIT */
/*
 * All the listeners: opened at the start, exchanged by a reload while the workers run, and kept where a
 * successor finds their sockets. On the main thread.
 */
#ifndef DAEMON_LISTENERS_H
#define DAEMON_LISTENERS_H

#include "daemon/net/listener_entry.h"

/* Private to listeners.c and listeners_reload.c. */
struct listeners {
	struct shared *shared;
	struct sockets *sockets;
	struct listener_entry **at; /* in the order of the configuration */
	size_t n;
	struct places_list places; /* theirs */
	/* What a reload has prepared: some of the above, and new ones. */
	struct listener_entry **next;
	size_t n_next;
};

/* shared and sockets stay the caller's and live longer. */
int listeners_new(struct shared *shared, struct sockets *sockets, struct listeners **ret);
void listeners_free(struct listeners *ls);

size_t listeners_count(const struct listeners *ls);
/* Number i, or NULL behind the last. */
const struct listener_entry *listeners_at(const struct listeners *ls, size_t i);
/* Whether clients of that origin, who have no connection, have a listener here. */
bool listeners_has_origin(const struct listeners *ls, unsigned origin);
/* What has come through that listener, for `chatctl list listeners`. */
void listeners_stats(const struct listeners *ls, const struct listener_entry *e, struct listener_stats *ret);

/*
 * Opens all that config has, before the workers are started. taken_over: a process before had clients.
 * Returns 0, or -errno, which is logged.
 */
int listeners_open(struct listeners *ls, struct config *config, bool taken_over);

/*
 * listeners_reload.c: a reload in two steps: listeners_prepare() opens what is new, all of it or nothing (-errno, with the reason
 * written to errors); then listeners_apply() has the workers use the new configuration and exchange the
 * listeners, or listeners_cancel() forgets about it. listeners_apply() takes old over and frees it when no
 * worker uses it.
 */
int listeners_prepare(struct listeners *ls, struct config *new, FILE *errors);
void listeners_cancel(struct listeners *ls);
void listeners_apply(struct listeners *ls, const struct config *new, struct config *old);

/* Takes chatd's own sockets out of the service manager's store: this is a real end. */
void listeners_unstore(struct listeners *ls);
/* Calls fn with each socket, and the name by which a successor knows it. */
void listeners_each_socket(struct listeners *ls, void (*fn)(const char *name, int fd, void *arg), void *arg);

#endif
