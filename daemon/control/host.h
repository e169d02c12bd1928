/* SPDX-License-Identifier: MIT */
/*
 * What the server gives to the control socket's methods and to the metrics. They see nothing else of it, so
 * that control/ does not depend on server/.
 */
#ifndef DAEMON_HOST_H
#define DAEMON_HOST_H

#include "daemon/net/listeners.h"

struct host {
	struct context ctx; /* the main thread's */
	const char *config_path;
	char *mistakes; /* what is wrong with that file, if another one is in use; NULL: it is in use */
	const struct listeners *listeners;
	/* What the server notices once a second. */
	unsigned uncovered; /* clients that would not survive a crash, for that long at least */
	int64_t starved_us; /* when a listener had no file descriptor (CLOCK_MONOTONIC); 0: never */
	bool backing_up;    /* a copy of the history is being made */
	int64_t started_us; /* CLOCK_REALTIME */
	int64_t began_us;   /* the same as CLOCK_MONOTONIC */

	/* Reads the configuration again. Returns 0 with the warnings in *ret_text (free()d by the caller), or
	 * -errno with the mistakes. */
	int (*reload)(struct host *h, char **ret_text);
	/* Checks the program on disk and has it take over in a moment. Returns 0, or -errno with *ret_why as
	 * above. */
	int (*restart)(struct host *h, char **ret_why);
	/* The configuration in use: config_print(). free()d by the caller; NULL: it isn't known any more. */
	char *(*print)(struct host *h);
};

#endif
