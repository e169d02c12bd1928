/* SPDX-License-Identifier: MIT */
/*
 * How far each webhook's receiver has got, in a file of the state directory, which outlives a reboot. It is replaced as
 * a whole, so whoever dies on the way leaves the old one: then something is delivered twice, and nothing is left out.
 *
 *	chatd webhooks 1
 *	NAME ROOM EPOCH NEXT TIME LEFT		(EPOCH in hexadecimal digits; LEFT may be "-")
 */
#ifndef DAEMON_WEBHOOKS_CURSORS_H
#define DAEMON_WEBHOOKS_CURSORS_H

#include "daemon/config/webhooks.h"

#define CURSORS_FILE "webhooks"
#define CURSOR_LEFT_UNKNOWN UINT64_MAX

struct cursor {
	char name[WEBHOOK_NAME_MAX + 1];
	char room[TEXT_ROOM_MAX + 1];
	uint64_t epoch;	  /* of the room's log */
	uint64_t next;	  /* the number of the first message that was not delivered */
	uint64_t time_us; /* CLOCK_REALTIME: nothing of that number or a higher one was said before */
	uint64_t left;	  /* so many were not when chatd ended for good */
};

struct cursors {
	struct cursor at[WEBHOOKS_MAX];
	size_t n;
};

/* Reads text, which it changes. Returns 0, or -EBADMSG: there is none then. */
int cursors_parse(char *text, struct cursors *ret);
/* The text, to be freed; NULL without memory. */
char *cursors_format(const struct cursors *c, size_t *ret_len);
/* Reads a file: 0, -ENOENT, -EBADMSG or -errno. */
int cursors_load(const char *path, struct cursors *ret);
/* On the disk when it returns 0; else -errno. */
int cursors_save(const char *path, const struct cursors *c);

#endif
