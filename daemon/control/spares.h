/* SPDX-License-Identifier: MIT */
/*
 * A few descriptors are kept open so that they can be closed when there are no others left: to accept a
 * client of the control socket, and for the files that its call opens. So chatctl works when descriptors have
 * run out.
 */
#ifndef DAEMON_SPARES_H
#define DAEMON_SPARES_H

#include <stdbool.h>

#define SPARES_N 8
#define SPARES_WAIT_MS 250

struct spares {
	int fd[SPARES_N];
};

void spares_init(struct spares *s);
/* Opens those that are missing. True if all are there now. */
bool spares_take(struct spares *s);
/*
 * The same, for a call: waits up to SPARES_WAIT_MS for those that are missing. A library that accepts whoever comes
 * (libzmq) may have got them, and returns them as soon as it is told that they were not for its peers.
 */
bool spares_gather(struct spares *s);
/* Closes them all; spares_take() opens them again. */
void spares_use(struct spares *s);

#endif
