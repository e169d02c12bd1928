/* SPDX-License-Identifier: MIT */
/*
 * The connections of the control socket, served by the main thread. Each call is answered before the next one
 * is looked at, and a client that doesn't read its replies is not asked for more calls.
 */
#ifndef DAEMON_CLIENT_H
#define DAEMON_CLIENT_H

#include "daemon/control/call.h"
#include "daemon/control/spares.h"

#include <stddef.h>
#include <systemd/sd-event.h>

/* The longest call. */
#define CONTROL_REQUEST_MAX (256 << 10)
/* While this much is unread, streams pause and no further call is answered. */
#define CONTROL_FULL (256 << 10)
#define CONTROL_PEER_MAX 96

/* All connections. Initialise host, event and spares. */
struct control_clients {
	struct host *host;
	sd_event *event;
	struct control_client *first; /* newest first */
	unsigned n;
	struct spares spares;
};

/* Serves the descriptor, which is the client's from then on. Returns 0 or -errno. */
int control_client_new(struct control_clients *all, int fd, const char *peer);
/* Closes the oldest connection that has no stream, as it may be idle. False if there is none. */
bool control_clients_make_way(struct control_clients *all);
/* Lets every stream send its news. */
void control_clients_follow(struct control_clients *all);
void control_clients_free(struct control_clients *all);

#endif
