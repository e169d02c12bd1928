/* SPDX-License-Identifier: MIT */
/*
 * Takes over the state files of a release whose layout was an earlier one: they are read, never written, and new
 * ones are filled from them. Only complete files are stored where the service manager keeps them, and only then
 * the old ones go; a process that is killed in between leaves a successor that begins again from the old ones.
 *
 * A new layout is a row in layouts.c, with two functions that fill its files from those of the layout before.
 */
#ifndef DAEMON_LAYOUTS_H
#define DAEMON_LAYOUTS_H

#include "daemon/state/sockets.h"

#include <stdbool.h>

/* What this build's files are called in the fd store. */
#define LAYOUTS_ROOMS_NAME "chatd-rooms-5"
#define LAYOUTS_CLIENTS_NAME "chatd-clients-5"

/*
 * Before the state is claimed: what was passed of an earlier layout is converted, and takes its place among what
 * was passed. Returns 0 or -errno; what can't be read is left out with a line in the log, and *ret_refused tells
 * that clients were.
 */
int layouts_adopt(struct sockets *s, bool *ret_refused);
/* Says in the log that the file of that name is not used, and why (negative errno). */
void layouts_tell_refused(const char *name, int error);

/* --- the way from one layout to the next; each returns a new memory file or -errno, -EBADMSG: damaged --- */

int layout4_convert_rooms(int rooms_fd);
/* rooms_fd: the rooms of the same layout, or -1. */
int layout4_convert_clients(int clients_fd, int rooms_fd);

#endif
