/* SPDX-License-Identifier: MIT */
/*
 * What nodes tell each other of who is there, as JSON:
 *
 *	{"v": 1, "node": "b", "boot": 7, "from": 3, "to": 5, "changes": [...]}
 *
 * Each field is checked, and those that are not known are left out, so that a later release may add some. A change that
 * breaks older ones has another number, which they refuse.
 */
#ifndef DAEMON_PRESENCE_TEXT_H
#define DAEMON_PRESENCE_TEXT_H

#include "daemon/rooms/elsewhere.h"

#include <stddef.h>

#define PRESENCE_FORMAT 1
/* What a message takes at most, and how many clients are surely no more than that. */
#define PRESENCE_TEXT_MAX 65536
#define PRESENCE_CLIENTS 230

struct presence_message {
	char node[ELSEWHERE_NODE_MAX + 1]; /* who says it */
	uint64_t boot;			   /* of the process; 0: not said */
	uint64_t from, to;		   /* the versions of its clients between which the changes are */
	unsigned part;			   /* of the whole, which is that of version to, */
	bool last;			   /* and ends with this one */
	bool bye;			   /* the node goes, and its clients with it */
	struct elsewhere_client *clients;  /* nick_len 0: gone */
	size_t n;
	size_t n_refused; /* clients that can't be, and are left out */
};

/* Returns 0; -EBADMSG, or -EPROTONOSUPPORT if it is of a format that is not known, or -ENOMEM. */
int presence_read(const char *data, size_t len, struct presence_message *ret);
void presence_message_free(struct presence_message *m);
/* To be freed; NULL without memory. */
char *presence_write(const struct presence_message *m);

/* A node's name: [A-Za-z0-9_-], as in subjects. */
bool presence_node_valid(const char *s, size_t len);

#endif
