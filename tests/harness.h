/* SPDX-License-Identifier: MIT */
/* chatd's insides without its threads: rooms, clients and one worker that the caller turns by hand. */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include "daemon/worker.h"

#include <stddef.h>

struct harness;

/* With that configuration (text), or NULL if it has errors. */
struct harness *harness_new(const char *config);
void harness_free(struct harness *h);
struct shared *harness_shared(struct harness *h);

/* Connects a client of that type and mode to room; returns its end of the connection, non-blocking. */
int harness_connect(struct harness *h, const char *type, const char *mode, const char *room);

/* Turns the worker until nothing happens any more. */
void harness_settle(struct harness *h);

/* What a client has received so far; a string that the next call overwrites. */
const char *harness_read(struct harness *h, int fd);

/* Sends text, lets the server work, and returns what came back. */
const char *harness_say(struct harness *h, int fd, const char *text);

#endif
