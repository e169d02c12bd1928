/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in hand for when there are no others: to accept a client of the control socket, and for what its call
 * has to open. So chatctl works even when everything else is used up.
 */
#ifndef DAEMON_SPARES_H
#define DAEMON_SPARES_H

#include <stdbool.h>

#define SPARES_N 8

struct spares {
	int fd[SPARES_N];
};

void spares_init(struct spares *s);
/* Opens those that are not in hand. True if all are now. */
bool spares_take(struct spares *s);
/* Closes them, for a moment in which the main thread opens what it has to, or for ever. */
void spares_use(struct spares *s);

#endif
