/* SPDX-License-Identifier: MIT */
/* A file of lines that an admin keeps is written anew, with one change in it: for `chatctl passwd` and `token`. */
#ifndef COMMON_REWRITE_H
#define COMMON_REWRITE_H

#include <stdbool.h>
#include <stdio.h>

struct rewrite {
	/* Writes the new file, of the text that it has (NUL-terminated, "" if it is new). 0 or -errno: nothing changes. */
	int (*write)(FILE *f, const char *text, void *arg);
	void *arg;
	bool creates; /* the file, if there is none; else that is -ENOENT */
	int group;    /* which a new file belongs to (-1: the process's), with mode 0640 */
};

/*
 * Whole or not at all. What the file says besides is kept, also what another process changes at the same time.
 * Returns 0, or -errno: what write() says; -EWOULDBLOCK if somebody else has had the directory locked all the time,
 * -ENOLINK if path is a link to nothing.
 */
int rewrite_file(const char *path, const struct rewrite *how);

#endif
