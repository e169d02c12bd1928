/* SPDX-License-Identifier: MIT */
/* Other protocols than chat, by the first bytes of a connection: web pages make browsers talk to any port. */
#ifndef DAEMON_FOREIGN_H
#define DAEMON_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>

enum foreign { FOREIGN_NONE, FOREIGN_HTTP, FOREIGN_TLS };

/*
 * data: what has come so far. eof: nothing follows. A line is HTTP only if it is a request's in full, since
 * people say "GET up"; but of one longer than max the beginning will do.
 */
enum foreign foreign_find(const char *data, size_t len, bool eof, size_t max);

#endif
