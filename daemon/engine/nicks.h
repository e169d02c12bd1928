/* SPDX-License-Identifier: MIT */
/* A client's claim to a nick: in the roster, and beside its entry since when it has it, which counts in a cluster. */
#ifndef DAEMON_NICKS_H
#define DAEMON_NICKS_H

#include <stddef.h>

struct client;
struct roster_entry;
struct shared;

/*
 * Before the transaction that makes it the client's nick, on the client's thread. Who has it already, as a client of the
 * process before, or has it in another case, has had it all the time. Returns what roster_claim() does.
 */
int nicks_claim(struct shared *shared, const struct client *c, const char *nick, size_t len, unsigned title,
		struct roster_entry **ret);

#endif
