/* SPDX-License-Identifier: MIT */
/* What the subcommands of CHATHISTORY share. */
#ifndef DAEMON_IRC_CHATHISTORY_H
#define DAEMON_IRC_CHATHISTORY_H

#include "daemon/irc/commands.h"

/* A time of IRC has milliseconds. */
#define PAST_MS ((uint64_t)1000)

/* FAIL CHATHISTORY, with the subcommand and maybe the target. */
void past_fail(struct irc_call *call, const char *code, bool target, const char *text);
/* The parameter of that number as a limit, at most what an answer has; 0: it is none. */
unsigned past_limit(const struct irc_call *call, unsigned i);

/* chathistory_targets.c */
enum verdict past_targets(struct irc_call *call);

#endif
