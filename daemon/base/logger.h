/* SPDX-License-Identifier: MIT */
/*
 * The log: journald fields when stderr is the journal, plain lines on a terminal, `<N>`-prefixed ones
 * (sd-daemon(3)) elsewhere. The one global. Safe from every thread. Whatever could act on a terminal is
 * escaped here, so callers may pass text of clients.
 */
#ifndef DAEMON_LOGGER_H
#define DAEMON_LOGGER_H

#include "common/address.h"

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* Kinds of events that admins search for: `journalctl MESSAGE_ID=...`, listed in chatd(8). */
#define EVENT_STARTED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f01"
#define EVENT_STOPPED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f02"
#define EVENT_RELOADED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f03"
#define EVENT_CONFIG_ERROR "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f04"
#define EVENT_CLIENT_OPENED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f05"
#define EVENT_CLIENT_CLOSED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f06"
#define EVENT_CLIENT_KICKED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f07"
#define EVENT_CLIENT_REFUSED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f08"
#define EVENT_LISTENER "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f09"
#define EVENT_WORKER "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0a"
#define EVENT_CONTROL "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0b"
#define EVENT_TAKEOVER "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0c"
#define EVENT_STATE_REFUSED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0d"
#define EVENT_LOGIN "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0e"
#define EVENT_BAN "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f0f"
#define EVENT_CLIENT_SLOWED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f10"
#define EVENT_JOINED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f11"
#define EVENT_LEFT "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f12"
#define EVENT_RENAMED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f13"
#define EVENT_SKIPPED "5f2d9a3b6c1e4d1c9b1f0a7d3c5e8f14"

/* All fields may be left 0. */
struct log_fields {
	const char *message_id;
	uint64_t client;
	const char *room;
	const char *listener;
	const union address *address; /* the peer's */
	const char *prefix;	      /* instead of it: all addresses that a ban is for */
	const char *reason;	      /* an admin's */
	int64_t until_us;	      /* CLOCK_REALTIME: when the ban ends */
};

/* Decides where the log goes; call it before the first thread is started. level is LOG_ERR..LOG_DEBUG. */
void log_open(int level);
void log_set_level(int level);

/* "error", "warning", "notice", "info", "debug" to LOG_*; -EINVAL for anything else. */
int log_level_parse(const char *s);

void log_event(int level, const struct log_fields *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * What strangers can cause as often as they like: a topic has one line in LOG_LIMIT_US, and its next line
 * says how many there were in between. Counters tell the rest. Wrong passwords have LOG_LOGINS lines, so that
 * who counts them by address (fail2ban) sees each, as far as they can be checked at all.
 */
#define LOG_LIMIT_US 5000000
#define LOG_LOGINS 200
enum log_topic {
	LOG_TOPIC_REFUSED, /* a limit, a ban, an address list */
	LOG_TOPIC_LOGIN,   /* a wrong password */
	LOG_TOPIC_PROXY,   /* no valid PROXY header */
	LOG_TOPIC_TLS,	   /* a failed handshake */
	LOG_TOPIC_RATE,	   /* a client is slowed down */
	LOG_TOPIC_TIMEOUT, /* no line in time */
	LOG_TOPIC_ROOMS,   /* max_rooms */
	LOG_TOPIC_CONTROL, /* the control socket */
	LOG_TOPICS
};
void log_limited(enum log_topic topic, int level, const struct log_fields *fields, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(...) log_event(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_event(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_event(LOG_DEBUG, NULL, __VA_ARGS__)

/* --- for `chatctl watch`: events as they happen, whatever log_level is --- */

struct log_entry {
	int64_t time_us;  /* CLOCK_REALTIME */
	const char *kind; /* "joined", "kicked", ... */
	uint64_t client;  /* 0: none */
	char room[65], listener[64];
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

#endif
