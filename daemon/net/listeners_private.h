/* SPDX-License-Identifier: MIT */
/* What listeners.c and listeners_reload.c share, and nobody else includes: the set, and what is done to one. */
#ifndef DAEMON_LISTENERS_PRIVATE_H
#define DAEMON_LISTENERS_PRIVATE_H

#include "daemon/net/listeners.h"

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

/*
 * Opens listener number of the configuration, which learns where it is bound; start it then. The entry is
 * there even after an error, in *ret, but for -ENOMEM (NULL).
 */
int listeners_open_entry(struct listeners *ls, struct config *config, size_t number,
			 struct listener_entry **ret);
/* It is open no more: its thread has ended, or its worker has let it go. */
void listeners_free_entry(struct listener_entry *e);
/* Says in the log that it is there. */
void listeners_announce(const struct listener_entry *e);
/* What waits in a socket outlives this process, if it was chatd that bound it. */
void listeners_store_entry(const struct listener_entry *e);
void listeners_unstore_entry(const struct listener_entry *e);

#endif
