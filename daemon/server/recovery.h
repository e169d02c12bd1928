/* SPDX-License-Identifier: MIT */
/*
 * Takes over what a process before left: the table of clients (mapped already), the rooms, and the sockets in
 * the keeper. How far each connection had got is asked of the kernel. Nothing is believed that doesn't add
 * up.
 */
#ifndef DAEMON_RECOVERY_H
#define DAEMON_RECOVERY_H

#include "daemon/engine/connection.h"
#include "daemon/engine/worker.h"

struct recovery {
	unsigned taken, closed;
};

/* Before the workers are started. Hands every client that can be taken over to a worker; closes the others.
 */
void recovery_run(struct shared *shared, struct recovery *ret);

/* When the listeners are open: lets those registrations go whose listener (by its origin) isn't there any
 * more. */
void recovery_orphans(struct shared *shared, bool (*has_home)(unsigned origin, void *arg), void *arg);

/* Carries out or forgets the steps that a crash cut, in all scratches. Part of recovery_run(). */
void recovery_intents(struct clients *clients, struct rooms *rooms);

/* What the kernel says about a socket. Returns 0, -ENOTCONN if the connection is over, or -errno. */
int recovery_progress(int fd, struct connection_progress *ret);

/* Why an entry can't be trusted with that progress, or NULL if it can. */
const char *recovery_check(struct clients *clients, struct rooms *rooms, const struct client *c,
			   const struct connection_progress *p);

/* Moves input that the client's worker had received but not parsed into the client's inbox. False if it is
 * missing. */
bool recovery_input(struct clients *clients, const struct client *c, const struct connection_progress *p);

#endif
