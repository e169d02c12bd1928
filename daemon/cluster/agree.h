/* SPDX-License-Identifier: MIT */
/*
 * Whether shared rooms are for the same people on all nodes: `members`, `read_only` and `format` are settings of each
 * node. Each says now and then what its rooms are (ROOT.rooms.NODE, by core NATS), as JSON:
 *
 *	{"v": 1, "node": "b", "all": true, "rooms": {"den": "m01234567", "news": "r", "raw": "w"}}
 *
 * all: all rooms are shared there, and those that aren't listed are as rooms are that people opened; else only the
 * listed ones are. more: they are not listed, as there are too many. The letters: read_only, what is said as it is (raw),
 * and members with a sum of their names, in hexadecimal digits. Fields and letters that aren't known are left out.
 */
#ifndef DAEMON_AGREE_H
#define DAEMON_AGREE_H

#include "daemon/cluster/cluster.h"

#include <jansson.h>

#define AGREE_FORMAT 1
#define AGREE_TEXT_MAX 32768

/* What a node says. */
struct agree_said {
	char node[sizeof(((struct cluster_difference *)0)->node)];
	bool all, more;
	json_t *rooms; /* name -> letters */
};

/* Returns 0, -EBADMSG, or -EPROTONOSUPPORT; ret->rooms is to be released. */
int agree_read(const char *data, size_t len, struct agree_said *ret);
/* To be freed; NULL without memory. At most max bytes long (AGREE_TEXT_MAX). */
char *agree_write(const struct agree_said *said, size_t max);
/* In which of the rooms that both share there are differences, at most max of them. shares: whether this node does. */
unsigned agree_compare(const struct agree_said *own, const struct agree_said *other,
		       bool (*shares)(const char *room, void *arg), void *arg, struct cluster_difference *ret,
		       unsigned max);

#endif
