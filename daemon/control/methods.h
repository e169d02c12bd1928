/* SPDX-License-Identifier: MIT */
/* The methods of io.chatd.Control, one file each; methods.c has the table of them. */
#ifndef DAEMON_METHODS_H
#define DAEMON_METHODS_H

#include "daemon/control/call.h"
#include "daemon/control/report.h"

#include <stdint.h>

struct control_method {
	const char *name;
	control_call *call;
};
/* Ends with a NULL name. */
extern const struct control_method control_methods[];

control_call control_status, control_list;
control_call control_send, control_tail, control_watch;
control_call control_kick, control_ban, control_unban;
control_call control_history, control_forget, control_backup;

#endif
