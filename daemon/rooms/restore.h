/* SPDX-License-Identifier: MIT */
/*
 * Rooms get their last messages back in a state that begins (rooms_begin()), with the numbers, times and places that
 * they had. Each room does in one step: if a process dies in between, the next one goes on with the others. On the main
 * thread, when the configured rooms are there and before anybody else is.
 */
#ifndef DAEMON_ROOMS_RESTORE_H
#define DAEMON_ROOMS_RESTORE_H

#include "daemon/rooms/room.h"
#include "daemon/rooms/speech.h"

/*
 * As long as it isn't known which rooms there were before this state, nobody from outside opens one, as it might be closed
 * to them: rooms_enter() returns -EAGAIN. That outlives the process. Without an archive (archived.h) nobody waits, as there
 * is nothing to be read. Any thread.
 */
void rooms_set_past_unknown(struct rooms *rs, bool unknown);
bool rooms_past_is_unknown(struct rooms *rs);

struct restored_room {
	const char *name;
	uint64_t epoch; /* of the messages */
	bool raw, read_only, members_only;
};

/*
 * Of a past that is known later, too, from the archive's thread: rooms that are there then stay as they are, but that one
 * in which only other nodes have spoken is closed if it was.
 * The room that is to get them; one that isn't configured is made, with what it was for. Returns 0, -EEXIST if it has
 * messages already, -ENOSPC if there are max_rooms and it isn't for its members only, -EINVAL if it can't have been, or -errno.
 */
int rooms_restore(struct rooms *rs, const struct restored_room *what, struct room **ret);

/*
 * Puts messages into it, the oldest first, whose numbers grow and are below those that it will give. What could not
 * have been said there is left out, and so are the oldest ones if the log has not enough space. Returns how many there
 * are.
 */
size_t room_restore(struct room *r, const struct speech_event *events, size_t n);

#endif
