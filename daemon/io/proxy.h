/* SPDX-License-Identifier: MIT */
/* The PROXY protocol's header, versions 1 and 2 (haproxy's doc/proxy-protocol.txt). */
#ifndef DAEMON_PROXY_H
#define DAEMON_PROXY_H

#include "common/address.h"

#include <sys/types.h>

/* The longest header that is taken, with all its extensions. */
#define PROXY_HEADER_MAX 4096

/*
 * Parses the header at the beginning of what a proxy sent. Returns its length, with the client's address in
 * *ret, or family 0 if the proxy speaks for itself (LOCAL, UNKNOWN); -EAGAIN if more is needed, -EBADMSG if
 * it isn't one.
 */
ssize_t proxy_parse(const void *data, size_t len, union address *ret);

#endif
