/* SPDX-License-Identifier: MIT */
/* The methods of the control socket, by what they are about; control_methods.c has the table of them. */
#ifndef DAEMON_CONTROL_METHODS_H
#define DAEMON_CONTROL_METHODS_H

#include "daemon/control/control.h"

#include <stdint.h>

/* How long workers may take to answer. */
#define CONTROL_CALL_TIMEOUT_US 5000000

static inline double control_seconds(int64_t us)
{
	return (double)us / 1e6;
}

/* control_list.c: what is there */
control_call control_status, control_list;
/* control_talk.c: what is said, and what happens */
control_call control_send, control_tail, control_watch;
/* control_remove.c: who has to go */
control_call control_kick, control_ban, control_unban;

#endif
