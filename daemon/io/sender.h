/* SPDX-License-Identifier: MIT */
/*
 * The one narrow place that performs a batch of sends: as one io_uring submission where the kernel allows it,
 * by plain send() elsewhere. Both give the same results.
 */
#ifndef DAEMON_SENDER_H
#define DAEMON_SENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SENDER_BATCH 256

struct sender;

struct send_op {
	int fd;
	const void *data;
	size_t len;
	ssize_t result; /* bytes taken by the kernel, or negative errno (-EAGAIN: none fit) */
	void *user;	/* the caller's */
};

/* io_uring: use it if the kernel allows it. Returns 0 or -ENOMEM. */
int sender_new(bool io_uring, struct sender **ret);
void sender_free(struct sender *s);
/* "io_uring" or "send". */
const char *sender_name(const struct sender *s);
/* Before a socket that was sent to is closed: the ring may hold it, too. */
void sender_forget(struct sender *s, int fd);
/* Performs up to SENDER_BATCH sends, none of which waits. */
void sender_run(struct sender *s, struct send_op *ops, size_t n);

#endif
