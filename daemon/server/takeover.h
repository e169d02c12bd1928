/* SPDX-License-Identifier: MIT */
/*
 * Takes over what a process before left: the table of clients (mapped already), the rooms, and the sockets in
 * the keeper. How far each connection had got is asked of the kernel. Nothing is believed that doesn't add
 * up.
 */
#ifndef DAEMON_TAKEOVER_H
#define DAEMON_TAKEOVER_H

#include "daemon/engine/connection.h"
#include "daemon/engine/rendering.h"
#include "daemon/engine/worker.h"

struct takeover {
	unsigned taken, closed;
};

/* Before the workers are started. Hands every client that can be taken over to a worker; closes the others.
 */
void takeover_run(struct shared *shared, struct takeover *ret);

/* When the listeners are open: lets those registrations go whose listener (by its origin) isn't there any
 * more. */
void takeover_orphans(struct shared *shared, bool (*has_home)(unsigned origin, void *arg), void *arg);

/* Carries out or forgets the steps that a crash cut, in all scratches. Part of takeover_run(). */
void takeover_intents(struct clients *clients, struct rooms *rooms);

/* What the kernel says about a socket. Returns 0, -ENOTCONN if the connection is over, or -errno. */
int takeover_progress(int fd, struct connection_progress *ret);

/* The same of one that is over, of which so many bytes were taken for certain. */
void takeover_progress_of_closed(int fd, const struct client *c, uint64_t taken,
				 struct connection_progress *ret);

/*
 * The stream of a connection of the process before, and how far its handler's bytes have got. Returns NULL or why it
 * can't be; ret->ops may be NULL then, or is to be freed.
 */
const char *takeover_stream(struct shared *shared, const struct client *c, int fd,
			    struct connection_progress *p, struct stream *ret);

/* Why an entry can't be trusted with that progress, or NULL if it can. renderings: to find out what was sent of them, or NULL. */
const char *takeover_check(struct clients *clients, struct rooms *rooms, const struct client *c,
			   const struct connection_progress *p, struct renderings *renderings);

/* Moves input that the client's worker had received but not parsed into the client's inbox. False if it is
 * missing. */
bool takeover_input(struct clients *clients, const struct client *c, const struct connection_progress *p);

#endif
