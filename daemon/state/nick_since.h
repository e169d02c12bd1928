/* SPDX-License-Identifier: MIT */
/*
 * Since when each client has had its nick, for those who are in a cluster: it outlives the process, beside the entry, as the
 * one who had a nick first keeps it (rooms/roster.h). Each client's belongs to the thread that has the client.
 */
#ifndef DAEMON_NICK_SINCE_H
#define DAEMON_NICK_SINCE_H

#include <stddef.h>
#include <stdint.h>

struct client;
struct clients;

/* CLOCK_REALTIME in us; 0: it is not known. */
int64_t nick_since(struct clients *cs, const struct client *c, const char *nick, size_t len);
/* For a nick that the client is about to get. What is noted of the one that it has stays. */
void nick_since_note(struct clients *cs, const struct client *c, const char *nick, size_t len,
		     int64_t since_us);

#endif
