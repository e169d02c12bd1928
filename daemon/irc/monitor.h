/* SPDX-License-Identifier: MIT */
/*
 * MONITOR (https://ircv3.net/specs/extensions/monitor): whoever watches a nick is told when somebody has it, and when
 * nobody has it any more, by whatever way that somebody has come. A watcher's own worker compares what it was told last
 * with who is here, whenever the roster says that a nick has come or gone; so nobody is told anything twice.
 */
#ifndef DAEMON_IRC_MONITOR_H
#define DAEMON_IRC_MONITOR_H

#include "daemon/irc/irc.h"

/* From now on the roster is listened to, once anybody speaks IRC (main thread); and no more, before the workers go. */
void irc_monitor_start(struct shared *shared);
void irc_monitor_stop(struct shared *shared);
/* Within the transaction with which it registers: from then on it is here. */
void irc_monitor_registered(struct irc_call *call);

#endif
