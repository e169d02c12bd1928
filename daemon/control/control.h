/* SPDX-License-Identifier: MIT */
/*
 * The control socket: a Unix socket at which the main thread serves Varlink. This file listens and accepts;
 * client.h is one connection, call.h what a method may do, methods.h the methods.
 */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include <systemd/sd-event.h>

struct control;
struct host;

/* Listens at the path (0660, that group if it exists). Returns 0 or -errno, which is logged. */
int control_new(struct host *host, sd_event *event, const char *path, const char *group,
		struct control **ret);
void control_free(struct control *c);
/* To be called when there is news in a room or in the log. */
void control_news(struct control *c);

#endif
