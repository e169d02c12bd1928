/* SPDX-License-Identifier: MIT */
/*
 * Who is gone, or is called otherwise now: the last 1,024 of this node, and as many of others, in memory, not kept for the next
 * process. Any thread.
 */
#ifndef DAEMON_IRC_WHOWAS_H
#define DAEMON_IRC_WHOWAS_H

#include "daemon/irc/records.h"

#include <stddef.h>

/* Somebody on IRC, who had registered, is called that no more. nick: as it was, not shown. */
void irc_whowas_note(const char *nick, size_t len, const struct irc_user *u);
/* Somebody on that node, by whatever means, is. */
void irc_whowas_note_elsewhere(const char *node, const char *nick, size_t len);

#endif
