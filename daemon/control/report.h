/* SPDX-License-Identifier: MIT */
/* What the methods and the metrics share: values as the interface has them, and as Prometheus has them. */
#ifndef DAEMON_REPORT_H
#define DAEMON_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* A time as the interface has it. */
static inline double control_seconds(int64_t us)
{
	return (double)us / 1e6;
}

/* Adds a time (CLOCK_REALTIME in us), unless it is 0. */
void report_time(json_t *o, const char *key, int64_t us);
/* As a string; a JSON string holds UTF-8 only, which what was said in raw rooms need not be. NULL without memory. */
json_t *report_string(const char *s, size_t len);
/* A time in seconds that a call has under this key, in us; *ret stays as it is if there is none. False: it is no time. */
bool report_take_time(const json_t *parameters, const char *key, int64_t *ret);

/* In the Prometheus text format; name is without "chatd_". */
void report_metric_head(FILE *f, const char *name, const char *type, const char *help);
void report_metric(FILE *f, const char *name, const char *type, const char *help, uint64_t value);

#endif
