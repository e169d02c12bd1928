/* SPDX-License-Identifier: MIT */
/* A listening TCP socket on one worker, which spreads the connections over all of them. */
#ifndef DAEMON_TCP_H
#define DAEMON_TCP_H

#include "daemon/engine/listener.h"

/* For listener_init(). NULL without memory. */
struct listener *tcp_listener_new(const struct listener_config *config);

#endif
