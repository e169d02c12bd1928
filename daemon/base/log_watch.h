/* SPDX-License-Identifier: MIT */
/*
 * For `chatctl watch`: events as they happen, whatever log_level is. They are kept as long as somebody
 * watches, and then only the last ones, so that whoever watches slowly misses some and is told how many.
 */
#ifndef DAEMON_LOG_WATCH_H
#define DAEMON_LOG_WATCH_H

#include "common/address.h"
#include "daemon/base/events.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct log_entry {
	int64_t time_us;		/* CLOCK_REALTIME */
	const char *kind;		/* "joined", "kicked", ... */
	uint64_t client;		/* 0: none */
	char room[65], listener[64];	/* "": none */
	char address[ADDRESS_TEXT_MAX]; /* "192.0.2.7:40022", or a prefix; "": none */
	char reason[256];
	int64_t until_us; /* 0: none */
	char text[512];
};

/* An eventfd that becomes readable when something has happened while somebody watches; made once, by the main
 * thread. Returns it, or -errno. */
int log_watch_fd(void);
/* Somebody begins to watch, and ends. log_watch() returns the number of the entry that comes next. */
uint64_t log_watch(void);
void log_unwatch(void);
/* The entry of a number, which is moved on; *ret_missed is how many were overwritten before. False: none yet.
 */
bool log_watch_next(uint64_t *number, struct log_entry *ret, uint64_t *ret_missed);

/* For the logger: whether somebody watches what has these fields (or NULL), and to show it with its text. */
bool log_watch_wants(const struct log_fields *fields);
void log_watch_keep(const struct log_fields *fields, const char *text, size_t n);

#endif
