/* SPDX-License-Identifier: MIT */
/*
 * File descriptors that come from outside: sockets and state that the service manager (sd_listen_fds(3)) or a process
 * before this one passed, and sockets made here. A socket is matched to a listener by name, else by address.
 */
#ifndef DAEMON_SOCKETS_H
#define DAEMON_SOCKETS_H

#include "daemon/config.h"

#include <stddef.h>

struct sockets;

/* Takes all passed fds. Returns 0 or -ENOMEM. */
int sockets_take(struct sockets **ret);
/* Closes what nobody asked for, with a log line for each. */
void sockets_close(struct sockets *s);

/* The first passed fd of that name, which the caller owns then; -ENOENT. */
int sockets_claim(struct sockets *s, const char *name);

/* The same for any fd whose name begins with prefix; its name is copied. */
int sockets_claim_prefix(struct sockets *s, const char *prefix, char *name, size_t size);

/*
 * A listening socket for the listener: a passed one, or a new one. Returns the fd or -errno; *ret_passed tells which.
 */
int sockets_listen(struct sockets *s, const struct listener_config *l, bool *ret_passed);

/* Keeps fd in the service manager's fd store under that name, or takes it out; harmless without systemd. */
void sockets_store(int fd, const char *name);
void sockets_unstore(const char *name);
/* Whether there is a service manager that keeps what is stored. */
bool sockets_have_store(void);

#endif
