/* SPDX-License-Identifier: MIT */
/*
 * Who is in which room, and how far they have got there: a table of its own in the file of clients, since a
 * client may be in many rooms.
 *
 * A position in a room and its client's outbox become true together, by the one store of the client's `live`:
 * a membership holds its position twice, each with the generation of the client's state that it belongs to, and
 * of those that are not above the true state's generation the newest counts. So:
 *
 * - a change goes to the place that does not count, never to the one that does;
 * - there the mark is taken away first and put back last, so that a half-written position doesn't count;
 * - all that is done before `live` is stored;
 * - what a transaction left that was never committed is wiped before the next one begins, and by the next
 *   process before it serves anybody: its generation will be used again.
 *
 * A client that leaves a room gets a last position that says so, and the membership is free once that is true. A
 * client's memberships belong to the thread that has the client; the table is shared.
 */
#ifndef DAEMON_MEMBERSHIPS_H
#define DAEMON_MEMBERSHIPS_H

#include "daemon/state/entry.h"

struct clients;

/* Where somebody is in a room's log. */
struct position {
	uint64_t cursor, seq;
};

/* --- reading --- */

/* In the state given (the live one or a draft): false if the client isn't in that room, or the place can't be
 * trusted. */
bool membership_get(const struct client *c, const struct client_state *st, const struct membership *m,
		    struct position *ret);
/* Whether it was found to be one of that client's: by memberships_rebuild(), or since. */
bool membership_is_of(struct clients *cs, const struct client *c, const struct membership *m);
/* The one whose log the client's stream goes on with, or NULL. */
struct membership *membership_direct(struct clients *cs, const struct client_state *st);
/* What client_state.direct says of it. */
uint32_t membership_number(const struct clients *cs, const struct membership *m);
/* Its room, or ROOM_NONE; and the place there, 0 without a room. */
uint32_t membership_room(struct clients *cs, const struct client_state *st);
struct position membership_place(struct clients *cs, const struct client_state *st);
/* All of a client's, in no order: NULL first, and NULL after the last. */
struct membership *membership_next(struct clients *cs, const struct client *c, const struct membership *m);

/* --- changing, in a transaction (engine/transaction.h), whose draft is given --- */

/* Enters a room, where the client isn't yet. NULL: the table is full. */
struct membership *membership_join(struct clients *cs, struct client *c, const struct client_state *draft,
				   uint32_t room, struct position p);
void membership_move(const struct client *c, const struct client_state *draft, struct membership *m,
		     struct position p);
void membership_leave(struct client *c, const struct client_state *draft, struct membership *m);
/*
 * For who is in one room at most: from now on it is in this one (or in none, ROOM_NONE), and its log is what the
 * stream goes on with.
 */
void membership_set_direct(struct clients *cs, struct client *c, struct client_state *draft, uint32_t room,
			   struct position p);

/* --- for transactions and the table of clients --- */

/* Before a transaction: forgets what one that was not committed has left. */
void memberships_forget_draft(struct clients *cs, struct client *c);
/* After the commit: gives those back that have been left. */
void memberships_sweep(struct clients *cs, struct client *c);
/* The client is gone. */
void memberships_release(struct clients *cs, struct client *c);
/*
 * For the start, when it is known which states are true: finds everybody's memberships again. Those that don't
 * add up, or belong to nobody, are free; who counted on them is refused by whoever checks its entry.
 */
void memberships_rebuild(struct clients *cs);

#endif
