/* SPDX-License-Identifier: MIT */
/*
 * Up to when somebody has read what was said somewhere: a time for each person and target, in the file of IRC. A person
 * has a share of the places with a few others, of which the least recently changed one makes way; so nobody can make
 * way for all others. Any thread.
 */
#ifndef DAEMON_IRC_MARKERS_H
#define DAEMON_IRC_MARKERS_H

#include "daemon/irc/records.h"

struct irc_file;
struct irc_markers;

/* The time (us, CLOCK_REALTIME) that holds; 0: there is none. Names are compared byte by byte. */
uint64_t irc_marker_get(struct irc_markers *ms, const char *owner, const char *target);
/*
 * It becomes us, if that is later; what holds then is returned. It is kept from then on, whatever becomes of the transaction
 * that is under way: doing it once more changes nothing.
 */
uint64_t irc_marker_raise(struct irc_markers *ms, const char *owner, const char *target, uint64_t us);

/* Returns 0 or -ENOMEM. */
int irc_markers_new(struct irc_file *file, struct irc_markers **ret);
void irc_markers_free(struct irc_markers *ms);

#endif
