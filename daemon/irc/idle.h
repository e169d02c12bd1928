/* SPDX-License-Identifier: MIT */
/* When somebody on IRC spoke last, for who asks. Not kept for the next process. Any thread. */
#ifndef DAEMON_IRC_IDLE_H
#define DAEMON_IRC_IDLE_H

#include <stdbool.h>
#include <stdint.h>

/* The client of that index in the table, by its id, registers or says something. */
void irc_idle_spoke(uint32_t index, uint64_t id);
/* How long ago that was, in seconds; 0 if it isn't known. */
int64_t irc_idle_seconds(uint32_t index, uint64_t id);

#endif
