/* SPDX-License-Identifier: MIT */
/*
 * What is taken out of a room's log before its time: its bytes are overwritten by blanks, and nobody who comes later is
 * shown it. Whoever has read it already has read it.
 */
#ifndef DAEMON_ROOMS_FORGET_H
#define DAEMON_ROOMS_FORGET_H

#include "daemon/rooms/room.h"

struct room_forget {
	const char *nick;	     /* whose, without regard to case; NULL: everybody's */
	int64_t since_us, before_us; /* [since, before) of CLOCK_REALTIME; 0: no limit */
};

/*
 * Returns how many messages it was. The caller holds the room. The log is locked for some hundred messages at a time, and
 * is a long one if it takes milliseconds. What is said later isn't looked at.
 */
uint64_t room_forget(struct room *r, const struct room_forget *what);

#endif
