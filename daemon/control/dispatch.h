/* SPDX-License-Identifier: MIT */
/*
 * From the name of a method to its function: those of io.chatd.Control (methods.c) and of
 * org.varlink.service.
 */
#ifndef DAEMON_DISPATCH_H
#define DAEMON_DISPATCH_H

#include "daemon/control/call.h"

/* Replies to the call, be it with an error, or begins a stream. */
void control_dispatch(struct control_client *c, const char *method, const json_t *parameters, bool more);

#endif
