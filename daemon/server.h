/* SPDX-License-Identifier: MIT */
/*
 * The main thread: start, signals, timers, watchdog, reload, the handover to a successor, and the end. It
 * touches no client's bytes.
 */
#ifndef DAEMON_SERVER_H
#define DAEMON_SERVER_H

#include "daemon/config.h"
#include "daemon/listeners.h"
#include "daemon/worker.h"

#include <jansson.h>

struct server;

/* Serves until it is told to end. argv: for `chatctl restart`. Returns the exit status. */
int server_run(const char *config_path, char **argv);

/* --- for the control socket's methods --- */

struct shared *server_shared(struct server *s);
const struct config *server_config(const struct server *s);
const char *server_config_path(const struct server *s);
int64_t server_started_us(const struct server *s); /* CLOCK_REALTIME */
int64_t server_began_us(const struct server *s);   /* the same as CLOCK_MONOTONIC */
/* The main thread's slot among the readers of rooms. */
unsigned server_slot(const struct server *s);
struct counters *server_counters(struct server *s);
/* Connections that would not survive a crash: TLS, or no fd store, or the keeper has not got them (yet). */
unsigned server_uncovered(const struct server *s);
/* How the clients were taken over; the interface's type Takeover. */
json_t *server_takeover_json(struct server *s);

const struct listeners *server_listeners(const struct server *s);

/* Reads the configuration again. Returns 0 with the warnings in *ret_text (free()d by the caller), or -errno
 * with the mistakes. */
int server_reload(struct server *s, char **ret_text);

/* Checks the program on disk and has it take over in a moment. Returns 0, or -errno with *ret_why as above.
 */
int server_restart(struct server *s, char **ret_why);

#endif
