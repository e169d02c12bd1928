/* SPDX-License-Identifier: MIT */
/*
 * The keeper: holds a copy of every client's socket outside of this process, so that connections outlive it.
 *
 * It is an AF_UNIX stream socketpair whose queue holds sockets in flight (SCM_RIGHTS, unix(7)); both ends are
 * in the service manager's fd store, or are passed on by exec. A new socket is one message in the current
 * pair; now and then the main thread merges pairs of single sockets into one of full messages, leaving out
 * what is closed. A successor reads by peeking, so that it may die while it does. Being in two pairs does no
 * harm: SO_COOKIE tells sockets apart.
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
 * Keeps a copy of the socket; any thread, never waits. Returns 0, -EAGAIN when the queue is full (try again
 * later) or -errno. A socket leaves by being shut down (SHUT_RDWR) before it is closed.
 */
int keeper_add(struct keeper *k, int fd);

/* Readable when the current pair will soon be full: see keeper_relieve(). */
int keeper_fd(const struct keeper *k);
/* Has new sockets go to a fresh pair; the one before is left to be merged. Main thread. */
void keeper_relieve(struct keeper *k);

/* Calls fn with each socket of the pairs taken over, maybe more than once; fn owns the fd. Main thread. */
void keeper_each(struct keeper *k, void (*fn)(int fd, void *arg), void *arg);

/* One step of the merging, if it is due; live is how many clients there are. True if there is more to do. */
bool keeper_merge(struct keeper *k, unsigned live);

/* Begins anew: the clients of the process before have been dealt with otherwise. Returns 0 or -errno. */
int keeper_forget(struct keeper *k);

/* The fds and names of all pairs, for exec(): calls fn(name, fd). */
void keeper_pairs(struct keeper *k, void (*fn)(const char *name, int fd, void *arg), void *arg);

#endif
