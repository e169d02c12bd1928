/* SPDX-License-Identifier: MIT */
/*
 * The settings `origins` and `hosts` of listeners that browsers come to: pages of which origins (RFC 6454) may talk there,
 * and by which names it is called.
 */
#ifndef DAEMON_ORIGINS_H
#define DAEMON_ORIGINS_H

#include "daemon/config/settings.h"

#define ORIGINS_MAX 64
#define ORIGIN_MAX 255 /* bytes */

struct origin_list {
	char (*at)[ORIGIN_MAX + 1];
	size_t n;
};

/* Reads a list to a struct origin_list; key's min: of origins, else of names. */
setting_reader setting_origins;

/* Not NUL-terminated. */
struct origin_text {
	const char *at;
	size_t len;
};

/* The host in "https://HOST[:PORT]", without the port, and with it; false if that isn't an origin. */
bool origin_host(const char *origin, size_t len, struct origin_text *ret, struct origin_text *ret_authority);
/* "HOST[:PORT]" without the port. */
struct origin_text origin_without_port(struct origin_text host);

#endif
