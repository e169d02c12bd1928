/* SPDX-License-Identifier: MIT */
/*
 * What the server hands in to those who answer for it: the control socket's methods and the metrics. They see
 * the daemon through this and nothing else of the server.
 */
#ifndef DAEMON_HOST_H
#define DAEMON_HOST_H

#include "daemon/net/listeners.h"

struct host {
	struct context ctx; /* the main thread's */
	const char *config_path;
	const struct listeners *listeners;
	int64_t started_us; /* CLOCK_REALTIME */
	int64_t began_us;   /* the same as CLOCK_MONOTONIC */

	/* Reads the configuration again. Returns 0 with the warnings in *ret_text (free()d by the caller), or
	 * -errno with the mistakes. */
	int (*reload)(struct host *h, char **ret_text);
	/* Checks the program on disk and has it take over in a moment. Returns 0, or -errno with *ret_why as
	 * above. */
	int (*restart)(struct host *h, char **ret_why);
};

#endif
