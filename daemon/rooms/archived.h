/* SPDX-License-Identifier: MIT */
/*
 * Rooms whose messages are stored. One thread, the archive's, is a reader of each of them from the moment when it is
 * made, so it is woken by what is said; it is never waited for. It reads a room that it holds: rooms_enter_index() with
 * its slot, until rooms_leave(). A room that is over goes when all of it is stored, unless others need its space.
 *
 * What was said while a room was not to be stored never is, also if the setting changes later: room->kept_from is
 * the first message that is. All of it is under the rooms' lock, and for any thread.
 */
#ifndef DAEMON_ROOMS_ARCHIVED_H
#define DAEMON_ROOMS_ARCHIVED_H

#include "daemon/rooms/room.h"

/*
 * Once at the start, before anything is said or configured and before the takeover; NULL: nothing is stored. And again
 * whenever keeps() has another opinion.
 */
void rooms_archive(struct rooms *rs, const struct rooms_archive *archive);
/* By who holds it: all of its log's messages below that one are stored, or can't be. */
void room_set_archived(struct room *r, uint64_t seq);

/* Whether all that was said in it is stored, or isn't to be. Who holds it, on any thread. */
bool room_is_stored(const struct room *r);

/*
 * Of a room that is shared with other machines: all that their stream has up to that place, of that time there, has been put
 * into it or was passed over for good. When that is stored, so is the place.
 */
void room_note_place(struct room *r, uint64_t place, int64_t time_us);
/* What was stored of that before this process; 0: it isn't known. */
uint64_t room_stored_place(const struct room *r, int64_t *ret_us);

#endif
