/* SPDX-License-Identifier: MIT */
/*
 * The log: journald fields when stderr is the journal, plain lines on a terminal, `<N>`-prefixed ones
 * (sd-daemon(3)) elsewhere. Where it goes is a global, as is the ring of log_watch.h; the daemon has no
 * others. Safe from every thread. Whatever could act on a terminal is escaped here, so callers may pass text
 * of clients.
 */
#ifndef DAEMON_LOGGER_H
#define DAEMON_LOGGER_H

#include "common/address.h"
#include "daemon/base/events.h"

#include <stdbool.h>
#include <stdint.h>
#include <syslog.h>

/* Decides where the log goes; call it before the first thread is started. level is LOG_ERR..LOG_DEBUG. */
void log_open(int level);
void log_set_level(int level);
int log_get_level(void);

/* "error", "warning", "notice", "info", "debug" to LOG_*; -EINVAL for anything else. */
int log_level_parse(const char *s);
/* The other way round. */
const char *log_level_name(int level);

void log_event(int level, const struct log_fields *fields, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * What strangers can cause as often as they like: a topic has one line in LOG_LIMIT_US, and its next line
 * says how many there were in between. Counters tell the rest. Wrong passwords have LOG_LOGINS lines, so that
 * who counts them by address (fail2ban) sees each, as far as they can be checked at all; coming and going nodes
 * LOG_NODES, more than there are but for whoever makes them up.
 */
#define LOG_LIMIT_US 5000000
#define LOG_LOGINS 200
#define LOG_NODES 128
enum log_topic {
	LOG_TOPIC_REFUSED, /* a limit, a ban, an address list */
	LOG_TOPIC_LOGIN,   /* a wrong password */
	LOG_TOPIC_PROXY,   /* no valid PROXY header */
	LOG_TOPIC_TLS,	   /* a failed handshake */
	LOG_TOPIC_RATE,	   /* a client is slowed down */
	LOG_TOPIC_TIMEOUT, /* no line in time */
	LOG_TOPIC_ROOMS,   /* max_rooms */
	LOG_TOPIC_CONTROL, /* the control socket */
	LOG_TOPIC_CLUSTER, /* what NATS or other nodes send */
	LOG_TOPIC_NODES,   /* nodes come and go */
	LOG_TOPICS
};
void log_limited(enum log_topic topic, int level, const struct log_fields *fields, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define log_error(...) log_event(LOG_ERR, NULL, __VA_ARGS__)
#define log_warning(...) log_event(LOG_WARNING, NULL, __VA_ARGS__)
#define log_notice(...) log_event(LOG_NOTICE, NULL, __VA_ARGS__)
#define log_info(...) log_event(LOG_INFO, NULL, __VA_ARGS__)
#define log_debug(...) log_event(LOG_DEBUG, NULL, __VA_ARGS__)

#endif
