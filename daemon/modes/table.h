/* SPDX-License-Identifier: MIT */
/* All modes that there are: a row for each file of this folder that has one. */
#ifndef DAEMON_MODES_TABLE_H
#define DAEMON_MODES_TABLE_H

#include "daemon/config/handler.h"

/* NULL-terminated. */
extern const struct handler *const handlers[];

extern const struct handler handler_tcp_chat, handler_tcp_echo, handler_udp_echo, handler_udp_registry;
extern const struct handler handler_zmq_reply, handler_zmq_relay, handler_zmq_pipeline;

/* NULL if there is none. */
const struct handler *handler_find(const char *type, const char *mode);

#endif
