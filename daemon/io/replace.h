/* SPDX-License-Identifier: MIT */
/* A file's content is replaced as a whole, and is on the disk then: whoever dies on the way leaves the old one. */
#ifndef DAEMON_REPLACE_H
#define DAEMON_REPLACE_H

#include <stddef.h>

/* Mode 0600. Works also when the process has no file descriptor left. Returns 0 or -errno. */
int replace_file(const char *path, const char *data, size_t len);

#endif
