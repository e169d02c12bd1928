/* SPDX-License-Identifier: MIT */
/* Handing everything on to a successor without a service manager: exec of the program on disk, with inherited
 * fds. */
#ifndef DAEMON_HANDOVER_H
#define DAEMON_HANDOVER_H

#include <stddef.h>

/*
 * The successor finds the file descriptors in this variable, as PID:FD=NAME:FD=NAME... `chatd --supervise` hands on what it
 * keeps in the same way.
 */
#define HANDOVER_VARIABLE "CHATD_HANDOVER"

/* File descriptors to be inherited, with names as in sd_listen_fds_with_names(3). */
struct handover;

int handover_new(struct handover **ret);
void handover_free(struct handover *h);
/* The fd stays the caller's. After a lack of memory handover_exec() fails. */
void handover_add(const char *name, int fd, void *handover);

/*
 * Runs `PROGRAM --probe -c CONFIG` and waits for at most timeout_ms. Returns 0 if it says that all is well;
 * else -errno with *ret_why (free()d by the caller), which are all lines that it said.
 */
int handover_probe(const char *program, const char *config_path, int timeout_ms, char **ret_why);

/* Becomes the program. Returns only on failure, with everything as it was: -errno. */
int handover_exec(struct handover *h, const char *program, char **argv);

#endif
