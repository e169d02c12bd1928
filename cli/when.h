/* SPDX-License-Identifier: MIT */
/* Points in time as people write them. */
#ifndef CLI_WHEN_H
#define CLI_WHEN_H

#include <stdbool.h>
#include <time.h>

/* For messages: what when_parse() takes. */
#define WHEN_FORMS                                                                                           \
	"90s, 10m, 2h, 7d or 3w (ago), now, today, yesterday, 10:00, 2026-11-24 or 2026-11-24 10:00"

/* The seconds of a unit: s, m, h, d or w; 0 for anything else. */
double when_unit(char unit);
/*
 * Seconds since 1970 of what text says, seen from now, in the local time zone unless it has one of its own:
 *	"90s", "10m", "2h", "7d", "3w", also behind "-" or with " ago": so long before now; days have 24 hours
 *	"now", "today" and "yesterday" (their midnights)
 *	"10:00", "10:00:30": of today
 *	"2026-11-24", "2026-11-24 10:00", "2026-11-24 10:00:30"
 *	RFC 3339: "2026-11-24T10:00:30.5Z", "2026-11-24T10:00:30+01:00"
 *	"@1790000000": as it is
 * False if it is nothing of these.
 */
bool when_parse(const char *text, time_t now, double *ret);

#endif
