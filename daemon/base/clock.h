/* SPDX-License-Identifier: MIT */
/* Time in microseconds: CLOCK_MONOTONIC for durations (it goes on across a restart), CLOCK_REALTIME for
 * people. */
#ifndef DAEMON_CLOCK_H
#define DAEMON_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SECOND_US INT64_C(1000000)

static inline int64_t clock_us(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (int64_t)ts.tv_sec * SECOND_US + ts.tv_nsec / 1000;
}

#endif
