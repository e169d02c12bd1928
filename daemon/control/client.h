/* SPDX-License-Identifier: MIT */
/*
 * The connections of the control socket, served by the main thread: what comes in is cut into calls, one call is
 * answered at a time, and who doesn't read its answers is asked for no more calls.
 */
#ifndef DAEMON_CLIENT_H
#define DAEMON_CLIENT_H

#include "daemon/control/call.h"
#include "daemon/control/spares.h"

#include <stddef.h>
#include <systemd/sd-event.h>

/* The longest call. */
#define CONTROL_REQUEST_MAX (256 << 10)
/* No more is written, and no further call answered, while so much is unread. */
#define CONTROL_FULL (256 << 10)
#define CONTROL_PEER_MAX 96

/* All of them. Initialise host, event and spares. */
struct control_clients {
	struct host *host;
	sd_event *event;
	struct control_client *first; /* newest first */
	unsigned n;
	struct spares spares;
};

/* Serves the descriptor, which is the client's from then on. Returns 0 or -errno. */
int control_client_new(struct control_clients *all, int fd, const char *peer);
/* Ends the one that has been there for the longest time and follows nothing: it may just sit there. False if there
 * is none. */
bool control_clients_make_way(struct control_clients *all);
/* Has every stream look whether there is something to say. */
void control_clients_follow(struct control_clients *all);
void control_clients_free(struct control_clients *all);

#endif
