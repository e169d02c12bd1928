/* SPDX-License-Identifier: MIT */
/*
 * The rooms of a connection whose handler says that it may be in many. It has a seat in each; one of them at a time is
 * connection_room(), whose renderings go to the socket as those of who is in one room only do, and it is switched to
 * another by a commit when that one has news. So a place in a room is always true, or found again, as it is there.
 *
 * A seat is taken and left in a transaction: what belongs to the process follows the commit.
 */
#ifndef DAEMON_SEATS_H
#define DAEMON_SEATS_H

#include "daemon/engine/connection.h"

unsigned seats_count(const struct connection *c);
bool seats_in(const struct connection *c, const struct room *room);
/* Its room of that name, or NULL. */
struct room *seats_room(const struct connection *c, const char *name);
struct room *seats_room_at(const struct connection *c, uint32_t index);
/* Calls fn for each room until it returns false. They stay the same meanwhile, but that fn may leave the one it is called for. */
void seats_each(struct connection *c, bool (*fn)(struct connection *c, struct room *room, void *arg),
		void *arg);

/*
 * Within a transaction: it is in the room, where it isn't yet and which the caller has entered (rooms_enter()), from the
 * commit on, and its next event there is the one at p. Returns 0; or -ENOSPC if there is no place for it, and nothing has
 * changed. seats_joined() follows the commit.
 */
int seats_join(struct connection *c, const struct room *room, struct position p);
void seats_joined(struct connection *c, struct room *room);
/* Within a transaction: it is in that room no more from the commit on. seats_left() follows the commit, and gives the
 * room back. */
void seats_leave(struct connection *c, const struct room *room);
void seats_left(struct connection *c, struct room *room);

/*
 * Within a transaction, with the room's own log locked: as connection_settle(), for any of its rooms. What it isn't shown
 * is left out.
 */
bool seats_settle(struct connection *c, struct room *room, size_t reserve);
/* Within a transaction: where it is in that room from the commit on. */
void seats_go_on_at(struct connection *c, const struct room *room, struct position p);

/* For restored(): sits down in all rooms that the entry has. */
void seats_restore(struct connection *c);

/*
 * For sees() of a handler, of an event that is told in all rooms of who did it, with the same time (RECORD_RENAME), or
 * once in a life (RECORD_QUIT): whether this one was shown it, or passed it, in another room already.
 */
bool seats_passed_elsewhere(struct connection *c, const struct room *room, const struct record *event);

#endif
