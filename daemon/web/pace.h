/* SPDX-License-Identifier: MIT */
/* How fast a token may speak, over whatever connections: what a connection may do counts for that one only. Any thread. */
#ifndef DAEMON_WEB_PACE_H
#define DAEMON_WEB_PACE_H

#include <stdint.h>

/* Whether the token of that name may say one more thing, of so many a second (0: no limit). Returns 0, or in how many us. */
int64_t web_pace(const char *name, unsigned rate, int64_t now);

#endif
