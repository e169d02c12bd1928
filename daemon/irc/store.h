/* SPDX-License-Identifier: MIT */
/*
 * All that IRC keeps for the next process, in a memory file of its own beside those of rooms and clients.
 * There is one once a listener speaks IRC, and none before.
 */
#ifndef DAEMON_IRC_STORE_H
#define DAEMON_IRC_STORE_H

#include "daemon/rooms/elsewhere.h"
#include "daemon/rooms/roster.h"

#include <stdbool.h>
#include <stdint.h>

#define IRC_STORE_NAME "chatd-irc-1"

struct clients;
struct rooms;
struct irc_users;
struct irc_blobs;
struct irc_personas;
struct irc_attachments;
struct irc_channels;
struct irc_markers;
struct irc_watchers;
struct irc_file;

/* What all threads share of it: shared->irc. */
struct irc {
	struct irc_users *users;
	struct irc_blobs *blobs;
	struct irc_personas *personas;
	struct irc_attachments *attachments;
	struct irc_channels *channels;
	struct irc_markers *markers;
	struct irc_watchers *watchers;	 /* of this process */
	struct roster_listener listener; /* for monitor.c */
	struct elsewhere_listener elsewhere_listener;
	struct irc_file *file; /* for store.c */
};

/* The size to create the memory file with: pages exist only where something was written. */
uint64_t irc_store_size(void);
/*
 * Opens it, before anything is said in a room; cs stays the caller's. Returns 0, -EBADMSG for a file that
 * can't be trusted or is of another layout, or -errno. strangers: the clients of the process before are gone,
 * so that ids may be used again; what the file has of users is forgotten. What users of the process before
 * have is there after irc_users_recover().
 */
int irc_store_open(int fd, bool fresh, bool strangers, struct clients *cs, struct rooms *rooms,
		   struct irc **ret);
void irc_store_close(struct irc *irc);

#endif
