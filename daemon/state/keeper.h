/* SPDX-License-Identifier: MIT */
/*
 * The keeper: holds a copy of every client's socket outside of this process, so that connections outlive it.
 *
 * It is AF_UNIX stream socketpairs whose queues hold sockets in flight (SCM_RIGHTS, unix(7)); all ends are in
 * the service manager's fd store, or are passed on by exec. What is accepted in a turn is one message in the
 * current pair; when that is full, the next of a line of pairs is the current one. Now and then the main thread
 * merges those that were filled into pairs of full messages (bases), leaving out what is closed. A successor
 * reads by peeking, so that it may die while it does. Being in two pairs does no harm: SO_COOKIE tells sockets
 * apart.
 */
#ifndef DAEMON_KEEPER_H
#define DAEMON_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

struct keeper;
struct sockets;

/* A new keeper. Pairs of a process before, found in passed, are taken over; passed may be NULL. Returns 0 or
 * -errno. */
int keeper_new(struct sockets *passed, struct keeper **ret);
void keeper_free(struct keeper *k);

/*
 * Keeps a copy of each of n sockets, PAIR_MESSAGE_MAX (pair.h) at most; any thread, never waits. Returns 0,
 * -EAGAIN when the whole line is full (the main thread has been told; try again in a moment) or -errno. A socket
 * leaves by being shut down (SHUT_RDWR) before it is closed.
 */
int keeper_add(struct keeper *k, const int *fds, unsigned n);

/* Readable when the line will soon be full: see keeper_relieve(). */
int keeper_fd(const struct keeper *k);
/* Makes more pairs for new sockets; those that are full are left to be merged. Main thread. */
void keeper_relieve(struct keeper *k);

/* After keeper_new(): calls fn with each socket of the pairs taken over, maybe more than once; fn owns the fd. */
void keeper_each(struct keeper *k, void (*fn)(int fd, void *arg), void *arg);

/* One step of the merging, if it is due; live is how many clients there are. True if there is more to do. */
bool keeper_merge(struct keeper *k, unsigned live);

/*
 * Begins again with nothing: the clients of the process before have been dealt with otherwise. Returns 0 or
 * -errno.
 */
int keeper_forget(struct keeper *k);

/* The fds and names of all pairs, for exec(): calls fn(name, fd). */
void keeper_pairs(struct keeper *k, void (*fn)(const char *name, int fd, void *arg), void *arg);

#endif
