/* SPDX-License-Identifier: MIT */
/*
 * What chatd tells a client by itself, whatever its transport and mode: that it is too fast, has missed
 * something, is sent away. Transports and limits say what happened; the handler has the words for it.
 */
#ifndef DAEMON_NOTICE_H
#define DAEMON_NOTICE_H

#include <stddef.h>
#include <stdint.h>

enum notice_kind {
	NOTICE_SKIPPED, /* number: of the messages that it missed, as it read too slowly */
	NOTICE_SLOWED,	/* text: what there is too much of a second, such as "lines" */
	/* The others are said before the client is disconnected. */
	NOTICE_REFUSED,	      /* text: why it can't come in */
	NOTICE_SILENT,	      /* it was silent for too long */
	NOTICE_MUTE,	      /* it has not said anything since it came */
	NOTICE_NOT_LOGGED_IN, /* nor who it is */
	NOTICE_LATE,	      /* it did not say in time what was waited for: connection_expect() */
	NOTICE_ACCOUNT_GONE,  /* the account that it is logged in as has been removed */
	NOTICE_REMOVED,	      /* by an admin; text: why, or NULL */
	NOTICE_BANNED,
	NOTICE_GOING_DOWN, /* the server ends */
	NOTICE_RESTARTING, /* the server goes on, but can't take this connection along */
	NOTICE_LOST,	   /* the server has gone on, and could not take this connection along */
};

struct room;

struct notice {
	enum notice_kind kind;
	uint64_t number;
	const char *text;
	const struct room *room; /* NOTICE_SKIPPED: where */
};

/* A notice is no longer than this, whatever the handler. */
#define NOTICE_MAX 512

#endif
