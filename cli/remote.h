/* SPDX-License-Identifier: MIT */
/* chatctl on another machine. */
#ifndef CLI_REMOTE_H
#define CLI_REMOTE_H

#include <stdbool.h>

struct remote {
	const char *host;	     /* as ssh takes it */
	const char *socket, *config; /* as they were given, or NULL: that machine's own */
	bool json;
	int argc; /* the subcommand and its arguments */
	char **argv;
};

/* Runs chatctl there. Returns its exit status, or EXIT_UNREACHABLE after saying why. */
int remote_run(const struct remote *r);

#endif
