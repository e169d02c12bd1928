/* SPDX-License-Identifier: MIT */
/* What chatd tells people, as lines of English that begin with "* ": for modes that are read by people. */
#ifndef DAEMON_NOTICES_H
#define DAEMON_NOTICES_H

#include "daemon/config/notice.h"

struct connection;

/* For a handler's notice(). */
size_t notices_line(const struct connection *c, const struct notice *n, char *text, size_t size);

#endif
