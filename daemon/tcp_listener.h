/* SPDX-License-Identifier: MIT */
/*
 * A listening TCP socket: one worker accepts and spreads the connections over all. accept() pauses when file
 * descriptors run out and goes on when some are free.
 */
#ifndef DAEMON_TCP_LISTENER_H
#define DAEMON_TCP_LISTENER_H

#include "daemon/config.h"

#include <stdint.h>

struct tcp_listener;
struct worker;

/* Takes fd (listening, non-blocking) over. origin: from clients_intern(). */
int tcp_listener_new(int fd, const struct listener_config *config, unsigned origin,
		     struct tcp_listener **ret);
void tcp_listener_free(struct tcp_listener *l);

int tcp_listener_fd(const struct tcp_listener *l);
const char *tcp_listener_name(const struct tcp_listener *l);
uint64_t tcp_listener_accepted(const struct tcp_listener *l);

/* On the worker's thread (or before its start): joins its loop, or leaves it. */
int tcp_listener_start(struct tcp_listener *l, struct worker *w);
void tcp_listener_stop(struct tcp_listener *l);
/* Tries again after a pause. */
void tcp_listener_tick(struct tcp_listener *l);
struct worker *tcp_listener_worker(const struct tcp_listener *l);
struct tcp_listener *tcp_listener_next(const struct tcp_listener *l);

#endif
