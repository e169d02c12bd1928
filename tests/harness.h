/* SPDX-License-Identifier: MIT */
/* chatd's insides without its threads: rooms, clients and one worker that the caller turns by hand. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include "daemon/engine/worker.h"
#include "daemon/server/takeover.h"

#include <stddef.h>

struct harness;

/* With that configuration (text), or NULL if it has errors. */
struct harness *harness_new(const char *config);
/* The same with all rooms shared with other machines, of which there are none: what is said comes back when
 * harness_settle() has let the worker do all it has to do. */
struct harness *harness_new_clustered(const char *config);
/* Nothing comes back, or, from the next harness_settle() on, everything. */
void harness_hold_back(struct harness *h, bool away);
/* The next process shares no room any more. */
void harness_uncluster(struct harness *h);
void harness_free(struct harness *h);
struct shared *harness_shared(struct harness *h);

/* Connects a client (over TCP on loopback) of that type and mode to room; returns its end, non-blocking. */
int harness_connect(struct harness *h, const char *type, const char *mode, const char *room);

/* Opens the configuration's UDP listener of that number on a port of loopback; returns the port. */
uint16_t harness_listen(struct harness *h, size_t number);

/*
 * The process dies and another one takes its state over, after meddle (or NULL) had a go at it. Returns 0
 * with what was taken over, or -errno when the state was refused as a whole; then only harness_free() may
 * follow.
 */
int harness_crash(struct harness *h, void (*meddle)(int rooms_fd, int clients_fd, void *arg), void *arg,
		  struct takeover *ret);

/* Turns the worker until nothing happens any more. */
void harness_settle(struct harness *h);

/* What a client has received so far; a string that the next call overwrites. */
const char *harness_read(struct harness *h, int fd);

/* Sends text, lets the server work, and returns what came back. */
const char *harness_say(struct harness *h, int fd, const char *text);

#endif
