/* SPDX-License-Identifier: MIT */
/*
 * A change of a client's lasting state: prepared in the half of its entry that isn't live, it becomes true in
 * one step, together with what was put into a room's log. A crash before the commit leaves nothing of it, a
 * crash after it everything. On the worker's thread.
 */
#ifndef DAEMON_TRANSACTION_H
#define DAEMON_TRANSACTION_H

#include "daemon/engine/context.h"
#include "daemon/rooms/room.h"
#include "daemon/state/clients.h"

/*
 * The draft: a copy of the live state, to be changed and committed, together with the positions in rooms that
 * are changed for it (state/memberships.h). One that isn't committed is forgotten.
 */
struct client_state *transaction_begin(struct clients *cs, struct client *c);
/* What transaction_begin() returned last, until it is committed. */
struct client_state *transaction_draft(struct client *c);

/* locked (or NULL): the room whose log is locked and holds what was put; it is unlocked. */
void transaction_commit(struct context *ctx, struct client *c, struct room *locked);

#endif
