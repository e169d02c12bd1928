/* SPDX-License-Identifier: MIT */
/*
 * One pair of the keeper (keeper.h): a socketpair, each message of which has a byte and one or more sockets. Both ends
 * are in the service manager's store, under names with the pair's number. Whoever looks at messages leaves them there.
 */
#ifndef DAEMON_PAIR_H
#define DAEMON_PAIR_H

#include <stdbool.h>

/* This many sockets fit in one message: SCM_MAX_FD of Linux. */
#define PAIR_MESSAGE_MAX 253
#define PAIR_NAME_MAX 40

struct pair {
	int write, read;
	unsigned number;
	unsigned messages, sockets; /* as far as is known */
	unsigned capacity;	    /* messages that fit for certain */
};

/* Makes one, and stores it. Returns 0 or -errno. */
int pair_open(unsigned number, struct pair *ret);
/* Closes it, and takes it out of the store: with its last end the sockets in it are gone. */
void pair_drop(struct pair *p);
/* Closes this process's ends only. */
void pair_close(struct pair *p);
/* end: 'w' or 'r'. */
void pair_name(const struct pair *p, char end, char dst[static PAIR_NAME_MAX]);
/* Finds out how much fits. */
void pair_measure(struct pair *p);

/* Puts n sockets into the pair as one message. Returns 0, -EAGAIN when it is full, or -errno. */
int pair_put(struct pair *p, const int *fds, unsigned n);
/*
 * Looks at the next message without taking it. Returns how many fds it has, or -EAGAIN after the last.
 * *ret_cut: it has more of them, for which there are no free descriptors.
 */
int pair_peek(const struct pair *p, int fds[static PAIR_MESSAGE_MAX], bool *ret_cut);
/* Takes the first n messages out. What comes next when peeking stays the same. */
void pair_take(struct pair *p, unsigned n);
/* The next message to be looked at is that one, counted from 0. */
void pair_peek_from(const struct pair *p, int number);
/* Calls fn, which owns the fd, for each socket, maybe more than once; counts the messages. */
void pair_each(struct pair *p, void (*fn)(int fd, void *arg), void *arg);

#endif
