/* SPDX-License-Identifier: MIT */
/*
 * One listener as the set of them has it, whatever its transport: what stays the same as long as its sockets are
 * open. It is never copied, and has no pointer into a configuration.
 */
#ifndef DAEMON_LISTENER_ENTRY_H
#define DAEMON_LISTENER_ENTRY_H

#include "daemon/engine/listener.h"
#include "daemon/engine/service.h"
#include "daemon/net/places.h"
#include "daemon/net/zmq.h"

struct listener_entry {
	char name[CONFIG_NAME_MAX + 1];
	char room[TEXT_ROOM_MAX + 1];
	const struct handler *handler;
	unsigned origin;
	struct places places;
	struct listener *listener; /* on a worker; or NULL, and it is one of ZeroMQ: */
	struct zmq_listener *zmq;
	struct service *service;
	/* During a reload: it is new; it is in the new configuration as well; it starts when another has ended. */
	bool fresh, stays, waits;
};

/*
 * Opens listener number of the configuration, which learns where it is bound; start it then. there: the places
 * of those who are there. The entry is made even if it can't be opened; only without memory *ret is NULL.
 */
int listener_entry_open(struct shared *shared, struct sockets *sockets, const struct places_list *there,
			struct config *config, size_t number, struct listener_entry **ret);
/* Why it could not be opened or started, in words. */
const char *listener_entry_why(int error);
/* It is open no more: its thread has ended, or its worker has let it go. */
void listener_entry_free(struct listener_entry *e);
/* Says in the log that it is there. */
void listener_entry_announce(const struct listener_entry *e);
/* What waits in a socket outlives this process, if it was chatd that bound it. */
void listener_entry_store(const struct listener_entry *e);
void listener_entry_unstore(const struct listener_entry *e);

#endif
