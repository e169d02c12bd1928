/* SPDX-License-Identifier: MIT */
/*
 * What comes before the first byte of some connections: a proxy's header, and TLS's handshake. It happens on
 * the listener's worker, within limits.handshake_timeout; who fails is closed without a word. Until it is
 * over, a restart ends the connection.
 */
#ifndef DAEMON_PRELUDE_H
#define DAEMON_PRELUDE_H

#include "common/address.h"
#include "daemon/engine/listener.h"
#include "daemon/io/stream.h"

#include <stdbool.h>

struct prelude;

/* A connection that may begin; all of it is handed over. */
struct prelude_result {
	struct stream stream;
	union address address; /* the socket's, or what a proxy said */
	uint64_t consumed;     /* bytes that came before the stream */
};

/*
 * peer: the socket's address, which has been counted by limits_take(). done() is called with the result, at
 * once or later. proxy: a header must come first. list: of those under way; the listener's.
 */
void prelude_start(struct prelude **list, struct listener *l, int fd, const union address *peer, bool proxy,
		   void (*done)(struct listener *l, const struct prelude_result *result));
/* Once a second. */
void prelude_tick(struct prelude **list);
/* The listener ends; running: its worker does not. */
void prelude_end(struct prelude **list, bool running);

#endif
